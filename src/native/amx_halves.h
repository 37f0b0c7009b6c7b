// Products with bfloat16 on tiles. Sums over 32 columns at a time are added to float32; whatever else is in the tile, a
// token's sums are made by the same steps.
#pragma once

#include "amx.h"
#include "tiles.h"

namespace clearhead {
namespace {

constexpr int step_columns = 32;
constexpr std::size_t sums_floats = 4 * tile_rows * lanes;  // of the four tiles of sums
constexpr int piece_columns = 256;                          // of weights that stay in the first-level cache meanwhile
constexpr std::size_t halves_slice = std::size_t(256) << 10;  // bytes of activations that stay in the second-level one

// Up to sixteen tokens times B blocks.
template <int B>
void tile_of_halves(const Operand& x, int token, int rows, const Product& p, int block) {
  const Matrix& m = *p.matrix;
  const std::byte *a = x.codes + x.stride * std::size_t(token), *w = m.block(block);
  const std::size_t next = m.block_bytes();
  clear_tile<0>(), clear_tile<1>(), clear_tile<2>(), clear_tile<3>();
  for (int k = 0; k < m.padded(); k += step_columns, a += 64, w += tile_bytes) {
    load_tile<4>(a, x.stride);
    const auto dot = [&](auto b, auto tile) {
      if constexpr (b < B) {
        const std::byte* from = w + next * std::size_t(b);
        for (std::size_t i = 0; i < tile_bytes; i += 64) __builtin_prefetch(from + 4 * tile_bytes + i, 0, 3);
        load_tile<tile>(from, 64);
        dot_tiles_bfloat16<b, 4, tile>();
      }
    };
    dot(std::integral_constant<int, 0>{}, std::integral_constant<int, 6>{});
    dot(std::integral_constant<int, 1>{}, std::integral_constant<int, 7>{});
    dot(std::integral_constant<int, 2>{}, std::integral_constant<int, 6>{});
    dot(std::integral_constant<int, 3>{}, std::integral_constant<int, 7>{});
  }
  alignas(64) float sums[4][tile_rows][lanes];
  store_tile<0>(sums[0], 64), store_tile<1>(sums[1], 64), store_tile<2>(sums[2], 64), store_tile<3>(sums[3], 64);
  for (int t = 0; t < rows; ++t)
    for (int b = 0; b < B; ++b) write(p, token + t, block + b, load(sums[b][t]));
}

void few_halves(const Operand& x, int token, int rows, const Product& p, int first, int last) {
  const TileShapes shapes(rows, rows, 64);
  in_tiles<4>(first, last, [&](auto blocks, int block) { tile_of_halves<blocks>(x, token, rows, p, block); });
}

// Two tiles of tokens, the second perhaps not full, times a piece of two blocks; `weights` are those of the first,
// `next` bytes before the other's. Sums come from `sums` and go back there, but for the first piece.
inline void piece_of_halves(const std::byte* a, std::size_t stride, const std::byte* weights, std::size_t next,
                            int columns, bool begin, float* sums) {
  if (begin) {
    clear_tile<0>(), clear_tile<1>(), clear_tile<2>(), clear_tile<3>();
  } else {
    load_tile<0>(sums, 64), load_tile<1>(sums + 256, 64), load_tile<2>(sums + 512, 64), load_tile<3>(sums + 768, 64);
  }
  for (int k = 0; k < columns; k += step_columns, a += 64, weights += tile_bytes) {
    load_tile<4>(a, stride);
    load_tile<6>(weights, 64);
    dot_tiles_bfloat16<0, 4, 6>();
    load_tile<7>(weights + next, 64);
    dot_tiles_bfloat16<1, 4, 7>();
    load_tile<5>(a + stride * tile_rows, stride);
    dot_tiles_bfloat16<2, 5, 6>();
    dot_tiles_bfloat16<3, 5, 7>();
  }
  store_tile<0>(sums, 64), store_tile<1>(sums + 256, 64), store_tile<2>(sums + 512, 64), store_tile<3>(sums + 768, 64);
}

// Tokens by the pair of tiles, each pair of `rows`, times two blocks; the last block may stand alone.
void pairs_of_halves(const Operand& x, int first_token, int last_token, int rows, const Product& p, int first, int last,
                     float* sums) {
  const Matrix& m = *p.matrix;
  const TileShapes shapes(tile_rows, rows - tile_rows, 64);
  for (int b = first; b < last; b += 2) {
    const bool both = b + 1 < last;
    for (int k = 0; k < m.padded(); k += piece_columns) {
      float* to = sums;
      for (int token = first_token; token < last_token; token += rows, to += sums_floats) {
        const std::byte* a = x.codes + x.stride * std::size_t(token) + 2 * k;
        piece_of_halves(a, x.stride, m.block(b) + 32 * k, both ? m.block_bytes() : 0,
                        std::min(piece_columns, m.padded() - k), k == 0, to);
        if (k + piece_columns < m.padded()) continue;
        for (int t = 0; t < rows; ++t) {
          const float* from = to + (t / tile_rows * 2 * tile_rows + t % tile_rows) * lanes;
          write(p, token + t, b, load(from));
          if (both) write(p, token + t, b + 1, load(from + tile_rows * lanes));
        }
      }
    }
  }
}

void multiply_halves_in_tiles(const Operand& x, int first_token, int last_token, const Product& p, int first, int last,
                              Workspace& work) {
  constexpr int pair = 2 * tile_rows;
  const std::size_t row_bytes = std::size_t(p.matrix->padded()) * 2;
  const int slice = std::max(pair, int(halves_slice / row_bytes) / pair * pair);
  for (int token = first_token; token < last_token; token += slice) {
    const int end = std::min(last_token, token + slice), full = token + (end - token) / pair * pair;
    const int rest = end - full, pairs = (end - token) / pair + 1;
    auto* sums = reinterpret_cast<float*>(work.bytes(sums_floats * sizeof(float) * std::size_t(pairs)));
    if (full > token) pairs_of_halves(x, token, full, pair, p, first, last, sums);
    if (rest > tile_rows)
      pairs_of_halves(x, full, end, rest, p, first, last, sums);
    else if (rest > 0)
      few_halves(x, full, rest, p, first, last);
  }
}

}  // namespace
}  // namespace clearhead
