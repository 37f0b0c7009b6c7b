// How a weight matrix W [rows, columns] lies in memory once it is packed.
//
// Sixteen rows make a block, so that one vector holds the same columns of sixteen rows. A vector is 64 bytes: for each of
// the 16 rows, one 32-bit word of codes.
//
//   f32    vector v is column v
//   bf16   columns 2v, 2v + 1
//   int8   columns 4v .. 4v + 3, one byte each: the code plus 128
//   int4   the low nibbles are columns 8v .. 8v + 3, the high nibbles 8v + 4 .. 8v + 7: the code plus 8
//          (the plain code 0 .. 15 where there are minima)
//
// A block of floats is its vectors. A block of int8 or int4 is its groups of columns, one after the other, each with what
// it takes to read it: codes, then 16 scales in float16, then, where `minima`, 16 minima in float16. So whoever multiplies
// one vector by a matrix reads memory in a single stream, which a processor can run ahead of. Blocks start at multiples of
// 64 bytes; groups, where there are no minima, need not.
//
// A weight is scale * code, or scale * code + minimum, where the code is signed without minima and, with them, runs
// from 0. Columns are padded with zero weights to a whole number of groups (32 for the floats), rows to whole blocks.
#pragma once

#include <cstddef>
#include <cstdint>

// What kernels call and other code calls too must leave no copy behind in a file compiled for one instruction set: the linker
// would keep any one of the copies, and run it on machines that lack those instructions.
#define CLEARHEAD_INLINE [[gnu::always_inline]] inline

namespace clearhead {

inline constexpr int lanes = 16;      // rows of a block, keys of a page, floats of a vector
inline constexpr int alignment = 64;  // bytes: a cache line, a vector
inline constexpr int column_unit = 32;

enum class Format : std::uint8_t { f32, bf16, int8, int4 };

template <class T>
CLEARHEAD_INLINE constexpr T round_up(T n, T unit) {
  return (n + unit - 1) / unit * unit;
}

// From row to row of many: bytes, a multiple of 64. Rows that lay at multiples of a page would share their places in the
// caches.
CLEARHEAD_INLINE constexpr std::size_t spaced(std::size_t row_bytes) {
  const std::size_t aligned = round_up(row_bytes, std::size_t(alignment));
  return aligned % 1024 == 0 ? aligned + alignment : aligned;
}

struct Matrix {
  Format format = Format::f32;
  bool minima = false;
  int rows = 0, columns = 0;  // of the model, without padding
  int group = column_unit;    // columns that share a scale: 32; of int8 without minima also 64 or 128
  const std::byte* data = nullptr;

  // Whether kernels have this form.
  CLEARHEAD_INLINE bool sound() const {
    const bool wide = format == Format::int8 && !minima && (group == 64 || group == 128);
    return rows >= 1 && columns >= 1 && (group == 32 || wide);
  }
  CLEARHEAD_INLINE bool quantised() const { return format == Format::int8 || format == Format::int4; }
  CLEARHEAD_INLINE int blocks() const { return (rows + lanes - 1) / lanes; }
  CLEARHEAD_INLINE int padded() const { return round_up(columns, quantised() ? group : column_unit); }
  CLEARHEAD_INLINE int groups() const { return padded() / group; }
  // What a code is stored above its value: it makes bytes unsigned, as the dot product instructions want them.
  CLEARHEAD_INLINE int zero() const { return minima ? 0 : format == Format::int8 ? 128 : 8; }

  // Codes of so many columns of a block.
  CLEARHEAD_INLINE std::size_t code_bytes(int columns_of_it) const {
    const std::size_t values = std::size_t(lanes) * std::size_t(columns_of_it);
    switch (format) {
      case Format::f32: return values * 4;
      case Format::bf16: return values * 2;
      case Format::int8: return values;
      case Format::int4: return values / 2;
    }
    return 0;
  }
  // From one group of a quantised block to the next.
  CLEARHEAD_INLINE std::size_t group_bytes() const { return code_bytes(group) + (minima ? 4 : 2) * std::size_t(lanes); }
  CLEARHEAD_INLINE std::size_t block_bytes() const {
    if (!quantised()) return code_bytes(padded());
    return round_up(group_bytes() * std::size_t(groups()), std::size_t(alignment));
  }
  CLEARHEAD_INLINE std::size_t bytes() const { return block_bytes() * std::size_t(blocks()); }

  CLEARHEAD_INLINE const std::byte* block(int index) const { return data + block_bytes() * std::size_t(index); }
  CLEARHEAD_INLINE const std::byte* codes(int index, int g) const {
    return block(index) + group_bytes() * std::size_t(g);
  }
  CLEARHEAD_INLINE const std::uint16_t* scales(int index, int g) const {
    return reinterpret_cast<const std::uint16_t*>(codes(index, g) + code_bytes(group));
  }
  CLEARHEAD_INLINE const std::uint16_t* minimums(int index, int g) const { return scales(index, g) + lanes; }
};

}  // namespace clearhead
