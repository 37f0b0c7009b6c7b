// One pass of new tokens through a stack of blocks: the block of `model/block.py`, read from the same configuration.
//
// M tokens of the call, all rows one after the other without padding; C d_model, F d_ff, H query heads, K key/value heads,
// D head_dim, T tokens and S keys of one row.
#pragma once

#include <atomic>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cache.h"
#include "config.h"
#include "inputs.h"
#include "threads.h"

namespace clearhead {

// What Python's `positions.py` makes of the formulas: one row per position or, for a score bias, per distance.
struct Positions {
  Table added;           // [positions, C]: sinusoidal or learned; or none
  Table cosines, sines;  // [positions, D / 2]: rotary; or none
  Table bias;            // [H, distances]: ALiBi or relative; or none. Readable 16 floats beyond its end
  int origin = 0;        // bias[h][key - query + origin]
};

// One row of the call.
struct Sequence {
  int first = 0, count = 0;       // its tokens are first .. first + count - 1 of the call
  int start = 0;                  // their first position
  const Cache* cache = nullptr;   // keys and values of its positions so far, with pages for the new ones
  int cache_row = 0;
  const Cache* memory = nullptr;  // keys and values of the encoder's output, for cross-attention
  int memory_row = 0;

  int keys() const { return start + count; }
};

// What one thread attends at a time: one key/value head for some tokens of a row.
struct Unit {
  int sequence = 0, kv_head = 0;
  int first = 0, count = 0;  // among the row's new tokens
};
std::vector<Unit> units_of(const std::vector<Sequence>& sequences, const Config& config);

// Where a trace keeps what passes show. Its arrays hold the rows of a whole run; this pass brings those from `row` on.
struct Capture {
  struct Attending {
    float* weights = nullptr;                                        // [chosen heads, rows, keys]
    float *query = nullptr, *heads = nullptr;                        // [chosen heads, rows, D]
    float *key = nullptr, *value = nullptr;                          // [K, keys, D]
    float* output = nullptr;                                         // [rows, C]
  };
  struct Layer {
    Attending attention, cross_attention;
    float *input = nullptr, *output = nullptr, *mlp_output = nullptr;  // [rows, C]
    float* hidden = nullptr;                                         // [rows, F]
  };
  std::vector<int> heads;                                            // chosen, ascending
  std::vector<Layer> layers;
  float *tokens = nullptr, *positions = nullptr, *sum = nullptr;     // [rows, C], of the embedding
  float *embedded = nullptr, *last = nullptr;                        // [rows, C]: after it, and after the last norm
  int rows = 0, keys = 0, memory = 0;                                // that the arrays have room for
  int row = 0;                                                       // of the pass's first token
  int first_key = 0;                                                 // those before it were kept by earlier passes
};

// Changes what a pass computes on its way, at places that someone asked for. `change` gets rows of floats in place, and
// says whether the pass may go on.
struct Editor {
  std::set<std::pair<std::string, int>> places;                      // kind and layer, -1 for those of a whole stack
  std::function<bool(const char* kind, int layer, float* data, int rows, int columns, std::size_t stride)> change;
};

// What a pass works in, kept from pass to pass.
struct Scratch {
  Rows x, normed, query, key, value, heads, gate, up, added;
  Inputs inputs, hidden;  // hidden: of an MLP that was activated on the way
  struct Own {  // of one thread
    Rows floats;
    Inputs inputs;
    std::vector<const float*> queries, biases;
    std::vector<float*> outputs, scores;
    std::vector<int> limits, keys;
    Buffer<float> largest, total, mixed;
  };
  std::vector<Own> own;
  Buffer<float> largest, total, mixed;  // parts of one attention that several threads work on
  Buffer<float> weights;                // [H, T, S] of one attention that is being edited
  std::vector<int> every_head;          // 0 .. H - 1
};

// The work of a call: everything the threads of a team share while they walk through it.
struct Pass {
  const Weights& weights;
  const Kernels& kernels;
  Scratch& scratch;
  const Positions& positions;
  std::vector<Sequence> sequences;
  std::vector<Unit> units;                    // of attention
  std::vector<int> ids, types;                // [M]; types may be empty: all of type 0
  const Capture* capture = nullptr;
  const Editor* editor = nullptr;
  std::function<bool()> interrupted;          // asked once a layer, by one thread
  std::atomic<bool> stopped = false;          // it said yes: the pass ended early and its results mean nothing

  int tokens() const { return int(ids.size()); }
};

// Every thread of a team calls one of these with the same pass.

// The decoder, and the head over the tokens `wanted` [W]: logits [W, stride].
void decode(Team& team, Pass& pass, const std::vector<int>& wanted, float* logits, std::size_t stride);
// The encoder; states [M, stride].
void encode(Team& team, Pass& pass, float* states, std::size_t stride);
// What cross-attention reads: keys and values of the encoder's states [M, stride], for every layer of the decoder, into
// the rows of `memory` that the pass's sequences name.
void project_memory(Team& team, Pass& pass, const float* states, std::size_t stride, Cache& memory);
// An encoder's head over states [M, stride]: logits [M, out_stride].
void head(Team& team, Pass& pass, const float* states, std::size_t stride, int rows, float* logits,
          std::size_t out_stride);
// The last norm of the model, where norms come first, and the head over states [rows, stride]: logits [rows, out_stride].
void read(Team& team, Pass& pass, const Stack& stack, const float* states, std::size_t stride, int rows, float* logits,
          std::size_t out_stride);
// The pooler over states [rows, stride]: tanh of a dense layer [rows, out_stride].
void pool(Team& team, Pass& pass, const float* states, std::size_t stride, int rows, float* out,
          std::size_t out_stride);

}  // namespace clearhead
