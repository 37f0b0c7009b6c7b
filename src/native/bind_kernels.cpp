// Packing, and single kernels for tests, which compare each instruction set with NumPy.
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <map>

#include "cpu.h"
#include "inputs.h"
#include "modules.h"
#include "pack.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace clearhead {

namespace {

using Bytes = nb::ndarray<const std::uint8_t, nb::c_contig, nb::device::cpu>;
using Packed = nb::ndarray<std::uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Floats2 = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Floats = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Output1 = nb::ndarray<float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Output2 = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

Matrix shape(const std::string& format, bool minima, int rows, int columns, int group) {
  Matrix m{format_named(format), minima, rows, columns, group, nullptr};
  if (!m.sound())
    throw std::invalid_argument("a packed matrix has rows, columns and groups of 32, or as int8 without minima of 64 or 128");
  return m;
}

std::size_t packed_bytes(const std::string& format, bool minima, int rows, int columns, int group) {
  return shape(format, minima, rows, columns, group).bytes();
}

void pack(const std::string& format, bool minima, int rows, int columns, int group, const std::string& type,
          const Bytes& source, int first, Packed out) {
  const Matrix m = shape(format, minima, rows, columns, group);
  const std::size_t each = row_bytes(type, columns);
  const auto count = source.size() / each;
  if (source.size() % each != 0 || out.size() != m.bytes() || first < 0 || std::size_t(first) + count > std::size_t(rows))
    throw std::invalid_argument("rows to pack that do not fit the matrix");
  const nb::gil_scoped_release released;
  pack_rows(m, reinterpret_cast<std::byte*>(out.data()), type, reinterpret_cast<const std::byte*>(source.data()), first,
            int(count));
}

// out [tokens, whole blocks of rows] = x W^T + bias (added to, if `add`), in calls of so many tokens and blocks.
void multiply(const std::string& set, const std::string& format, bool minima, int rows, int columns, int group,
              Packed data, Floats2 x, std::optional<Floats> bias, bool add, int token_step, int block_step,
              Output2 out) {
  Matrix m = shape(format, minima, rows, columns, group);
  const int tokens = int(x.shape(0));
  if (data.size() != m.bytes() || int(x.shape(1)) != columns || int(out.shape(0)) != tokens ||
      int(out.shape(1)) != m.blocks() * lanes || (bias && bias->size() != out.shape(1)) || token_step < 1 ||
      block_step < 1)
    throw std::invalid_argument("shapes of a product that do not agree");
  m.data = reinterpret_cast<const std::byte*>(data.data());
  const Kernels& k = kernels(set);
  Rows floats;
  Inputs inputs;
  Workspace work;
  floats.resize(tokens, columns);
  const Kinds kind = kind_of(m, tokens, k);
  inputs.resize(tokens, columns, kind);
  for (int t = 0; t < tokens; ++t) {
    std::memcpy(floats.row(t), x.data() + std::size_t(t) * std::size_t(columns), std::size_t(columns) * sizeof(float));
    inputs.convert(k, floats.row(t), t, columns, kind);
  }
  const Product p{&m, bias ? bias->data() : nullptr, out.data(), out.shape(1), add};
  const nb::gil_scoped_release released;
  token_step = std::min(token_step, tokens), block_step = std::min(block_step, m.blocks());
  for (int t = 0; t < tokens; t += token_step)
    for (int b = 0; b < m.blocks(); b += block_step)
      k.multiply(inputs.operand(m, kind, floats.row(0), floats.stride()), t, std::min(tokens, t + token_step), p, b,
                 std::min(m.blocks(), b + block_step), work);
}

// One token's activations as bytes: codes, scales and sums of its groups.
nb::tuple quantise(const std::string& set, const Floats& x, int group) {
  if (group < 32 || x.size() == 0 || x.size() % std::size_t(group) != 0)
    throw std::invalid_argument("activations are not whole groups");
  const std::size_t groups = x.size() / std::size_t(group);
  const Buffer<float> aligned(x.data(), x.size());
  std::vector<std::int8_t> codes(x.size());
  std::vector<float> scales(groups);
  std::vector<std::int32_t> sums(groups);
  kernels(set).quantise(aligned.data(), int(x.size()), group, codes.data(), scales.data(), sums.data(), nullptr);
  const auto array = [](const auto& from) {
    using T = typename std::decay_t<decltype(from)>::value_type;
    return nb::cast(nb::ndarray<nb::numpy, const T>(from.data(), {from.size()}), nb::rv_policy::copy);
  };
  return nb::make_tuple(array(codes), array(scales), array(sums));
}

void unpack(const std::string& format, bool minima, int rows, int columns, int group, const Bytes& data, int row,
            Output1 out) {
  Matrix m = shape(format, minima, rows, columns, group);
  if (data.size() != m.bytes() || int(out.size()) < m.padded() || row < 0 || row >= rows)
    throw std::invalid_argument("shapes of a row that do not agree");
  m.data = reinterpret_cast<const std::byte*>(data.data());
  kernels("portable").unpack_row(m, row, out.data());
}

// All rows of a matrix as floats [rows, columns].
void unpack_rows(const std::string& format, bool minima, int rows, int columns, int group, const Bytes& data,
                 Output2 out) {
  Matrix m = shape(format, minima, rows, columns, group);
  if (data.size() != m.bytes() || int(out.shape(0)) != rows || int(out.shape(1)) != columns)
    throw std::invalid_argument("shapes of a matrix that do not agree");
  m.data = reinterpret_cast<const std::byte*>(data.data());
  const nb::gil_scoped_release released;
  Buffer<float> row(std::size_t(m.padded()));
  for (int i = 0; i < rows; ++i) {
    kernels("portable").unpack_row(m, i, row.data());
    std::copy_n(row.data(), columns, out.data() + std::size_t(i) * std::size_t(columns));
  }
}

// A function of the MLP, of each x.
void activate(const std::string& set, const std::string& kind, const Floats& x, Output1 out) {
  static const std::map<std::string, Activation> kinds = {{"none", Activation::none},
                                                          {"relu", Activation::relu},
                                                          {"gelu", Activation::gelu},
                                                          {"gelu_tanh", Activation::gelu_tanh},
                                                          {"silu", Activation::silu}};
  if (x.size() != out.size()) throw std::invalid_argument("shapes of an activation that do not agree");
  const std::size_t padded = round_up(x.size(), std::size_t(lanes));
  Buffer<float> values(padded);
  std::copy_n(x.data(), x.size(), values.data());
  kernels(set).activate(kinds.at(kind), values.data(), nullptr, padded, values.data());
  std::copy_n(values.data(), x.size(), out.data());
}

}  // namespace

void bind_kernels(nb::module_& m) {
  m.def("packed_bytes", &packed_bytes, "format"_a, "minima"_a, "rows"_a, "columns"_a, "group"_a);
  m.def("pack", &pack, "format"_a, "minima"_a, "rows"_a, "columns"_a, "group"_a, "type"_a, "source"_a, "first"_a, "out"_a);
  m.def("multiply", &multiply, "instruction_set"_a, "format"_a, "minima"_a, "rows"_a, "columns"_a, "group"_a, "data"_a,
        "x"_a, "bias"_a.none(), "add"_a, "token_step"_a, "block_step"_a, "out"_a);
  m.def("activate", &activate, "instruction_set"_a, "kind"_a, "x"_a, "out"_a);
  m.def("quantise", &quantise, "instruction_set"_a, "x"_a, "group"_a);
  m.def("unpack_rows", &unpack_rows, "format"_a, "minima"_a, "rows"_a, "columns"_a, "group"_a, "data"_a, "out"_a);
  m.def("unpack", &unpack, "format"_a, "minima"_a, "rows"_a, "columns"_a, "group"_a, "data"_a, "row"_a, "out"_a);
}

}  // namespace clearhead
