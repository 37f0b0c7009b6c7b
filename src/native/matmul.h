// Products of activations with packed weights.
#pragma once

#include <limits>

#include "byte_tiles.h"
#include "float_tiles.h"
#if defined(__AMX_INT8__)
#include "amx_bytes.h"
#include "amx_halves.h"
#endif

namespace clearhead {
namespace {

#if defined(__AMX_INT8__)

constexpr int fewest_for_a_tile = 12;
constexpr int fewest_for_halves = 96;  // to turn the weights into bfloat16 costs as much as five tiles of tokens save
constexpr auto fused = multiply_activated;

// Tiles take tokens by sixteen; what is left over, or too few for a tile, is quicker without. The bits are the same.
template <int Zero, bool Nibbles>
void multiply_codes(const Operand& x, int first_token, int last_token, const Product& p, int first, int last,
                    Workspace& work) {
  if (x.scales == nullptr) return multiply_halves_in_tiles(x, first_token, last_token, p, first, last, work);
  const int rest = (last_token - first_token) % tile_rows;
  const int cut = rest < fewest_for_a_tile ? last_token - rest : last_token;
  if (first_token < cut) multiply_bytes_in_tiles<Zero, Nibbles>(x, first_token, cut, p, first, last, work);
  if (cut < last_token) multiply_bytes<Zero, Nibbles>(x, cut, last_token, p, first, last);
}

void multiply_halves(const Operand& x, int t0, int t1, const Product& p, int first, int last, Workspace& work) {
  multiply_halves_in_tiles(x, t0, t1, p, first, last, work);
}

#else

constexpr int fewest_for_halves = std::numeric_limits<int>::max();
constexpr decltype(Kernels::multiply_activated) fused = nullptr;

template <int Zero, bool Nibbles>
void multiply_codes(const Operand& x, int t0, int t1, const Product& p, int first, int last, Workspace&) {
  multiply_bytes<Zero, Nibbles>(x, t0, t1, p, first, last);
}

void multiply_halves(const Operand& x, int t0, int t1, const Product& p, int first, int last, Workspace&) {
  multiply_floats<Bfloat16Dot>(x, t0, t1, p, first, last);
}

#endif

void multiply(const Operand& x, int first_token, int last_token, const Product& p, int first, int last,
              Workspace& work) {
  const Matrix& m = *p.matrix;
  const int t0 = first_token, t1 = last_token;
  switch (m.format) {
    case Format::f32: return multiply_floats<FloatDot>(x, t0, t1, p, first, last);
    case Format::bf16: return multiply_halves(x, t0, t1, p, first, last, work);
    case Format::int8:
      if (m.minima) return multiply_codes<0, false>(x, t0, t1, p, first, last, work);
      return multiply_codes<128, false>(x, t0, t1, p, first, last, work);
    case Format::int4:
      if (m.minima) return multiply_codes<0, true>(x, t0, t1, p, first, last, work);
      return multiply_codes<8, true>(x, t0, t1, p, first, last, work);
  }
}

}  // namespace
}  // namespace clearhead
