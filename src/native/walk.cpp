// The block, step by step: embedding, self- and cross-attention around attending.cpp, the MLP, and what joins them.
#include "walk.h"

#include <algorithm>

namespace clearhead {

namespace {

// Row blocks that a thread takes at a time: few enough to keep all threads busy to the end, and with several tokens a
// multiple of every tile's blocks.
int chunk_of(int blocks, int rows, int threads) {
  const int even = blocks / (threads * 8);
  if (rows == 1) return std::clamp(even, 1, 64);
  return std::clamp(even / 6 * 6, 6, 96);
}

}  // namespace

const Capture::Layer Walk::nothing_{};

void Walk::record(float* to, const float* from, std::size_t stride, int columns) const {
  if (to == nullptr || team_.thread() != 0) return;
  to += std::size_t(pass_.capture->row) * std::size_t(columns);
  for (int i = 0; i < pass_.tokens(); ++i, to += columns, from += stride) std::copy_n(from, columns, to);
}

void Walk::record_row(float* to, const float* from, int token) const {
  if (to) std::copy_n(from, c_.d_model, to + std::size_t(pass_.capture->row + token) * std::size_t(c_.d_model));
}

bool Walk::edits(const char* kind, int layer) const {
  return pass_.editor && pass_.editor->places.contains({kind, layer});
}

void Walk::edit(const char* kind, int layer, float* data, int rows, int columns, std::size_t stride) {
  if (!edits(kind, layer)) return;
  team_.barrier();
  if (team_.thread() == 0 && !pass_.stopped && !pass_.editor->change(kind, layer, data, rows, columns, stride))
    pass_.stopped = true;
  team_.barrier();
}

void Walk::normalise(const Norm& norm, const float* x, float* y) const {
  if (c_.rms)
    k_.rms_norm(x, c_.d_model, norm.weight, c_.norm_eps, y);
  else
    k_.layer_norm(x, c_.d_model, norm.weight, norm.bias, c_.norm_eps, y);
}

void Walk::embed() {
  const Weights& w = pass_.weights;
  const Capture none, &show = pass_.capture ? *pass_.capture : none;
  team_.share(pass_.tokens(), 8, [&](int first, int last) {
    for (int i = first; i < last; ++i) {
      float* x = s_.x.row(i);
      k_.unpack_row(w.tokens, pass_.ids[std::size_t(i)], x);
      for (int j = 0; j < c_.d_model; ++j) x[j] *= c_.embedding_scale;
    }
  });
  const auto add_row = [&](const Table& table, int row, float* x) -> const float* {
    if (table.data == nullptr) return nullptr;
    const float* from = table.data + std::size_t(row) * std::size_t(table.columns);
    for (int j = 0; j < c_.d_model; ++j) x[j] += from[j];
    return from;
  };
  team_.share(int(pass_.sequences.size()), 1, [&](int first, int last) {
    for (int r = first; r < last; ++r) {
      const Sequence& sequence = pass_.sequences[std::size_t(r)];
      for (int t = 0; t < sequence.count; ++t) {
        float* x = s_.x.row(sequence.first + t);
        record_row(show.tokens, x, t);
        const float* position = add_row(pass_.positions.added, sequence.start + t, x);
        if (position) record_row(show.positions, position, t);
        add_row(w.token_types, pass_.types.empty() ? 0 : pass_.types[std::size_t(sequence.first + t)], x);
        record_row(show.sum, x, t);
        if (c_.embedding_norm) normalise(w.embedding_norm, x, x);
      }
    }
  });
  edit("embed.output", -1, s_.x.row(0), pass_.tokens(), c_.d_model, s_.x.stride());
  record(show.embedded, s_.x.row(0), s_.x.stride(), c_.d_model);
}

bool Walk::stack(const Stack& stack) {
  for (int layer = 0; layer < int(stack.layers.size()); ++layer)
    if (!block(stack, stack.layers[std::size_t(layer)], layer)) return false;
  return true;
}

void Walk::finish(const Stack& stack, const std::vector<int>& tokens, float* out, std::size_t stride) {
  team_.share(int(tokens.size()), 4, [&](int first, int last) {
    for (int i = first; i < last; ++i) {
      const float* x = s_.x.row(tokens[std::size_t(i)]);
      float* y = out + stride * std::size_t(i);
      if (c_.pre)
        normalise(stack.norm, x, y);
      else
        std::copy_n(x, stride, y);
    }
  });
}

bool Walk::block(const Stack& stack, const Block& block, int layer) {
  if (team_.thread() == 0 && !pass_.stopped && pass_.interrupted && pass_.interrupted()) pass_.stopped = true;
  layer_ = layer;
  const int rows = pass_.tokens();
  captured_ = pass_.capture ? &pass_.capture->layers[std::size_t(layer)] : &nothing_;
  edit("input", layer, s_.x.row(0), rows, c_.d_model, s_.x.stride());
  record(captured_->input, s_.x.row(0), s_.x.stride(), c_.d_model);
  self_attention(stack, block);
  if (pass_.stopped) return false;
  if (stack.cross) cross_attention(block);
  if (can_fuse(block)) {
    fused_mlp(block);
  } else {
    if (!c_.parallel) mlp_inputs(block);
    mlp_output(block);
  }
  edit("output", layer, s_.x.row(0), rows, c_.d_model, s_.x.stride());
  record(captured_->output, s_.x.row(0), s_.x.stride(), c_.d_model);
  return true;
}

void Walk::self_attention(const Stack& stack, const Block& block) {
  const Attention& a = block.attention;
  const Step x = normed(block.attention_norm);
  const Product q = product(a.query, s_.query), k = product(a.key, s_.key), v = values(a.value, s_.value, stack.causal);
  const Product up = product(block.up, s_.up), gate = product(block.gate, s_.gate);
  if (!c_.parallel)
    products(x, {q, k, v});
  else if (c_.gated)
    products(x, {q, k, v, gate, up});
  else
    products(x, {q, k, v, up});
  const int pages = pass_.sequences[0].cache->pool().layers() == 1 ? 0 : layer_;  // one layer's pages serve all in turn
  place(pages);
  attend(view(false, stack.causal, pages));
  add({s_.heads.row(0), s_.heads.stride(), pass_.tokens(), c_.n_heads * c_.head_dim}, a.output, "attention.output",
      captured_->attention.output);
  settle(block.attention_norm);
}

void Walk::cross_attention(const Block& block) {
  const Attention& a = block.cross_attention;
  const int width = c_.n_heads * c_.head_dim;
  products(normed(block.cross_attention_norm), {product(a.query, s_.query)});
  edit("cross_attention.query", layer_, s_.query.row(0), pass_.tokens(), width, s_.query.stride());
  attend(view(true, false, layer_));
  add({s_.heads.row(0), s_.heads.stride(), pass_.tokens(), width}, a.output, "cross_attention.output",
      captured_->cross_attention.output);
  settle(block.cross_attention_norm);
}

void Walk::mlp_inputs(const Block& block) {
  const Step x = normed(block.mlp_norm);
  if (c_.gated)
    products(x, {product(block.gate, s_.gate), product(block.up, s_.up)});
  else
    products(x, {product(block.up, s_.up)});
}

void Walk::mlp_output(const Block& block) {
  Rows& from = c_.gated ? s_.gate : s_.up;
  const int rows = pass_.tokens();
  float* const shown = captured_->hidden;
  Step step{from.row(0), from.stride(), rows, c_.d_ff, nullptr, c_.activation, c_.gated ? s_.up.row(0) : nullptr, &from,
            shown != nullptr};
  if (edits("mlp.hidden", layer_)) {  // then the activation is a step of its own
    team_.share(rows, 4, [&](int first, int last) {
      for (int i = first; i < last; ++i) prepare_row(step, i, from, i);
    });
    edit("mlp.hidden", layer_, from.row(0), rows, c_.d_ff, from.stride());
    record(shown, from.row(0), from.stride(), c_.d_ff);
    step = Step{from.row(0), from.stride(), rows, c_.d_ff};
  }
  add(step, block.down, "mlp.output", captured_->mlp_output);
  if (shown && step.kept) {
    const Rows& hidden = rows == 1 ? s_.own[0].floats : from;
    record(shown, hidden.row(0), hidden.stride(), c_.d_ff);
    team_.barrier();
  }
  if (!c_.parallel) settle(block.mlp_norm);
}

bool Walk::can_fuse(const Block& block) const {
  const int rows = pass_.tokens();
  const Matrix &up = block.up.matrix, &gate = c_.gated ? block.gate.matrix : up;
  const bool alike = up.format == gate.format && up.minima == gate.minima && up.group == gate.group;
  const bool in_tiles = kind(up, rows) == halves && kind(block.down.matrix, rows) == halves;
  return rows > 1 && alike && !c_.parallel && captured_->hidden == nullptr && !edits("mlp.hidden", layer_) &&
         (!k_.has_tiles || (rows >= k_.fewest_for_halves && in_tiles));
}

void Walk::fused_mlp(const Block& block) {
  constexpr int strip = strip_columns / lanes;
  const int rows = pass_.tokens();
  const Linear& main = c_.gated ? block.gate : block.up;
  const Kinds taken = kind(block.down.matrix, rows);
  Activated a{&main.matrix, nullptr, main.bias, nullptr, c_.activation};
  if (c_.gated) a.factor = &block.up.matrix, a.factor_bias = block.up.bias;
  if (taken == 0)
    a.floats = s_.gate.row(0), a.stride = s_.gate.stride();
  else
    s_.hidden.receive(a, block.down.matrix, taken);
  const Kinds given = kind(main.matrix, rows);
  const Prepared x = prepare(normed(block.mlp_norm), given, given == 0);
  const int blocks = main.matrix.blocks(), strips = (blocks + strip - 1) / strip;
  team_.share(strips, std::max(1, strips / (team_.size() * 8)), [&](int first, int last) {
    k_.multiply_activated(x.inputs->operand(main.matrix, given, x.floats, x.stride), rows, a, first * strip,
                          std::min(blocks, last * strip), team_.workspace());
  });
  add(Prepared{&s_.hidden, s_.gate.row(0), s_.gate.stride(), rows}, block.down, "mlp.output", captured_->mlp_output);
  settle(block.mlp_norm);
}

Walk::Step Walk::normed(const Norm& norm) {
  Step step{s_.x.row(0), s_.x.stride(), pass_.tokens(), c_.d_model};
  if (c_.pre) {
    step.norm = &norm;
    step.to = &s_.normed;
  }
  return step;
}

void Walk::settle(const Norm& norm) {
  if (c_.pre) return;
  team_.share(pass_.tokens(), 4, [&](int first, int last) {
    for (int i = first; i < last; ++i) normalise(norm, s_.x.row(i), s_.x.row(i));
  });
}

void Walk::add(const Step& step, const Linear& linear, const char* kind, float* captured) {
  const Kinds own = kind_of(linear.matrix, step.rows, k_);
  add(prepare(step, own, own == 0), linear, kind, captured);
}

void Walk::add(const Prepared& x, const Linear& linear, const char* kind, float* captured) {
  Product sum = product(linear, s_.x);
  sum.add = true;
  if (captured == nullptr && !edits(kind, layer_)) return multiply(x, {sum});
  // Shown by itself first. The sum is the same: a product's bias is added to it before it is added to x.
  multiply(x, {product(linear, s_.added)});
  edit(kind, layer_, s_.added.row(0), pass_.tokens(), c_.d_model, s_.added.stride());
  record(captured, s_.added.row(0), s_.added.stride(), c_.d_model);
  team_.share(pass_.tokens(), 4, [&](int first, int last) {
    for (int i = first; i < last; ++i)
      for (int j = 0; j < c_.d_model; ++j) s_.x.row(i)[j] += s_.added.row(i)[j];
  });
}

// Row `row` of a step: as it is, or normed or activated into row `place` of `to`.
const float* Walk::prepare_row(const Step& step, int row, Rows& to, int place) const {
  const float* x = step.x + step.stride * std::size_t(row);
  if (!step.norm && step.activation == Activation::none) return x;
  float* y = to.row(place);
  if (step.norm)
    normalise(*step.norm, x, y);
  else
    k_.activate(step.activation, x, step.up ? step.up + step.stride * std::size_t(row) : nullptr,
                round_up(std::size_t(step.columns), std::size_t(column_unit)), y);
  return y;
}

// The rows of a step in `kinds`, and as floats if a product takes those.
Walk::Prepared Walk::prepare(const Step& step, Kinds kinds, bool floats) {
  Scratch::Own& own = s_.own[std::size_t(team_.thread())];
  // A single row is prepared by every thread for itself, which is quicker than waiting for one that does it for all.
  if (step.rows == 1) {
    const float* x = prepare_row(step, 0, own.floats, 0);
    own.inputs.convert(k_, x, 0, step.columns, kinds);
    return {&own.inputs, x, 0, 1};
  }
  const bool kept = step.to && (floats || step.kept);  // else a row is gone when it is converted
  team_.share(step.rows, 4, [&](int first, int last) {
    for (int i = first; i < last; ++i)
      s_.inputs.convert(k_, prepare_row(step, i, kept ? *step.to : own.floats, kept ? i : 0), i, step.columns, kinds);
  });
  return {&s_.inputs, kept ? step.to->row(0) : step.x, kept ? step.to->stride() : step.stride, step.rows};
}

void Walk::products(const Step& step, std::initializer_list<Product> products) {
  Kinds kinds = 0;
  bool floats = false;
  for (const Product& p : products) {
    const Kinds own = kind(*p.matrix, step.rows);
    kinds |= own | (p.fine ? remainder_of(own) : 0);
    floats |= own == 0;
  }
  multiply(prepare(step, kinds, floats), products);
}

void Walk::multiply(const Prepared& x, std::initializer_list<Product> products) {
  int blocks = 0;
  for (const Product& p : products) blocks += p.matrix->blocks();
  team_.share(blocks, chunk_of(blocks, x.rows, team_.size()), [&](int first, int last) {
    for (const Product& p : products) {
      const int n = p.matrix->blocks();
      const int from = std::max(first, 0), to = std::min(last, n);
      first -= n;
      last -= n;
      if (from >= to) continue;
      const Kinds own = kind(*p.matrix, x.rows);
      k_.multiply(x.inputs->operand(*p.matrix, own, x.floats, x.stride), 0, x.rows, p, from, to, team_.workspace());
      if (!p.fine || !remainder_of(own)) continue;
      const Product rest{p.matrix, nullptr, p.out, p.stride, true, false};
      k_.multiply(x.inputs->remainder(*p.matrix), 0, x.rows, rest, from, to, team_.workspace());
    }
  });
}

// Tokens in sixteens: two threads must not write to one page.
template <class Each>
void Walk::each_token(Each&& each) {
  if (pass_.sequences.size() == 1) {
    const Sequence& sequence = pass_.sequences[0];
    const int before = sequence.start % page_keys;
    return team_.share((before + sequence.count + page_keys - 1) / page_keys, 1, [&](int first, int last) {
      for (int t = std::max(0, first * page_keys - before); t < std::min(sequence.count, last * page_keys - before); ++t)
        each(sequence, t);
    });
  }
  team_.share(int(pass_.sequences.size()), 1, [&](int first, int last) {
    for (int r = first; r < last; ++r)
      for (int t = 0; t < pass_.sequences[std::size_t(r)].count; ++t) each(pass_.sequences[std::size_t(r)], t);
  });
}

void Walk::place(int pages_layer) {
  const Table &cosines = pass_.positions.cosines, &sines = pass_.positions.sines;
  const int D = c_.head_dim;
  const auto turn = [&](const Sequence& sequence, int t) {
    if (!cosines.data) return;
    const int row = sequence.first + t;
    const std::size_t at = std::size_t(sequence.start + t) * std::size_t(cosines.columns);
    for (int h = 0; h < c_.n_heads; ++h) k_.rotate(s_.query.row(row) + h * D, D, cosines.data + at, sines.data + at);
    for (int h = 0; h < c_.n_kv_heads; ++h) k_.rotate(s_.key.row(row) + h * D, D, cosines.data + at, sines.data + at);
  };
  const auto store = [&](const Sequence& sequence, int t) {
    const int position = sequence.start + t;
    const PagePool& pool = sequence.cache->pool();
    for (int h = 0; h < c_.n_kv_heads; ++h) {
      const PageView pages = pool.view(sequence.cache->table(sequence.cache_row).data(), pages_layer, h);
      k_.store(pool.shape(), pages[position / page_keys], position % page_keys, s_.key.row(sequence.first + t) + h * D,
               s_.value.row(sequence.first + t) + h * D);
    }
  };
  if (pass_.editor == nullptr)
    return each_token([&](const Sequence& sequence, int t) { turn(sequence, t), store(sequence, t); });
  each_token(turn);
  const int rows = pass_.tokens(), kv_width = c_.n_kv_heads * D;
  edit("attention.query", layer_, s_.query.row(0), rows, c_.n_heads * D, s_.query.stride());
  edit("attention.key", layer_, s_.key.row(0), rows, kv_width, s_.key.stride());
  edit("attention.value", layer_, s_.value.row(0), rows, kv_width, s_.value.stride());
  each_token(store);
}

}  // namespace clearhead
