// Attention over pages of keys and values, without ever forming the table of all scores: keys are taken sixty-four at a
// time, and the softmax is kept as a running maximum, sum and weighted mean (Milakov and Gimelshein 2018, 1805.02867;
// Dao et al. 2022, 2205.14135).
//
// A query's result is one chain of operations in the order of its keys, whatever other queries share the call.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "dot.h"
#include "functions.h"
#include "kernels.h"

namespace clearhead {
namespace {

constexpr int block_pages = 4, block_keys = block_pages * page_keys;
constexpr float nothing = -std::numeric_limits<float>::infinity();

// Queries whose scores stay in registers together, and the vectors that each holds of scores or of its output.
#if defined(__AVX512F__)
constexpr int query_tile = 6, vector_tile = 4;
#elif defined(__AVX2__)
constexpr int query_tile = 2, vector_tile = 2;
#else
constexpr int query_tile = 1, vector_tile = 2;
#endif

template <KvFormat F>
inline Floats load_element(const std::byte* p, std::size_t index) {
  if constexpr (F == KvFormat::f32) return load(reinterpret_cast<const float*>(p) + index);
  if constexpr (F == KvFormat::f16) return load_float16(reinterpret_cast<const std::uint16_t*>(p) + index);
  if constexpr (F == KvFormat::int8) return load_bytes(reinterpret_cast<const std::int8_t*>(p) + index);
}

// Element `index` of two rows that bfloat16 keeps as pairs: the row before or after, as `second` says.
inline Floats load_of_pair(const std::byte* p, std::size_t index, bool second) {
  const std::uint16_t* pairs = reinterpret_cast<const std::uint16_t*>(p) + 2 * index;
  return second ? load_second_bfloat16(pairs) : load_first_bfloat16(pairs);
}

// Dimension d of sixteen keys.
template <KvFormat F>
inline Floats load_keys(const std::byte* page, int d, bool odd) {
  if constexpr (F == KvFormat::bf16)
    return load_of_pair(page, std::size_t(d / 2) * page_keys, odd);
  else
    return load_element<F>(page, std::size_t(d) * page_keys);
}

// Dimensions d to d + 15 of the value in slot s.
template <KvFormat F>
inline Floats load_value(const std::byte* values, std::size_t padded, int s, std::size_t d, bool odd) {
  if constexpr (F == KvFormat::bf16)
    return load_of_pair(values, std::size_t(s / 2) * padded + d, odd);
  else
    return load_element<F>(values, std::size_t(s) * padded + d);
}

// Where products of two bfloat16 at a time are to be had, queries and weights become pairs as well.
#if defined(__AVX512BF16__)
template <KvFormat F>
constexpr bool in_pairs = F == KvFormat::bf16;
#else
template <KvFormat F>
constexpr bool in_pairs = false;
#endif

inline Words spread_pair(const float* pairs) { return spread(reinterpret_cast<const std::byte*>(pairs)); }

// The scales of sixteen keys or values; only int8 has any.
inline const float* key_scales(const PageShape& shape, const std::byte* page) {
  return reinterpret_cast<const float*>(page + shape.key_bytes() + shape.value_bytes());
}
inline const float* value_scales(const PageShape& shape, const std::byte* page) {
  return key_scales(shape, page) + page_keys;
}

// What is known of a query so far.
struct Running {
  float largest = nothing, total = 0;
};

// q . k for Q queries and P pages: scores[q][16 p + key].
template <KvFormat F, int Q, int P>
inline void dot_keys(const AttentionJob& job, int query, int page, float (*scores)[block_keys]) {
  Floats sums[Q][P];
  for (auto& row : sums)
    for (Floats& sum : row) sum = zeros();
  const std::byte* pages[P];
  for (int p = 0; p < P; ++p) pages[p] = job.pages[page + p];
  [[maybe_unused]] const auto add_pair = [&](int pair) __attribute__((always_inline)) {
    Words keys[P];
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) keys[p] = load_words(pages[p] + std::size_t(pair) * page_keys * 4);
#pragma GCC unroll 8
    for (int q = 0; q < Q; ++q) {
      const Words x = spread_pair(job.query[query + q] + pair);
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) sums[q][p] = dot_bfloat16(sums[q][p], keys[p], x);
    }
  };
  [[maybe_unused]] const auto add = [&](int d, bool odd) __attribute__((always_inline)) {
    Floats keys[P];
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) keys[p] = load_keys<F>(pages[p], d, odd);
#pragma GCC unroll 8
    for (int q = 0; q < Q; ++q) {
      const Floats x = fill(job.query[query + q][d]);
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) sums[q][p] = fma(x, keys[p], sums[q][p]);
    }
  };
  if constexpr (in_pairs<F>) {
    for (int d = 0; d < job.shape.head_dim; d += 2) add_pair(d / 2);
  } else {
    int d = 0;
    for (; d + 2 <= job.shape.head_dim; d += 2) add(d, false), add(d + 1, true);
    if (d < job.shape.head_dim) add(d, false);
  }
  for (int q = 0; q < Q; ++q)
    for (int p = 0; p < P; ++p) {
      if constexpr (F == KvFormat::int8) sums[q][p] = sums[q][p] * load(key_scales(job.shape, pages[p]));
      store(scores[q] + p * page_keys, sums[q][p]);
    }
}

