// Activations as the products with weights take them.
#pragma once

#include "buffer.h"
#include "kernels.h"

namespace clearhead {

// Rows of floats [M, columns], grown when needed and kept for the next pass. Padding is zero and stays so.
class Rows {
 public:
  void resize(int rows, int columns) {
    stride_ = spaced(round_up(std::size_t(columns), std::size_t(column_unit)) * sizeof(float)) / sizeof(float);
    floats_.grow(stride_ * std::size_t(rows));
  }
  float* row(int i) { return floats_.data() + stride_ * std::size_t(i); }
  const float* row(int i) const { return floats_.data() + stride_ * std::size_t(i); }
  std::size_t stride() const { return stride_; }

 private:
  Buffer<float> floats_;
  std::size_t stride_ = 0;
};

// The types that activations are converted to, as bits: the float32 of an f32 matrix needs none.
using Kinds = unsigned;
inline constexpr Kinds halves = 1;  // bfloat16; bit g + 1 stands for bytes in groups of 32 << g
// Bytes a second time: what the first rounding left, quantised again. A product with both is nearly one with floats.
inline Kinds remainder_of(Kinds kind) { return kind == halves ? 0 : kind << 8; }
// What a product of so many rows with `matrix` takes.
inline Kinds kind_of(const Matrix& matrix, int rows, const Kernels& kernels) {
  if (matrix.format == Format::f32) return 0;
  if (matrix.format == Format::bf16 || rows >= kernels.fewest_for_halves) return halves;
  return matrix.group == 32 ? 2u : matrix.group == 64 ? 4u : 8u;
}

// One matrix of activations [M, columns] in each type that the weights it meets call for.
class Inputs {
 public:
  void resize(int rows, int columns, Kinds kinds);
  // Row `row` from its floats x.
  void convert(const Kernels& kernels, const float* x, int row, int columns, Kinds kinds);
  // What a product with `matrix` reads, which takes `kind`; `floats` are the rows they were converted from.
  Operand operand(const Matrix& matrix, Kinds kind, const float* floats, std::size_t stride) const;
  // The same for what bytes left over.
  Operand remainder(const Matrix& matrix) const { return bytes_operand(remainders_[slot_of(matrix)]); }
  // Lets an activation be written here, as a product with `next` takes it.
  void receive(Activated& from, const Matrix& next, Kinds kind);

 private:
  struct Bytes {
    Buffer<std::int8_t> codes;
    Buffer<float> scales;
    Buffer<std::int32_t> sums;
  };
  std::size_t stride_ = 0;  // elements from row to row
  Buffer<std::uint16_t> halves_;
  Bytes bytes_[3], remainders_[3];

  static int slot_of(const Matrix& matrix) { return matrix.group == 32 ? 0 : matrix.group == 64 ? 1 : 2; }
  static void grow(Bytes& bytes, std::size_t all, std::size_t groups);
  Operand bytes_operand(const Bytes& bytes) const;
};

}  // namespace clearhead
