// Training's kernels as Python sees them: over arrays of float32, or of bfloat16 as 16-bit integers, with sizes checked here.
// Work is cut into pieces that do not depend on how many threads there are, and sums over pieces are formed in their order,
// so that the bits do not either. One thread runs them without any synchronisation.
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <map>
#include <numeric>
#include <vector>

#include "buffer.h"
#include "cpu.h"
#include "modules.h"
#include "openmp.h"
#include "threads.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace clearhead {

namespace {

using Input = nb::ndarray<nb::ro, nb::device::cpu>;
using Output = nb::ndarray<nb::device::cpu>;
using Floats = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;
using FloatsOut = nb::ndarray<float, nb::c_contig, nb::device::cpu>;
using Targets = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <class Array>
using Maybe = std::optional<Array>;

void require(bool holds, const char* what) {
  if (!holds) throw std::invalid_argument(what);
}

// Those of an instruction set, of the best where none is named.
const TrainingKernels& chosen(const std::string& instruction_set) {
  static const Kernels& best = kernels(instruction_sets().back());
  return (instruction_set.empty() ? best : kernels(instruction_set)).training;
}

template <class Array>
bool is_half(const Array& a) {
  if (a.dtype() == nb::dtype<std::int16_t>()) return true;
  require(a.dtype() == nb::dtype<float>(), "arrays of training are float32, or bfloat16 as int16");
  return false;
}

template <class Array>
bool contiguous(const Array& a) {
  std::int64_t step = 1;
  for (std::size_t i = a.ndim(); i-- > 0; step *= std::int64_t(a.shape(i)))
    if (a.shape(i) > 1 && a.stride(i) != step) return false;
  return true;
}

template <class Array>
auto* data_of(const Maybe<Array>& a) { return a ? a->data() : nullptr; }
template <class Array>
void* memory_of(const Array& a) { return const_cast<void*>(static_cast<const void*>(a.data())); }
template <class Array>
void* memory_of(const Maybe<Array>& a) { return a ? memory_of(*a) : nullptr; }

// Calls work(piece, workspace) for all pieces, some at a time.
template <class Work>
void share(int pieces, int some, int threads, Work&& work) {
  require(threads >= 1, "there is at least one thread");
  const nb::gil_scoped_release released;
  const auto run = [&](int first, int last, Workspace& workspace) {
    for (int piece = first; piece < last; ++piece) work(piece, workspace);
  };
  thread_local Workspace mine;
  if (threads == 1 || pieces <= some) return run(0, pieces, mine);
  std::exception_ptr failure;  // of whichever thread was first: no memory
  std::atomic<bool> failed = false;
  const auto kept = [&](int first, int last, Workspace& workspace) {
    try {
      run(first, last, workspace);
    } catch (...) {
      if (!failed.exchange(true)) failure = std::current_exception();
    }
  };
  std::atomic<int> next = 0;
  const auto claim = [&] {
    thread_local Workspace own;
    for (int first = next.fetch_add(some); first < pieces; first = next.fetch_add(some))
      kept(first, std::min(pieces, first + some), own);
  };
  if (!run_in_openmp(threads, claim))
    shared_pool(threads)->run([&](Team& team) {
      team.share(pieces, some, [&](int first, int last) { kept(first, last, team.workspace()); });
    });
  if (failed) std::rethrow_exception(failure);
}

// The same where each piece adds to sums [width]: work(piece, its own sums, workspace).
template <class Work>
void share_sums(int pieces, int threads, float* sums, std::size_t width, Work&& work) {
  if (sums == nullptr) return share(pieces, 1, threads, [&](int piece, Workspace& w) { work(piece, nullptr, w); });
  const bool alone = threads == 1 || pieces <= 1;
  std::vector<float> own((alone ? 1 : std::size_t(pieces)) * width);
  const auto add = [&](const float* piece) {
    for (std::size_t i = 0; i < width; ++i) sums[i] += piece[i];
  };
  share(pieces, 1, threads, [&](int piece, Workspace& w) {
    float* mine = own.data() + (alone ? 0 : std::size_t(piece) * width);
    if (alone) std::fill_n(mine, width, 0.0f);
    work(piece, mine, w);
    if (alone) add(mine);
  });
  for (int piece = 0; !alone && piece < pieces; ++piece) add(own.data() + std::size_t(piece) * width);
}

int pieces_of(int n, int piece) { return (n + piece - 1) / piece; }

using Sums = std::pair<double, double>;  // of the objective, and of the negative log-likelihood

// Scores the rows of a job whose targets are checked; d_bias [columns], or none, is added to.
Sums score_job(LossRows job, float* d_bias, int threads, const TrainingKernels& k) {
  const int units = job.paired ? job.rows / 2 : job.rows;
  std::vector<double> objective(static_cast<std::size_t>(units)), nll(static_cast<std::size_t>(units));
  job.objective = objective.data(), job.nll = nll.data();
  const std::size_t padded = round_up(std::size_t(job.columns), std::size_t(lanes));
  share_sums(pieces_of(units, units_of_a_block), threads, job.gradient ? d_bias : nullptr, std::size_t(job.columns),
             [&](int piece, float* sums, Workspace& work) {
               auto* weights = reinterpret_cast<float*>(work.bytes(2 * padded * sizeof(float)));
               const int first = piece * units_of_a_block;
               k.score(job, first, std::min(units, first + units_of_a_block), sums, weights);
             });
  return {std::accumulate(objective.begin(), objective.end(), 0.0), std::accumulate(nll.begin(), nll.end(), 0.0)};
}

LossRows loss_of(std::size_t rows, std::size_t columns, const Maybe<Floats>& bias, const Targets& targets,
                 const Maybe<FloatsOut>& d_bias, bool paired, bool gradient, float smoothing, float consistency) {
  require(rows == targets.size() && rows < 1u << 30 && columns >= 1 && columns < 1u << 30, "as many targets as rows");
  require(!paired || rows % 2 == 0, "pairs of rows");
  require((!bias || bias->size() == columns) && (!d_bias || d_bias->size() == columns), "a bias for each column");
  LossRows job;
  job.rows = int(rows), job.columns = int(columns), job.stride = job.columns, job.bias = data_of(bias);
  job.targets = targets.data(), job.paired = paired, job.gradient = gradient;
  job.smoothing = smoothing, job.consistency = consistency;
  for (int i = 0; i < job.rows; ++i)
    if (job.targets[i] < 0 || job.targets[i] >= job.columns) throw std::out_of_range("a target that no logit stands for");
  return job;
}

// The rows of logits [N, V], which become gradients if those are wanted.
Sums score_rows(const Output& logits, const Maybe<Floats>& bias, const Targets& targets, const Maybe<FloatsOut>& d_bias,
                bool paired, bool gradient, float smoothing, float consistency, int threads,
                const std::string& instruction_set) {
  require(logits.ndim() == 2 && contiguous(logits), "logits [N, V] in one piece");
  LossRows job = loss_of(logits.shape(0), logits.shape(1), bias, targets, d_bias, paired, gradient, smoothing, consistency);
  job.logits = logits.data(), job.half = is_half(logits);
  return score_job(job, d_bias ? d_bias->data() : nullptr, threads, chosen(instruction_set));
}

// A matrix [rows, columns] of bfloat16 in one piece.
template <class Array>
std::uint16_t* halves(const Array& a, std::size_t rows, std::size_t columns) {
  require(a.ndim() == 2 && is_half(a) && contiguous(a) && a.shape(0) == rows && a.shape(1) == columns,
          "matrices of bfloat16 that do not agree");
  return static_cast<std::uint16_t*>(memory_of(a));
}
template <class Array>
std::uint16_t* halves(const Maybe<Array>& a, std::size_t rows, std::size_t columns) {
  return a ? halves(*a, rows, columns) : nullptr;
}

// A layer's weights [outputs, inputs], laid out for a product.
class Laid {
 public:
  Laid(const Floats& weight, bool by_steps, const TrainingKernels& k) {
    const DenseWeights w{weight.data(), false, by_steps, int(weight.shape(0)), int(weight.shape(1))};
    memory_.grow(w.bytes());
    k.make_panels(w, memory_.data());
  }
  const std::byte* data() const { return memory_.data(); }

