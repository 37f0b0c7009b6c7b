#include "model.h"

#include <algorithm>
#include <stdexcept>

namespace clearhead {

namespace {

constexpr int every_slab = 1 << 30;
constexpr int unlimited = 1 << 30;  // an encoder's text may be as long as the window, which is checked elsewhere

int most_layers(const Config& c) { return std::max(c.n_decoder_layers, 1); }

Kinds kinds_of(const Weights& w, int rows, const Kernels& k) {
  const auto of = [&](const Matrix& m) { return kind_of(m, rows, k); };
  Kinds kinds = of(w.tokens) | of(w.head.matrix) | of(w.pooler.matrix) | of(w.head_transform.matrix);
  for (const Stack* stack : {&w.encoder, &w.decoder})
    for (const Block& b : stack->layers)
      for (const Linear* l : {&b.attention.query, &b.attention.key, &b.attention.value, &b.attention.output,
                              &b.cross_attention.query, &b.cross_attention.key, &b.cross_attention.value,
                              &b.cross_attention.output, &b.gate, &b.up, &b.down})
        kinds |= of(l->matrix) | remainder_of(of(l->matrix));
  return kinds;
}

// Positions must be there for every token, and distances for every pair; a shorter table is a mistake of the caller.
void check(const Pass& pass) {
  const Positions& p = pass.positions;
  const Config& c = pass.weights.config;
  for (const Sequence& s : pass.sequences) {
    const int end = s.keys();
    const bool rotary = !c.rotary || (p.cosines.rows >= end && p.sines.rows >= end);
    const bool added = p.added.data == nullptr || p.added.rows >= end;
    const bool biased = p.bias.data == nullptr || (p.origin >= end && p.bias.columns - p.origin >= end);
    if (!rotary || !added || !biased) throw std::invalid_argument("a table of positions is too short for this call");
  }
  for (int id : pass.ids)
    if (id < 0 || id >= c.vocab_size)
      throw std::out_of_range("token id " + std::to_string(id) + " is outside the vocabulary of " +
                              std::to_string(c.vocab_size));
  for (int type : pass.types)
    if (type < 0 || type >= pass.weights.token_types.rows)
      throw std::out_of_range("token type " + std::to_string(type) + " is outside the " +
                              std::to_string(pass.weights.token_types.rows) + " that the model knows");
}

}  // namespace

std::shared_ptr<Memory> Memory::select(const std::vector<int>& chosen) const {
  auto selected = std::make_shared<Memory>();
  selected->stride = stride;
  for (int row : chosen) selected->rows.push_back(rows.at(std::size_t(row)));
  if (!cross) return selected;
  selected->cross = cross->empty_like(int(chosen.size()));
  for (std::size_t i = 0; i < chosen.size(); ++i)
    selected->cross->adopt(int(i), *cross, chosen[i], cross->lengths()[std::size_t(chosen[i])]);
  return selected;
}

void Memory::extend(const Memory& other) {
  if (other.stride != stride || bool(other.cross) != bool(cross)) throw std::invalid_argument("memories of two models");
  if (cross) cross->join(*other.cross);
  rows.insert(rows.end(), other.rows.begin(), other.rows.end());
}

Model::Model(Weights weights, const Kernels& kernels, int threads, KvFormat kv)
    : weights_(std::move(weights)), kernels_(kernels), threads_(std::max(threads, 1)) {
  const Config& c = weights_.config;
  page_ = {kv, c.head_dim};
  pool_ = std::make_shared<PagePool>(page_, most_layers(c), c.n_kv_heads, 1);
  scratch_pool_ = std::make_shared<PagePool>(page_, 1, c.n_kv_heads, every_slab);
  memory_pool_ = std::make_shared<PagePool>(page_, most_layers(c), c.n_kv_heads, 1);
}

std::shared_ptr<Cache> Model::new_cache(int rows, int capacity) const {
  return std::make_shared<Cache>(pool_, rows, capacity);
}

void Model::make_room(int tokens, int threads) {
  const Config& c = weights_.config;
  const int width = c.n_heads * c.head_dim, kv_width = c.n_kv_heads * c.head_dim;
  const int widest = std::max({c.d_model, c.d_ff, width});
  Scratch& s = scratch_;
  for (Rows* rows : {&s.x, &s.normed}) rows->resize(tokens, c.d_model);
  for (Rows* rows : {&s.query, &s.heads}) rows->resize(tokens, width);
  for (Rows* rows : {&s.key, &s.value}) rows->resize(tokens, kv_width);
  for (Rows* rows : {&s.gate, &s.up}) rows->resize(tokens, c.d_ff);
  // The head may be for fewer of the tokens.
  s.inputs.resize(tokens, widest, kinds_of(weights_, tokens, kernels_) | kinds_of(weights_, 1, kernels_));
  Kinds taken = 0;  // by the second product of an MLP
  for (const Stack* stack : {&weights_.encoder, &weights_.decoder})
    for (const Block& b : stack->layers) taken |= kind_of(b.down.matrix, tokens, kernels_);
  const bool fused = tokens > 1 && !c.parallel && (!kernels_.has_tiles || tokens >= kernels_.fewest_for_halves);
  if (fused) s.hidden.resize(tokens, c.d_ff, taken);
  if (int(s.own.size()) < threads) s.own.resize(std::size_t(threads));
  for (Scratch::Own& own : s.own) {
    own.floats.resize(1, widest);
    own.inputs.resize(1, widest, kinds_of(weights_, 1, kernels_));
  }
}

Pass Model::start(const std::vector<int>& ids, const std::vector<int>& counts, const Positions& positions,
                  const Watch& watch, const Interrupted& interrupted) {
  make_room(int(ids.size()), threads_);
  if (watch.capture || watch.editor) scratch_.added.resize(int(ids.size()), config().d_model);
  std::vector<Sequence> sequences;
  int first = 0;
  for (std::size_t row = 0; row < counts.size(); first += counts[row], ++row)
    if (counts[row] > 0) sequences.push_back({first, counts[row], 0, nullptr, int(row), nullptr, int(row)});
  return {weights_, kernels_, scratch_, positions, std::move(sequences), {}, ids, {}, watch.capture, watch.editor, interrupted};
}

bool Model::run(Pass& pass, const std::function<void(Team&)>& job) {
  shared_pool(threads_)->run(job, pass.editor == nullptr);  // while an edit runs, threads wait for no other program
  return !pass.stopped;
}

bool Model::decode(const std::vector<int>& ids, const std::vector<int>& counts, Cache* cache, const Memory* memory,
                   bool all, const Positions& positions, const Watch& watch, float* logits, std::size_t stride,
                   const Interrupted& interrupted) {
  const std::lock_guard lock(turn_);
  Pass pass = start(ids, counts, positions, watch, interrupted);
  Cache own(scratch_pool_, cache ? 0 : int(counts.size()), int(ids.size()));
  Cache& kept = cache ? *cache : own;
  std::vector<int> wanted;
  for (Sequence& s : pass.sequences) {
    s.cache = &kept;
    s.start = kept.lengths().at(std::size_t(s.cache_row));
    if (memory) s.memory = memory->cross.get();
    for (int t = all ? 0 : s.count - 1; t < s.count; ++t) wanted.push_back(s.first + t);
  }
  check(pass);
  for (const Sequence& s : pass.sequences) kept.reserve(s.cache_row, s.count);
  pass.units = units_of(pass.sequences, config());
  const bool done = run(pass, [&](Team& team) { clearhead::decode(team, pass, wanted, logits, stride); });
  if (done && cache)
    for (const Sequence& s : pass.sequences) cache->advance(s.cache_row, s.count);
  return done;
}

std::shared_ptr<Memory> Model::encode(const std::vector<int>& ids, const std::vector<int>& counts,
                                      const std::vector<int>& types, const Positions& positions, const Watch& watch,
                                      const Interrupted& interrupted) {
  const std::lock_guard lock(turn_);
  const Config& c = config();
  Pass pass = start(ids, counts, positions, watch, interrupted);
  pass.types = types;
  Cache own(scratch_pool_, int(counts.size()), int(ids.size()));
  auto memory = std::make_shared<Memory>();
  memory->stride = round_up(std::size_t(c.d_model), std::size_t(column_unit));
  auto states = std::make_shared<Buffer<float>>(memory->stride * ids.size());
  if (c.n_decoder_layers) memory->cross = std::make_shared<Cache>(memory_pool_, int(counts.size()), unlimited);
  for (Sequence& s : pass.sequences) {
    s.cache = &own;
    memory->rows.push_back({states, memory->stride * std::size_t(s.first), s.count});
  }
  check(pass);
  for (const Sequence& s : pass.sequences) {
    own.reserve(s.cache_row, s.count);
    if (memory->cross) memory->cross->reserve(s.memory_row, s.count);
  }
  pass.units = units_of(pass.sequences, c);
  const bool done = run(pass, [&](Team& team) {
    clearhead::encode(team, pass, states->data(), memory->stride);
    if (memory->cross && !pass.stopped) project_memory(team, pass, states->data(), memory->stride, *memory->cross);
  });
  if (!done) return nullptr;
  if (memory->cross)
    for (const Sequence& s : pass.sequences) memory->cross->advance(s.memory_row, s.count);
  return memory;
}

void Model::pool(const Memory& memory, float* out, std::size_t stride) {
  const std::lock_guard lock(turn_);
  const int rows = int(memory.rows.size());
  make_room(rows, threads_);
  for (int i = 0; i < rows; ++i) std::copy_n(memory.state(i), memory.stride, scratch_.normed.row(i));
  const Positions none;
  Pass pass{weights_, kernels_, scratch_, none, {}, {}, {}, {}, nullptr, nullptr, {}};
  run(pass, [&](Team& team) {
    clearhead::pool(team, pass, scratch_.normed.row(0), scratch_.normed.stride(), rows, out, stride);
  });
}

void Model::read(const float* states, int rows, float* logits) {
  const std::lock_guard lock(turn_);
  make_room(rows, threads_);
  const Stack& stack = config().n_decoder_layers ? weights_.decoder : weights_.encoder;
  const Positions none;
  Pass pass{weights_, kernels_, scratch_, none, {}, {}, {}, {}, nullptr, nullptr, {}};
  run(pass, [&](Team& team) {
    clearhead::read(team, pass, stack, states, std::size_t(config().d_model), rows, logits, logit_stride());
  });
}

void Model::head(const Memory& memory, float* logits) {
  const auto over = [&](const float* states, int rows) {
    const Positions none;
    Pass pass{weights_, kernels_, scratch_, none, {}, {}, {}, {}, nullptr, nullptr, {}};
    run(pass, [&](Team& team) {
      clearhead::head(team, pass, states, memory.stride, rows, logits, logit_stride());
    });
    logits += logit_stride() * std::size_t(rows);
  };
  const int rows = int(memory.rows.size());
  if (config().head == Config::Head::sequence_labels) {
    Buffer<float> pooled(memory.stride * std::size_t(rows));
    pool(memory, pooled.data(), memory.stride);
    const std::lock_guard lock(turn_);
    return over(pooled.data(), rows);
  }
  const std::lock_guard lock(turn_);
  for (int i = 0; i < rows; ++i) {
    make_room(memory.rows[std::size_t(i)].length, threads_);
    over(memory.state(i), memory.rows[std::size_t(i)].length);
  }
}

}  // namespace clearhead
