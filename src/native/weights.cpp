#include <stdexcept>

#include "config.h"

namespace clearhead {

namespace {

// Takes weights by name and checks their shapes.
class Gatherer {
 public:
  Gatherer(Weights& weights, const std::map<std::string, Matrix>& matrices, const std::map<std::string, Table>& tables)
      : weights_(weights), matrices_(matrices), tables_(tables) {}

  Matrix matrix(const std::string& name, int rows, int columns) const {
    const auto found = matrices_.find(name);
    if (found == matrices_.end()) throw std::invalid_argument("the packed weights lack " + name);
    if (found->second.rows != rows || found->second.columns != columns) wrong(name);
    return found->second;
  }

  const float* vector(const std::string& name, int size) {
    const Table found = table(name);
    if (found.rows != 1 || found.columns != size) wrong(name);
    return keep(found.data, std::size_t(size));
  }

  const float* optional(const std::string& name, int size) {
    return tables_.contains(name) ? vector(name, size) : nullptr;
  }

  Table table(const std::string& name) const {
    const auto found = tables_.find(name);
    if (found == tables_.end()) throw std::invalid_argument("the packed weights lack " + name);
    return found->second;
  }

  Table kept(const std::string& name, int rows, int columns) {
    Table found = table(name);
    if (found.rows != rows || found.columns != columns) wrong(name);
    found.data = keep(found.data, std::size_t(rows) * std::size_t(columns));
    return found;
  }

  Linear linear(const std::string& path, int rows, int columns) {
    return {matrix(path + ".weight", rows, columns), optional(path + ".bias", rows)};
  }

  Norm norm(const std::string& path, int size) {
    return {vector(path + ".weight", size), optional(path + ".bias", size)};
  }

 private:
  [[noreturn]] static void wrong(const std::string& name) {
    throw std::invalid_argument("the packed weights hold " + name + " in a shape that the configuration does not have");
  }

  const float* keep(const float* values, std::size_t size) {
    weights_.vectors.emplace_back(values, size);
    return weights_.vectors.back().data();
  }

  Weights& weights_;
  const std::map<std::string, Matrix>& matrices_;
  const std::map<std::string, Table>& tables_;
};

Attention attention(Gatherer& g, const Config& c, const std::string& path) {
  const int width = c.n_heads * c.head_dim, kv_width = c.n_kv_heads * c.head_dim;
  return {g.linear(path + ".query", width, c.d_model), g.linear(path + ".key", kv_width, c.d_model),
          g.linear(path + ".value", kv_width, c.d_model), g.linear(path + ".output", c.d_model, width)};
}

Block block(Gatherer& g, const Config& c, const std::string& path, bool cross) {
  Block b;
  b.attention_norm = g.norm(path + ".attention_norm", c.d_model);
  b.attention = attention(g, c, path + ".attention");
  if (cross) {
    b.cross_attention_norm = g.norm(path + ".cross_attention_norm", c.d_model);
    b.cross_attention = attention(g, c, path + ".cross_attention");
  }
  if (!c.parallel) b.mlp_norm = g.norm(path + ".mlp_norm", c.d_model);
  if (c.gated) b.gate = g.linear(path + ".mlp.gate", c.d_ff, c.d_model);
  b.up = g.linear(path + ".mlp.up", c.d_ff, c.d_model);
  b.down = g.linear(path + ".mlp.down", c.d_model, c.d_ff);
  return b;
}

Stack stack(Gatherer& g, const Config& c, const std::string& path, int layers, bool causal, bool cross) {
  Stack s;
  s.causal = causal;
  s.cross = cross;
  for (int i = 0; i < layers; ++i) s.layers.push_back(block(g, c, path + ".layers." + std::to_string(i), cross));
  if (c.pre && layers) s.norm = g.norm(path + ".norm", c.d_model);
  return s;
}

void head(Gatherer& g, const Config& c, Weights& w) {
  using Head = Config::Head;
  if (c.pooler) w.pooler = g.linear("pooler", c.d_model, c.d_model);
  if (c.head == Head::mlm) {
    w.head_transform = g.linear("head.transform", c.d_model, c.d_model);
    w.head_norm = g.norm("head.norm", c.d_model);
  }
  if (c.head == Head::none) return;
  const bool tied = c.tied && (c.head == Head::lm || c.head == Head::mlm);
  w.head.matrix = tied ? w.tokens : g.matrix("head.projection.weight", c.logits(), c.d_model);
  w.head.bias = g.optional("head.projection.bias", c.logits());
}

}  // namespace

Weights gather(const Config& config, const std::map<std::string, Matrix>& matrices,
               const std::map<std::string, Table>& tables) {
  Weights w;
  w.config = config;
  Gatherer g(w, matrices, tables);
  w.tokens = g.matrix("embed.tokens.weight", config.vocab_size, config.d_model);
  if (tables.contains("embed.token_types.weight"))
    w.token_types = g.kept("embed.token_types.weight", g.table("embed.token_types.weight").rows, config.d_model);
  if (config.embedding_norm) w.embedding_norm = g.norm("embed.norm", config.d_model);
  w.encoder = stack(g, config, "encoder", config.n_encoder_layers, false, false);
  w.decoder = stack(g, config, "decoder", config.n_decoder_layers, true, config.n_encoder_layers > 0);
  head(g, config, w);
  return w;
}

}  // namespace clearhead
