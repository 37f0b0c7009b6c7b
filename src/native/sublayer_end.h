// What ends a sublayer: dropout of what it gives, the sum with what it was given, and the norm of that, in one pass over each
// row; and the same backwards, where the random numbers are drawn again.
#pragma once

#include <cmath>

#include "elements.h"
#include "random.h"
#include "training.h"

namespace clearhead {
namespace {

// A row of [rows, columns], or none where there is no such array.
template <class E, class Rows>
inline auto* row_of(Rows* rows, int row, int columns) {
  using Row = std::conditional_t<std::is_const_v<Rows>, const E, E>;
  return rows ? static_cast<Row*>(rows) + std::size_t(row) * std::size_t(columns) : nullptr;
}

// total = x + dropped(y), as it is kept; returns its sum.
template <class E, bool Drop>
inline Floats add_row(const SublayerEnd& job, int row, E* total) {
  const E *x = row_of<E>(job.x, row, job.columns), *y = row_of<E>(job.y, row, job.columns);
  Floats all = zeros();
  for_dropped<Drop>(RowMask(job.dropping, std::size_t(row), job.columns), job.columns, [&](int i, auto n, Floats factors) {
    Floats t = take(y + i, n);
    if constexpr (Drop) t = t * factors;
    if (x) t = t + take(x + i, n);
    put(total + i, t, n);
    all = all + take(total + i, n);
  });
  return all;
}

// The sum of a row of y.
template <class E>
inline Floats sum_row(const SublayerEnd& job, int row) {
  const E* y = row_of<E>(job.y, row, job.columns);
  Floats all = zeros();
  for_vectors(job.columns, [&](int i, auto n) { all = all + take(y + i, n); });
  return all;
}

// The norm of a row [columns] whose sum is known.
template <class E>
inline void norm_row(const SublayerEnd& job, int row, const E* total, Floats all) {
  const float mean = job.centred ? sum(all) / float(job.columns) : 0.0f;
  Floats squares = zeros();
  for_vectors(job.columns, [&](int i, auto n) {
    const Floats d = first(n, take(total + i, n) - fill(mean), zeros());
    squares = fma(d, d, squares);
  });
  const float inverse = 1 / std::sqrt(sum(squares) / float(job.columns) + job.eps);
  E* out = row_of<E>(job.out, row, job.columns);
  for_vectors(job.columns, [&](int i, auto n) {
    const Floats normed = (take(total + i, n) - fill(mean)) * fill(inverse), w = take(job.weight + i, n);
    put(out + i, job.bias ? fma(normed, w, take(job.bias + i, n)) : normed * w, n);
  });
  job.mean[row] = mean;
  job.inverse[row] = inverse;
}

template <class E, bool Drop>
void finish_rows(const SublayerEnd& job, int first_row, int last_row) {
  for (int row = first_row; row < last_row; ++row) {
    E* total = row_of<E>(job.total, row, job.columns);
    const Floats all = total ? add_row<E, Drop>(job, row, total) : sum_row<E>(job, row);
    if (job.weight) norm_row<E>(job, row, total ? total : row_of<E>(job.y, row, job.columns), all);
  }
}

// Writes a row's gradients of x and of y, where they are wanted: each(i, n) gives the one that both come from.
template <class E, bool Drop, class Each>
inline void write_gradients(const SublayerEnd& job, int row, Each&& each) {
  E *d_x = row_of<E>(job.d_x, row, job.columns), *d_y = row_of<E>(job.d_y, row, job.columns);
  for_dropped<Drop>(RowMask(job.dropping, std::size_t(row), job.columns), job.columns, [&](int i, auto n, Floats factors) {
    const Floats g = each(i, n);
    if (d_x) put(d_x + i, g, n);
    if (d_y) put(d_y + i, Drop ? g * factors : g, n);
  });
}

// The gradient of what was normed: 1 / deviation (g - mean(g) - n mean(g n)) with g = d_out weight and n the normed row;
// without its second term where the norm does not centre.
template <class E, bool Drop>
inline void unnorm_row(const SublayerEnd& job, int row, float* d_weight, float* d_bias) {
  const E *total = row_of<E>(job.total, row, job.columns), *d_out = row_of<E>(job.d_out, row, job.columns);
  const E* d_total = row_of<E>(job.d_total, row, job.columns);
  const Floats mean = fill(job.mean[row]), inverse = fill(job.inverse[row]);
  Floats all = zeros(), along = zeros();
  for_vectors(job.columns, [&](int i, auto n) {
    const Floats d = take(d_out + i, n), normed = (take(total + i, n) - mean) * inverse;
    const Floats g = d * take(job.weight + i, n);
    put(d_weight + i, fma(d, normed, take(d_weight + i, n)), n);
    if (d_bias) put(d_bias + i, take(d_bias + i, n) + d, n);
    all = all + g;
    along = fma(g, normed, along);
  });
  const Floats level = fill(job.centred ? sum(all) / float(job.columns) : 0.0f);
  const Floats slope = fill(sum(along) / float(job.columns));
  write_gradients<E, Drop>(job, row, [&](int i, auto n) {
    const Floats normed = (take(total + i, n) - mean) * inverse;
    const Floats g = (take(d_out + i, n) * take(job.weight + i, n) - level - normed * slope) * inverse;
    return d_total ? g + take(d_total + i, n) : g;
  });
}

template <class E, bool Drop>
void finish_rows_backward(const SublayerEnd& job, int first_row, int last_row, float* d_weight, float* d_bias) {
  for (int row = first_row; row < last_row; ++row) {
    if (job.weight) {
      unnorm_row<E, Drop>(job, row, d_weight, d_bias);
      continue;
    }
    const E* d_total = row_of<E>(job.d_total, row, job.columns);
    write_gradients<E, Drop>(job, row, [&](int i, auto n) { return take(d_total + i, n); });
  }
}

void finish(const SublayerEnd& job, int first_row, int last_row) {
  for_kind(job.half, job.dropping, [&](auto element, auto drop) {
    finish_rows<decltype(element), drop>(job, first_row, last_row);
  });
}

void finish_backward(const SublayerEnd& job, int first_row, int last_row, float* d_weight, float* d_bias) {
  for_kind(job.half, job.dropping, [&](auto element, auto drop) {
    finish_rows_backward<decltype(element), drop>(job, first_row, last_row, d_weight, d_bias);
  });
}

}  // namespace
}  // namespace clearhead
