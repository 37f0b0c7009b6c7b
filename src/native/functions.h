// exp and what is made of it. A number that is none stays none.
#pragma once

#include "simd.h"

namespace clearhead {
namespace {

constexpr float log2_e = 1.44269504089f;

// e^x to about 1 unit in the last place: 2^n times a polynomial on [-ln 2 / 2, ln 2 / 2]. 0 below -87.3, and
// infinite from 88.8 at the latest.
inline Floats exponential(Floats x) {
  const Floats clamped = max(fill(-87.3f), min(fill(89.0f), x));  // in this order, what is no number comes through
  const Floats n = round(clamped * fill(log2_e));
  Floats r = fma(n, fill(-0.693359375f), clamped);  // ln 2 in two parts, the first of few bits
  r = fma(n, fill(2.12194440e-4f), r);
  Floats p = fill(1.9875691500e-4f);
  p = fma(p, r, fill(1.3981999507e-3f));
  p = fma(p, r, fill(8.3334519073e-3f));
  p = fma(p, r, fill(4.1665795894e-2f));
  p = fma(p, r, fill(1.6666665459e-1f));
  p = fma(p, r, fill(5.0000001201e-1f));
  p = fma(p, r * r, r + fill(1.0f));
  return where_less(x, fill(-87.3f), zeros(), times_power_of_two(p, n));
}

// 2^x for x up to 0, to about 1 unit in the last place; 0 below -126.
inline Floats power_of_two_below(Floats x) {
  const Floats y = where_less(x, fill(-126.0f), fill(-200.0f), x);  // which ends as 0
  const Floats n = round(y), r = y - n;
  Floats p = fill(1.5345808060e-4f);
  p = fma(p, r, fill(1.3399932068e-3f));
  p = fma(p, r, fill(9.6184890717e-3f));
  p = fma(p, r, fill(5.5503286421e-2f));
  p = fma(p, r, fill(2.4022646248e-1f));
  p = fma(p, r, fill(6.9314718246e-1f));
  return times_power_of_two(fma(p, r, fill(1.0f)), n);
}

inline Floats sigmoid(Floats x) { return fill(1.0f) / (fill(1.0f) + exponential(zeros() - x)); }

inline Floats silu(Floats x) { return x * sigmoid(x); }

// x (1 + tanh(u)) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3), which is x sigmoid(2 u).
inline Floats gelu_tanh(Floats x) {
  const Floats cubic = fma(x * x * x, fill(0.044715f), x);
  return x * sigmoid(cubic * fill(1.5957691216f));
}

// x (1 + erf(x / sqrt(2))) / 2. The tail of the normal distribution beyond |x| is exp(-x^2 / 2) times a smooth function,
// here a polynomial in t = 1 / (1 + 0.4 |x| / sqrt(2)), of degree 9, fitted to the least relative error, 1.3e-7.
inline Floats gelu(Floats x) {
  const Floats z = max(x, zeros() - x) * fill(0.70710678118f);
  const Floats t = fill(1.0f) / fma(z, fill(0.4f), fill(1.0f));
  Floats p = fill(0.025136238f);
  for (const float coefficient : {-0.09147165f, 0.084577292f, -0.0028338623f, 0.0707304999f, 0.084266922f, 0.103921935f,
                                  0.112834759f, 0.112837933f})
    p = fma(p, t, fill(coefficient));
  const Floats tail = p * t * exponential(x * x * fill(-0.5f));
  return x * where_less(x, zeros(), tail, fill(1.0f) - tail);
}

inline Floats relu(Floats x) { return max(zeros(), x); }

}  // namespace
}  // namespace clearhead
