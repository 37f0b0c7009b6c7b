#include "inputs.h"

namespace clearhead {

namespace {

constexpr int widest_group = 128;

int group_of(int slot) { return 32 << slot; }
bool wanted(Kinds kinds, int slot) { return (kinds & (2u << slot)) != 0; }

}  // namespace

void Inputs::resize(int rows, int columns, Kinds kinds) {
  stride_ = round_up(std::size_t(columns), std::size_t(widest_group));
  const std::size_t all = stride_ * std::size_t(rows);
  if (kinds & halves) halves_.grow(all);
  for (int slot = 0; slot < 3; ++slot) {
    if (!wanted(kinds, slot)) continue;
    bytes_[slot].codes.grow(all);
    bytes_[slot].scales.grow(all / std::size_t(group_of(slot)));
    bytes_[slot].sums.grow(all / std::size_t(group_of(slot)));
  }
}

void Inputs::convert(const Kernels& kernels, const float* x, int row, int columns, Kinds kinds) {
  const auto at = stride_ * std::size_t(row);
  if (kinds & halves) kernels.to_bfloat16(x, round_up(columns, column_unit), halves_.data() + at);
  for (int slot = 0; slot < 3; ++slot) {
    if (!wanted(kinds, slot)) continue;
    const int group = group_of(slot), padded = round_up(columns, group);
    const auto groups = std::size_t(row) * std::size_t(padded / group);  // rows of scales follow without gaps
    Bytes& to = bytes_[slot];
    kernels.quantise(x, padded, group, to.codes.data() + at, to.scales.data() + groups, to.sums.data() + groups);
  }
}

Operand Inputs::operand(const Matrix& matrix, const float* floats, std::size_t stride) const {
  if (matrix.format == Format::f32) return {reinterpret_cast<const std::byte*>(floats), stride * 4, nullptr, nullptr};
  if (matrix.format == Format::bf16)
    return {reinterpret_cast<const std::byte*>(halves_.data()), stride_ * 2, nullptr, nullptr};
  const Bytes& from = bytes_[matrix.group == 32 ? 0 : matrix.group == 64 ? 1 : 2];
  return {reinterpret_cast<const std::byte*>(from.codes.data()), stride_, from.scales.data(), from.sums.data()};
}

}  // namespace clearhead
