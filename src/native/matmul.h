// Products of activations with packed weights.
#pragma once

#include <limits>

#include "byte_tiles.h"
#include "float_tiles.h"
#include "fused.h"
#if defined(__AMX_INT8__)
#include "amx_bytes.h"
#include "amx_halves.h"
#endif

namespace clearhead {
namespace {

// Calls with(tiles) for the tiles of a matrix. Only int8 without minima has groups of 64 and 128: see Matrix::sound.
template <class With>
void with_tiles(const Matrix& m, With&& with) {
  switch (m.format) {
    case Format::f32: return with(FloatTiles<FloatDot>{});
    case Format::bf16: return with(FloatTiles<Bfloat16Dot>{});
    case Format::int8:
      if (m.minima) return with(ByteTiles<0, false, 32>{});
      if (m.group == 32) return with(ByteTiles<128, false, 32>{});
      return m.group == 64 ? with(ByteTiles<128, false, 64>{}) : with(ByteTiles<128, false, 128>{});
    case Format::int4: return m.minima ? with(ByteTiles<0, true, 32>{}) : with(ByteTiles<8, true, 32>{});
  }
}

template <class Tiles>
void multiply_by_tiles(const Operand& x, int first_token, int last_token, const Product& p, int first, int last) {
  const Matrix& m = *p.matrix;
  if (last_token - first_token == 1) {
    for (int block = first; block < last; ++block) write(p, first_token, block, Tiles::lone(x, first_token, m, block));
    return;
  }
  constexpr int stride = Tiles::blocks * lanes;
  alignas(alignment) float sums[Tiles::tokens * stride];
  const auto write_all = [&](int token, int tokens, int block, int blocks) {
    for (int t = 0; t < tokens; ++t)
      for (int b = 0; b < blocks; ++b) write(p, token + t, block + b, load(sums + t * stride + b * lanes));
  };
  in_slices(first_token, last_token, x.stride, [&](int from, int to) {
    sum_tiles<Tiles>(x, from, to, m, first, last, true, stride, [&](int, int) { return sums; }, write_all);
  });
}

#if defined(__AMX_INT8__)

constexpr bool has_tiles = true;
constexpr int fewest_for_a_tile = 12;
constexpr int fewest_for_halves = 96;  // to turn the weights into bfloat16 costs as much as five tiles of tokens save

// Tiles take tokens by sixteen; what is left over, or too few for a tile, is quicker without. The bits are the same.
template <int Zero, bool Nibbles, int Group>
void multiply_codes(const Operand& x, int first_token, int last_token, const Product& p, int first, int last,
                    Workspace& work) {
  if (x.scales == nullptr) return multiply_halves_in_tiles(x, first_token, last_token, p, first, last, work);
  const int rest = (last_token - first_token) % tile_rows;
  const int cut = rest < fewest_for_a_tile ? last_token - rest : last_token;
  if (first_token < cut) tiles_of_bytes<Group, Zero, Nibbles>(x, first_token, cut, p, first, last, work);
  if (cut < last_token) multiply_by_tiles<ByteTiles<Zero, Nibbles, Group>>(x, cut, last_token, p, first, last);
}

template <class Tiles>
struct Multiply {
  static constexpr auto call = [](const Operand& x, int t0, int t1, const Product& p, int first, int last, Workspace&) {
    multiply_by_tiles<Tiles>(x, t0, t1, p, first, last);
  };
};
template <>
struct Multiply<FloatTiles<Bfloat16Dot>> {
  static constexpr auto call = multiply_halves_in_tiles;
};
template <int Zero, bool Nibbles, int Group>
struct Multiply<ByteTiles<Zero, Nibbles, Group>> {
  static constexpr auto call = multiply_codes<Zero, Nibbles, Group>;
};

void multiply(const Operand& x, int t0, int t1, const Product& p, int first, int last, Workspace& work) {
  with_tiles(*p.matrix, [&](auto tiles) { Multiply<decltype(tiles)>::call(x, t0, t1, p, first, last, work); });
}

void multiply_activated(const Operand& x, int tokens, const Activated& activated, int first, int last, Workspace& work) {
  activate_halves_in_tiles(x, tokens, activated, first, last, work);
}

#else

constexpr bool has_tiles = false;
constexpr int fewest_for_halves = std::numeric_limits<int>::max();

void multiply(const Operand& x, int t0, int t1, const Product& p, int first, int last, Workspace&) {
  with_tiles(*p.matrix, [&](auto tiles) { multiply_by_tiles<decltype(tiles)>(x, t0, t1, p, first, last); });
}

void multiply_activated(const Operand& x, int tokens, const Activated& activated, int first, int last, Workspace& work) {
  with_tiles(*activated.matrix, [&](auto tiles) {
    activate_by_tiles<decltype(tiles)>(x, tokens, activated, first, last, work);
  });
}

#endif

}  // namespace
}  // namespace clearhead
