// Attention of training, forwards and backwards: rows of up to a few hundred tokens, a block of queries at a time with all
// their scores in the cache. Backwards, weights are made again from queries, keys and the normaliser of each row, and so
// is what dropout left out of them.
//
//   S = scale Q K^T + bias    P = softmax(S)    R = P dropped        O = R V
//   dR = dO V^T               dV = R^T dO       dP = dR dropped      dS = P (dP - sum(P dP))
//   dQ = scale dS K           dK = scale dS^T Q
//
// Scores are counted in units of ln 2. Where bfloat16 is multiplied in pairs, R and dS are rounded to it.
#pragma once

#include <cmath>
#include <limits>
#include <utility>

#include "functions.h"
#include "kernels.h"
#include "random.h"
#include "small_product.h"

namespace clearhead {
namespace {

constexpr int query_block = 32;

template <class E>
inline E* at(const Strided& x, int batch, int head, int row) {
  return static_cast<E*>(x.data) + batch * x.batch + head * x.head + row * x.row;
}

// Memory for one head, handed out piece by piece; each piece is rows of whole vectors.
class Pieces {
 public:
  explicit Pieces(std::byte* memory) : memory_(memory) {}
  std::byte* rows(int n, std::size_t row) {
    const std::size_t piece = size_;
    size_ += std::size_t(n) * row;
    return memory_ ? memory_ + piece : nullptr;
  }
  std::size_t size() const { return size_; }

 private:
  std::byte* memory_;  // or none, to find out how much it takes
  std::size_t size_ = 0;
};

// One key/value head of one row of the batch, and the block of queries at work.
template <class E>
struct Head {
  const ShortAttention& job;
  int batch, kv_head;
  int key_columns, columns;           // keys and head_dim, to whole vectors
  std::size_t key_row, row, word_row;  // bytes: keys as words, head_dim as words, head_dim as words of rows
  int head = 0, first = 0, rows = 0, seen = 0;  // the query head, its block's first query, how many, keys they may see

  Head(const ShortAttention& of, int batch_row, int kv)
      : job(of), batch(batch_row), kv_head(kv), key_columns(round_up(of.keys, lanes)),
        columns(round_up(of.head_dim, lanes)), key_row(std::size_t(key_columns) * 4), row(std::size_t(columns) * 4),
        word_row(std::size_t(round_up(words_of<E>(of.head_dim), lanes)) * 4) {}

  int key_words() const { return words_of<E>(job.head_dim); }
  FactorA rows_as_a(const std::byte* p) const { return {p, word_row, 4}; }

  // Calls each() for every block of queries of every head that shares this key/value head.
  template <class Each>
  void for_blocks(Each&& each) {
    const int group = job.heads / job.kv_heads;
    for (head = kv_head * group; head < (kv_head + 1) * group; ++head)
      for (first = 0; first < job.queries; first += query_block) {
        rows = std::min(query_block, job.queries - first);
        seen = job.causal ? std::min(job.keys, first + rows) : job.keys;
        each();
      }
  }

