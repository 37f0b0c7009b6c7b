// Attention on tiles, for keys and values in bfloat16: sixteen queries at a time, whose scores and output are products of
// tiles, with the softmax of `attention.h` between them. Queries and weights are rounded to bfloat16.
//
// A row of a tile is computed like every other, so that a query's result is the same bits alone and beside any others.
#pragma once

#include "amx.h"
#include "attention.h"
#include "tiles.h"

namespace clearhead {
namespace {

constexpr int depth = 32;       // numbers of a row that one product of tiles multiplies
constexpr int score_tiles = 4;  // of a product
constexpr int dim_vectors = 4;  // of the output, whose sums are in tiles together
constexpr int round_pages = 8;  // of keys that are softened together
constexpr int round_keys = round_pages * page_keys;

// What a tile of queries works in.
struct QueryTile {
  alignas(64) float scores[tile_rows][round_keys];
  alignas(64) std::uint16_t weights[tile_rows][round_keys];
  alignas(64) float totals[tile_rows][lanes];  // sums of weights in sixteen parts
  float largest[tile_rows], keep[tile_rows];
};

// Calls use(i) for i from 0 to N - 1, as numbers known to the compiler: tiles are named, not indexed.
template <int N, class Use>
[[gnu::always_inline]] inline void each_tile(Use&& use) {
  if constexpr (N > 0) {
    each_tile<N - 1>(use);
    use(std::integral_constant<int, N - 1>{});
  }
}

// scores[q][16 p + key] = q . k for P pages from `page` on, which are the `first` of the round and those after it.
template <int P>
inline void score_pages(const AttentionJob& job, const std::uint16_t* queries, int page, int first, QueryTile& t) {
  const int rows = job.shape.key_rows();
  each_tile<P>([](auto p) { clear_tile<p>(); });
  for (int d = 0; d < rows; d += depth) {
    load_tile<4>(queries + d, std::size_t(rows) * 2);
    each_tile<P>([&](auto p) {
      load_tile<6>(job.pages[page + p] + std::size_t(d) * page_keys * 2, 64);
      dot_tiles_bfloat16<p, 4, 6>();
    });
  }
  each_tile<P>([&](auto p) { store_tile<p>(&t.scores[0][(first + p) * page_keys], sizeof t.scores[0]); });
}

// Scores of row q over P pages to weights; the running maximum and sums go on, and `keep` is what earlier sums are
// multiplied by.
template <int P>
inline void soften_row(const AttentionJob& job, int query, int key, int q, QueryTile& t) {
  const int visible = std::min(job.limits[query + q], job.last_key) - key;
  const Floats scale = fill(job.scale * log2_e);
  Floats scores[P], most = fill(nothing);
#pragma GCC unroll 8
  for (int p = 0; p < P; ++p) {
    scores[p] = load(t.scores[q] + p * page_keys) * scale;
    if (job.bias) scores[p] = fma(load(job.bias[query + q] + key + p * page_keys), fill(log2_e), scores[p]);
    if (visible < P * page_keys)
      scores[p] = first(std::clamp(visible - p * page_keys, 0, lanes), scores[p], fill(nothing));
    most = max(scores[p], most);
  }
  if (job.scores && job.scores[query + q])
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p)
      if (key + p * page_keys < job.last_key)
        store_row(job.scores[query + q], key + p * page_keys, job.last_key, scores[p]);
  const float before = t.largest[q], now = std::max(before, largest(most));
  const Floats peak = fill(now == nothing ? 0.0f : now);  // nothing to be seen yet: all weights are zero
  const float keep = before == now ? 1.0f : two_to(before - now);
  Floats total = load(t.totals[q]) * fill(keep);
#pragma GCC unroll 8
  for (int p = 0; p < P; ++p) {
    const Floats e = two_to(scores[p] - peak);
    store_bfloat16(t.weights[q] + p * page_keys, e);
    total = total + e;
  }
  store(t.totals[q], total);
  t.largest[q] = now, t.keep[q] = keep;
}

// mixed[16 v ..] = mixed * keep + weights . values, for V vectors of dimensions.
template <int V>
inline void mix_pages(const AttentionJob& job, int page, int pages, int vector, int rows, float* mixed, QueryTile& t) {
  const auto padded = std::size_t(job.shape.padded());
  float* sums = mixed + vector * lanes;
  for (int q = 0; q < rows; ++q) {
    float* row = sums + std::size_t(q) * padded;
    if (t.keep[q] != 1.0f)
      for (int v = 0; v < V; ++v) store(row + v * lanes, load(row + v * lanes) * fill(t.keep[q]));
  }
  each_tile<V>([&](auto v) { load_tile<v>(sums + v * lanes, padded * 4); });
  for (int p = 0; p < pages; ++p) {
    const std::byte* values = job.pages[page + p] + job.shape.key_bytes() + std::size_t(vector) * lanes * 4;
    load_tile<5>(&t.weights[0][p * page_keys], sizeof t.weights[0]);
    each_tile<V>([&](auto v) {
      load_tile<7>(values + v * lanes * 4, padded * 4);
      dot_tiles_bfloat16<v, 5, 7>();
    });
  }
  each_tile<V>([&](auto v) { store_tile<v>(sums + v * lanes, padded * 4); });
}

// Keys from `key` on, in up to eight pages.
inline void attend_round(const AttentionJob& job, const std::uint16_t* queries, int query, int rows, int key, int pages,
                         QueryTile& t) {
  const int page = key / page_keys, vectors = job.shape.padded() / lanes;
  in_tiles<score_tiles>(0, pages, [&](auto n, int first) { score_pages<n>(job, queries, page + first, first, t); });
  in_tiles<round_pages>(0, pages, [&](auto n, int) {
    for (int q = 0; q < rows; ++q) soften_row<n>(job, query, key, q, t);
  });
  float* mixed = job.mixed + std::size_t(query) * std::size_t(job.shape.padded());
  in_tiles<dim_vectors>(0, vectors, [&](auto n, int v) { mix_pages<n>(job, page, pages, v, rows, mixed, t); });
}

// Up to sixteen queries, in bfloat16 [rows][key_rows].
inline void attend_tile(const AttentionJob& job, const std::uint16_t* queries, int query, int rows) {
  const auto padded = std::size_t(job.shape.padded());
  std::fill_n(job.mixed + std::size_t(query) * padded, std::size_t(rows) * padded, 0.0f);
  int last = 0;
  for (int q = 0; q < rows; ++q) last = std::max(last, std::min(job.limits[query + q], job.last_key));
  if (job.scores) last = job.last_key;  // what is hidden is recorded as such
  QueryTile t;
  for (int q = 0; q < rows; ++q) {
    t.largest[q] = nothing;
    store(t.totals[q], zeros());
  }
  for (int key = job.first_key; key < last; key += round_keys)
    attend_round(job, queries, query, rows, key, std::min(round_pages, (last - key + page_keys - 1) / page_keys), t);
  for (int q = 0; q < rows; ++q) {
    job.largest[query + q] = t.largest[q];
    job.total[query + q] = sum(load(t.totals[q]));
  }
}

// One query [head_dim] in bfloat16, with zeros to the end of its row.
inline void round_query(const PageShape& shape, const float* x, std::uint16_t* to) {
  for (int d = 0; d < shape.key_rows(); d += lanes) {
    const int n = std::clamp(shape.head_dim - d, 0, lanes);
    float row[lanes] = {};
    std::memcpy(row, x + std::min(d, shape.head_dim), std::size_t(n) * sizeof(float));
    store_bfloat16(to + d, load(row));
  }
}

void attend_in_tiles(const AttentionJob& job, Workspace& work) {
  const auto depths = std::size_t(job.shape.key_rows());
  auto* queries = reinterpret_cast<std::uint16_t*>(work.bytes(tile_rows * depths * sizeof(std::uint16_t)));
  for (int query = 0; query < job.queries;) {
    const int rows = std::min(tile_rows, job.queries - query);
    const TileShapes shapes({{rows}, {rows}, {rows}, {rows}, {rows, 64}, {rows, 32}, {16}, {8}});
    do {
      for (int q = 0; q < rows; ++q) round_query(job.shape, job.query[query + q], queries + std::size_t(q) * depths);
      attend_tile(job, queries, query, rows);
      query += rows;
    } while (job.queries - query >= rows);
  }
}

}  // namespace
}  // namespace clearhead