// mixed[q][16 v ..] = mixed * keep[q] + weights . values, for Q queries and V vectors of dimensions.
template <KvFormat F, int Q, int V>
inline void add_values(const AttentionJob& job, int query, int page, int pages, int vector,
                       const float (*weights)[block_keys], const float* keep) {
  const auto padded = std::size_t(job.shape.padded());
  float* mixed[Q];
  Floats sums[Q][V];
  for (int q = 0; q < Q; ++q) {
    mixed[q] = job.mixed + std::size_t(query + q) * padded + std::size_t(vector) * lanes;
    for (int v = 0; v < V; ++v) sums[q][v] = load(mixed[q] + v * lanes) * fill(keep[q]);
  }
  for (int p = 0; p < pages; ++p) {
    const std::byte* start = job.pages[page + p];
    const std::byte* values = start + job.shape.key_bytes();
    [[maybe_unused]] const auto add_pair = [&](int pair) __attribute__((always_inline)) {
      const std::byte* row = values + (std::size_t(pair) * padded + std::size_t(vector) * lanes) * 4;
      Words words[V];
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) words[v] = load_words(row + v * lanes * 4);
#pragma GCC unroll 8
      for (int q = 0; q < Q; ++q) {
        const Words w = spread_pair(weights[q] + p * page_keys / 2 + pair);
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) sums[q][v] = dot_bfloat16(sums[q][v], words[v], w);
      }
    };
    [[maybe_unused]] const auto add = [&](int s, bool odd) __attribute__((always_inline)) {
      Floats row[V];
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) row[v] = load_value<F>(values, padded, s, std::size_t((vector + v) * lanes), odd);
      float scale = 1;
      if constexpr (F == KvFormat::int8) scale = value_scales(job.shape, start)[s];
#pragma GCC unroll 8
      for (int q = 0; q < Q; ++q) {
        float weight = weights[q][p * page_keys + s];
        if constexpr (F == KvFormat::int8) weight *= scale;
        const Floats w = fill(weight);
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) sums[q][v] = fma(w, row[v], sums[q][v]);
      }
    };
    if constexpr (in_pairs<F>) {
      for (int pair = 0; pair < page_keys / 2; ++pair) add_pair(pair);
    } else {
      for (int s = 0; s < page_keys; s += 2) add(s, false), add(s + 1, true);
    }
  }
  for (int q = 0; q < Q; ++q)
    for (int v = 0; v < V; ++v) store(mixed[q] + v * lanes, sums[q][v]);
}

