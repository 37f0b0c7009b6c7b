// How one thread of a team walks through a pass. The methods are the steps of `model/block.py`; every thread enters each
// of them, and unless one says otherwise its results are complete, for all threads, when it returns.
#pragma once

#include <initializer_list>

#include "pass.h"

namespace clearhead {

inline Product product(const Linear& linear, Rows& to) { return {&linear.matrix, linear.bias, to.row(0), to.stride(), false}; }

// A projection to values. Below a decoder's first token, which attention falls back to, lie activations hundreds of times
// larger than the rest and values near zero, their difference: rounding to bytes alone would disturb them, and through
// them every token (Sun et al. 2024, 2402.17762). Within an encoder it is not worth its cost (docs/log.md).
inline Product values(const Linear& linear, Rows& to, bool fine = true) {
  Product p = product(linear, to);
  p.fine = fine;
  return p;
}

class Walk {
 public:
  Walk(Team& team, Pass& pass)
      : team_(team), pass_(pass), c_(pass.weights.config), k_(pass.kernels), s_(pass.scratch) {}

  void embed();
  bool stack(const Stack& stack);  // false if the pass was interrupted
  // out[i] = the last norm of x[tokens[i]], or x itself where norms come after.
  void finish(const Stack& stack, const std::vector<int>& tokens, float* out, std::size_t stride);
  void normalise(const Norm& norm, const float* x, float* y) const;  // one row
  // Lets the editor change rows in place, if it asked for this place. Every thread waits.
  void edit(const char* kind, int layer, float* data, int rows, int columns, std::size_t stride);
  bool edits(const char* kind, int layer) const;

  // Floats [rows, columns] on their way to a product: as they are, normed, or activated (and multiplied by `up`).
  struct Step {
    const float* x = nullptr;
    std::size_t stride = 0;
    int rows = 0, columns = 0;
    const Norm* norm = nullptr;
    Activation activation = Activation::none;
    const float* up = nullptr;
    Rows* to = nullptr;  // where the normed or activated rows go
    bool kept = false;   // they are looked at afterwards
  };
  void products(const Step& step, std::initializer_list<Product> products);

 private:
  struct Prepared {  // rows on their way to a product, in the types it takes
    const Inputs* inputs;
    const float* floats;
    std::size_t stride;
    int rows;
  };

  bool block(const Stack& stack, const Block& block, int layer);
  void self_attention(const Stack& stack, const Block& block);
  void cross_attention(const Block& block);
  void mlp_inputs(const Block& block);
  void mlp_output(const Block& block);
  bool can_fuse(const Block& block) const;
  void fused_mlp(const Block& block);  // both, with the activation on the way: nothing between them is written as floats
  void place(int pages);  // turns queries and keys by their angles, and puts keys and values in their pages

  Step normed(const Norm& norm);  // x for a sublayer: through its norm, where norms come before
  // x += what a sublayer gives, which is what this place shows
  void add(const Step& step, const Linear& linear, const char* kind, float* captured);
  void add(const Prepared& x, const Linear& linear, const char* kind, float* captured);
  void settle(const Norm& norm);  // x = norm(x), where norms come after
  Prepared prepare(const Step& step, Kinds kinds, bool floats);
  const float* prepare_row(const Step& step, int row, Rows& to, int place) const;
  void multiply(const Prepared& x, std::initializer_list<Product> products);
  Kinds kind(const Matrix& matrix, int rows) const { return kind_of(matrix, rows, k_); }

  // attending.cpp
  struct View {  // of one attention module
    bool cross = false, causal = false;
    int layer = 0;  // of the model
    int pages = 0;  // that layer's place in the cache
    Capture::Attending capture;
    // Where weights go, if anywhere: [heads, rows, keys] with these steps, of the heads that `heads` lists, from `row` on.
    float* weights = nullptr;
    const std::vector<int>* heads = nullptr;
    std::size_t head_step = 0, row_step = 0;
    int row = 0;

    const char* name(const char* own, const char* across) const { return cross ? across : own; }
  };
  View view(bool cross, bool causal, int pages);
  template <class Each>
  void each_token(Each&& each);  // of the call, in parts that no two threads share a page of
  void attend(const View& view);
  int keys(const Unit& unit, const View& view) const;
  void attend_part(const Unit& unit, const View& view, int part, float* largest, float* total, float* mixed);
  void merge_parts(const Unit& unit, const View& view, const float* largest, const float* total, const float* mixed);
  void point(const Unit& unit, const View& view);
  int all_keys(const View& view) const;  // that the one row which is looked at has
  void edit_weights(const View& view);   // and what follows from them
  void mix(const View& view);            // the sum of values that weights [H, T, S] make
  void record_heads(const View& view);

  // Copies rows for the trace; by one thread, complete at the next barrier.
  void record(float* to, const float* from, std::size_t stride, int columns) const;
  void record_row(float* to, const float* from, int token) const;  // [C], by whoever calls

  Team& team_;
  Pass& pass_;
  const Config& c_;
  const Kernels& k_;
  Scratch& s_;
  int layer_ = 0;                                   // under way
  static const Capture::Layer nothing_;
  const Capture::Layer* captured_ = &nothing_;     // what is recorded of it
};

}  // namespace clearhead
