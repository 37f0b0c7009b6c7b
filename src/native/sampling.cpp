#include "sampling.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>

namespace clearhead {

void Sampler::above(float least, int n) {
  candidates_.resize(std::size_t(n) + 1);
  std::size_t count = 0;
  for (std::size_t block = 0; block < maxima_.size(); ++block) {
    if (maxima_[block] < least) continue;
    const int start = int(block) * vocabulary_block, end = std::min(n, start + vocabulary_block);
    for (int i = start; i < end; ++i) {  // without a branch, which nobody could predict
      candidates_[count] = i;
      count += weights_[std::size_t(i)] >= least;
    }
  }
  candidates_.resize(count);
}

void Sampler::keep_largest(int k, int n) {
  // k blocks have a maximum that reaches the k-th largest maximum, so k weights do: the rest need not be looked at.
  float least = 0;
  if (k < int(maxima_.size())) {
    order_ = maxima_;
    std::nth_element(order_.begin(), order_.begin() + (k - 1), order_.end(), std::greater<>());
    least = order_[std::size_t(k - 1)];
  }
  above(least, n);
  if (k >= int(candidates_.size())) return;
  order_.clear();
  for (int i : candidates_) order_.push_back(weights_[std::size_t(i)]);
  std::nth_element(order_.begin(), order_.begin() + (k - 1), order_.end(), std::greater<>());
  least = order_[std::size_t(k - 1)];
  std::erase_if(candidates_, [&](int i) { return weights_[std::size_t(i)] < least; });
}

namespace {

// Positive floats are ordered as the integers of their bits: the upper ones sort weights up to 1 into 2,033 drawers.
constexpr int drawers = 2033;

int drawer(float weight) {
  std::uint32_t bits;
  std::memcpy(&bits, &weight, sizeof bits);
  return int(bits >> 19);
}

}  // namespace

void Sampler::keep_nucleus(double p, int n, bool chosen) {
  const auto weight = [&](int i) { return weights_[std::size_t(i)]; };
  double total = 0;
  if (chosen)
    for (int i : candidates_) total += double(weight(i));
  else
    for (double sum : sums_) total += sum;
  // Tokens below (1 - p) / n sum to less than 1 - p even if every token were one: none of them is in the nucleus.
  if (!chosen) above(float(total * (1.0 - p) / n), n);
  double sums[drawers] = {};
  for (int i : candidates_) sums[drawer(weight(i))] += double(weight(i));
  int last = drawers - 1;  // the drawer in which the nucleus ends
  double reached = 0;
  for (; last > 0 && reached + sums[last] < p * total; --last) reached += sums[last];
  ends_.clear();
  for (int i : candidates_)
    if (drawer(weight(i)) == last) ends_.push_back(i);
  if (ends_.empty()) return;
  // The half that it ends in, again and again; few are left to sort.
  const auto before = [&](int a, int b) { return weight(a) != weight(b) ? weight(a) > weight(b) : a < b; };
  auto from = ends_.begin(), to = ends_.end();
  while (to - from > 32) {
    const auto middle = from + (to - from) / 2;
    std::nth_element(from, middle, to, before);
    double sum = 0;
    for (auto i = from; i != middle; ++i) sum += double(weight(*i));
    if (reached + sum >= p * total) {
      to = middle;
    } else {
      reached += sum;
      from = middle;
    }
  }
  std::sort(from, to, before);
  auto next = from;
  while (next != to && reached < p * total) reached += double(weight(*next++));
  const int end = *(next == from ? from : next - 1);  // the last token of the nucleus
  std::erase_if(candidates_, [&](int i) { return weight(i) < weight(end) || (weight(i) == weight(end) && i > end); });
}

int Sampler::locate(double uniform) const {
  double total = 0;
  for (int i : candidates_) total += double(weights_[std::size_t(i)]);
  const double point = std::min(uniform * total, std::nextafter(total, 0.0));
  double passed = 0;
  for (int i : candidates_) {
    passed += double(weights_[std::size_t(i)]);
    if (passed > point) return i;
  }
  return candidates_.back();
}

int Sampler::draw(const Kernels& kernels, const float* logits, int n, const Sampling& how, double uniform) {
  const float largest = kernels.peak(logits, n);
  if (!std::isfinite(largest)) return -1;
  const auto blocks = std::size_t((n + vocabulary_block - 1) / vocabulary_block);
  weights_.resize(blocks * vocabulary_block);
  maxima_.resize(blocks);
  sums_.resize(blocks);
  kernels.weigh(logits, n, largest, 1.0f / how.temperature, weights_.data(), sums_.data(), maxima_.data());
  const bool cut = how.top_k > 0 || how.top_p < 1 || how.min_p > 0;
  if (!cut) {  // the block first, then the place within it
    double total = 0;
    for (double sum : sums_) total += sum;
    double left = std::min(uniform * total, std::nextafter(total, 0.0));
    std::size_t block = 0;
    for (; block + 1 < blocks && left >= sums_[block]; ++block) left -= sums_[block];
    candidates_.clear();
    for (int i = int(block) * vocabulary_block; i < std::min(n, (int(block) + 1) * vocabulary_block); ++i)
      if (weights_[std::size_t(i)] > 0) candidates_.push_back(i);
    double passed = 0;
    for (int i : candidates_) {
      passed += double(weights_[std::size_t(i)]);
      if (passed > left) return i;
    }
    return candidates_.empty() ? n - 1 : candidates_.back();
  }
  if (how.top_k > 0) keep_largest(how.top_k, n);
  if (how.top_p < 1) keep_nucleus(double(how.top_p), n, how.top_k > 0);
  if (how.min_p > 0) {
    if (how.top_k == 0 && how.top_p >= 1) above(how.min_p, n);
    std::erase_if(candidates_, [&](int i) { return weights_[std::size_t(i)] < how.min_p; });
  }
  return locate(uniform);
}

}  // namespace clearhead
