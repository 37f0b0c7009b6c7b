// Attention of a pass: cut into units of work, one key/value head and a few tokens of one row each. The keys of a unit
// are taken in parts of fixed size, so that a query's result does not depend on which threads do which part.
#include <algorithm>

#include "walk.h"

namespace clearhead {

namespace {

constexpr int part_keys = 512;
constexpr int most_queries = 512;  // of a unit

int parts_of(int keys) { return std::max(1, (keys + part_keys - 1) / part_keys); }

}  // namespace

std::vector<Unit> units_of(const std::vector<Sequence>& sequences, const Config& c) {
  const int group = c.n_heads / c.n_kv_heads;
  const int step = std::max(page_keys, std::min(128, most_queries / group));
  std::vector<Unit> units;
  for (int r = 0; r < int(sequences.size()); ++r)
    for (int first = 0; first < sequences[std::size_t(r)].count; first += step)
      for (int h = 0; h < c.n_kv_heads; ++h)
        units.push_back({r, h, first, std::min(step, sequences[std::size_t(r)].count - first)});
  // Under a causal mask the last see most: the long work goes first, and short work is left to even things out.
  std::reverse(units.begin(), units.end());
  return units;
}

int Walk::keys(const Unit& unit, const View& view) const {
  const Sequence& sequence = pass_.sequences[std::size_t(unit.sequence)];
  if (view.cross) return sequence.memory->lengths()[std::size_t(sequence.memory_row)];
  return view.causal ? sequence.start + unit.first + unit.count : sequence.keys();
}

// Fills the thread's lists of what the unit's queries read and write: query i is token i / group, head i % group.
void Walk::point(const Unit& unit, const View& view) {
  Scratch::Own& own = s_.own[std::size_t(team_.thread())];
  const Sequence& sequence = pass_.sequences[std::size_t(unit.sequence)];
  const Positions& positions = pass_.positions;
  const int group = c_.n_heads / c_.n_kv_heads, D = c_.head_dim, S = keys(unit, view);
  own.queries.clear(), own.outputs.clear(), own.limits.clear(), own.keys.clear(), own.biases.clear(), own.scores.clear();
  for (int t = 0; t < unit.count; ++t)
    for (int h = unit.kv_head * group; h < (unit.kv_head + 1) * group; ++h) {
      const int token = sequence.first + unit.first + t, position = sequence.start + unit.first + t;
      own.queries.push_back(s_.query.row(token) + h * D);
      own.outputs.push_back(s_.heads.row(token) + h * D);
      own.limits.push_back(view.causal ? position + 1 : S);
      own.keys.push_back(S);
      if (positions.bias.data && !view.cross)
        own.biases.push_back(positions.bias.data + std::size_t(h) * std::size_t(positions.bias.columns) +
                             (positions.origin - position));
      if (view.weights) {
        const auto at = std::find(view.heads->begin(), view.heads->end(), h);
        float* const head = view.weights + std::size_t(at - view.heads->begin()) * view.head_step;
        const auto row = std::size_t(view.row + unit.first + t) * view.row_step;
        own.scores.push_back(at == view.heads->end() ? nullptr : head + row);
      }
    }
}

void Walk::attend_part(const Unit& unit, const View& view, int part, float* largest, float* total, float* mixed) {
  const Scratch::Own& own = s_.own[std::size_t(team_.thread())];
  const Sequence& sequence = pass_.sequences[std::size_t(unit.sequence)];
  const Cache& cache = view.cross ? *sequence.memory : *sequence.cache;
  const int row = view.cross ? sequence.memory_row : sequence.cache_row;
  AttentionJob job;
  job.shape = cache.pool().shape();
  job.pages = cache.pool().view(cache.table(row).data(), view.pages, unit.kv_head);
  job.scale = c_.score_scale;
  job.queries = int(own.queries.size());
  job.query = own.queries.data();
  job.limits = own.limits.data();
  job.bias = own.biases.empty() ? nullptr : own.biases.data();
  job.first_key = part * part_keys;
  job.last_key = std::min(keys(unit, view), (part + 1) * part_keys);
  job.largest = largest;
  job.total = total;
  job.mixed = mixed;
  job.scores = own.scores.empty() ? nullptr : own.scores.data();
  k_.attend(job, team_.workspace());
}

void Walk::merge_parts(const Unit& unit, const View& view, const float* largest, const float* total,
                       const float* mixed) {
  const Scratch::Own& own = s_.own[std::size_t(team_.thread())];
  const Sequence& sequence = pass_.sequences[std::size_t(unit.sequence)];
  const PageShape& shape = (view.cross ? *sequence.memory : *sequence.cache).pool().shape();
  k_.merge(shape, parts_of(keys(unit, view)), int(own.queries.size()), largest, total, mixed, own.outputs.data(),
           own.scores.empty() ? nullptr : own.scores.data(), own.keys.data());
}

void Walk::attend(const View& view) {
  const auto& units = pass_.units;
  const int group = c_.n_heads / c_.n_kv_heads;
  const auto padded = std::size_t(round_up(c_.head_dim, lanes));
  int pieces = 0;
  for (const Unit& unit : units) pieces += parts_of(keys(unit, view));
  if (int(units.size()) >= 2 * team_.size() || pieces == int(units.size())) {
    // Long units one by one, so that all threads are busy to the end; of short ones, as many as make claiming them cheap.
    const int chunk = std::clamp(int(units.size()) / (8 * team_.size()), 1, std::max(1, 64 / units[0].count));
    team_.share(int(units.size()), chunk, [&](int first, int last) {
      Scratch::Own& own = s_.own[std::size_t(team_.thread())];
      for (int u = first; u < last; ++u) {
        const Unit& unit = units[std::size_t(u)];
        const int parts = parts_of(keys(unit, view));
        const auto queries = std::size_t(unit.count * group);
        own.largest.grow(queries * std::size_t(parts));
        own.total.grow(queries * std::size_t(parts));
        own.mixed.grow(queries * std::size_t(parts) * padded);
        point(unit, view);
        for (int p = 0; p < parts; ++p) {
          const std::size_t at = queries * std::size_t(p);
          attend_part(unit, view, p, own.largest.data() + at, own.total.data() + at, own.mixed.data() + at * padded);
        }
        merge_parts(unit, view, own.largest.data(), own.total.data(), own.mixed.data());
      }
    });
  } else {  // few queries, many keys: threads share the parts of one unit
    const auto start_of = [&](int u) {
      std::size_t at = 0;
      for (int i = 0; i < u; ++i)
        at += std::size_t(parts_of(keys(units[std::size_t(i)], view)) * units[std::size_t(i)].count * group);
      return at;
    };
    if (team_.thread() == 0) {
      const std::size_t all = start_of(int(units.size()));
      s_.largest.grow(all), s_.total.grow(all), s_.mixed.grow(all * padded);
    }
    team_.barrier();
    team_.share(pieces, 1, [&](int first, int last) {
      for (int piece = first; piece < last; ++piece) {
        int u = 0, part = piece;
        for (; part >= parts_of(keys(units[std::size_t(u)], view)); ++u) part -= parts_of(keys(units[std::size_t(u)], view));
        const std::size_t at = start_of(u) + std::size_t(part * units[std::size_t(u)].count * group);
        point(units[std::size_t(u)], view);
        attend_part(units[std::size_t(u)], view, part, s_.largest.data() + at, s_.total.data() + at,
                    s_.mixed.data() + at * padded);
      }
    });
    team_.share(int(units.size()), 1, [&](int first, int last) {
      for (int u = first; u < last; ++u) {
        const std::size_t at = start_of(u);
        point(units[std::size_t(u)], view);
        merge_parts(units[std::size_t(u)], view, s_.largest.data() + at, s_.total.data() + at,
                    s_.mixed.data() + at * padded);
      }
    });
  }
  if (edits(view.name("attention.weights", "cross_attention.weights"), view.layer)) edit_weights(view);
  edit(view.name("attention.heads", "cross_attention.heads"), view.layer, s_.heads.row(0), pass_.tokens(),
       c_.n_heads * c_.head_dim, s_.heads.stride());
  const Capture::Attending& c = view.capture;
  if (c.query || c.heads || c.key || c.value) {
    record_heads(view);
    team_.barrier();
  }
}

int Walk::all_keys(const View& view) const {
  const Sequence& first = pass_.sequences[0];
  return view.cross ? first.memory->lengths()[std::size_t(first.memory_row)] : first.keys();
}

// The view of the attention module under way, with the places where its weights go.
Walk::View Walk::view(bool cross, bool causal, int pages) {
  View view{cross, causal, layer_, pages, cross ? captured_->cross_attention : captured_->attention};
  if (pass_.capture) {
    view.weights = view.capture.weights;
    view.heads = &pass_.capture->heads;
    view.row = pass_.capture->row;
    view.row_step = std::size_t(cross ? pass_.capture->memory : pass_.capture->keys);
    view.head_step = view.row_step * std::size_t(pass_.capture->rows);
  }
  if (edits(view.name("attention.weights", "cross_attention.weights"), layer_)) {  // then all heads', by themselves
    const auto S = std::size_t(all_keys(view)), T = std::size_t(pass_.tokens());
    team_.barrier();
    if (team_.thread() == 0) {
      s_.weights.grow(std::size_t(c_.n_heads) * T * S);
      std::fill_n(s_.weights.data(), std::size_t(c_.n_heads) * T * S, 0.0f);
      s_.every_head.resize(std::size_t(c_.n_heads));
      for (int h = 0; h < c_.n_heads; ++h) s_.every_head[std::size_t(h)] = h;
    }
    team_.barrier();
    view.weights = s_.weights.data(), view.heads = &s_.every_head;
    view.row = 0, view.row_step = S, view.head_step = T * S;
  }
  return view;
}

void Walk::edit_weights(const View& view) {
  const int T = pass_.tokens(), S = all_keys(view);
  edit(view.name("attention.weights", "cross_attention.weights"), view.layer, view.weights, c_.n_heads * T, S,
       std::size_t(S));
  mix(view);
  if (view.capture.weights == nullptr || team_.thread() != 0) return;
  const Capture& capture = *pass_.capture;
  const auto step = std::size_t(view.cross ? capture.memory : capture.keys);
  for (std::size_t i = 0; i < capture.heads.size(); ++i)
    for (int t = 0; t < T; ++t)
      std::copy_n(view.weights + std::size_t(capture.heads[i]) * view.head_step + std::size_t(t) * view.row_step, S,
                  view.capture.weights + (i * std::size_t(capture.rows) + std::size_t(capture.row + t)) * step);
}

void Walk::mix(const View& view) {
  const Sequence& sequence = pass_.sequences[0];
  const Cache& cache = view.cross ? *sequence.memory : *sequence.cache;
  const int row = view.cross ? sequence.memory_row : sequence.cache_row;
  const int D = c_.head_dim, S = all_keys(view), group = c_.n_heads / c_.n_kv_heads;
  team_.share(c_.n_heads, 1, [&](int first, int last) {
    Buffer<float> key{std::size_t(D)}, value{std::size_t(D)};
    for (int h = first; h < last; ++h) {
      const PageView pages = cache.pool().view(cache.table(row).data(), view.pages, h / group);
      for (int t = 0; t < sequence.count; ++t) std::fill_n(s_.heads.row(t) + h * D, D, 0.0f);
      for (int s = 0; s < S; ++s) {
        k_.load(cache.pool().shape(), pages[s / page_keys], s % page_keys, key.data(), value.data());
        for (int t = 0; t < sequence.count; ++t) {
          const float weight = view.weights[std::size_t(h) * view.head_step + std::size_t(t) * view.row_step + std::size_t(s)];
          for (int j = 0; j < D; ++j) s_.heads.row(t)[h * D + j] += weight * value.data()[j];
        }
      }
    }
  });
}

// Queries, keys, values and head outputs of the one row that is traced; by one thread.
void Walk::record_heads(const View& view) {
  if (team_.thread() != 0) return;
  const Sequence& sequence = pass_.sequences[0];
  const Capture& capture = *pass_.capture;
  const auto D = std::size_t(c_.head_dim);
  for (std::size_t i = 0; i < capture.heads.size(); ++i) {
    const std::size_t from = std::size_t(capture.heads[i]) * D;
    for (int t = 0; t < sequence.count; ++t) {
      const std::size_t at = (i * std::size_t(capture.rows) + std::size_t(capture.row + t)) * D;
      if (view.capture.query) std::copy_n(s_.query.row(t) + from, D, view.capture.query + at);
      if (view.capture.heads) std::copy_n(s_.heads.row(t) + from, D, view.capture.heads + at);
    }
  }
  // What earlier passes of the same trace kept is there; the encoder's keys are all kept by the first.
  const int begin = view.cross && capture.row > 0 ? capture.memory : view.cross ? 0 : capture.first_key;
  if (view.capture.key == nullptr && view.capture.value == nullptr) return;
  const Cache& cache = view.cross ? *sequence.memory : *sequence.cache;
  const int row = view.cross ? sequence.memory_row : sequence.cache_row, S = all_keys(view);
  const auto kept = std::size_t(view.cross ? capture.memory : capture.keys);
  Buffer<float> key(D), value(D);
  for (int h = 0; h < c_.n_kv_heads; ++h) {
    const PageView pages = cache.pool().view(cache.table(row).data(), view.pages, h);
    for (int s = begin; s < S; ++s) {
      const std::size_t at = (std::size_t(h) * kept + std::size_t(s)) * D;
      k_.load(cache.pool().shape(), pages[s / page_keys], s % page_keys, key.data(), value.data());
      if (view.capture.key) std::copy_n(key.data(), D, view.capture.key + at);
      if (view.capture.value) std::copy_n(value.data(), D, view.capture.value + at);
    }
  }
}

}  // namespace clearhead
