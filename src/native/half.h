// Single numbers of 16 bits: float16 (IEEE 754 binary16) and bfloat16 (the upper half of a float).
#pragma once

#include <cstdint>
#include <cstring>

namespace clearhead {
namespace {

inline float from_float16(std::uint16_t h) {
  const std::uint32_t sign = std::uint32_t(h & 0x8000u) << 16;
  std::uint32_t bits = std::uint32_t(h & 0x7fffu) << 13;
  float r;
  if ((h & 0x7c00u) == 0x7c00u) bits += 0x70000000u;  // infinity and NaN keep the top exponent
  std::memcpy(&r, &bits, sizeof r);
  if ((h & 0x7c00u) != 0x7c00u) r *= 0x1p112f;  // rebias; subnormals come out right as well
  std::memcpy(&bits, &r, sizeof r);
  bits |= sign;
  std::memcpy(&r, &bits, sizeof r);
  return r;
}
inline std::uint16_t to_float16(float a) {  // to nearest, ties to even
  std::uint32_t bits;
  std::memcpy(&bits, &a, sizeof bits);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
  bits &= 0x7fffffffu;
  if (bits > 0x7f800000u) return static_cast<std::uint16_t>(sign | 0x7e00u);
  if (bits >= 0x477ff000u) return static_cast<std::uint16_t>(sign | 0x7c00u);
  if (bits < 0x38800000u) {  // subnormal: let the adder align and round
    float r;
    std::memcpy(&r, &bits, sizeof r);
    r += 0.5f;
    std::memcpy(&bits, &r, sizeof r);
    return static_cast<std::uint16_t>(sign | (bits - 0x3f000000u));
  }
  bits += 0xc8000fffu + ((bits >> 13) & 1u);
  return static_cast<std::uint16_t>(sign | (bits >> 13));
}
inline float from_bfloat16(std::uint16_t h) {
  const std::uint32_t bits = std::uint32_t(h) << 16;
  float r;
  std::memcpy(&r, &bits, sizeof r);
  return r;
}
inline std::uint16_t to_bfloat16(float a) {  // to nearest, ties to even; what is no number stays none
  std::uint32_t bits;
  std::memcpy(&bits, &a, sizeof bits);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>(bits >> 16 | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

}  // namespace
}  // namespace clearhead
