// What every instruction set provides. The same sources are compiled once per set (isa_*.cpp) into one such table, and
// `cpu.h` chooses a table at run time. Float buffers are padded with zeros to a multiple of 32 columns, and rows of them
// start at multiples of 64 bytes, so that kernels may read and write whole vectors.
#pragma once

#include <cstddef>
#include <cstdint>

#include "matrix.h"
#include "pages.h"
#include "training.h"

namespace clearhead {

enum class Activation : std::uint8_t { none, relu, gelu, gelu_tanh, silu };

// X [tokens, columns], in the type that the products with a matrix of some format take: float32 for f32, bfloat16 for
// bf16, and for int8 and int4 signed bytes with a scale for every token and group (value = code * scale).
struct Operand {
  const std::byte* codes = nullptr;
  std::size_t stride = 0;              // bytes from token to token
  const float* scales = nullptr;       // [tokens, groups]
  const std::int32_t* sums = nullptr;  // [tokens, groups]: the sum of a group's codes
};

// Y [tokens, rows] = X W^T + bias, stored, or added to what is there.
struct Product {
  const Matrix* matrix = nullptr;
  const float* bias = nullptr;  // [rows, padded to blocks], or none
  float* out = nullptr;
  std::size_t stride = 0;  // floats from token to token
  bool add = false;
  bool fine = false;  // activations in bytes are followed by the bytes of what they left: see inputs.h
};

inline constexpr int strip_columns = 128;  // that are activated together: whole groups of whatever size

// The activation of X W^T + bias, times X F^T + its bias where there is a factor F of W's format: [tokens, rows] in one of
// the types of an `Operand`.
struct Activated {
  const Matrix *matrix = nullptr, *factor = nullptr;
  const float *bias = nullptr, *factor_bias = nullptr;
  Activation activation = Activation::none;
  float* floats = nullptr;
  std::uint16_t* halves = nullptr;
  std::int8_t* codes = nullptr;
  std::size_t stride = 0;  // elements from token to token
  int group = 0, groups = 0;  // of the codes: columns of each, and how many
  float* scales = nullptr;
  std::int32_t* sums = nullptr;
};

// Memory that one thread works in; it grows to what was asked for and keeps its contents only within one kernel call.
class Workspace {
 public:
  Workspace() = default;
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  ~Workspace();
  std::byte* bytes(std::size_t size);  // aligned to 64

 private:
  std::byte* memory_ = nullptr;
  std::size_t size_ = 0;
};

// Queries of one sequence against the keys of one key/value head. Query i sees the keys 0 .. limits[i] - 1 that lie in
// [first_key, last_key).
struct AttentionJob {
  PageShape shape;
  PageView pages;
  float scale = 1;
  int queries = 0;
  const float* const* query = nullptr;  // [queries] of [head_dim]
  const int* limits = nullptr;          // [queries], never decreasing within the tokens of one head
  const float* const* bias = nullptr;   // [queries] or none: bias[i][key] is added; readable for whole pages
  int first_key = 0, last_key = 0;      // first_key a multiple of 16
  // For each query, with scores in units of ln 2: the largest, the sum of 2^(score - largest), and the weighted sum of
  // values (not yet divided).
  float* largest = nullptr;             // [queries]; -infinity where no key is visible
  float* total = nullptr;               // [queries]
  float* mixed = nullptr;               // [queries][padded head_dim]
  float* const* scores = nullptr;       // [queries] or none, each may be null: scores[i][key] is kept for a trace
};

inline constexpr int vocabulary_block = 128, thresholds = 8;

struct Kernels {
  const char* name;
  bool has_tiles;
  int fewest_for_halves;  // tokens, from which on products with int8 and int4 take activations in bfloat16

