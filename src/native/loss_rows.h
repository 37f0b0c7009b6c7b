// The loss of rows of logits and its gradient in their place, a row or a pair of rows at a time while they are in the nearest
// cache: once for the largest logit, once for the sums, once for the gradient.
//
// With s the smoothing, V columns, t the target: loss = lse - (1 - s) z[t] - s mean(z), gradient = p - (1 - s) [t] - s / V.
// A pair of rows (p, q) adds c / 2 (KL(p|q) + KL(q|p)), whose gradient for p is c / 2 (p (log p - log q - KL(p|q)) + p - q).
// All that the sums need is S = sum e, A = sum e (z - z') for both: KL(p|q) = A / S - (lse - lse').
#pragma once

#include <cmath>
#include <limits>

#include "elements.h"
#include "functions.h"
#include "training.h"

namespace clearhead {
namespace {

template <class E>
struct LossRow {
  E* logits;
  const float* bias;
  int columns, target;
  float* weights;  // [columns, padded]: e^(z - peak)
  float peak = 0, total = 0, log_total = 0, at_target = 0;  // the log of the sum of e^z is peak + log_total

  LossRow(const LossRows& job, int row, float* memory)
      : logits(static_cast<E*>(job.logits) + row * job.stride), bias(job.bias),
        columns(job.columns), target(int(job.targets[row])), weights(memory) {}

  template <class N>
  Floats logit(int i, N n) const {
    const Floats z = take(logits + i, n);
    return bias ? z + take(bias + i, n) : z;
  }

  void find_peak() {
    const Floats lowest = fill(-std::numeric_limits<float>::infinity());
    Floats most = lowest;
    for_vectors(columns, [&](int i, auto n) { most = max(first(n, logit(i, n), lowest), most); });
    peak = largest(most);
    at_target = number(logits[target]) + (bias ? bias[target] : 0.0f);
  }

  // The weight of some logits, kept; zeros after the end.
  template <class N>
  Floats weigh(int i, N n, Floats z) const {
    const Floats w = first(n, two_to((z - fill(peak)) * fill(log2_e)), zeros());
    store(weights + i, w);
    return w;
  }

  void summed(float sum) {
    total = sum;
    log_total = std::log(sum);
  }
  float nll() const { return log_total + (peak - at_target); }
  double loss(float sum_of_logits, float smoothing) const {
    const float even = smoothing > 0 ? log_total + (peak - sum_of_logits / float(columns)) : 0.0f;
    return double((1 - smoothing) * nll() + smoothing * even);
  }
};

// What a target's share of 1 - smoothing takes off: `gradient` is what stands at it once all others are written.
template <class E>
inline void mark_target(const LossRow<E>& row, float gradient, float share, float* d_bias) {
  set(row.logits + row.target, gradient - share);
  if (d_bias) d_bias[row.target] -= share;
}

template <class E>
void score_row(const LossRows& job, int unit, float* d_bias, float* weights) {
  LossRow<E> row(job, unit, weights);
  row.find_peak();
  Floats total = zeros(), logits = zeros();
  for_vectors(job.columns, [&](int i, auto n) {
    const Floats z = row.logit(i, n);
    logits = logits + first(n, z, zeros());
    total = total + row.weigh(i, n, z);
  });
  row.summed(sum(total));
  job.nll[unit] = double(row.nll());
  job.objective[unit] = row.loss(sum(logits), job.smoothing);
  if (!job.gradient) return;
  const float inverse = 1 / row.total, even = job.smoothing / float(job.columns);
  const Floats scale = fill(inverse), less = fill(-even);
  for_vectors(job.columns, [&](int i, auto n) {
    const Floats g = fma(load(row.weights + i), scale, less);
    put(row.logits + i, g, n);
    if (d_bias) put(d_bias + i, take(d_bias + i, n) + g, n);
  });
  mark_target(row, row.weights[row.target] * inverse - even, 1 - job.smoothing, d_bias);
}

// The factors of one row's gradient: p (1 + h (1 + d - KL)) - h q - s / V, with d = z - z' - (lse - lse').
struct PairFactors {
  float p, q, h, shift, even;

