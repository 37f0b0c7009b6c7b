// What sampling needs of a whole vocabulary: weights e^((x - peak) / temperature), by blocks of 128.
#pragma once

#include <limits>

#include "functions.h"
#include "kernels.h"

namespace clearhead {
namespace {

float peak(const float* logits, int n) {
  Floats most = fill(-std::numeric_limits<float>::infinity()), check = zeros();
  const Floats infinite = fill(std::numeric_limits<float>::infinity());
  int i = 0;
  for (; i + lanes <= n; i += lanes) {
    const Floats x = load(logits + i);
    most = max(x, most);
    check = check + where_less(x, infinite, zeros(), x * zeros());  // 0, or for what is not below infinity no number
  }
  float all = largest(most), odd = sum(check);
  for (; i < n; ++i) {
    all = logits[i] > all ? logits[i] : all;
    odd += logits[i] < std::numeric_limits<float>::infinity() ? 0.0f : logits[i] * 0.0f;
  }
  return odd == 0 ? all : std::numeric_limits<float>::quiet_NaN();
}

void weigh(const float* logits, int n, float largest_logit, float inverse_temperature, float* weights, double* sums,
           float* maxima) {
  const Floats top = fill(largest_logit), inverse = fill(inverse_temperature);
  for (int start = 0; start < n; start += vocabulary_block, ++sums, ++maxima) {
    Floats total = zeros(), most = zeros();
    const int end = start + vocabulary_block < n ? start + vocabulary_block : n;
    for (int i = start; i < end; i += lanes) {
      float row[lanes];
      const int count = end - i < lanes ? end - i : lanes;
      Floats x = top;
      if (count == lanes) {
        x = load(logits + i);
      } else {
        for (int j = 0; j < lanes; ++j) row[j] = j < count ? logits[i + j] : -std::numeric_limits<float>::infinity();
        x = load(row);
      }
      const Floats w = exponential((x - top) * inverse);
      store(weights + i, w);
      total = total + w;
      most = max(w, most);
    }
    *sums = sum(total);
    *maxima = largest(most);
  }
}

}  // namespace
}  // namespace clearhead
