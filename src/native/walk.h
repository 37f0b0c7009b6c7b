// How one thread of a team walks through a pass. The methods are the steps of `model/block.py`; every thread enters each
// of them, and unless one says otherwise its results are complete, for all threads, when it returns.
#pragma once

#include <initializer_list>

#include "pass.h"

namespace clearhead {

class Walk {
 public:
  Walk(Team& team, Pass& pass)
      : team_(team), pass_(pass), c_(pass.weights.config), k_(pass.kernels), s_(pass.scratch) {}

  void embed();
  bool stack(const Stack& stack);  // false if the pass was interrupted
  // out[i] = the last norm of x[tokens[i]], or x itself where norms come after.
  void finish(const Stack& stack, const std::vector<int>& tokens, float* out, std::size_t stride);
  void normalise(const Norm& norm, const float* x, float* y) const;  // one row

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
  void self_attention(const Stack& stack, const Block& block, int layer);
  void cross_attention(const Block& block, int layer);
  void mlp_inputs(const Block& block);
  void mlp_output(const Block& block);
  bool can_fuse(const Block& block) const;
  void fused_mlp(const Block& block);  // both, with the activation on the way: nothing between them is written as floats
  void place(int layer);  // turns queries and keys by their angles, and puts keys and values in their pages

  Step normed(const Norm& norm);  // x for a sublayer: through its norm, where norms come before
  void add(const Step& step, const Linear& linear, float* captured);  // x += what a sublayer gives
  void add(const Prepared& x, const Linear& linear, float* captured);
  void settle(const Norm& norm);  // x = norm(x), where norms come after
  Prepared prepare(const Step& step, Kinds kinds, bool floats);
  const float* prepare_row(const Step& step, int row, Rows& to, int place) const;
  void multiply(const Prepared& x, std::initializer_list<Product> products);
  Kinds kind(const Matrix& matrix, int rows) const { return kind_of(matrix, rows, k_); }

  // attending.cpp
  struct View {  // of one attention module
    bool cross = false, causal = false;
    int layer = 0;  // of the pages
    Capture::Attending capture;
  };
  void attend(const View& view);
  int keys(const Unit& unit, const View& view) const;
  void attend_part(const Unit& unit, const View& view, int part, float* largest, float* total, float* mixed);
  void merge_parts(const Unit& unit, const View& view, const float* largest, const float* total, const float* mixed);
  void point(const Unit& unit, const View& view);
  void record_heads(const View& view);

  // Copies rows for the trace; by one thread, complete at the next barrier.
  void record(float* to, const float* from, std::size_t stride, int columns) const;
  Capture::Attending chosen(const Capture::Attending& all, int keys) const;  // of the layer under way
  float* chosen(float* all, std::size_t size) const;

  Team& team_;
  Pass& pass_;
  const Config& c_;
  const Kernels& k_;
  Scratch& s_;
  int captured_layer_ = -1;  // among the chosen; -1: this layer is not recorded
};

}  // namespace clearhead
