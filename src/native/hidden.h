// The MLP's functions with their gradients: out = f(x), or f(x) up; for x [n] and, where the MLP is gated, up [n].
#pragma once

#include "elements.h"
#include "functions.h"
#include "kernels.h"

namespace clearhead {
namespace {

struct Slope { Floats value, slope; };  // of a function at x

inline Floats soft_step(Floats x) {  // the sigmoid; its exponential is kept from being infinite, which has no reciprocal here
  return reciprocal(fill(1.0f) + exponential(min(zeros() - x, fill(80.0f))));
}

inline Slope relu_slope(Floats x) { return {relu(x), where_less(zeros(), x, fill(1.0f), zeros())}; }
inline Slope silu_slope(Floats x) {
  const Floats s = soft_step(x), value = x * s;
  return {value, fma(value, fill(1.0f) - s, s)};
}
inline Slope gelu_tanh_slope(Floats x) {  // x sigmoid(u), as in functions.h
  const Floats square = x * x, u = x * fma(square, fill(0.07135481283f), fill(1.5957691216f)), s = soft_step(u);
  const Floats value = x * s, du = fma(square, fill(0.21406443849f), fill(1.5957691216f));
  return {value, fma(value * (fill(1.0f) - s), du, s)};
}
// x times the normal distribution, whose density is e^(-x^2 / 2) / sqrt(2 pi). Near 0 it is 1/2 + x times the density.
inline Slope gelu_slope(Floats x) {
  const Floats density = exponential(x * x * fill(-0.5f)) * fill(0.3989422804f), value = gelu(x);
  const Floats share = where_less(x * x, fill(1e-6f), fma(x, density, fill(0.5f)), value / x);
  return {value, fma(x, density, share)};
}

// Calls with(f), where f(x) gives value and slope.
template <class With>
inline void with_function(Activation kind, With&& with) {
  switch (kind) {
    case Activation::none: return with([](Floats x) { return Slope{x, fill(1.0f)}; });
    case Activation::relu: return with([](Floats x) { return relu_slope(x); });
    case Activation::gelu: return with([](Floats x) { return gelu_slope(x); });
    case Activation::gelu_tanh: return with([](Floats x) { return gelu_tanh_slope(x); });
    case Activation::silu: return with([](Floats x) { return silu_slope(x); });
  }
}

template <class E>
E* from(void* p, std::size_t i) { return p ? static_cast<E*>(p) + i : nullptr; }
template <class E>
const E* from(const void* p, std::size_t i) { return p ? static_cast<const E*>(p) + i : nullptr; }

template <class E>
void hide_some(const Hidden& job, std::size_t first, int count) {
  const E *x = from<E>(job.x, first), *up = from<E>(job.up, first);
  E* out = from<E>(job.out, first);
  with_function(job.activation, [&](auto f) {
    for_vectors(count, [&](int i, auto n) {
      const Floats value = f(take(x + i, n)).value;
      put(out + i, up ? value * take(up + i, n) : value, n);
    });
  });
}

template <class E>
void hide_some_backward(const Hidden& job, std::size_t first, int count) {
  const E *x = from<E>(job.x, first), *up = from<E>(job.up, first), *d_out = from<E>(job.d_out, first);
  E *d_x = from<E>(job.d_x, first), *d_up = from<E>(job.d_up, first);
  with_function(job.activation, [&](auto f) {
    for_vectors(count, [&](int i, auto n) {
      const Slope at = f(take(x + i, n));
      const Floats d = take(d_out + i, n);
      if (d_up) put(d_up + i, d * at.value, n);
      put(d_x + i, up ? d * take(up + i, n) * at.slope : d * at.slope, n);
    });
  });
}

void hide(const Hidden& job, std::size_t first, int count) {
  job.half ? hide_some<Half>(job, first, count) : hide_some<float>(job, first, count);
}
void hide_backward(const Hidden& job, std::size_t first, int count) {
  job.half ? hide_some_backward<Half>(job, first, count) : hide_some_backward<float>(job, first, count);
}

}  // namespace
}  // namespace clearhead
