// The calls of pass.h: what each walks through, from embedding to head.
#include "pass.h"

#include <algorithm>
#include <cmath>

#include "walk.h"

namespace clearhead {

namespace {

// The last norm of the wanted tokens and, for a trace, of all. An editor sees them only if all are wanted.
void finish(Walk& walk, Team& team, Pass& pass, const Stack& stack, const std::vector<int>& tokens, float* out,
            std::size_t stride) {
  const int C = pass.weights.config.d_model, all = pass.tokens();
  walk.finish(stack, tokens, out, stride);
  if (int(tokens.size()) == all) walk.edit("last", -1, out, all, C, stride);
  if (pass.capture == nullptr || pass.capture->last == nullptr) return;
  Rows& own = pass.scratch.own[0].floats;
  for (int i = 0; team.thread() == 0 && i < all; ++i) {
    const float* x = out + stride * std::size_t(i);
    if (int(tokens.size()) < all) {
      x = pass.scratch.x.row(i);
      if (pass.weights.config.pre) walk.normalise(stack.norm, x, own.row(0)), x = own.row(0);
    }
    std::copy_n(x, C, pass.capture->last + std::size_t(pass.capture->row + i) * std::size_t(C));
  }
  team.barrier();  // the head may scale them in place
}

void apply(Team& team, int rows, const std::function<void(int)>& each) {
  team.share(rows, 4, [&](int first, int last) {
    for (int i = first; i < last; ++i) each(i);
  });
}

// x [rows, stride] -> logits: what the head's projection gives, with its input scaled in place.
void project(Walk& walk, Team& team, Pass& pass, float* x, std::size_t stride, int rows, float* logits,
             std::size_t out_stride) {
  const Config& c = pass.weights.config;
  const bool scaled = c.logit_scale != 1 && (c.head == Config::Head::lm || c.head == Config::Head::mlm);
  if (scaled)
    apply(team, rows, [&](int i) {
      for (int j = 0; j < c.d_model; ++j) x[stride * std::size_t(i) + std::size_t(j)] *= c.logit_scale;
    });
  walk.products({x, stride, rows, c.d_model}, {{&pass.weights.head.matrix, pass.weights.head.bias, logits, out_stride, false}});
}

}  // namespace

void decode(Team& team, Pass& pass, const std::vector<int>& wanted, float* logits, std::size_t stride) {
  Walk walk(team, pass);
  walk.embed();
  if (!walk.stack(pass.weights.decoder) || wanted.empty()) return;
  Rows& last = pass.scratch.normed;
  finish(walk, team, pass, pass.weights.decoder, wanted, last.row(0), last.stride());
  project(walk, team, pass, last.row(0), last.stride(), int(wanted.size()), logits, stride);
}

void encode(Team& team, Pass& pass, float* states, std::size_t stride) {
  Walk walk(team, pass);
  walk.embed();
  if (!walk.stack(pass.weights.encoder)) return;
  std::vector<int> all(std::size_t(pass.tokens()));
  for (int i = 0; i < pass.tokens(); ++i) all[std::size_t(i)] = i;
  finish(walk, team, pass, pass.weights.encoder, all, states, stride);
}

void project_memory(Team& team, Pass& pass, const float* states, std::size_t stride, Cache& memory) {
  Walk walk(team, pass);
  const Config& c = pass.weights.config;
  Scratch& s = pass.scratch;
  for (int layer = 0; layer < c.n_decoder_layers; ++layer) {
    const Attention& a = pass.weights.decoder.layers[std::size_t(layer)].cross_attention;
    walk.products({states, stride, pass.tokens(), c.d_model}, {product(a.key, s.key), values(a.value, s.value)});
    const int width = c.n_kv_heads * c.head_dim;
    walk.edit("cross_attention.key", layer, s.key.row(0), pass.tokens(), width, s.key.stride());
    walk.edit("cross_attention.value", layer, s.value.row(0), pass.tokens(), width, s.value.stride());
    apply(team, int(pass.sequences.size()), [&](int r) {
      const Sequence& sequence = pass.sequences[std::size_t(r)];
      for (int t = 0; t < sequence.count; ++t)
        for (int h = 0; h < c.n_kv_heads; ++h) {
          const PageView pages = memory.pool().view(memory.table(sequence.memory_row).data(), layer, h);
          pass.kernels.store(memory.pool().shape(), pages[t / page_keys], t % page_keys,
                             s.key.row(sequence.first + t) + h * c.head_dim,
                             s.value.row(sequence.first + t) + h * c.head_dim);
        }
    });
  }
}

void read(Team& team, Pass& pass, const Stack& stack, const float* states, std::size_t stride, int rows, float* logits,
          std::size_t out_stride) {
  Walk walk(team, pass);
  Rows& x = pass.scratch.normed;
  apply(team, rows, [&](int i) {
    const float* from = states + stride * std::size_t(i);
    if (pass.weights.config.pre)
      walk.normalise(stack.norm, from, x.row(i));
    else
      std::copy_n(from, pass.weights.config.d_model, x.row(i));
  });
  head(team, pass, x.row(0), x.stride(), rows, logits, out_stride);
}

void pool(Team& team, Pass& pass, const float* states, std::size_t stride, int rows, float* out,
          std::size_t out_stride) {
  Walk walk(team, pass);
  const Weights& w = pass.weights;
  walk.products({states, stride, rows, w.config.d_model}, {{&w.pooler.matrix, w.pooler.bias, out, out_stride, false}});
  apply(team, rows, [&](int i) {
    for (int j = 0; j < w.config.d_model; ++j) {
      float& y = out[out_stride * std::size_t(i) + std::size_t(j)];
      y = std::tanh(y);
    }
  });
}

void head(Team& team, Pass& pass, const float* states, std::size_t stride, int rows, float* logits,
          std::size_t out_stride) {
  Walk walk(team, pass);
  const Weights& w = pass.weights;
  Rows& x = pass.scratch.x;
  if (w.config.head != Config::Head::mlm) {
    apply(team, rows, [&](int i) { std::copy_n(states + stride * std::size_t(i), std::min(stride, x.stride()), x.row(i)); });
  } else {
    walk.products({states, stride, rows, w.config.d_model}, {product(w.head_transform, x)});
    apply(team, rows, [&](int i) {
      pass.kernels.activate(w.config.activation, x.row(i), nullptr, x.stride(), x.row(i));
      walk.normalise(w.head_norm, x.row(i), x.row(i));
    });
  }
  project(walk, team, pass, x.row(0), x.stride(), rows, logits, out_stride);
}

}  // namespace clearhead
