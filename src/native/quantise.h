// Activations in the type that a product takes.
#pragma once

#include <limits>

#include "simd.h"

namespace clearhead {
namespace {

inline Floats magnitude(Floats a) { return max(a, zeros() - a); }

// Signed bytes with one scale for each group: the largest magnitude becomes 127. A group that holds no finite numbers gets
// a scale that is none, so that what went wrong before shows in the result.
void quantise(const float* x, int padded, int group, std::int8_t* codes, float* scales, std::int32_t* sums) {
  for (int g = 0; g < padded / group; ++g, x += group, codes += group) {
    Floats most = zeros(), all = zeros();
    for (int i = 0; i < group; i += lanes) {
      most = max(magnitude(load(x + i)), most);
      all = all + load(x + i) * zeros();  // 0, unless a number is infinite or none
    }
    const float peak = largest(most), check = sum(all);
    scales[g] = check == 0 ? peak / 127.0f : std::numeric_limits<float>::quiet_NaN();
    const Floats inverse = fill(check == 0 && peak > 1e-36f ? 127.0f / peak : 0.0f);
    Ints total = fill(std::int32_t(0));
    for (int i = 0; i < group; i += lanes) {
      const Ints code = to_ints(max(min(load(x + i) * inverse, fill(127.0f)), fill(-127.0f)));
      store_bytes(codes + i, code);
      total = total + code;
    }
    sums[g] = sum(total);
  }
}

void to_bfloat16(const float* x, int padded, std::uint16_t* codes) {
  for (int i = 0; i < padded; i += lanes) store_bfloat16(codes + i, load(x + i));
}

}  // namespace
}  // namespace clearhead
