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
#include <numeric>
#include <vector>

#include "cpu.h"
#include "modules.h"
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
  if (threads == 1 || pieces <= some) {
    thread_local Workspace workspace;
    for (int piece = 0; piece < pieces; ++piece) work(piece, workspace);
    return;
  }
  std::exception_ptr failure;  // of whichever thread was first: no memory
  std::atomic<bool> failed = false;
  shared_pool(threads)->run([&](Team& team) {
    team.share(pieces, some, [&](int first, int last) {
      try {
        for (int piece = first; piece < last; ++piece) work(piece, team.workspace());
      } catch (...) {
        if (!failed.exchange(true)) failure = std::current_exception();
      }
    });
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

// Sums of the objective and of the negative log-likelihood over rows of logits, which become gradients if those are wanted.
std::pair<double, double> score_rows(const Output& logits, const Maybe<Floats>& bias, const Targets& targets,
                                     const Maybe<FloatsOut>& d_bias, bool paired, bool gradient, float smoothing,
                                     float consistency, int threads, const std::string& instruction_set) {
  require(logits.ndim() == 2 && contiguous(logits) && logits.shape(0) == targets.size(), "logits [N, V] and targets [N]");
  require(logits.shape(0) < 1u << 30 && logits.shape(1) < 1u << 30, "as many logits as that");
  LossRows job;
  job.rows = int(logits.shape(0)), job.columns = int(logits.shape(1));
  require(!paired || job.rows % 2 == 0, "pairs of rows");
  require(!bias || int(bias->size()) == job.columns, "a bias for each column");
  require(!d_bias || int(d_bias->size()) == job.columns, "a gradient for each column's bias");
  job.logits = logits.data(), job.half = is_half(logits), job.bias = data_of(bias), job.targets = targets.data();
  for (int i = 0; i < job.rows; ++i)
    if (job.targets[i] < 0 || job.targets[i] >= job.columns) throw std::out_of_range("a target that no logit stands for");
  job.paired = paired, job.gradient = gradient, job.smoothing = smoothing, job.consistency = consistency;
  const int units = paired ? job.rows / 2 : job.rows;
  std::vector<double> objective(static_cast<std::size_t>(units)), nll(static_cast<std::size_t>(units));
  job.objective = objective.data(), job.nll = nll.data();
  const TrainingKernels& k = chosen(instruction_set);
  const std::size_t padded = round_up(std::size_t(job.columns), std::size_t(lanes));
  const auto columns = std::size_t(job.columns);
  share_sums(pieces_of(units, units_of_a_block), threads, gradient && d_bias ? d_bias->data() : nullptr, columns,
             [&](int piece, float* sums, Workspace& work) {
               auto* weights = reinterpret_cast<float*>(work.bytes(2 * padded * sizeof(float)));
               const int first = piece * units_of_a_block;
               k.score(job, first, std::min(units, first + units_of_a_block), sums, weights);
             });
  return {std::accumulate(objective.begin(), objective.end(), 0.0), std::accumulate(nll.begin(), nll.end(), 0.0)};
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

void finish(const Maybe<Input>& x, const Input& y, const Output& total, const Maybe<Output>& out,
            const Maybe<Floats>& weight, const Maybe<Floats>& bias, const Maybe<FloatsOut>& statistics, bool centred,
            float eps, std::uint64_t seed, float rate, int threads, const std::string& instruction_set) {
  const EndShape shape(y);
  shape.check(x), shape.check(y), shape.check(total), shape.check(out), shape.check_columns(weight), shape.check_columns(bias);
  const bool normed = weight.has_value();
  require(normed == out.has_value() && (!normed || (statistics && int(statistics->size()) == 2 * shape.rows)),
          "a norm has weights, an output, and two numbers for each row");
  SublayerEnd job;
  job.half = shape.half, job.columns = shape.columns, job.dropping = dropping_of(seed, rate);
  job.centred = centred, job.eps = eps, job.weight = data_of(weight), job.bias = data_of(bias);
  job.x = memory_of(x), job.y = memory_of(y), job.total = total.data(), job.out = memory_of(out);
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

template <class Array>
Strided strided(const Array& a, bool half, std::initializer_list<int> shape) {
  require(a.ndim() == 4 && is_half(a) == half, "arrays of attention have four axes and one type");
  int axis = 0;
  for (const int n : shape) require(int(a.shape(std::size_t(axis++))) == n, "shapes of attention that do not agree");
  require(a.shape(3) <= 1 || a.stride(3) == 1, "the last axis of an array of attention lies in one piece");
  return {memory_of(a), std::ptrdiff_t(a.stride(0)), std::ptrdiff_t(a.stride(1)), std::ptrdiff_t(a.stride(2))};
}

ShortAttention attention_of(const Input& query, const Input& key, const Input& value, const Maybe<Input>& bias,
                            const FloatsOut& normaliser, bool causal, float scale, std::uint64_t seed, float rate) {
  require(query.ndim() == 4 && key.ndim() == 4, "arrays of attention have four axes");
  for (std::size_t axis = 0; axis < 4; ++axis)
    require(query.shape(axis) < 1u << 24 && key.shape(axis) < 1u << 24, "as long an axis as that");
  ShortAttention job;
  job.half = is_half(query), job.causal = causal, job.scale = scale, job.dropping = dropping_of(seed, rate);
  job.batch = int(query.shape(0)), job.heads = int(query.shape(1)), job.queries = int(query.shape(2));
  job.kv_heads = int(key.shape(1)), job.keys = int(key.shape(2)), job.head_dim = int(query.shape(3));
  require(job.kv_heads >= 1 && job.heads % job.kv_heads == 0 && job.keys >= 1 && job.head_dim >= 1,
          "heads that share keys evenly, and at least one key");
  require(normaliser.size() == std::size_t(job.batch) * std::size_t(job.heads) * std::size_t(job.queries),
          "a normaliser for each query");
  job.query = strided(query, job.half, {job.batch, job.heads, job.queries, job.head_dim});
  job.key = strided(key, job.half, {job.batch, job.kv_heads, job.keys, job.head_dim});
  job.value = strided(value, job.half, {job.batch, job.kv_heads, job.keys, job.head_dim});
  if (bias) job.bias = strided(*bias, job.half, {job.batch, job.heads, job.queries, job.keys});
  job.normaliser = normaliser.data();
  return job;
}

// Pieces that a thread takes at a time: enough to share them evenly.
int some_of(int pieces, int threads) { return std::max(1, pieces / (8 * std::max(1, threads))); }

void attend(const Input& query, const Input& key, const Input& value, const Maybe<Input>& bias, const Output& out,
            const FloatsOut& normaliser, bool causal, float scale, std::uint64_t seed, float rate, int threads,
            const std::string& instruction_set) {
  ShortAttention job = attention_of(query, key, value, bias, normaliser, causal, scale, seed, rate);
  job.out = strided(out, job.half, {job.batch, job.heads, job.queries, job.head_dim});
  const TrainingKernels& k = chosen(instruction_set);
  const int pieces = job.batch * job.kv_heads;
  share(pieces, some_of(pieces, threads), threads, [&](int piece, Workspace& work) {
    k.attend(job, piece / job.kv_heads, piece % job.kv_heads, work);
  });
}

void attend_backward(const Input& query, const Input& key, const Input& value, const Maybe<Input>& bias,
                     const FloatsOut& normaliser, const Input& d_out, const Output& d_query, const Output& d_key,
                     const Output& d_value, const Maybe<FloatsOut>& d_bias, bool causal, float scale, std::uint64_t seed,
                     float rate, int threads, const std::string& instruction_set) {
  ShortAttention job = attention_of(query, key, value, bias, normaliser, causal, scale, seed, rate);
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
  m.def("finish", &finish, "x"_a.none(), "y"_a, "total"_a, "out"_a.none(), "weight"_a.none(), "bias"_a.none(),
        "statistics"_a.none(), "centred"_a, "eps"_a, "seed"_a, "rate"_a, "threads"_a, "instruction_set"_a = "");
  m.def("finish_backward", &finish_backward, "total"_a.none(), "d_out"_a.none(), "d_total"_a.none(), "d_x"_a.none(),
        "d_y"_a.none(), "weight"_a.none(), "statistics"_a.none(), "d_parameters"_a.none(), "centred"_a, "seed"_a, "rate"_a,
        "threads"_a, "instruction_set"_a = "");
  m.def("attend", &attend, "query"_a, "key"_a, "value"_a, "bias"_a.none(), "out"_a, "normaliser"_a, "causal"_a, "scale"_a,
        "seed"_a, "rate"_a, "threads"_a, "instruction_set"_a = "");
  m.def("attend_backward", &attend_backward, "query"_a, "key"_a, "value"_a, "bias"_a.none(), "normaliser"_a, "d_out"_a,
        "d_query"_a, "d_key"_a, "d_value"_a, "d_bias"_a.none(), "causal"_a, "scale"_a, "seed"_a, "rate"_a, "threads"_a,
        "instruction_set"_a = "");
}

}  // namespace clearhead
