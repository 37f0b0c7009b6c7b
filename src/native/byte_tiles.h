// Products with int8 and int4. A group's sum is exact in 32-bit integers; then it is scaled and added to the others'.
#pragma once

#include "tiles.h"

namespace clearhead {
namespace {

// Where a tile of byte or nibble codes finds them: in the matrix, or in a panel unpacked from it.
struct Codes {
  const std::byte* start;
  std::size_t next;  // bytes from block to block
};

template <int T, int B, int Zero, bool Nibbles>
void byte_tile(const Codes& codes, const Operand& x, int token, const Product& p, int block) {
  const Matrix& m = *p.matrix;
  const int groups = m.groups(), steps = m.group / 32;
  const std::byte *w = codes.start, *a = x.codes + x.stride * std::size_t(token);
  const float* scales = x.scales + std::size_t(token) * std::size_t(groups);
  const std::int32_t* totals = x.sums + std::size_t(token) * std::size_t(groups);
  Floats sums[T][B];
  for (auto& row : sums)
    for (Floats& sum : row) sum = zeros();
  for (int g = 0; g < groups; ++g) {
    Ints dots[T][B];
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t)
#pragma GCC unroll 8
      for (int b = 0; b < B; ++b) dots[t][b] = dot_start<Zero>(totals[t * groups + g]);
    for (int s = 0; s < steps; ++s, a += 32) {
#pragma GCC unroll 8
      for (int v = 0; v < 8; v += Nibbles ? 2 : 1, w += 64) {
        Words first[B], second[B];
#pragma GCC unroll 8
        for (int b = 0; b < B; ++b) {
          first[b] = load_words(w + codes.next * std::size_t(b));
          if (Nibbles) second[b] = high_nibbles(first[b]), first[b] = low_nibbles(first[b]);
        }
#pragma GCC unroll 8
        for (int t = 0; t < T; ++t) {
          const std::byte* word = a + x.stride * std::size_t(t) + 4 * v;
          const Words one = spread(word);
#pragma GCC unroll 8
          for (int b = 0; b < B; ++b) dots[t][b] = dot_bytes<Zero>(dots[t][b], first[b], one);
          if (!Nibbles) continue;
          const Words other = spread(word + 4);
#pragma GCC unroll 8
          for (int b = 0; b < B; ++b) dots[t][b] = dot_bytes<Zero>(dots[t][b], second[b], other);
        }
      }
    }
#pragma GCC unroll 8
    for (int b = 0; b < B; ++b) {
      const Floats scale = load_float16(m.scales(block + b) + g * lanes);
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t)
        sums[t][b] = fma(to_floats(dots[t][b]), scale * fill(scales[t * groups + g]), sums[t][b]);
      if (Zero != 0) continue;
      const Floats minimum = load_float16(m.minimums(block + b) + g * lanes);
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t)
        sums[t][b] = fma(minimum, fill(scales[t * groups + g] * float(totals[t * groups + g])), sums[t][b]);
    }
  }
  for (int t = 0; t < T; ++t)
    for (int b = 0; b < B; ++b) write(p, token + t, block + b, sums[t][b]);
}

// One token times B blocks. Memory is what limits it: weights are asked for in the order they lie in, scales and all,
// across the ends of blocks; and the two halves of nibbles are two sums, which need not wait for each other.
template <int B, int Zero, bool Nibbles>
void lone_tile(const Operand& x, int token, const Product& p, int block) {
  const Matrix& m = *p.matrix;
  const int groups = m.groups(), steps = m.group / 32;
  const std::byte *w = m.block(block), *a = x.codes + x.stride * std::size_t(token);
  const std::size_t next = m.block_bytes(), step_bytes = B * next / std::size_t(m.padded() / 32);
  const float* scales = x.scales + std::size_t(token) * std::size_t(groups);
  const std::int32_t* totals = x.sums + std::size_t(token) * std::size_t(groups);
  const std::byte* later = w + 8192;  // as far ahead as the slowest memory needs
  Floats sums[B];
  for (Floats& sum : sums) sum = zeros();
  for (int g = 0; g < groups; ++g) {
    Ints dots[B], others[B];
#pragma GCC unroll 8
    for (int b = 0; b < B; ++b) dots[b] = dot_start<Zero>(totals[g]), others[b] = fill(std::int32_t(0));
    for (int s = 0; s < steps; ++s, a += 32, later += step_bytes) {
      for (std::size_t i = 0; i < step_bytes; i += 64) __builtin_prefetch(later + i, 0, 3);
#pragma GCC unroll 8
      for (int v = 0; v < 8; v += 2, w += Nibbles ? 64 : 128) {
        const Words even = spread(a + 4 * v), odd = spread(a + 4 * v + 4);
#pragma GCC unroll 8
        for (int b = 0; b < B; ++b) {
          const Words words = load_words(w + next * std::size_t(b));
          dots[b] = dot_bytes<Zero>(dots[b], Nibbles ? low_nibbles(words) : words, even);
          const Words after = Nibbles ? raised_nibbles(words) : load_words(w + next * std::size_t(b) + 64);
          others[b] = dot_bytes<Zero>(others[b], after, odd);
        }
      }
    }
    const Floats factor = fill(scales[g]), total = fill(scales[g] * float(totals[g]));
#pragma GCC unroll 8
    for (int b = 0; b < B; ++b) {
      const Floats scale = load_float16(m.scales(block + b) + g * lanes);
      sums[b] = fma(to_floats(dots[b] + (Nibbles ? unraised(others[b]) : others[b])), scale * factor, sums[b]);
      if (Zero == 0) sums[b] = fma(load_float16(m.minimums(block + b) + g * lanes), total, sums[b]);
    }
  }
  for (int b = 0; b < B; ++b) write(p, token, block + b, sums[b]);
}

// A panel of nibbles as bytes, which the tiles then read many times.
inline void spread_nibbles(const std::byte* from, std::size_t bytes, std::byte* to) {
  for (std::size_t i = 0; i < bytes; i += 64, to += 128) {
    const Words both = load_words(from + i);
    store_words(to, low_nibbles(both));
    store_words(to + 64, high_nibbles(both));
  }
}

template <int Zero, bool Nibbles>
void multiply_bytes(const Operand& x, int first_token, int last_token, const Product& p, int first, int last,
                    Workspace& work) {
  const Matrix& m = *p.matrix;
  if (last_token - first_token == 1)
    return in_tiles<lone_blocks>(first, last, [&](auto blocks, int block) {
      lone_tile<blocks, Zero, Nibbles>(x, first_token, p, block);
    });
  in_slices(first_token, last_token, x.stride, [&](int from, int to) {
    in_tiles<tile_blocks>(first, last, [&](auto blocks, int block) {
      if (!Nibbles || to - from <= 2 * byte_tokens)
        return in_tiles<byte_tokens>(from, to, [&](auto tokens, int token) {
          byte_tile<tokens, blocks, Zero, Nibbles>({m.block(block), m.block_bytes()}, x, token, p, block);
        });
      const std::size_t unpacked = m.code_bytes() * 2;
      std::byte* panel = work.bytes(unpacked * std::size_t(blocks));
      for (int b = 0; b < blocks; ++b)
        spread_nibbles(m.block(block + b), m.code_bytes(), panel + unpacked * std::size_t(b));
      in_tiles<byte_tokens>(from, to, [&](auto tokens, int token) {
        byte_tile<tokens, blocks, Zero, false>({panel, unpacked}, x, token, p, block);
      });
    });
  });
}

}  // namespace
}  // namespace clearhead