  // Q K^T of the block [rows, keys].
  void scores(const std::byte* queries, const std::byte* keys, float* to) const {
    small_product<E, false>(rows, (seen + lanes - 1) / lanes, key_words(), rows_as_a(queries), {keys, key_row}, to,
                            std::size_t(key_columns));
  }
  // Sixteen scores of a query, scaled, with the bias; -infinity where there is no key, or none to be seen.
  Floats score(const float* dots, int query, int key) const {
    const int visible = job.causal ? std::min(job.keys, query + 1) : job.keys;
    Floats s = load(dots + key) * fill(job.scale * log2_e);
    if (job.bias.data) {
      const E* bias = at<E>(job.bias, batch, head, query) + key;
      s = fma(key + lanes <= job.keys ? take(bias) : take(bias, job.keys - key), fill(log2_e), s);
    }
    if (key + lanes <= visible) return s;
    return clearhead::first(std::clamp(visible - key, 0, lanes), s, fill(-std::numeric_limits<float>::infinity()));
  }
  std::size_t place(int query) const {  // in [batch, heads, queries]
    return (std::size_t(batch) * std::size_t(job.heads) + std::size_t(head)) * std::size_t(job.queries) + std::size_t(query);
  }
  RowMask mask(int query) const { return RowMask(job.dropping, place(query), job.keys); }
};

// Asks for one head's rows of the next row of the batch, where rows are short: they come from afar, and so does what is
// written.
template <class E>
inline void foresee_head(const Strided& x, int batch, int head, int rows, int columns) {
  if (rows > 4 * query_block || x.data == nullptr) return;
  for (int r = 0; r < rows; ++r)
    for (int c = 0; c < columns; c += int(64 / sizeof(E))) __builtin_prefetch(at<E>(x, batch, head, r) + c, 0, 3);
}
template <class E>
inline void foresee_next(const Head<E>& h) {
  const ShortAttention& job = h.job;
  const int next = h.batch + 1, group = job.heads / job.kv_heads;
  if (next == job.batch) return;
  for (const Strided* x : {&job.key, &job.value, &job.d_key, &job.d_value})
    foresee_head<E>(*x, next, h.kv_head, job.keys, job.head_dim);
  for (int head = h.kv_head * group; head < (h.kv_head + 1) * group; ++head)
    for (const Strided* x : {&job.query, &job.out, &job.d_out, &job.d_query})
      foresee_head<E>(*x, next, head, job.queries, job.head_dim);
}

// Keeps sixteen weights as the words of A: floats, or bfloat16 in order.
template <class E>
inline void keep_weights(std::byte* row, int i, Floats w) {
  if constexpr (per_word<E> == 2)
    store_bfloat16(reinterpret_cast<std::uint16_t*>(row) + i, w);
  else
    store(reinterpret_cast<float*>(row) + i, w);
}

// A row of sums [columns], times a factor.
template <class E>
inline void put_row(E* out, int columns, const float* sums, float factor) {
  for_vectors(columns, [&](int i, auto n) { put(out + i, load(sums + i) * fill(factor), n); });
}

// Scores of a query to weights that are yet to be multiplied by what is returned, 1 / their sum; `dots` may be `weights`.
template <class E, bool Drop>
inline float soften_query(const Head<E>& h, int query, float* dots, std::byte* weights) {
  Floats most = fill(-std::numeric_limits<float>::infinity()), total = zeros();
  for (int i = 0; i < h.seen; i += lanes) {
    const Floats s = h.score(dots, query, i);
    store(dots + i, s);
    most = max(s, most);
  }
  const float largest_score = largest(most);
  const bool blind = largest_score == -std::numeric_limits<float>::infinity();
  const Floats peak = fill(blind ? 0.0f : largest_score);
  for_dropped<Drop>(h.mask(query), round_up(h.seen, lanes), [&](int i, auto, Floats factors) {
    const Floats w = two_to(load(dots + i) - peak);
    total = total + w;
    keep_weights<E>(weights, i, Drop ? w * factors : w);
  });
  float* kept = h.job.sums + 2 * h.place(query);
  kept[0] = blind ? 0.0f : largest_score;
  kept[1] = blind ? 0.0f : 1 / sum(total);
  return kept[1];
}

// What forward keeps of one head: K and V as B, Q as A, scores, R as A, and O.
template <class E>
struct Forward {
  std::byte *keys, *values, *queries, *weights;
  float *dots, *mixed;