 private:
  Buffer<std::byte> memory_;
};

void multiply_rows(const DenseProduct& job, int rows, int threads, const TrainingKernels& k) {
  share(pieces_of(rows, rows_of_a_product), 1, threads, [&](int piece, Workspace& work) {
    k.multiply(job, piece * rows_of_a_product, std::min(rows, (piece + 1) * rows_of_a_product), work);
  });
}

void weigh(const DenseGradient& job, int threads, const TrainingKernels& k) {
  // Outputs of a piece. Each piece lays out the inputs for itself, so that it should not be small.
  const int some = threads == 1 ? std::max(1, job.outputs) : round_up(std::max(1, job.outputs / (4 * threads)), 64);
  share(pieces_of(job.outputs, some), 1, threads, [&](int piece, Workspace& work) {
    k.weigh_gradients(job, piece * some, std::min(job.outputs, (piece + 1) * some), work);
  });
}

struct LayerShape {
  std::size_t batch, inputs, outputs;
  LayerShape(const Input& x, const Floats& weight) {
    require(x.ndim() == 2 && weight.ndim() == 2 && x.shape(1) == weight.shape(1), "X [M, K] and a weight [N, K]");
    batch = x.shape(0), inputs = x.shape(1), outputs = weight.shape(0);
    require(batch < 1u << 30 && inputs < 1u << 24 && outputs < 1u << 24, "as large a layer as that");
  }
};

// out [M, N] = x [M, K] weight [N, K]^T + bias, K even.
void linear(const Input& x, const Floats& weight, const Maybe<Floats>& bias, const Output& out, int threads,
            const std::string& instruction_set) {
  const LayerShape s(x, weight);
  require(s.inputs % 2 == 0 && (!bias || bias->size() == s.outputs), "an even number of inputs, a bias for each output");
  const TrainingKernels& k = chosen(instruction_set);
  const Laid laid(weight, false, k);
  DenseProduct job;
  job.x = halves(x, s.batch, s.inputs), job.x_row = std::ptrdiff_t(s.inputs), job.words = int(s.inputs / 2);
  job.columns = int(s.outputs), job.panels = laid.data(), job.bias = data_of(bias);
  job.out = halves(out, s.batch, s.outputs), job.out_row = std::ptrdiff_t(s.outputs);
  multiply_rows(job, int(s.batch), threads, k);
}

// The gradients of x, of the weight and of the bias, each if it is wanted; that of x added to what is there if `add`. N even.
void linear_backward(const Input& d_out, const Input& x, const Floats& weight, const Maybe<Output>& d_x,
                     const Maybe<FloatsOut>& d_weight, const Maybe<FloatsOut>& d_bias, bool add, int threads,
                     const std::string& instruction_set) {
  const LayerShape s(x, weight);
  const TrainingKernels& k = chosen(instruction_set);
  if (d_x) {
    require(s.outputs % 2 == 0, "an even number of outputs");
    const Laid laid(weight, true, k);
    DenseProduct job;
    job.x = halves(d_out, s.batch, s.outputs), job.x_row = std::ptrdiff_t(s.outputs), job.words = int(s.outputs / 2);
    job.columns = int(s.inputs), job.panels = laid.data(), job.add = add;
    job.out = halves(d_x, s.batch, s.inputs), job.out_row = std::ptrdiff_t(s.inputs);
    multiply_rows(job, int(s.batch), threads, k);
  }
  if (d_weight) {
    require(d_weight->size() == s.outputs * s.inputs && (!d_bias || d_bias->size() == s.outputs), "gradients like the layer");
    if (d_bias) std::fill_n(d_bias->data(), s.outputs, 0.0f);
    DenseGradient job;
    job.d_out = halves(d_out, s.batch, s.outputs), job.d_out_row = std::ptrdiff_t(s.outputs);
    job.x = halves(x, s.batch, s.inputs), job.x_row = std::ptrdiff_t(s.inputs);
    job.batch = int(s.batch), job.outputs = int(s.outputs), job.inputs = int(s.inputs);
    job.d_weight = d_weight->data(), job.d_bias = data_of(d_bias);
    weigh(job, threads, k);
  }
}

// The whole loss of features [N, C] over a table [V, C], some rows at a time: their logits, what these cost, and the gradients.
class VocabularyLoss {
 public:
  VocabularyLoss(const Input& features, const Floats& table, LossRows loss, const TrainingKernels& k, int threads)
      : k_(k), threads_(threads), shape_(features, table), loss_(loss), columns_(round_up(loss.columns, 2 * lanes)),
        half_(loss.paired ? loss.rows / 2 : loss.rows), step_(std::clamp(logits_at_once / columns_ / 16 * 16, 16, 4096)),
        features_(halves(features, shape_.batch, shape_.inputs)), by_columns_(table, false, k) {
    require(shape_.inputs % 2 == 0, "an even number of features");
    const auto rows = std::size_t(passes()) * std::size_t(step_);
    logits_.grow(rows * std::size_t(columns_));  // zeros, which what is beyond the last column stays
    some_.grow(rows * shape_.inputs);
    targets_.resize(rows);
  }

