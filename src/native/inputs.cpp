#include "inputs.h"

namespace clearhead {

namespace {

constexpr int widest_group = 128;

int group_of(int slot) { return 32 << slot; }
Kinds bytes_in(int slot) { return 2u << slot; }

}  // namespace

void Inputs::grow(Bytes& bytes, std::size_t all, std::size_t groups) {
  bytes.codes.grow(all);
  bytes.scales.grow(groups);
  bytes.sums.grow(groups);
}

void Inputs::resize(int rows, int columns, Kinds kinds) {
  stride_ = spaced(round_up(std::size_t(columns), std::size_t(widest_group)));
  const std::size_t all = stride_ * std::size_t(rows);
  if (kinds & halves) halves_.grow(all);
  for (int slot = 0; slot < 3; ++slot) {
    const std::size_t groups = (all + std::size_t(group_of(slot)) - 1) / std::size_t(group_of(slot));
    if (kinds & bytes_in(slot)) grow(bytes_[slot], all, groups);
    if (kinds & remainder_of(bytes_in(slot))) grow(remainders_[slot], all, groups);
  }
}

void Inputs::convert(const Kernels& kernels, const float* x, int row, int columns, Kinds kinds) {
  const auto at = stride_ * std::size_t(row);
  if (kinds & halves) kernels.to_bfloat16(x, round_up(columns, column_unit), halves_.data() + at);
  for (int slot = 0; slot < 3; ++slot) {
    if (!(kinds & bytes_in(slot))) continue;
    const int group = group_of(slot), padded = round_up(columns, group);
    const auto first = std::size_t(row) * std::size_t(padded / group);  // rows of scales follow without gaps
    Bytes &to = bytes_[slot], &rest = remainders_[slot];
    if (!(kinds & remainder_of(bytes_in(slot)))) {
      kernels.quantise(x, padded, group, to.codes.data() + at, to.scales.data() + first, to.sums.data() + first, nullptr);
      continue;
    }
    alignas(alignment) float left[widest_group];
    for (int g = 0; g < padded / group; ++g) {
      const auto code = at + std::size_t(g * group), factor = first + std::size_t(g);
      kernels.quantise(x + g * group, group, group, to.codes.data() + code, to.scales.data() + factor,
                       to.sums.data() + factor, left);
      kernels.quantise(left, group, group, rest.codes.data() + code, rest.scales.data() + factor,
                       rest.sums.data() + factor, nullptr);
    }
  }
}

void Inputs::receive(Activated& from, const Matrix& next, Kinds kind) {
  from.stride = stride_;
  if (kind == halves) {
    from.halves = halves_.data();
    return;
  }
  Bytes& to = bytes_[slot_of(next)];
  from.codes = to.codes.data();
  from.scales = to.scales.data();
  from.sums = to.sums.data();
  from.group = next.group;
  from.groups = next.groups();
}

Operand Inputs::bytes_operand(const Bytes& bytes) const {
  return {reinterpret_cast<const std::byte*>(bytes.codes.data()), stride_, bytes.scales.data(), bytes.sums.data()};
}

Operand Inputs::operand(const Matrix& matrix, Kinds kind, const float* floats, std::size_t stride) const {
  if (matrix.format == Format::f32) return {reinterpret_cast<const std::byte*>(floats), stride * 4, nullptr, nullptr};
  if (kind == halves)
    return {reinterpret_cast<const std::byte*>(halves_.data()), stride_ * 2, nullptr, nullptr};
  return bytes_operand(bytes_[slot_of(matrix)]);
}

}  // namespace clearhead