  // Returns how much memory it takes.
  std::size_t lay(const Head<E>& h, std::byte* memory) {
    Pieces p(memory);
    keys = p.rows(round_up(h.key_words(), lanes), h.key_row), values = p.rows(words_of<E>(h.job.keys), h.row);
    queries = p.rows(query_block, h.word_row), weights = p.rows(query_block, h.key_row);
    dots = reinterpret_cast<float*>(per_word<E> == 2 ? p.rows(query_block, h.key_row) : weights);
    mixed = reinterpret_cast<float*>(p.rows(query_block, h.row));
    return p.size();
  }
};

template <class E, bool Drop>
void attend_head(Head<E> h, Workspace& work) {
  const ShortAttention& job = h.job;
  const auto columns = std::size_t(h.columns), key_columns = std::size_t(h.key_columns);
  foresee_next(h);
  Forward<E> f;
  f.lay(h, work.bytes(f.lay(h, nullptr)));
  pack_columns(at<E>(job.key, h.batch, h.kv_head, 0), job.key.row, job.keys, job.head_dim, f.keys, h.key_row);
  pack_steps(at<E>(job.value, h.batch, h.kv_head, 0), job.value.row, job.keys, job.head_dim, f.values, h.row);
  h.for_blocks([&] {
    pack_rows(at<E>(job.query, h.batch, h.head, h.first), job.query.row, h.rows, job.head_dim, f.queries, h.word_row);
    h.scores(f.queries, f.keys, f.dots);
    float inverse[query_block];
    for (int r = 0; r < h.rows; ++r)
      inverse[r] = soften_query<E, Drop>(h, h.first + r, f.dots + std::size_t(r) * key_columns,
                                             f.weights + std::size_t(r) * h.key_row);
    small_product<E, false>(h.rows, h.columns / lanes, words_of<E>(h.seen), {f.weights, h.key_row, 4}, {f.values, h.row},
                            f.mixed, columns);
    for (int r = 0; r < h.rows; ++r)
      put_row(at<E>(job.out, h.batch, h.head, h.first + r), job.head_dim, f.mixed + std::size_t(r) * columns, inverse[r]);
  });
}

// What backward keeps of one head.
template <class E>
struct Gradients {
  std::byte *keys, *values, *key_steps;          // K and V as B, of columns; K as B, of steps
  std::byte *queries, *query_steps, *outs, *out_steps;  // Q and dO as A and as B
  float *weights, *gradients;                    // P, and dR, which becomes dS: [block, keys]
  std::byte *dropped, *scores;                   // R and dS as A
  std::byte *turned_dropped, *turned_scores;     // and by columns
  float *d_query, *d_key, *d_value;