  Sums run(const Floats& table, std::uint16_t* d_features, float* d_table, float* d_bias) {
    std::optional<Laid> by_steps;
    if (d_features) by_steps.emplace(table, true, k_);
    Sums sums{0, 0};
    for (int first = 0; first < half_; first += step_) {
      const int n = std::min(step_, half_ - first), rows = n * passes();
      gather(first, n);
      multiply_rows(product(some_.data(), shape_.inputs, by_columns_, loss_.columns, logits_.data(), columns_), rows,
                    threads_, k_);
      LossRows job = loss_;
      job.rows = rows, job.logits = logits_.data(), job.half = true, job.stride = columns_, job.targets = targets_.data();
      const Sums of_rows = score_job(job, d_bias, threads_, k_);
      sums.first += of_rows.first, sums.second += of_rows.second;
      if (d_table) weigh(gradient(rows, d_table, first > 0), threads_, k_);
      for (int pass = 0; d_features && pass < passes(); ++pass) {
        auto* to = d_features + (std::size_t(pass) * std::size_t(half_) + std::size_t(first)) * shape_.inputs;
        const auto* from = logits_.data() + std::size_t(pass) * std::size_t(n) * std::size_t(columns_);
        multiply_rows(product(from, std::size_t(columns_), *by_steps, int(shape_.inputs), to, int(shape_.inputs)), n,
                      threads_, k_);
      }
    }
    return sums;
  }