// Scores of a block to weights, in place; the running maximum and sum go on. Returns what earlier sums are multiplied by.
inline float soften(const AttentionJob& job, int query, int first_key, int keys, float* scores, Running& running) {
  const int visible = std::min(job.limits[query], job.last_key) - first_key;
  float* kept = job.scores ? job.scores[query] : nullptr;
  Floats most = fill(nothing);
  for (int i = 0; i < keys; i += lanes) {
    Floats s = load(scores + i) * fill(job.scale);
    if (job.bias) s = s + load(job.bias[query] + first_key + i);
    s = first(std::clamp(visible - i, 0, lanes), s, fill(nothing));
    store(scores + i, s);
    most = max(s, most);
  }
  if (kept) std::memcpy(kept + first_key, scores, std::size_t(std::min(keys, job.last_key - first_key)) * sizeof(float));
  const float before = running.largest, now = std::max(before, largest(most));
  if (now == nothing) {  // nothing to be seen yet
    std::fill_n(scores, keys, 0.0f);
    return 1;
  }
  Floats total = zeros();
  for (int i = 0; i < keys; i += lanes) {
    const Floats e = exponential(load(scores + i) - fill(now));
    store(scores + i, e);
    total = total + e;
  }
  float powers[lanes];
  store(powers, exponential(fill(before - now)));
  const float keep = before == now ? 1.0f : powers[0];
  running.largest = now;
  running.total = running.total * keep + sum(total);
  return keep;
}

// Numbers to bfloat16, a whole number of vectors; `to` may be where they are.
inline void round_to_pairs(const float* x, int n, std::uint16_t* to) {
  for (int i = 0; i < n; i += lanes) store_bfloat16(to + i, load(x + i));
}

template <KvFormat F, int Q>
inline void attend_queries(const AttentionJob& job, int query) {
  const int padded = job.shape.padded();
  Running running[Q];
  std::fill_n(job.mixed + std::size_t(query) * std::size_t(padded), Q * padded, 0.0f);
  int last = 0;
  for (int q = 0; q < Q; ++q) last = std::max(last, std::min(job.limits[query + q], job.last_key));
  if (job.scores) last = job.last_key;  // what is hidden is recorded as such
  for (int key = job.first_key; key < last; key += block_keys) {
    alignas(alignment) float scores[Q][block_keys];
    float keep[Q];
    const int page = key / page_keys, pages = std::min(block_pages, (last - key + page_keys - 1) / page_keys);
    int p = 0;
    for (; p + vector_tile <= pages; p += vector_tile)
      dot_keys<F, Q, vector_tile>(job, query, page + p, reinterpret_cast<float(*)[block_keys]>(&scores[0][p * page_keys]));
    for (; p < pages; ++p)
      dot_keys<F, Q, 1>(job, query, page + p, reinterpret_cast<float(*)[block_keys]>(&scores[0][p * page_keys]));
    for (int q = 0; q < Q; ++q) {
      keep[q] = soften(job, query + q, key, pages * page_keys, scores[q], running[q]);
      if constexpr (in_pairs<F>) round_to_pairs(scores[q], pages * page_keys, reinterpret_cast<std::uint16_t*>(scores[q]));
    }
    int v = 0;
    for (; v + vector_tile <= padded / lanes; v += vector_tile)
      add_values<F, Q, vector_tile>(job, query, page, pages, v, scores, keep);
    for (; v < padded / lanes; ++v) add_values<F, Q, 1>(job, query, page, pages, v, scores, keep);
  }
  for (int q = 0; q < Q; ++q) {
    job.largest[query + q] = running[q].largest;
    job.total[query + q] = running[q].total;
  }
}

// The same job with its queries [head_dim] in bfloat16, each at the beginning of a row of floats.
class PairedQueries {
 public:
  PairedQueries(const AttentionJob& job, Workspace& work) : job_(job) {
    const auto padded = std::size_t(job.shape.padded());
    const std::size_t pointers = round_up(std::size_t(job.queries) * sizeof(float*), std::size_t(alignment));
    std::byte* memory = work.bytes(pointers + std::size_t(job.queries) * padded * 2);
    auto** rows = reinterpret_cast<const float**>(memory);
    auto* to = reinterpret_cast<std::uint16_t*>(memory + pointers);
    for (int q = 0; q < job.queries; ++q, to += padded) {
      round_query(job.shape, job.query[q], to);
      rows[q] = reinterpret_cast<const float*>(to);
    }
    job_.query = rows;
  }
  const AttentionJob& job() const { return job_; }

 private:
  static void round_query(const PageShape& shape, const float* x, std::uint16_t* to) {
    for (int d = 0; d < shape.head_dim; d += lanes) {
      float row[lanes] = {};
      std::memcpy(row, x + d, std::size_t(std::min(lanes, shape.head_dim - d)) * sizeof(float));
      store_bfloat16(to + d, load(row));
    }
  }
  AttentionJob job_;
};