  // z, z' of this row and the other, e, e' their weights.
  float operator()(float z, float other_z, float e, float other_e) const {
    const float mine = e * p;
    return mine + h * (mine * (z - other_z + shift) - other_e * q) - even;
  }
  Floats operator()(Floats z, Floats other_z, Floats e, Floats other_e) const {
    const Floats mine = e * fill(p);
    const Floats pull = fma(mine, z - other_z + fill(shift), zeros() - other_e * fill(q));
    return fma(pull, fill(h), mine - fill(even));
  }
};

template <class E>
void score_pair(const LossRows& job, int unit, float* d_bias, float* weights) {
  LossRow<E> one(job, unit, weights), two(job, unit + job.rows / 2, weights + round_up(job.columns, lanes));
  one.find_peak();
  two.find_peak();
  Floats totals[2] = {zeros(), zeros()}, logits[2] = {zeros(), zeros()}, apart[2] = {zeros(), zeros()};
  for_vectors(job.columns, [&](int i, auto n) {
    const Floats z = one.logit(i, n), other = two.logit(i, n), e = one.weigh(i, n, z), f = two.weigh(i, n, other);
    const Floats d = z - other;
    logits[0] = logits[0] + first(n, z, zeros()), logits[1] = logits[1] + first(n, other, zeros());
    totals[0] = totals[0] + e, totals[1] = totals[1] + f;
    apart[0] = fma(e, d, apart[0]), apart[1] = fma(f, d, apart[1]);
  });
  one.summed(sum(totals[0]));
  two.summed(sum(totals[1]));
  const float between = (one.peak - two.peak) + (one.log_total - two.log_total);
  const float pq = sum(apart[0]) / one.total - between, qp = between - sum(apart[1]) / two.total;  // KL(p|q), KL(q|p)
  job.nll[unit] = double(one.nll()) + double(two.nll());
  job.objective[unit] = one.loss(sum(logits[0]), job.smoothing) + two.loss(sum(logits[1]), job.smoothing) +
                        double(job.consistency / 2 * (pq + qp));
  if (!job.gradient) return;
  const float h = job.consistency / 2, even = job.smoothing / float(job.columns);
  const PairFactors first_row{1 / one.total, 1 / two.total, h, 1 - between - pq, even};
  const PairFactors second_row{1 / two.total, 1 / one.total, h, 1 + between - qp, even};
  const auto at = [](const LossRow<E>& mine, const LossRow<E>& other, const PairFactors& factors) {
    const int t = mine.target;
    return factors(number(mine.logits[t]), number(other.logits[t]), mine.weights[t], other.weights[t]);
  };
  const float at_first = at(one, two, first_row), at_second = at(two, one, second_row);
  for_vectors(job.columns, [&](int i, auto n) {
    const Floats z = take(one.logits + i, n), other = take(two.logits + i, n);
    const Floats e = load(one.weights + i), f = load(two.weights + i);
    const Floats g = first_row(z, other, e, f), k = second_row(other, z, f, e);
    put(one.logits + i, g, n);
    put(two.logits + i, k, n);
    if (d_bias) put(d_bias + i, take(d_bias + i, n) + g + k, n);
  });
  mark_target(one, at_first, 1 - job.smoothing, d_bias);
  mark_target(two, at_second, 1 - job.smoothing, d_bias);
}

template <class E>
void score_units(const LossRows& job, int first, int last, float* d_bias, float* weights) {
  for (int unit = first; unit < last; ++unit)
    job.paired ? score_pair<E>(job, unit, d_bias, weights) : score_row<E>(job, unit, d_bias, weights);
}

void score(const LossRows& job, int first, int last, float* d_bias, float* weights) {
  job.half ? score_units<Half>(job, first, last, d_bias, weights)
           : score_units<float>(job, first, last, d_bias, weights);
}

}  // namespace
}  // namespace clearhead