 private:
  static constexpr int logits_at_once = 1 << 21;

  int passes() const { return loss_.paired ? 2 : 1; }

  // Both passes over the same rows lie one after the other.
  void gather(int first, int n) {
    for (int pass = 0; pass < passes(); ++pass) {
      const auto from = std::size_t(pass * half_ + first), to = std::size_t(pass * n), rows = std::size_t(n);
      std::copy_n(features_ + from * shape_.inputs, rows * shape_.inputs, some_.data() + to * shape_.inputs);
      std::copy_n(loss_.targets + from, rows, targets_.data() + to);
    }
  }
  DenseProduct product(const std::uint16_t* x, std::size_t inner, const Laid& laid, int columns, std::uint16_t* out,
                       int out_row) const {
    DenseProduct job;
    job.x = x, job.x_row = std::ptrdiff_t(inner), job.words = int((std::min(inner, inner_of(laid)) + 1) / 2);
    job.columns = columns, job.panels = laid.data(), job.out = out, job.out_row = out_row;
    return job;
  }
  std::size_t inner_of(const Laid& laid) const { return &laid == &by_columns_ ? shape_.inputs : shape_.outputs; }
  DenseGradient gradient(int rows, float* d_table, bool add) const {
    DenseGradient job;
    job.d_out = logits_.data(), job.d_out_row = columns_, job.x = some_.data(), job.x_row = std::ptrdiff_t(shape_.inputs);
    job.batch = rows, job.outputs = loss_.columns, job.inputs = int(shape_.inputs), job.d_weight = d_table, job.add = add;
    return job;
  }

