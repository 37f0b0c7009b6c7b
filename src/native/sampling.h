// Drawing a token from logits: temperature, top-k, top-p and min-p, then one uniform number. The readable definition, and
// what the papers call each step, is `generation/processors.py` with `sampling.py`.
#pragma once

#include <vector>

#include "kernels.h"

namespace clearhead {

struct Sampling {
  double temperature = 1;
  int top_k = 0;     // 0: all
  double top_p = 1;  // 1: all
  double min_p = 0;  // 0: all
};

// Draws one token after another; keeps the memory it works in.
class Sampler {
 public:
  // The token at `uniform` in [0, 1) of the distribution of logits [n]; -1 if the largest of them is not finite.
  int draw(const Kernels& kernels, const float* logits, int n, const Sampling& how, double uniform);

 private:
  int blocks() const { return int(maxima_.size()); }
  bool kept(int i) const;
  double mass() const;  // of what is kept
  void sum_kept(const Kernels& kernels);
  // The cuts, in this order.
  void keep_largest(const Kernels& kernels, int k);
  void keep_nucleus(const Kernels& kernels, double p);
  void keep_reaching(const Kernels& kernels, double least);
  void end_nucleus(double left, int count);  // the end of keep_nucleus
  int locate(double uniform) const;

  std::vector<float> weights_, maxima_, candidates_, order_;
  std::vector<double> sums_;  // of the kept weights of each block
  // What the cuts so far have kept: weights above a limit, and some of those that equal it.
  float above_ = 0;
  std::vector<int> equals_;
  std::vector<float> between_;  // weights among which the nucleus ends
  std::vector<int> found_;      // as long as the weights; what is found fills its beginning
};

// The `count` largest of logits [n], largest first, the lowest id first among equals; fewer where there are fewer.
class Ranking {
 public:
  struct Place {
    int id;
    float logit;
  };
  // log of the sum of exp over all logits; none if the largest of them is not finite. Places leave out the ids that are
  // `banned`, in order.
  double rank(const Kernels& kernels, const float* logits, int n, int count, const std::vector<int>& banned);
  const std::vector<Place>& places() const { return places_; }

 private:
  std::vector<float> maxima_, order_;
  std::vector<int> found_;  // as long as the logits; what is found fills its beginning
  std::vector<Place> places_;
};

}  // namespace clearhead
