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
#include "page_elements.h"
#include "tiles.h"

namespace clearhead {
namespace {

constexpr int block_pages = 4, block_keys = block_pages * page_keys;
constexpr float nothing = -std::numeric_limits<float>::infinity();

// Queries whose scores stay in registers together, and the vectors that each holds of scores or of its output.
#if defined(CLEARHEAD_SMALL_TILES)
constexpr int query_tile = 2, vector_tile = 2;
#elif defined(__AVX512F__)
constexpr int query_tile = 6, vector_tile = 4;
#elif defined(__AVX2__)
constexpr int query_tile = 2, vector_tile = 2;
#else
constexpr int query_tile = 1, vector_tile = 2;
#endif

// Where products of two bfloat16 at a time are to be had, queries and weights become pairs as well.
#if defined(__AVX512BF16__)
template <KvFormat F>
constexpr bool in_pairs = F == KvFormat::bf16;
#else
template <KvFormat F>
constexpr bool in_pairs = false;
#endif

inline Words spread_pair(const float* pairs) { return spread(reinterpret_cast<const std::byte*>(pairs)); }

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

// Scores of P pages to weights, in place, as floats or as bfloat16; the running maximum and sum go on. Returns what earlier
// sums are multiplied by. Scores are counted in units of ln 2, which makes their exponentials powers of two.
template <bool Pairs, int P>
inline float soften(const AttentionJob& job, int query, int first_key, float* row, Running& running) {
  const int visible = std::min(job.limits[query], job.last_key) - first_key;
  const Floats scale = fill(job.scale * log2_e);
  Floats scores[P], most = fill(nothing);
#pragma GCC unroll 8
  for (int p = 0; p < P; ++p) {
    scores[p] = load(row + p * page_keys) * scale;
    if (job.bias) scores[p] = fma(load(job.bias[query] + first_key + p * page_keys), fill(log2_e), scores[p]);
    if (visible < (p + 1) * page_keys)
      scores[p] = first(std::clamp(visible - p * page_keys, 0, page_keys), scores[p], fill(nothing));
    most = max(scores[p], most);
  }
  if (job.scores && job.scores[query])
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p)
      store_row(job.scores[query], first_key + p * page_keys, job.last_key, scores[p]);
  const float before = running.largest, now = std::max(before, largest(most));
  const Floats peak = fill(now == nothing ? 0.0f : now);  // nothing to be seen yet: all weights are zero
  Floats total = zeros();
#pragma GCC unroll 8
  for (int p = 0; p < P; ++p) {
    const Floats weight = two_to(scores[p] - peak);
    total = total + weight;
    if constexpr (Pairs)
      store_bfloat16(reinterpret_cast<std::uint16_t*>(row) + p * page_keys, weight);
    else
      store(row + p * page_keys, weight);
  }
  const float keep = before == now ? 1.0f : two_to(before - now);
  running.largest = now;
  running.total = running.total * keep + sum(total);
  return keep;
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
    in_tiles<vector_tile>(0, pages, [&](auto n, int p) {
      dot_keys<F, Q, n>(job, query, page + p, reinterpret_cast<float(*)[block_keys]>(&scores[0][p * page_keys]));
    });
    in_tiles<block_pages>(0, pages, [&](auto n, int) {
      for (int q = 0; q < Q; ++q) keep[q] = soften<in_pairs<F>, n>(job, query + q, key, scores[q], running[q]);
    });
    in_tiles<vector_tile>(0, padded / lanes, [&](auto n, int v) {
      add_values<F, Q, n>(job, query, page, pages, v, scores, keep);
    });
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
    for (int d = 0; d < shape.head_dim; d += lanes) store_bfloat16(to + d, load_row(x, d, shape.head_dim));
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

void merge(const PageShape& shape, int parts, int queries, const float* largest, const float* total, const float* mixed,
           float* const* out, float* const* scores, const int* keys) {
  const int padded = shape.padded();
  for (int q = 0; q < queries; ++q) {
    const auto at = [&](int part) { return std::size_t(part * queries + q); };
    float most = nothing, sum_of_parts = 0;
    for (int p = 0; p < parts; ++p) most = std::max(most, largest[at(p)]);
    const auto seen = [&](int part) { return largest[at(part)] != nothing; };
    const auto share = [&](int part) { return largest[at(part)] == most ? 1.0f : two_to(largest[at(part)] - most); };
    for (int p = 0; p < parts; ++p)
      if (seen(p)) sum_of_parts += total[at(p)] * share(p);
    const float inverse = sum_of_parts != 0 ? 1.0f / sum_of_parts : 1.0f;
    for (int d = 0; d < padded; d += lanes) {
      Floats value = zeros();
      for (int p = 0; p < parts; ++p)
        if (seen(p)) value = fma(load(mixed + at(p) * std::size_t(padded) + d), fill(share(p) * inverse), value);
      store_row(out[q], d, shape.head_dim, value);
    }
    if (scores == nullptr || scores[q] == nullptr || sum_of_parts == 0) continue;
    for (int k = 0; k < keys[q]; k += lanes) {
      const Floats score = load_row(scores[q], k, keys[q]) - fill(most);  // beyond the row's end this may be large
      store_row(scores[q], k, keys[q], two_to(min(zeros(), score)) * fill(inverse));
    }
  }
}

}  // namespace
}  // namespace clearhead