  const TrainingKernels& k_;
  const int threads_;
  const LayerShape shape_;
  const LossRows loss_;
  const int columns_, half_, step_;  // of the logits' rows; rows of a pass; those of them that are scored together
  const std::uint16_t* features_;
  const Laid by_columns_;
  Buffer<std::uint16_t> logits_, some_;
  std::vector<std::int64_t> targets_;
};

// d_features and d_table are written, d_bias is added to; each if it is wanted.
Sums score_vocabulary(const Input& features, const Floats& table, const Maybe<Floats>& bias, const Targets& targets,
                      const Maybe<Output>& d_features, const Maybe<FloatsOut>& d_table, const Maybe<FloatsOut>& d_bias,
                      bool paired, float smoothing, float consistency, int threads, const std::string& instruction_set) {
  require(features.ndim() == 2 && table.ndim() == 2, "features [N, C] and a table [V, C]");
  const bool wanted = d_features || d_table || d_bias;
  const LossRows loss =
      loss_of(features.shape(0), table.shape(0), bias, targets, d_bias, paired, wanted, smoothing, consistency);
  require(!d_table || d_table->size() == table.size(), "a gradient like the table");
  VocabularyLoss work(features, table, loss, chosen(instruction_set), threads);
  return work.run(table, halves(d_features, features.shape(0), features.shape(1)), data_of(d_table), data_of(d_bias));
}

Dropping dropping_of(std::uint64_t seed, float rate) {
  require(rate >= 0 && rate < 1, "a rate of dropout below 1");
  Dropping d;
  d.seed = seed;
  d.cut = std::min(int(rate * 65536.0f + 0.5f), 65535);
  d.factor = 65536.0f / float(65536 - d.cut);
  return d;
}

// Rows of columns that all arrays of a sublayer's end share.
struct EndShape {
  bool half;
  std::size_t size;
  int columns, rows;

