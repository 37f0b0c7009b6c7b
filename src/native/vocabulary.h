// What choosing a token needs of a whole vocabulary, by blocks of 128: weights e^((x - peak) / temperature), and sums and
// largest ones of them.
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

// Sixteen of n logits from i on; -infinity after the end.
inline Floats load_logits(const float* logits, int i, int n) {
  if (i + lanes <= n) return load(logits + i);
  float row[lanes];
  for (int j = 0; j < lanes; ++j) row[j] = i + j < n ? logits[i + j] : -std::numeric_limits<float>::infinity();
  return load(row);
}

void weigh(const float* logits, int n, float largest_logit, float inverse_temperature, float* weights, double* sums,
           float* maxima) {
  const Floats top = fill(largest_logit), factor = fill(inverse_temperature * log2_e);
  const auto block = [&](int start, auto&& load_some) __attribute__((always_inline)) {
    Floats total = zeros(), most = zeros();
#pragma GCC unroll 8
    for (int i = start; i < start + vocabulary_block; i += lanes) {
      const Floats w = two_to((load_some(i) - top) * factor);
      store(weights + i, w);
      total = total + w;
      most = max(w, most);
    }
    *sums++ = sum(total);
    *maxima++ = largest(most);
  };
  int start = 0;
  for (; start + vocabulary_block <= n; start += vocabulary_block) block(start, [&](int i) { return load(logits + i); });
  if (start < n) block(start, [&](int i) { return load_logits(logits, i, n); });
}

double survey(const float* logits, int n, float largest_logit, float* maxima) {
  const Floats top = fill(largest_logit), factor = fill(log2_e);
  double all = 0;
  for (int start = 0; start < n; start += vocabulary_block) {
    Floats total = zeros(), most = fill(-std::numeric_limits<float>::infinity());
    for (int i = start; i < start + vocabulary_block && i < n; i += lanes) {
      const Floats x = load_logits(logits, i, n);
      total = total + two_to((x - top) * factor);
      most = max(x, most);
    }
    all += double(sum(total));
    *maxima++ = largest(most);
  }
  return all;
}

void sum_reaching(const float* weights, int blocks, const float* least, float* sums) {
  Floats totals[thresholds], limits[thresholds];
#pragma GCC unroll 8
  for (int j = 0; j < thresholds; ++j) totals[j] = zeros(), limits[j] = fill(least[j]);
  for (int i = 0; i < blocks * vocabulary_block; i += lanes) {
    const Floats w = load(weights + i);
#pragma GCC unroll 8
    for (int j = 0; j < thresholds; ++j) totals[j] = add_reaching(totals[j], w, limits[j]);
  }
#pragma GCC unroll 8
  for (int j = 0; j < thresholds; ++j) sums[j] = sum(totals[j]);
}

void sum_above(const float* weights, int blocks, float above, double* sums) {
  const Floats limit = fill(above);
  for (int block = 0; block < blocks; ++block, weights += vocabulary_block) {
    Floats total = zeros();
    for (int i = 0; i < vocabulary_block; i += lanes) {
      const Floats w = load(weights + i);
      total = total + where_less(limit, w, w, zeros());
    }
    sums[block] = sum(total);
  }
}

int find_reaching(const float* logits, int n, float least, int* found) {
  int count = 0;
  const Floats low = fill(least), highest = fill(std::numeric_limits<float>::infinity());
  for (int i = 0; i < n; i += lanes) {
    const Floats x = load_logits(logits, i, n);
    for (unsigned bits = bits_less(x, highest) & ~bits_less(x, low); bits; bits &= bits - 1)
      found[count++] = i + __builtin_ctz(bits);
  }
  return count;
}

// For what lies around a threshold: chosen(bits, weights, index) for each vector, bit i of which says that weight i is in
// [low, high); and reaching(block, sum) for each block's sum of the weights that reach `high`.
template <class Chosen, class Reaching>
inline void around(const float* weights, int blocks, float low, float high, Chosen&& chosen, Reaching&& reaching) {
  const Floats from = fill(low), to = fill(high);
  for (int block = 0; block < blocks; ++block) {
    Floats total = zeros();
    for (int i = block * vocabulary_block; i < (block + 1) * vocabulary_block; i += lanes) {
      const Floats w = load(weights + i);
      total = add_reaching(total, w, to);
      chosen(bits_less(w, to) & ~bits_less(w, from), w, i);
    }
    reaching(block, sum(total));
  }
}

int narrow(const float* weights, int blocks, float low, float high, double& reaching, float* between) {
  int count = 0;
  const auto keep = [&](unsigned bits, Floats w, int) {
    store_chosen(bits, w, between + count);
    count += __builtin_popcount(bits);
  };
  around(weights, blocks, low, high, keep, [&](int, float sum) { reaching += double(sum); });
  return count;
}

int split(const float* weights, int blocks, float low, float high, double* sums, int* found) {
  int count = 0;
  const auto keep = [&](unsigned bits, Floats, int i) {
    for (; bits; bits &= bits - 1) found[count++] = i + __builtin_ctz(bits);
  };
  around(weights, blocks, low, high, keep, [&](int block, float sum) { sums[block] = sum; });
  return count;
}

}  // namespace
}  // namespace clearhead