template <KvFormat F>
inline void attend_pages(const AttentionJob& job) {
  int q = 0;
  for (; q + query_tile <= job.queries; q += query_tile) attend_queries<F, query_tile>(job, q);
  for (; q + 3 <= job.queries && query_tile > 3; q += 3) attend_queries<F, 3>(job, q);
  for (; q < job.queries; ++q) attend_queries<F, 1>(job, q);
}

// e^x of one number, by the same operations as everywhere.
inline float exponential(float x) {
  float powers[lanes];
  store(powers, exponential(fill(x)));
  return powers[0];
}

void merge(const PageShape& shape, int parts, int queries, const float* largest, const float* total, const float* mixed,
           float* const* out, float* const* scores, const int* keys) {
  const int padded = shape.padded();
  for (int q = 0; q < queries; ++q) {
    float most = nothing, sum_of_parts = 0;
    for (int p = 0; p < parts; ++p) most = std::max(most, largest[p * queries + q]);
    for (int d = 0; d < padded; d += lanes) {
      Floats value = zeros();
      sum_of_parts = 0;
      for (int p = 0; p < parts; ++p) {
        const auto at = std::size_t(p * queries + q);
        if (largest[at] == nothing) continue;
        const float share = largest[at] == most ? 1.0f : exponential(largest[at] - most);
        sum_of_parts += total[at] * share;
        value = fma(load(mixed + at * std::size_t(padded) + d), fill(share), value);
      }
      if (sum_of_parts != 0) value = value / fill(sum_of_parts);
      float row[lanes];
      store(row, value);
      std::memcpy(out[q] + d, row, sizeof(float) * std::size_t(std::min(lanes, shape.head_dim - d)));
    }
    if (scores == nullptr || scores[q] == nullptr) continue;
    for (int k = 0; k < keys[q]; k += lanes) {
      float row[lanes] = {};
      const auto bytes = sizeof(float) * std::size_t(std::min(lanes, keys[q] - k));
      std::memcpy(row, scores[q] + k, bytes);
      if (sum_of_parts != 0) store(row, exponential(load(row) - fill(most)) / fill(sum_of_parts));
      std::memcpy(scores[q] + k, row, bytes);
    }
  }
}

// Sixteen numbers as elements of a page.
template <KvFormat F>
inline void store_elements(const float* x, float inverse, std::byte* to, std::size_t step) {
  const auto scatter = [&](const auto& elements) {
    for (int i = 0; i < lanes; ++i) std::memcpy(to + std::size_t(i) * step, elements + i, sizeof elements[0]);
  };
  if constexpr (F == KvFormat::f32) scatter(x);
  if constexpr (F == KvFormat::int8) {
    std::int8_t codes[lanes];
    store_bytes(codes, to_ints(load(x) * fill(inverse)));
    scatter(codes);
  }
  if constexpr (F == KvFormat::f16) {
    std::uint16_t halves[lanes];
    store_float16(halves, load(x));
    scatter(halves);
  }
}

// A vector [head_dim] to every step-th byte from `to`; for int8 with its scale.
template <KvFormat F>
inline void store_vector(const PageShape& shape, const float* x, std::byte* to, std::size_t step, float* scale) {
  float inverse = 1;
  if constexpr (F == KvFormat::int8) {
    float most = 0, check = 0;
    for (int d = 0; d < shape.head_dim; ++d) {
      most = std::max(most, std::abs(x[d]));
      check += x[d] * 0.0f;  // 0, unless a number is infinite or none: then the scale is none, and so is what is read back
    }
    *scale = check == 0 ? most / 127.0f : std::numeric_limits<float>::quiet_NaN();
    inverse = check == 0 && most > 1e-36f ? 127.0f / most : 0.0f;
  }
  for (int d = 0; d < shape.head_dim; d += lanes) {
    float row[lanes] = {};
    const int n = std::min(lanes, shape.head_dim - d);
    std::memcpy(row, x + d, sizeof(float) * std::size_t(n));
    if (n == lanes) {
      store_elements<F>(row, inverse, to + std::size_t(d) * step, step);
    } else {
      alignas(alignment) std::byte last[lanes * 4];
      store_elements<F>(row, inverse, last, shape.element());
      for (int i = 0; i < n; ++i)
        std::memcpy(to + std::size_t(d + i) * step, last + std::size_t(i) * shape.element(), shape.element());
    }
  }
}