  explicit EndShape(const Input& like)
      : half(is_half(like)), size(like.size()), columns(int(like.ndim() ? like.shape(like.ndim() - 1) : 1)),
        rows(columns ? int(size / std::size_t(columns)) : 0) {
    require(size < std::size_t(1) << 40 && size / std::size_t(std::max(columns, 1)) < 1u << 30, "as many rows as that");
  }
  template <class Array>
  void check(const Array& a) const {
    require(a.size() == size && is_half(a) == half && contiguous(a), "arrays of a sublayer's end that do not agree");
  }
  template <class Array>
  void check(const Maybe<Array>& a) const {
    if (a) check(*a);
  }
  void check_columns(const Maybe<Floats>& a) const { require(!a || int(a->size()) == columns, "a number for each column"); }
};

void finish(const Maybe<Input>& x, const Input& y, const Maybe<Output>& total, const Maybe<Output>& out,
            const Maybe<Floats>& weight, const Maybe<Floats>& bias, const Maybe<FloatsOut>& statistics, bool centred,
            float eps, std::uint64_t seed, float rate, int threads, const std::string& instruction_set) {
  const EndShape shape(y);
  shape.check(x), shape.check(y), shape.check(total), shape.check(out), shape.check_columns(weight), shape.check_columns(bias);
  const bool normed = weight.has_value();
  require(total || (normed && !x && rate == 0), "a total, unless y alone is normed");
  require(normed == out.has_value() && (!normed || (statistics && int(statistics->size()) == 2 * shape.rows)),
          "a norm has weights, an output, and two numbers for each row");
  SublayerEnd job;
  job.half = shape.half, job.columns = shape.columns, job.dropping = dropping_of(seed, rate);
  job.centred = centred, job.eps = eps, job.weight = data_of(weight), job.bias = data_of(bias);
  job.x = memory_of(x), job.y = memory_of(y), job.total = memory_of(total), job.out = memory_of(out);
  if (normed) job.mean = statistics->data(), job.inverse = job.mean + shape.rows;
  const TrainingKernels& k = chosen(instruction_set);
  share(pieces_of(shape.rows, rows_of_a_block), 1, threads, [&](int piece, Workspace&) {
    k.finish(job, piece * rows_of_a_block, std::min(shape.rows, (piece + 1) * rows_of_a_block));
  });
}

// `d_parameters` [1 or 2, columns]: gradients of weight and bias, added to.
void finish_backward(const Maybe<Input>& total, const Maybe<Input>& d_out, const Maybe<Input>& d_total,
                     const Maybe<Output>& d_x, const Maybe<Output>& d_y, const Maybe<Floats>& weight,
                     const Maybe<Floats>& statistics, const Maybe<FloatsOut>& d_parameters, bool centred,
                     std::uint64_t seed, float rate, int threads, const std::string& instruction_set) {
  require(d_out || d_total, "no gradient to start from");
  const EndShape shape(d_out ? *d_out : *d_total);
  shape.check(total), shape.check(d_out), shape.check(d_total), shape.check(d_x), shape.check(d_y), shape.check_columns(weight);
  const bool normed = weight.has_value();
  const auto columns = std::size_t(shape.columns);
  require(normed ? total && d_out && statistics && int(statistics->size()) == 2 * shape.rows && d_parameters &&
                       (d_parameters->size() == columns || d_parameters->size() == 2 * columns)
                 : d_total && !d_out && !d_parameters,
          "what a norm leaves for its gradients");
  SublayerEnd job;
  job.half = shape.half, job.columns = shape.columns, job.dropping = dropping_of(seed, rate), job.centred = centred;
  job.weight = data_of(weight), job.total = memory_of(total), job.d_out = memory_of(d_out), job.d_total = memory_of(d_total);
  job.d_x = memory_of(d_x), job.d_y = memory_of(d_y);
  if (normed) job.mean = const_cast<float*>(statistics->data()), job.inverse = job.mean + shape.rows;
  const bool biased = d_parameters && d_parameters->size() == 2 * columns;
  const TrainingKernels& k = chosen(instruction_set);
  share_sums(pieces_of(shape.rows, rows_of_a_block), threads, d_parameters ? d_parameters->data() : nullptr,
             d_parameters ? d_parameters->size() : 0, [&](int piece, float* sums, Workspace&) {
               k.finish_backward(job, piece * rows_of_a_block, std::min(shape.rows, (piece + 1) * rows_of_a_block), sums,
                                 biased ? sums + columns : nullptr);
             });
}

Hidden hidden_of(const std::string& activation, const Input& x, const Maybe<Input>& up) {
  static const std::map<std::string, Activation> known = {{"relu", Activation::relu},
                                                          {"gelu", Activation::gelu},
                                                          {"gelu_tanh", Activation::gelu_tanh},
                                                          {"silu", Activation::silu}};
  const auto found = known.find(activation);
  require(found != known.end(), "an activation that is known");
  require(contiguous(x) && (!up || (up->size() == x.size() && contiguous(*up) && is_half(*up) == is_half(x))),
          "a hidden layer's arrays that agree");
  Hidden job;
  job.half = is_half(x), job.activation = found->second, job.x = x.data(), job.up = memory_of(up);
  return job;
}

// Calls some(first, count) for pieces of n numbers.
template <class Some>
void share_numbers(std::size_t n, int threads, Some&& some) {
  constexpr std::size_t piece = 1 << 14;
  require(n < std::size_t(1) << 40, "as many numbers as that");
  share(int((n + piece - 1) / piece), 1, threads, [&](int i, Workspace&) {
    const std::size_t first = std::size_t(i) * piece;
    some(first, int(std::min(piece, n - first)));
  });
}

template <class Array>
void like(const Array& a, const Input& x) {
  require(a.size() == x.size() && contiguous(a) && is_half(a) == is_half(x), "a hidden layer's arrays that agree");
}

void activate_hidden(const std::string& activation, const Input& x, const Maybe<Input>& up, const Output& out, int threads,
                     const std::string& instruction_set) {
  Hidden job = hidden_of(activation, x, up);
  like(out, x);
  job.out = out.data();
  const TrainingKernels& k = chosen(instruction_set);
  share_numbers(x.size(), threads, [&](std::size_t first, int count) { k.hide(job, first, count); });
}

void activate_hidden_backward(const std::string& activation, const Input& x, const Maybe<Input>& up, const Input& d_out,
                              const Output& d_x, const Maybe<Output>& d_up, int threads,
                              const std::string& instruction_set) {
  Hidden job = hidden_of(activation, x, up);
  like(d_out, x), like(d_x, x);
  require(up.has_value() == d_up.has_value(), "a gradient for what gates");
  if (d_up) like(*d_up, x);
  job.d_out = d_out.data(), job.d_x = d_x.data(), job.d_up = memory_of(d_up);
  const TrainingKernels& k = chosen(instruction_set);
  share_numbers(x.size(), threads, [&](std::size_t first, int count) { k.hide_backward(job, first, count); });
}

template <class Array>
Strided strided(const Array& a, bool half, std::initializer_list<int> shape) {
  require(a.ndim() == 4 && is_half(a) == half, "arrays of attention have four axes and one type");
  int axis = 0;
  for (const int n : shape) require(int(a.shape(std::size_t(axis++))) == n, "shapes of attention that do not agree");
  require(a.shape(3) <= 1 || a.stride(3) == 1, "the last axis of an array of attention lies in one piece");
  return {memory_of(a), std::ptrdiff_t(a.stride(0)), std::ptrdiff_t(a.stride(1)), std::ptrdiff_t(a.stride(2))};
}

ShortAttention attention_of(const Input& query, const Input& key, const Input& value, const Maybe<Input>& bias,
                            const FloatsOut& sums, bool causal, float scale, std::uint64_t seed, float rate) {
  require(query.ndim() == 4 && key.ndim() == 4, "arrays of attention have four axes");
  for (std::size_t axis = 0; axis < 4; ++axis)
    require(query.shape(axis) < 1u << 24 && key.shape(axis) < 1u << 24, "as long an axis as that");
  ShortAttention job;
  job.half = is_half(query), job.causal = causal, job.scale = scale, job.dropping = dropping_of(seed, rate);
  job.batch = int(query.shape(0)), job.heads = int(query.shape(1)), job.queries = int(query.shape(2));
  job.kv_heads = int(key.shape(1)), job.keys = int(key.shape(2)), job.head_dim = int(query.shape(3));
  require(job.kv_heads >= 1 && job.heads % job.kv_heads == 0 && job.keys >= 1 && job.head_dim >= 1,
          "heads that share keys evenly, and at least one key");
  require(sums.size() == 2 * std::size_t(job.batch) * std::size_t(job.heads) * std::size_t(job.queries),
          "two numbers for each query");
  job.query = strided(query, job.half, {job.batch, job.heads, job.queries, job.head_dim});
  job.key = strided(key, job.half, {job.batch, job.kv_heads, job.keys, job.head_dim});
  job.value = strided(value, job.half, {job.batch, job.kv_heads, job.keys, job.head_dim});
  if (bias) job.bias = strided(*bias, job.half, {job.batch, job.heads, job.queries, job.keys});
  job.sums = sums.data();
  return job;
}

// Pieces that a thread takes at a time: enough to share them evenly.
int some_of(int pieces, int threads) { return std::max(1, pieces / (8 * std::max(1, threads))); }

void attend(const Input& query, const Input& key, const Input& value, const Maybe<Input>& bias, const Output& out,
            const FloatsOut& sums, bool causal, float scale, std::uint64_t seed, float rate, int threads,
            const std::string& instruction_set) {
  ShortAttention job = attention_of(query, key, value, bias, sums, causal, scale, seed, rate);
  job.out = strided(out, job.half, {job.batch, job.heads, job.queries, job.head_dim});
  const TrainingKernels& k = chosen(instruction_set);
  const int pieces = job.batch * job.kv_heads;
  share(pieces, some_of(pieces, threads), threads, [&](int piece, Workspace& work) {
    k.attend(job, piece / job.kv_heads, piece % job.kv_heads, work);
  });
}

void attend_backward(const Input& query, const Input& key, const Input& value, const Maybe<Input>& bias,
                     const FloatsOut& sums, const Input& d_out, const Output& d_query, const Output& d_key,
                     const Output& d_value, const Maybe<FloatsOut>& d_bias, bool causal, float scale, std::uint64_t seed,
                     float rate, int threads, const std::string& instruction_set) {
  ShortAttention job = attention_of(query, key, value, bias, sums, causal, scale, seed, rate);
  job.d_out = strided(d_out, job.half, {job.batch, job.heads, job.queries, job.head_dim});
  job.d_query = strided(d_query, job.half, {job.batch, job.heads, job.queries, job.head_dim});
  job.d_key = strided(d_key, job.half, {job.batch, job.kv_heads, job.keys, job.head_dim});
  job.d_value = strided(d_value, job.half, {job.batch, job.kv_heads, job.keys, job.head_dim});
  require(!d_bias || d_bias->size() == std::size_t(job.heads) * std::size_t(job.queries) * std::size_t(job.keys),
          "a gradient for each head's bias");
  job.d_bias = d_bias ? d_bias->data() : nullptr;
  const TrainingKernels& k = chosen(instruction_set);
  if (job.d_bias) {  // summed over the batch in its order
    share(job.kv_heads, 1, threads, [&](int head, Workspace& work) {
      for (int b = 0; b < job.batch; ++b) k.attend_backward(job, b, head, work);
    });
    return;
  }
  const int pieces = job.batch * job.kv_heads;
  share(pieces, some_of(pieces, threads), threads, [&](int piece, Workspace& work) {
    k.attend_backward(job, piece / job.kv_heads, piece % job.kv_heads, work);
  });
}

}  // namespace

