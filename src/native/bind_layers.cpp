// Linear layers and the loss over a vocabulary as Python sees them, with sizes checked here.
#include <numeric>
#include <optional>

#include "buffer.h"
#include "training_arrays.h"

namespace clearhead {

namespace {

using Targets = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
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
    const DenseWeights w{weight.data(), by_steps, int(weight.shape(0)), int(weight.shape(1))};
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
    require(batch < 1u << 30 && inputs >= 1 && inputs < 1u << 24 && outputs >= 1 && outputs < 1u << 24,
            "a layer of such a size");
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

}  // namespace

void bind_layers(nb::module_& m) {
  m.def("score_rows", &score_rows, "logits"_a, "bias"_a.none(), "targets"_a, "d_bias"_a.none().noconvert(), "paired"_a,
        "gradient"_a, "smoothing"_a, "consistency"_a, "threads"_a, "instruction_set"_a = "");
  m.def("score_vocabulary", &score_vocabulary, "features"_a, "table"_a, "bias"_a.none(), "targets"_a, "d_features"_a.none(),
        "d_table"_a.none().noconvert(), "d_bias"_a.none().noconvert(), "paired"_a, "smoothing"_a, "consistency"_a, "threads"_a,
        "instruction_set"_a = "");
  m.def("linear", &linear, "x"_a, "weight"_a, "bias"_a.none(), "out"_a, "threads"_a, "instruction_set"_a = "");
  m.def("linear_backward", &linear_backward, "d_out"_a, "x"_a, "weight"_a, "d_x"_a.none(), "d_weight"_a.none().noconvert(),
        "d_bias"_a.none().noconvert(), "add"_a, "threads"_a, "instruction_set"_a = "");
}

}  // namespace clearhead