  // Returns how much memory it takes.
  std::size_t lay(const Head<E>& h, bool drop, std::byte* memory) {
    constexpr bool paired = per_word<E> == 2;
    const auto floats = [](std::byte* p) { return reinterpret_cast<float*>(p); };
    const int key_words = round_up(h.key_words(), lanes), blocks = words_of<E>(query_block);
    Pieces p(memory);
    keys = p.rows(key_words, h.key_row), values = p.rows(key_words, h.key_row);
    key_steps = p.rows(words_of<E>(h.job.keys), h.row);
    queries = p.rows(query_block, h.word_row), outs = p.rows(query_block, h.word_row);
    query_steps = paired ? p.rows(blocks, h.row) : queries, out_steps = paired ? p.rows(blocks, h.row) : outs;
    weights = floats(p.rows(query_block, h.key_row)), gradients = floats(p.rows(query_block, h.key_row));
    dropped = paired || drop ? p.rows(query_block, h.key_row) : reinterpret_cast<std::byte*>(weights);
    scores = paired ? p.rows(query_block, h.key_row) : reinterpret_cast<std::byte*>(gradients);
    turned_dropped = paired ? p.rows(blocks, h.key_row) : dropped;
    turned_scores = paired ? p.rows(blocks, h.key_row) : scores;
    d_query = floats(p.rows(query_block, h.row));
    d_key = floats(p.rows(h.key_columns, h.row)), d_value = floats(p.rows(h.key_columns, h.row));
    return p.size();
  }
};

// Row r of the block: P and R from the scores, dS from dR.
template <class E, bool Drop>
inline void differentiate_query(const Head<E>& h, const Gradients<E>& g, int r) {
  const std::size_t at_row = std::size_t(r) * std::size_t(h.key_columns);
  float *weights = g.weights + at_row, *gradients = g.gradients + at_row;
  const int query = h.first + r, padded = round_up(h.seen, lanes);
  const float* kept = h.job.sums + 2 * h.place(query);
  const Floats peak = fill(kept[0]), inverse = fill(kept[1]);
  Floats along = zeros();
  for_dropped<Drop>(h.mask(query), padded, [&](int i, auto, Floats factors) {
    const Floats p = two_to(h.score(weights, query, i) - peak) * inverse;
    Floats d = load(gradients + i);
    if constexpr (Drop) d = d * factors;
    if (Drop || per_word<E> == 2) keep_weights<E>(g.dropped + h.key_row * std::size_t(r), i, Drop ? p * factors : p);
    store(weights + i, p);
    store(gradients + i, d);
    along = fma(p, d, along);
  });
  const Floats mean = fill(sum(along)), scale = fill(h.job.scale);
  float* d_bias = h.job.d_bias;
  if (d_bias) d_bias += (std::size_t(h.head) * std::size_t(h.job.queries) + std::size_t(query)) * std::size_t(h.job.keys);
  for (int i = 0; i < padded; i += lanes) {
    const Floats d = load(weights + i) * (load(gradients + i) - mean);
    if (d_bias) {
      const int n = std::min(lanes, h.seen - i);
      put(d_bias + i, take(d_bias + i, n) + d, n);
    }
    keep_weights<E>(g.scores + h.key_row * std::size_t(r), i, d * scale);
  }
}

template <class E, bool Drop>
void attend_head_backward(Head<E> h, Workspace& work) {
  const ShortAttention& job = h.job;
  foresee_next(h);
  Gradients<E> g;
  std::byte* memory = work.bytes(g.lay(h, Drop, nullptr));
  g.lay(h, Drop, memory);
  const auto columns = std::size_t(h.columns), key_columns = std::size_t(h.key_columns);
  const E *keys = at<E>(job.key, h.batch, h.kv_head, 0), *values = at<E>(job.value, h.batch, h.kv_head, 0);
  pack_columns(keys, job.key.row, job.keys, job.head_dim, g.keys, h.key_row);
  pack_columns(values, job.value.row, job.keys, job.head_dim, g.values, h.key_row);
  pack_steps(keys, job.key.row, job.keys, job.head_dim, g.key_steps, h.row);
  std::fill_n(g.d_key, columns * key_columns, 0.0f);
  std::fill_n(g.d_value, columns * key_columns, 0.0f);
  h.for_blocks([&] {
    const E *queries = at<E>(job.query, h.batch, h.head, h.first), *outs = at<E>(job.d_out, h.batch, h.head, h.first);
    pack_rows(queries, job.query.row, h.rows, job.head_dim, g.queries, h.word_row);
    pack_rows(outs, job.d_out.row, h.rows, job.head_dim, g.outs, h.word_row);
    if constexpr (per_word<E> == 2) {
      pack_steps(queries, job.query.row, h.rows, job.head_dim, g.query_steps, h.row);
      pack_steps(outs, job.d_out.row, h.rows, job.head_dim, g.out_steps, h.row);
    }
    h.scores(g.queries, g.keys, g.weights);
    h.scores(g.outs, g.values, g.gradients);
    for (int r = 0; r < h.rows; ++r) differentiate_query<E, Drop>(h, g, r);
    if constexpr (per_word<E> == 2)
      for (const auto& [from, to] : {std::pair{g.dropped, g.turned_dropped}, std::pair{g.scores, g.turned_scores}})
        pack_steps(reinterpret_cast<const E*>(from), std::ptrdiff_t(h.key_row / sizeof(E)), h.rows, round_up(h.seen, lanes), to,
                   h.key_row);
    const int vectors = h.columns / lanes, steps = words_of<E>(h.rows);
    small_product<E, true>(h.seen, vectors, steps, {g.turned_dropped, 4, h.key_row}, {g.out_steps, h.row}, g.d_value, columns);
    small_product<E, true>(h.seen, vectors, steps, {g.turned_scores, 4, h.key_row}, {g.query_steps, h.row}, g.d_key, columns);
    small_product<E, false>(h.rows, vectors, words_of<E>(h.seen), {g.scores, h.key_row, 4}, {g.key_steps, h.row}, g.d_query,
                            columns);
    for (int r = 0; r < h.rows; ++r)
      put_row(at<E>(job.d_query, h.batch, h.head, h.first + r), job.head_dim, g.d_query + std::size_t(r) * columns, 1);
  });
  for (int s = 0; s < job.keys; ++s) {
    put_row(at<E>(job.d_key, h.batch, h.kv_head, s), job.head_dim, g.d_key + std::size_t(s) * columns, 1);
    put_row(at<E>(job.d_value, h.batch, h.kv_head, s), job.head_dim, g.d_value + std::size_t(s) * columns, 1);
  }
}

void attend_short(const ShortAttention& job, int batch, int kv_head, Workspace& work) {
  for_kind(job.half, job.dropping, [&](auto element, auto drop) {
    attend_head<decltype(element), drop>(Head<decltype(element)>(job, batch, kv_head), work);
  });
}

void attend_short_backward(const ShortAttention& job, int batch, int kv_head, Workspace& work) {
  for_kind(job.half, job.dropping, [&](auto element, auto drop) {
    attend_head_backward<decltype(element), drop>(Head<decltype(element)>(job, batch, kv_head), work);
  });
}

}  // namespace
}  // namespace clearhead
