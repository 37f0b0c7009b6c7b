// How keys and values lie in memory: pages of sixteen positions.
//
// A page of one layer and one key/value head holds the keys, then the values, of positions 16 i .. 16 i + 15:
//
//   keys     [head_dim][16]            so that one vector holds the same dimension of sixteen keys
//   values   [16][padded head_dim]     so that one vector holds sixteen dimensions of one value
//   scales   int8 only: float [16] of the keys, float [16] of the values
//
// Elements are float32, bfloat16, float16 or int8 (value = code * scale of its position). Those of bfloat16 lie in pairs,
// which is how products of two at a time, and tiles, take them:
//
//   keys     [padded head_dim / 2][16][2]     dimensions 2 i and 2 i + 1 of each key
//   values   [8][padded head_dim][2]          positions 2 i and 2 i + 1 of each dimension
#pragma once

#include "matrix.h"

namespace clearhead {

enum class KvFormat : std::uint8_t { f32, bf16, f16, int8 };

inline constexpr int page_keys = lanes;
inline constexpr int slab_shift = 4;  // pages of a slab, as a power of two: they lie side by side for each head
inline constexpr int slab_pages = 1 << slab_shift;

struct PageShape {
  KvFormat format = KvFormat::f32;
  int head_dim = 0;

  CLEARHEAD_INLINE int padded() const { return round_up(head_dim, lanes); }
  CLEARHEAD_INLINE std::size_t element() const { return format == KvFormat::f32 ? 4 : format == KvFormat::int8 ? 1 : 2; }
  CLEARHEAD_INLINE int key_rows() const { return format == KvFormat::bf16 ? round_up(head_dim, 32) : head_dim; }
  CLEARHEAD_INLINE std::size_t key_bytes() const { return std::size_t(key_rows()) * page_keys * element(); }
  CLEARHEAD_INLINE std::size_t value_bytes() const { return std::size_t(page_keys) * std::size_t(padded()) * element(); }
  CLEARHEAD_INLINE std::size_t scale_bytes() const { return format == KvFormat::int8 ? 2 * page_keys * sizeof(float) : 0; }
  CLEARHEAD_INLINE std::size_t bytes() const {
    return round_up(key_bytes() + value_bytes() + scale_bytes(), std::size_t(alignment));
  }
};

// The pages of one sequence, as one layer and one key/value head see them.
struct PageView {
  std::byte* const* slabs = nullptr;
  const std::int32_t* table = nullptr;  // the page of positions 16 i and on
  std::size_t head_offset = 0;          // where this layer and head begin in a slab
  std::size_t page_bytes = 0;

  CLEARHEAD_INLINE std::byte* operator[](int i) const {
    const std::int32_t page = table[i];
    return slabs[page >> slab_shift] + head_offset + std::size_t(page & (slab_pages - 1)) * page_bytes;
  }
};

}  // namespace clearhead
