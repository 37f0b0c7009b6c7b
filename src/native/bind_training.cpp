// What joins a Transformer's layers in training, as Python sees it: the ends of sublayers, the MLP's function and attention,
// over arrays of float32, or of bfloat16 as 16-bit integers, with sizes checked here.
#include <map>

#include "training_arrays.h"

namespace clearhead {

namespace {

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
  m.def("finish", &finish, "x"_a.none(), "y"_a, "total"_a.none(), "out"_a.none(), "weight"_a.none(), "bias"_a.none(),
        "statistics"_a.none().noconvert(), "centred"_a, "eps"_a, "seed"_a, "rate"_a, "threads"_a, "instruction_set"_a = "");
  m.def("finish_backward", &finish_backward, "total"_a.none(), "d_out"_a.none(), "d_total"_a.none(), "d_x"_a.none(),
        "d_y"_a.none(), "weight"_a.none(), "statistics"_a.none().noconvert(), "d_parameters"_a.none().noconvert(), "centred"_a,
        "seed"_a, "rate"_a, "threads"_a, "instruction_set"_a = "");
  m.def("activate_hidden", &activate_hidden, "activation"_a, "x"_a, "up"_a.none(), "out"_a, "threads"_a,
        "instruction_set"_a = "");
  m.def("activate_hidden_backward", &activate_hidden_backward, "activation"_a, "x"_a, "up"_a.none(), "d_out"_a, "d_x"_a,
        "d_up"_a.none(), "threads"_a, "instruction_set"_a = "");
  m.def("attend", &attend, "query"_a, "key"_a, "value"_a, "bias"_a.none(), "out"_a, "sums"_a.noconvert(), "causal"_a, "scale"_a,
        "seed"_a, "rate"_a, "threads"_a, "instruction_set"_a = "");
  m.def("attend_backward", &attend_backward, "query"_a, "key"_a, "value"_a, "bias"_a.none(), "sums"_a.noconvert(), "d_out"_a,
        "d_query"_a, "d_key"_a, "d_value"_a, "d_bias"_a.none().noconvert(), "causal"_a, "scale"_a, "seed"_a, "rate"_a,
        "threads"_a,
        "instruction_set"_a = "");
}

}  // namespace clearhead
