// Drawing a token from logits: temperature, top-k, top-p and min-p, then one uniform number. The readable definition, and
// what the papers call each step, is `generation/processors.py` with `sampling.py`.
#pragma once

#include <vector>

#include "kernels.h"

namespace clearhead {

struct Sampling {
  float temperature = 1;
  int top_k = 0;     // 0: all
  float top_p = 1;   // 1: all
  float min_p = 0;   // 0: all
};

// Draws tokens of vocabularies of one size after another; keeps the memory it works in.
class Sampler {
 public:
  // The token at `uniform` in [0, 1) of the distribution of logits [n]; -1 if the largest of them is not finite.
  int draw(const Kernels& kernels, const float* logits, int n, const Sampling& how, double uniform);

 private:
  void above(float least, int n);                     // candidates: the ids of weights that reach `least`
  void keep_largest(int k, int n);                    // and those equal to the smallest of them
  void keep_nucleus(double p, int n, bool chosen);    // of the candidates, or of all
  int locate(double uniform) const;          // among the candidates

  std::vector<float> weights_, maxima_, order_;
  std::vector<double> sums_;
  std::vector<int> candidates_, ends_;
};

}  // namespace clearhead
