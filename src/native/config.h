// One Transformer as data: the fields of Python's ModelConfig that the computation reads, and its weights by place.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "buffer.h"
#include "kernels.h"

namespace clearhead {

struct Config {
  int vocab_size = 0, d_model = 0, d_ff = 0, n_heads = 0, n_kv_heads = 0, head_dim = 0;
  int n_encoder_layers = 0, n_decoder_layers = 0;
  bool rms = false, pre = true, parallel = false, gated = false;
  float norm_eps = 0, score_scale = 1, embedding_scale = 1, logit_scale = 1;
  bool rotary = false, embedding_norm = false, pooler = false, tied = true;
  Activation activation = Activation::gelu;
  enum class Head : std::uint8_t { none, lm, mlm, token_labels, sequence_labels } head = Head::lm;
  int n_labels = 0;

  int logits() const { return head == Head::lm || head == Head::mlm ? vocab_size : n_labels; }
};

struct Norm {
  const float *weight = nullptr, *bias = nullptr;
};

struct Linear {
  Matrix matrix;
  const float* bias = nullptr;
};

struct Attention {
  Linear query, key, value, output;
};

struct Block {
  Norm attention_norm, cross_attention_norm, mlp_norm;
  Attention attention, cross_attention;
  Linear gate, up, down;
};

struct Stack {
  std::vector<Block> layers;
  Norm norm;  // pre-norm models: after the last block
  bool causal = false, cross = false;
};

// A table [rows, columns] of floats, one row per token type, position or the like.
struct Table {
  const float* data = nullptr;
  int rows = 0, columns = 0;  // columns: floats from row to row
};

struct Weights {
  Config config;
  Matrix tokens;      // the embedding
  Table token_types;  // or none
  Norm embedding_norm;
  Stack encoder, decoder;
  Linear pooler, head_transform, head;
  Norm head_norm;
  std::vector<Buffer<float>> vectors;  // what the pointers above point to, but for the matrices; padded with zeros
};

// Puts matrices and vectors, named as in Python's `families/layout.py`, in their places. Vectors are copied; matrices
// stay where they are. Throws std::invalid_argument for one that is missing or of the wrong shape.
Weights gather(const Config& config, const std::map<std::string, Matrix>& matrices,
               const std::map<std::string, Table>& tables);

}  // namespace clearhead
