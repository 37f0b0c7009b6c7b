// What training on a processor needs beside matrix products: the rows of a loss over a vocabulary, attention for short rows
// with its gradients, and what joins sublayers (dropout, the sum, the norm). Numbers are float32, or bfloat16 (`half`), of
// which all arithmetic is float32. Kernels touch nothing but the rows they are given.
#pragma once

#include <cstddef>
#include <cstdint>

#include "matrix.h"

namespace clearhead {

class Workspace;
enum class Activation : std::uint8_t;

// Dropout of numbers whose half word of `seed` (random.h) is below `cut`; the others are multiplied by `factor`.
struct Dropping {
  std::uint64_t seed = 0;
  int cut = 0;  // of 65536; 0: nothing is left out
  float factor = 1;
};

// Logits [rows, columns], `stride` from row to row: the loss of each row, and its gradient in place of them. With a partner,
// rows 0 .. rows / 2 - 1 are paired with those that follow, and a unit is a pair: their consistency is part of the loss.
struct LossRows {
  void* logits = nullptr;
  bool half = false;
  int rows = 0, columns = 0;
  std::ptrdiff_t stride = 0;
  const float* bias = nullptr;             // [columns] or none, added to the logits
  const std::int64_t* targets = nullptr;   // [rows]
  bool paired = false, gradient = false;
  float smoothing = 0, consistency = 0;
  double *objective = nullptr, *nll = nullptr;  // [units]
};
inline constexpr int units_of_a_block = 8;  // whose gradients of the bias are added up together

// Rows of [rows, columns]: total = x + dropped(y); out = norm(total) * weight + bias. Each part may be missing; where there is
// no total, y is normed.
struct SublayerEnd {
  bool half = false;
  int columns = 0;
  Dropping dropping;
  bool centred = false;             // a layer norm, else by root mean square
  float eps = 0;
  const float *weight = nullptr;    // [columns] or none: then there is no norm
  const float *bias = nullptr;      // [columns] or none
  const void *x = nullptr, *y = nullptr;
  void *total = nullptr, *out = nullptr;
  float *mean = nullptr, *inverse = nullptr;  // [rows]: of the norm, and 1 / its deviation
  // Backwards: gradients of out and, if there is one, of total; gradients of x and of y, which may be missing.
  const void *d_out = nullptr, *d_total = nullptr;
  void *d_x = nullptr, *d_y = nullptr;
};
inline constexpr int rows_of_a_block = 128;  // whose gradients of weight and bias are added up together

// out = f(x), or f(x) up where the MLP is gated, number by number; and backwards.
struct Hidden {
  bool half = false;
  Activation activation{};
  const void *x = nullptr, *up = nullptr, *d_out = nullptr;
  void *out = nullptr, *d_x = nullptr, *d_up = nullptr;
};

// [batch, heads, rows, columns], with the steps along the first three in elements.
struct Strided {
  void* data = nullptr;
  std::ptrdiff_t batch = 0, head = 0, row = 0;
};

// Attention of [batch, heads, queries, head_dim] over [batch, kv_heads, keys, head_dim].
struct ShortAttention {
  bool half = false, causal = false;  // causal: query t sees keys 0 .. t
  int batch = 0, heads = 0, kv_heads = 0, queries = 0, keys = 0, head_dim = 0;
  float scale = 1;
  Dropping dropping;
  Strided query, key, value, out;
  Strided bias;               // [batch, heads, queries, keys], steps may be 0; or none
  float* sums = nullptr;      // [batch, heads, queries, 2]: the largest score, and 1 / the sum of 2^(score - largest)
  Strided d_out, d_query, d_key, d_value;
  float* d_bias = nullptr;  // [heads, queries, keys] or none: added to
};

// W [rows, columns] of a layer, to be laid out for products (dense.h): Y = X W^T takes it by columns, dX = dY W by steps.
struct DenseWeights {
  const float* data = nullptr;
  bool by_steps = false;
  int rows = 0, columns = 0;
  CLEARHEAD_INLINE std::size_t bytes() const {
    const auto inner = std::size_t(by_steps ? rows : columns), outer = std::size_t(by_steps ? columns : rows);
    return (inner + 1) / 2 * round_up(outer, std::size_t(lanes)) * 4;
  }
};

// out [rows, columns] = X B + bias, in bfloat16; a row of X is `words` pairs.
struct DenseProduct {
  const std::uint16_t* x = nullptr;
  std::ptrdiff_t x_row = 0;  // elements from row to row
  int words = 0, columns = 0;
  const std::byte* panels = nullptr;
  const float* bias = nullptr;  // [columns] or none
  std::uint16_t* out = nullptr;
  std::ptrdiff_t out_row = 0;
  bool add = false;  // to what is there
};
inline constexpr int rows_of_a_product = 128;  // that one call takes at most

// d_weight [outputs, inputs] = d_out^T x over the batch, or added to what is there; d_bias [outputs], or none, is added to.
struct DenseGradient {
  const std::uint16_t *d_out = nullptr, *x = nullptr;
  std::ptrdiff_t d_out_row = 0, x_row = 0;
  int batch = 0, outputs = 0, inputs = 0;
  float *d_weight = nullptr, *d_bias = nullptr;
  bool add = false;
};

struct TrainingKernels {
  // Units [first, last), one block at most. `d_bias` [columns], or none, is added to. `weights` has room for two rows.
  void (*score)(const LossRows& job, int first, int last, float* d_bias, float* weights);
  void (*finish)(const SublayerEnd& job, int first_row, int last_row);
  // `d_weight` and `d_bias` [columns], or none, are added to.
  void (*finish_backward)(const SublayerEnd& job, int first_row, int last_row, float* d_weight, float* d_bias);
  void (*hide)(const Hidden& job, std::size_t first, int count);
  void (*hide_backward)(const Hidden& job, std::size_t first, int count);
  // The heads of one key/value head of one row of the batch.
  void (*attend)(const ShortAttention& job, int batch, int kv_head, Workspace& work);
  void (*attend_backward)(const ShortAttention& job, int batch, int kv_head, Workspace& work);
  void (*make_panels)(const DenseWeights& weights, std::byte* to);  // `to` aligned to 64
  void (*multiply)(const DenseProduct& job, int first_row, int last_row, Workspace& work);
  void (*weigh_gradients)(const DenseGradient& job, int first_output, int last_output, Workspace& work);
};

}  // namespace clearhead
