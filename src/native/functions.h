// e^x, 2^x and what is made of them. A number that is none stays none.
#pragma once

#include "simd.h"

namespace clearhead {
namespace {

constexpr float log2_e = 1.44269504f;

// The polynomials of the next two are fitted to the least relative error, 2e-8. With rounding that makes at most 1 unit in
// the last place, where sums do not round their products first.

// e^x; 0 below -87.3, and infinite from 88.8 at the latest: 2^n times a polynomial on [-ln 2 / 2, ln 2 / 2].
inline Floats exponential(Floats x) {
  const Floats clamped = max(fill(-87.3f), min(fill(89.0f), x));  // in this order, what is no number comes through
  const Floats n = round(clamped * fill(log2_e));
  Floats r = fma(n, fill(-0.693359375f), clamped);  // ln 2 in two parts, the first of few bits
  r = fma(n, fill(2.12194440e-4f), r);
  Floats p = fill(1.38436537e-3f);
  for (const float coefficient : {8.3741555e-3f, 4.1668002e-2f, 1.6666432e-1f, 0.49999994f, 1.0f, 1.0f})
    p = fma(p, r, fill(coefficient));
  return where_less(x, fill(-87.3f), zeros(), times_power_of_two(p, n));
}

// 2^x for x up to 0; 0 below -126, so that no result is nearly 0, which some processors take long to compute.
inline Floats two_to(Floats x) {
  const Floats y = max(fill(-126.0f), x);  // in this order, what is no number comes through
  const Floats n = round(y), r = y - n;
  Floats p = fill(1.5345808e-4f);
  for (const float coefficient : {1.3399932e-3f, 9.6184891e-3f, 5.5503286e-2f, 0.24022646f, 0.69314718f, 1.0f})
    p = fma(p, r, fill(coefficient));
  return where_less(x, fill(-126.0f), zeros(), times_power_of_two(p, n));
}

// The same of one number.
inline float two_to(float x) {
  float powers[lanes];
  store(powers, two_to(fill(x)));
  return powers[0];
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
  // An infinite argument has no reciprocal by Newton's method.
  const Floats z = min(fill(1e30f), max(x, zeros() - x) * fill(0.70710678118f));
  const Floats t = reciprocal(fma(z, fill(0.4f), fill(1.0f)));
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