  // Products of tokens [first_token, last_token) with row blocks [first_block, last_block). What one token gets does not
  // depend on the others in the call, nor on how the work is cut.
  void (*multiply)(const Operand& x, int first_token, int last_token, const Product& product, int first_block,
                   int last_block, Workspace& work);
  // The first product of an MLP with its activation; block `first_block` begins a strip. Kernels that have tiles do it for
  // products of `fewest_for_halves` tokens and more, and to bfloat16.
  void (*multiply_activated)(const Operand& x, int tokens, const Activated& activated, int first_block, int last_block,
                             Workspace& work);
  // One token's activations [columns] in the operand's type; `padded` columns are written, the rest as zeros.
  // `left` [columns], or none, gets what rounding took away.
  void (*quantise)(const float* x, int padded, int group, std::int8_t* codes, float* scales, std::int32_t* sums,
                   float* left);
  void (*to_bfloat16)(const float* x, int padded, std::uint16_t* codes);
  // Row `row` of W [columns] as floats: an embedding.
  void (*unpack_row)(const Matrix& matrix, int row, float* out);

  // y = norm(x) * weight + bias over [columns]; the padding of y is set to zero. y may be x; bias may be none.
  void (*layer_norm)(const float* x, int columns, const float* weight, const float* bias, float eps, float* y);
  void (*rms_norm)(const float* x, int columns, const float* weight, float eps, float* y);
  // out = activation(x), or activation(x) * up where there is `up`; n a multiple of 16. out may be x.
  void (*activate)(Activation kind, const float* x, const float* up, std::size_t n, float* out);
  // Turn the pairs (i, i + head_dim / 2) of one head by the angles of one position: cos and sin [head_dim / 2].
  void (*rotate)(float* head, int head_dim, const float* cosines, const float* sines);

  // Keep one position's key and value [head_dim] in slot `slot` of a page.
  void (*store)(const PageShape& shape, std::byte* page, int slot, const float* key, const float* value);
  // One position's key and value [head_dim] back from a page.
  void (*load)(const PageShape& shape, const std::byte* page, int slot, float* key, float* value);
  void (*attend)(const AttentionJob& job, Workspace& work);
  // Joins `parts` partial results [parts][queries] of attend over consecutive key ranges; writes out[i] [head_dim]; and
  // turns kept scores into weights: scores[i][key] = 2^(score - largest) / total for key < keys[i]. Where nothing is visible
  // they stay -infinity.
  void (*merge)(const PageShape& shape, int parts, int queries, const float* largest, const float* total,
                const float* mixed, float* const* out, float* const* scores, const int* keys);

  // The largest of n logits; none if one of them is none, or is infinite upwards.
  float (*peak)(const float* logits, int n);
  // weights[i] = exp((logits[i] - peak) * inverse_temperature), written to the end of its block of 128; each block's sum and
  // largest.
  void (*weigh)(const float* logits, int n, float peak, float inverse_temperature, float* weights, double* sums,
                float* maxima);
  // The sum of exp(logits[i] - peak); each block's largest logit.
  double (*survey)(const float* logits, int n, float peak, float* maxima);
  // Of whole blocks of weights: sums[j] of those that reach least[j], roughly, for eight j; and each block's sum of
  // those above a limit.
  void (*sum_reaching)(const float* weights, int blocks, const float* least, float* sums);
  void (*sum_above)(const float* weights, int blocks, float above, double* sums);
  // What lies around a threshold. `narrow` adds the weights that reach `high` to `reaching`, and writes those in
  // [low, high) to `between`, which may be `weights`, in whole vectors: up to 16 more than there are. `split` gives each
  // block's sum of the former, and the indices of the latter. Both return how many lie between.
  int (*narrow)(const float* weights, int blocks, float low, float high, double& reaching, float* between);
  int (*split)(const float* weights, int blocks, float low, float high, double* sums, int* found);
  // The indices, in order, of finite logits [n] that reach `least`; how many.
  int (*find_reaching)(const float* logits, int n, float least, int* found);

  const TrainingKernels* training;  // none where torch's operations are quicker: without vectors
};

}  // namespace clearhead
