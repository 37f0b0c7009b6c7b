// One row of a packed matrix as floats.
#pragma once

#include "simd.h"

namespace clearhead {
namespace {

// The code of column k of a group, without what it is stored above.
inline int code_at(const Matrix& m, const std::byte* codes, int lane, int k) {
  if (m.format == Format::int8) return int(codes[64 * (k / 4) + 4 * lane + k % 4]) - m.zero();
  const int byte = int(codes[64 * (k / 8) + 4 * lane + k % 4]);
  return (k / 4 % 2 == 0 ? byte & 15 : byte >> 4) - m.zero();
}

void unpack_codes(const Matrix& m, int row, float* out) {
  const int index = row / lanes, lane = row % lanes;
  for (int g = 0; g < m.groups(); ++g) {
    const float scale = from_float16(m.scales(index, g)[lane]);
    const float minimum = m.minima ? from_float16(m.minimums(index, g)[lane]) : 0.0f;
    for (int k = 0; k < m.group; ++k) *out++ = scale * float(code_at(m, m.codes(index, g), lane, k)) + minimum;
  }
}

void unpack_row(const Matrix& m, int row, float* out) {
  if (m.quantised()) return unpack_codes(m, row, out);
  const int lane = row % lanes;
  const std::byte* block = m.block(row / lanes);
  for (int k = 0; k < m.padded(); ++k) {
    std::uint16_t half;
    if (m.format == Format::f32) {
      std::memcpy(out + k, block + 64 * k + 4 * lane, 4);
    } else {
      std::memcpy(&half, block + 64 * (k / 2) + 4 * lane + 2 * (k % 2), 2);
      out[k] = from_bfloat16(half);
    }
  }
}

}  // namespace
}  // namespace clearhead
