// Activations in the type that a product takes.
#pragma once

#include <algorithm>
#include <limits>

#include "simd.h"

namespace clearhead {
namespace {

// Signed bytes with one scale for each group: the largest magnitude becomes 127. A group that holds no finite numbers gets
// a scale that is none, so that what went wrong before shows in the result. `left`, where wanted, is what rounding took.
void quantise(const float* x, int padded, int group, std::int8_t* codes, float* scales, std::int32_t* sums, float* left) {
  for (int g = 0; g < padded / group; ++g, x += group, codes += group) {
    Ints most = fill(std::int32_t(0));  // magnitudes are ordered as their bits, what is not finite above all others
    for (int i = 0; i < group; i += lanes) most = max(most, magnitude_bits(load(x + i)));
    const std::int32_t bits = largest(most);
    float peak;
    std::memcpy(&peak, &bits, sizeof peak);
    if (!(peak < std::numeric_limits<float>::infinity())) {
      scales[g] = std::numeric_limits<float>::quiet_NaN();
      sums[g] = 0;
      std::fill_n(codes, group, std::int8_t(0));
      if (left) std::fill_n(left + g * group, group, 0.0f);
      continue;
    }
    scales[g] = peak / 127.0f;
    const Floats inverse = fill(peak > 1e-36f ? 127.0f / peak : 0.0f), back = fill(-scales[g]);
    Ints total = fill(std::int32_t(0));
    for (int i = 0; i < group; i += lanes) {
      const Ints code = to_ints(load(x + i) * inverse);
      store_bytes(codes + i, code);
      total = total + code;
      if (left) store(left + g * group + i, fma(to_floats(code), back, load(x + i)));
    }
    sums[g] = sum(total);
  }
}

void to_bfloat16(const float* x, int padded, std::uint16_t* codes) {
  for (int i = 0; i < padded; i += lanes) store_bfloat16(codes + i, load(x + i));
}

}  // namespace
}  // namespace clearhead
