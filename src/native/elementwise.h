// What happens to activations one by one, or row by row: norms, the functions of the MLP, rotary positions.
#pragma once

#include <algorithm>
#include <cmath>

#include "functions.h"
#include "kernels.h"

namespace clearhead {
namespace {

// Calls each(vector, offset) for the vectors of a row; what lies beyond its last column is given as zero.
template <class Each>
inline void for_row(const float* x, int columns, Each&& each) {
  int i = 0;
  for (; i + lanes <= columns; i += lanes) each(load(x + i), i);
  if (i < columns) each(first(columns - i, load(x + i), zeros()), i);
}

// Writes y = f(x, offset) over a row and zeros in its padding.
template <class Function>
inline void map_row(const float* x, int columns, float* y, Function&& f) {
  const int padded = round_up(columns, column_unit);
  int i = 0;
  for (; i + lanes <= columns; i += lanes) store(y + i, f(load(x + i), i));
  if (i < columns) {
    store(y + i, first(columns - i, f(load(x + i), i), zeros()));
    i += lanes;
  }
  for (; i < padded; i += lanes) store(y + i, zeros());
}

void layer_norm(const float* x, int columns, const float* weight, const float* bias, float eps, float* y) {
  Floats total = zeros();
  for_row(x, columns, [&](Floats v, int) { total = total + v; });
  const Floats mean = fill(sum(total) / float(columns));
  Floats squares = zeros();
  for_row(x, columns, [&](Floats v, int i) {
    const Floats d = first(std::min(columns - i, lanes), v - mean, zeros());
    squares = fma(d, d, squares);
  });
  const Floats scale = fill(1.0f / std::sqrt(sum(squares) / float(columns) + eps));
  map_row(x, columns, y, [&](Floats v, int i) {
    const Floats normed = (v - mean) * scale;
    return bias ? fma(normed, load(weight + i), load(bias + i)) : normed * load(weight + i);
  });
}

void rms_norm(const float* x, int columns, const float* weight, float eps, float* y) {
  Floats squares = zeros();
  for_row(x, columns, [&](Floats v, int) { squares = fma(v, v, squares); });
  const Floats scale = fill(1.0f / std::sqrt(sum(squares) / float(columns) + eps));
  map_row(x, columns, y, [&](Floats v, int i) { return v * scale * load(weight + i); });
}

template <class Function>
inline void activated(const float* x, const float* up, std::size_t n, float* out, Function&& f) {
  for (std::size_t i = 0; i < n; i += lanes) {
    const Floats y = f(load(x + i));
    store(out + i, up ? y * load(up + i) : y);
  }
}

void activate(Activation kind, const float* x, const float* up, std::size_t n, float* out) {
  switch (kind) {
    case Activation::none: return activated(x, up, n, out, [](Floats v) { return v; });
    case Activation::relu: return activated(x, up, n, out, relu);
    case Activation::gelu: return activated(x, up, n, out, gelu);
    case Activation::gelu_tanh: return activated(x, up, n, out, gelu_tanh);
    case Activation::silu: return activated(x, up, n, out, silu);
  }
}

void rotate(float* head, int head_dim, const float* cosines, const float* sines) {
  const int half = head_dim / 2;
  int i = 0;
  for (; i + lanes <= half; i += lanes) {
    const Floats a = load(head + i), b = load(head + half + i), c = load(cosines + i), s = load(sines + i);
    store(head + i, a * c - b * s);
    store(head + half + i, b * c + a * s);
  }
  for (; i < half; ++i) {
    const float a = head[i], b = head[half + i];
    head[i] = a * cosines[i] - b * sines[i];
    head[half + i] = b * cosines[i] + a * sines[i];
  }
}

}  // namespace
}  // namespace clearhead
