// Floats of one group as codes. With eight bits the largest weight decides on the scale. With four, a few ways of rounding
// are tried, each with the scale (and minimum) that then fit best, and the one that leaves the least squared error is taken.
#pragma once

#include <algorithm>
#include <cstdint>

#include "half.h"

namespace clearhead {
namespace {

constexpr int widest_group = 128;
constexpr int tries = 6;  // on either side of the plain way

// Weight i is scale * codes[i] + minimum.
struct Factors {
  float scale = 0, minimum = 0;
};

struct Range {
  float low, high;
};

// The loops below are written for a compiler that makes vectors of them: no branches, and sums in several parts.

inline Range extremes(const float* x, int n) {
  float low[8], high[8];
  std::copy_n(x, 8, low);
  std::copy_n(x, 8, high);
  for (int i = 8; i < n; i += 8)
    for (int j = 0; j < 8; ++j) {
      low[j] = x[i + j] < low[j] ? x[i + j] : low[j];
      high[j] = x[i + j] > high[j] ? x[i + j] : high[j];
    }
  return {*std::min_element(low, low + 8), *std::max_element(high, high + 8)};
}

inline float total(const float (&parts)[8]) {
  return ((parts[0] + parts[4]) + (parts[2] + parts[6])) + ((parts[1] + parts[5]) + (parts[3] + parts[7]));
}

inline float sum(const float* x, int n) {
  float parts[8] = {};
  for (int i = 0; i < n; i += 8)
    for (int j = 0; j < 8; ++j) parts[j] += x[i + j];
  return total(parts);
}

inline float dot(const float* x, const float* y, int n) {
  float parts[8] = {};
  for (int i = 0; i < n; i += 8)
    for (int j = 0; j < 8; ++j) parts[j] += x[i + j] * y[i + j];
  return total(parts);
}

// (x - minimum) * inverse as whole numbers of a range, ties to even: adding a number as large as `shift` rounds.
inline void round_to(const float* x, int n, float minimum, float inverse, Range range, float* codes) {
  const float shift = 12582912.0f;
  for (int i = 0; i < n; ++i) {
    float code = ((x[i] - minimum) * inverse + shift) - shift;
    code = code > range.low ? code : range.low;
    codes[i] = code < range.high ? code : range.high;
  }
}

// What a way of rounding comes to: the factors that fit x best (least squares), and the squared error they save against
// weights that are all zero, or all the mean.
struct Fit {
  Factors factors;
  float saved = -1;
};

inline Fit fit_scale(const float* x, int n, float inverse, Range range) {
  float codes[widest_group];
  round_to(x, n, 0, inverse, range, codes);
  const float product = dot(x, codes, n), square = dot(codes, codes, n);
  if (!(square > 0)) return {};
  return {{product / square, 0}, product / square * product};
}

// x has its mean taken away.
inline Fit fit_line(const float* x, int n, float low, float inverse, Range range) {
  float codes[widest_group];
  round_to(x, n, low, inverse, range, codes);
  const float mean = sum(codes, n) / float(n);
  const float product = dot(x, codes, n), square = dot(codes, codes, n) - float(n) * mean * mean;
  if (!(square > 0)) return {};
  return {{product / square, -product / square * mean}, product / square * product};
}

// Scales beyond float16, zero, or without numbers: nothing to improve, and the caller refuses what is not finite.
inline bool can_be_fitted(float scale) {
  const float kept = from_float16(to_float16(scale));
  return kept != 0 && kept - kept == 0;
}

inline Factors eight_bits(const float* x, int n) {
  const Range all = extremes(x, n);
  return {(-all.low > all.high ? -all.low : all.high) / 127, 0};
}

// Codes -8 .. 7: the weight farthest from zero lies at about -8, where there is one code more.
inline Factors four_bits(const float* x, int n) {
  const Range range{-8, 7}, all = extremes(x, n);
  const float peak = -all.low > all.high ? all.low : all.high;
  Fit best{{peak / range.low, 0}};
  if (!can_be_fitted(best.factors.scale)) return best.factors;
  for (int i = -tries; i <= tries; ++i) {
    const Fit fit = fit_scale(x, n, (range.low + 0.2f * float(i)) / peak, range);
    if (fit.saved > best.saved) best = fit;
  }
  return best.factors;
}

// Codes 0 .. 15 above a minimum.
inline Factors four_bits_with_minimum(const float* x, int n) {
  const Range range{0, 15}, all = extremes(x, n);
  const float width = all.high - all.low;
  Fit best{{width / range.high, all.low}};
  if (!can_be_fitted(best.factors.scale)) return best.factors;
  const float mean = sum(x, n) / float(n);
  float centred[widest_group];
  for (int i = 0; i < n; ++i) centred[i] = x[i] - mean;
  for (int i = -tries; i <= tries; ++i) {
    const float step = width / (range.high + 0.4f * float(i));
    Fit fit = fit_line(centred, n, all.low - mean + (width - range.high * step) / 2, 1 / step, range);
    fit.factors.minimum += mean;
    if (fit.saved > best.saved) best = fit;
  }
  return best.factors;
}

// Codes of x [n], stored `zero` above their value. The factors are those that will be kept, in 16 bits.
inline void round_codes(const float* x, int n, Factors kept, Range range, int zero, std::uint8_t* codes) {
  float rounded[widest_group];
  round_to(x, n, kept.minimum, kept.scale == 0 ? 0 : 1 / kept.scale, range, rounded);
  for (int i = 0; i < n; ++i) codes[i] = static_cast<std::uint8_t>(static_cast<int>(rounded[i]) + zero);
}

}  // namespace
}  // namespace clearhead