void bind_training(nb::module_& m) {
  m.def("score_rows", &score_rows, "logits"_a, "bias"_a.none(), "targets"_a, "d_bias"_a.none(), "paired"_a, "gradient"_a,
        "smoothing"_a, "consistency"_a, "threads"_a, "instruction_set"_a = "");
  m.def("score_vocabulary", &score_vocabulary, "features"_a, "table"_a, "bias"_a.none(), "targets"_a, "d_features"_a.none(),
        "d_table"_a.none(), "d_bias"_a.none(), "paired"_a, "smoothing"_a, "consistency"_a, "threads"_a,
        "instruction_set"_a = "");
  m.def("linear", &linear, "x"_a, "weight"_a, "bias"_a.none(), "out"_a, "threads"_a, "instruction_set"_a = "");
  m.def("linear_backward", &linear_backward, "d_out"_a, "x"_a, "weight"_a, "d_x"_a.none(), "d_weight"_a.none(),
        "d_bias"_a.none(), "add"_a, "threads"_a, "instruction_set"_a = "");
  m.def("finish", &finish, "x"_a.none(), "y"_a, "total"_a.none(), "out"_a.none(), "weight"_a.none(), "bias"_a.none(),
        "statistics"_a.none(), "centred"_a, "eps"_a, "seed"_a, "rate"_a, "threads"_a, "instruction_set"_a = "");
  m.def("finish_backward", &finish_backward, "total"_a.none(), "d_out"_a.none(), "d_total"_a.none(), "d_x"_a.none(),
        "d_y"_a.none(), "weight"_a.none(), "statistics"_a.none(), "d_parameters"_a.none(), "centred"_a, "seed"_a, "rate"_a,
        "threads"_a, "instruction_set"_a = "");
  m.def("activate_hidden", &activate_hidden, "activation"_a, "x"_a, "up"_a.none(), "out"_a, "threads"_a,
        "instruction_set"_a = "");
  m.def("activate_hidden_backward", &activate_hidden_backward, "activation"_a, "x"_a, "up"_a.none(), "d_out"_a, "d_x"_a,
        "d_up"_a.none(), "threads"_a, "instruction_set"_a = "");
  m.def("attend", &attend, "query"_a, "key"_a, "value"_a, "bias"_a.none(), "out"_a, "sums"_a, "causal"_a, "scale"_a,
        "seed"_a, "rate"_a, "threads"_a, "instruction_set"_a = "");
  m.def("attend_backward", &attend_backward, "query"_a, "key"_a, "value"_a, "bias"_a.none(), "sums"_a, "d_out"_a,
        "d_query"_a, "d_key"_a, "d_value"_a, "d_bias"_a.none(), "causal"_a, "scale"_a, "seed"_a, "rate"_a, "threads"_a,
        "instruction_set"_a = "");
}

}  // namespace clearhead
