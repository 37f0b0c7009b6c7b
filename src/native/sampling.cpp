#include "sampling.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>
#include <limits>

namespace clearhead {

namespace {

constexpr float infinite = std::numeric_limits<float>::infinity();

float below(float x) { return std::nextafter(x, -infinite); }

// The k-th largest; `order` is scratch.
float kth_largest(const std::vector<float>& values, int k, std::vector<float>& order) {
  order = values;
  std::nth_element(order.begin(), order.begin() + (k - 1), order.end(), std::greater<>());
  return order[std::size_t(k - 1)];
}

}  // namespace

bool Sampler::kept(int i) const {
  const float weight = weights_[std::size_t(i)];
  if (weight > above_) return true;
  return weight == above_ && std::binary_search(equals_.begin(), equals_.end(), i);
}

void Sampler::sum_kept(const Kernels& kernels) {
  kernels.sum_above(weights_.data(), blocks(), above_, sums_.data());
  for (int i : equals_) sums_[std::size_t(i / vocabulary_block)] += double(above_);
}

double Sampler::mass() const {
  double total = 0;
  for (double sum : sums_) total += sum;
  return total;
}

// k blocks have a maximum that reaches the k-th largest maximum, so k weights do: the rest need not be looked at. Weights that
// float32 cannot tell apart are equals, and are kept together.
void Sampler::keep_largest(const Kernels& kernels, int k) {
  const float least = k < blocks() ? kth_largest(maxima_, k, order_) : 0;
  candidates_.clear();
  for (int block = 0; block < blocks(); ++block)
    for (int i = block * vocabulary_block; maxima_[std::size_t(block)] >= least && i < (block + 1) * vocabulary_block; ++i)
      if (weights_[std::size_t(i)] >= least) candidates_.push_back(weights_[std::size_t(i)]);
  if (k > int(candidates_.size())) return;
  above_ = std::max(0.0f, below(kth_largest(candidates_, k, order_)));
  sum_kept(kernels);
}

// The nucleus ends with some token. Rounds of eight thresholds close in on its weight, each among the weights that the round
// before left between two of them. Sums are only roughly right, and so leave some room; then the few tokens between the
// last two thresholds are taken one by one.
void Sampler::keep_nucleus(const Kernels& kernels, double p) {
  const double total = mass(), goal = p * total;
  // Tokens below (1 - p) / n of the total sum to less than 1 - p even if every token were one of them.
  float low = std::max({std::nextafter(above_, infinite), float(total * (1 - p) / double(weights_.size()) * 0.999),
                        std::numeric_limits<float>::min()});
  float high = std::nextafter(1.0f, infinite);  // no weight reaches it
  between_.resize(weights_.size() + vocabulary_block);
  const float* weights = weights_.data();
  int count = int(weights_.size());
  double reached = 0;  // by weights above those that are left
  for (int round = 0; round < 6 && count > 32 && high > low * 1.0001f; ++round) {
    const int blocks_left = (count + vocabulary_block - 1) / vocabulary_block;
    float least[thresholds], sums[thresholds];
    const float step = std::pow(high / low, 1.0f / (thresholds + 1));
    for (int j = 0; j < thresholds; ++j) least[j] = j == 0 ? low * step : least[j - 1] * step;
    kernels.sum_reaching(weights, blocks_left, least, sums);
    for (int j = 0; j < thresholds; ++j) {
      const double sum = reached + double(sums[j]);
      // What it may be wrong by.
      const double room = double(sums[j]) * double(count / lanes) * 0x1p-23 + total * 1e-6;
      if (sum > goal + room) low = std::max(low, least[j]);
      if (sum < goal - room) high = std::min(high, least[j]);
    }
    count = kernels.narrow(weights, blocks_left, low, high, reached, between_.data());
    std::fill_n(between_.begin() + count, vocabulary_block, 0.0f);
    weights = between_.data();
  }
  found_.resize(weights_.size());
  count = kernels.split(weights_.data(), blocks(), low, high, sums_.data(), found_.data());
  equals_.clear();
  above_ = below(std::min(high, 1.0f));
  reached = mass();
  if (count > 0 && reached < goal) end_nucleus(goal - reached, count);
}

// The nucleus takes of the first `count` found what sums to `left`, the largest first.
void Sampler::end_nucleus(double left, int count) {
  const auto weight = [&](int i) { return weights_[std::size_t(i)]; };
  const auto before = [&](int a, int b) { return weight(a) != weight(b) ? weight(a) > weight(b) : a < b; };
  auto from = found_.begin(), to = from + count;
  // The half that it ends in, again and again; few are left to sort.
  while (to - from > 32) {
    const auto middle = from + (to - from) / 2;
    std::nth_element(from, middle, to, before);
    double sum = 0;
    for (auto i = from; i != middle; ++i) sum += double(weight(*i));
    if (sum >= left) {
      to = middle;
    } else {
      left -= sum;
      from = middle;
    }
  }
  std::sort(from, to, before);
  auto next = from;
  while (next != to && left > 0) left -= double(weight(*next++));
  const int last = *(next - 1);
  above_ = weight(last);
  for (auto i = found_.begin(); i != found_.begin() + count; ++i) {
    if (before(last, *i)) continue;
    sums_[std::size_t(*i / vocabulary_block)] += double(weight(*i));
    if (weight(*i) == above_) equals_.push_back(*i);
  }
  std::sort(equals_.begin(), equals_.end());
}

void Sampler::keep_reaching(const Kernels& kernels, double least) {
  const float limit = below(float(least));
  if (limit < above_) return;
  above_ = limit;
  equals_.clear();
  sum_kept(kernels);
}

// The block first, then the place within it.
int Sampler::locate(double uniform) const {
  const double total = mass();
  double left = std::min(uniform * total, std::nextafter(total, 0.0));
  int block = 0, last = -1;
  for (; block + 1 < blocks() && left >= sums_[std::size_t(block)]; ++block) left -= sums_[std::size_t(block)];
  double passed = 0;
  for (int i = block * vocabulary_block; i < (block + 1) * vocabulary_block; ++i) {
    if (!kept(i)) continue;
    last = i;
    passed += double(weights_[std::size_t(i)]);
    if (passed > left) return i;
  }
  if (last >= 0) return last;
  return int(std::max_element(weights_.begin(), weights_.end()) - weights_.begin());  // rounding left an empty block
}

int Sampler::draw(const Kernels& kernels, const float* logits, int n, const Sampling& how, double uniform) {
  const float largest = kernels.peak(logits, n);
  if (!std::isfinite(largest)) return -1;
  const auto count = std::size_t((n + vocabulary_block - 1) / vocabulary_block);
  weights_.resize(count * vocabulary_block);
  maxima_.resize(count);
  sums_.resize(count);
  kernels.weigh(logits, n, largest, float(1 / how.temperature), weights_.data(), sums_.data(), maxima_.data());
  above_ = 0;
  equals_.clear();
  if (how.top_k > 0) keep_largest(kernels, how.top_k);
  if (how.top_p < 1) keep_nucleus(kernels, how.top_p);
  if (how.min_p > 0) keep_reaching(kernels, how.min_p);
  return locate(uniform);
}

double Ranking::rank(const Kernels& kernels, const float* logits, int n, int count, const std::vector<int>& banned) {
  places_.clear();
  const float largest = kernels.peak(logits, n);
  if (!std::isfinite(largest)) return std::numeric_limits<double>::quiet_NaN();
  const auto blocks = std::size_t((n + vocabulary_block - 1) / vocabulary_block);
  maxima_.resize(blocks);
  const double normaliser = double(largest) + std::log(kernels.survey(logits, n, largest, maxima_.data()));
  const auto is_banned = [&](int id) { return std::binary_search(banned.begin(), banned.end(), id); };
  for (int id : banned) {
    const int first = id / vocabulary_block * vocabulary_block, last = std::min(n, first + vocabulary_block);
    float most = -infinite;
    for (int i = first; i < last; ++i)
      if (logits[i] > most && !is_banned(i)) most = logits[i];
    maxima_[std::size_t(id / vocabulary_block)] = most;
  }
  // As many blocks as there are places have a maximum that reaches this, and so have as many logits.
  const float least = count < int(blocks) ? kth_largest(maxima_, count, order_) : -infinite;
  found_.resize(std::size_t(n));
  auto end = found_.begin() +
             kernels.find_reaching(logits, n, std::max(least, -std::numeric_limits<float>::max()), found_.data());
  end = std::remove_if(found_.begin(), end, is_banned);
  const auto before = [&](int a, int b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; };
  const auto last = found_.begin() + std::min(std::ptrdiff_t(count), end - found_.begin());
  std::partial_sort(found_.begin(), last, end, before);
  for (auto i = found_.begin(); i != last; ++i) places_.push_back({*i, logits[*i]});
  return normaliser;
}

}  // namespace clearhead