template <KvFormat F>
inline void store_format(const PageShape& shape, std::byte* page, int slot, const float* key, const float* value) {
  const std::size_t element = shape.element();
  std::byte* values = page + shape.key_bytes() + std::size_t(slot) * std::size_t(shape.padded()) * element;
  float* scales = reinterpret_cast<float*>(page + shape.key_bytes() + shape.value_bytes());
  store_vector<F>(shape, key, page + std::size_t(slot) * element, page_keys * element, scales + slot);
  store_vector<F>(shape, value, values, element, scales + page_keys + slot);
}

// The same for bfloat16, whose rows are pairs: key and value as words that hold one half of each pair.
inline void store_pairs(const PageShape& shape, std::byte* page, int slot, const float* key, const float* value) {
  const auto each = [&](const float* x, auto&& put) {
    for (int d = 0; d < shape.head_dim; d += lanes) {
      float row[lanes] = {};
      std::uint16_t halves[lanes];
      const int n = std::min(lanes, shape.head_dim - d);
      std::memcpy(row, x + d, sizeof(float) * std::size_t(n));
      store_bfloat16(halves, load(row));
      for (int i = 0; i < lanes; i += 2) put(d + i, halves + i);
    }
  };
  const auto padded = std::size_t(shape.padded());
  std::byte* values = page + shape.key_bytes() + (std::size_t(slot / 2) * padded * 2 + std::size_t(slot % 2)) * 2;
  each(key, [&](int d, const std::uint16_t* pair) {
    std::memcpy(page + (std::size_t(d / 2) * page_keys + std::size_t(slot)) * 4, pair, 4);
  });
  each(value, [&](int d, const std::uint16_t* pair) {
    for (int i = 0; i < 2; ++i) std::memcpy(values + std::size_t(d + i) * 4, pair + i, 2);
  });
}

void store_position(const PageShape& shape, std::byte* page, int slot, const float* key, const float* value) {
  // What an earlier owner of the page left is multiplied by zero, and must be finite for that.
  if (slot == 0) std::memset(page + shape.key_bytes(), 0, shape.bytes() - shape.key_bytes());
  switch (shape.format) {
    case KvFormat::f32: return store_format<KvFormat::f32>(shape, page, slot, key, value);
    case KvFormat::bf16: return store_pairs(shape, page, slot, key, value);
    case KvFormat::f16: return store_format<KvFormat::f16>(shape, page, slot, key, value);
    case KvFormat::int8: return store_format<KvFormat::int8>(shape, page, slot, key, value);
  }
}

template <KvFormat F>
inline void load_format(const PageShape& shape, const std::byte* page, int slot, float* key, float* value) {
  const float key_scale = F == KvFormat::int8 ? key_scales(shape, page)[slot] : 1.0f;
  const float value_scale = F == KvFormat::int8 ? value_scales(shape, page)[slot] : 1.0f;
  const auto padded = std::size_t(shape.padded());
  float row[lanes];
  for (int d = 0; d < shape.head_dim; ++d) {
    store(row, load_keys<F>(page, d, d % 2 != 0));
    key[d] = row[slot] * key_scale;
  }
  for (int d = 0; d < shape.head_dim; d += lanes) {
    store(row, load_value<F>(page + shape.key_bytes(), padded, slot, std::size_t(d), slot % 2 != 0) * fill(value_scale));
    std::memcpy(value + d, row, sizeof(float) * std::size_t(std::min(lanes, shape.head_dim - d)));
  }
}

void load_position(const PageShape& shape, const std::byte* page, int slot, float* key, float* value) {
  switch (shape.format) {
    case KvFormat::f32: return load_format<KvFormat::f32>(shape, page, slot, key, value);
    case KvFormat::bf16: return load_format<KvFormat::bf16>(shape, page, slot, key, value);
    case KvFormat::f16: return load_format<KvFormat::f16>(shape, page, slot, key, value);
    case KvFormat::int8: return load_format<KvFormat::int8>(shape, page, slot, key, value);
  }
}

}  // namespace
}  // namespace clearhead
