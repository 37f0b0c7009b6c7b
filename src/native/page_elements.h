// How keys and values enter pages and leave them; pages.h says how they lie there.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels.h"
#include "simd.h"

namespace clearhead {
namespace {

template <KvFormat F>
inline Floats load_element(const std::byte* p, std::size_t index) {
  if constexpr (F == KvFormat::f32) return load(reinterpret_cast<const float*>(p) + index);
  if constexpr (F == KvFormat::f16) return load_float16(reinterpret_cast<const std::uint16_t*>(p) + index);
  if constexpr (F == KvFormat::int8) return load_bytes(reinterpret_cast<const std::int8_t*>(p) + index);
}

// Element `index` of two rows that bfloat16 keeps as pairs: the row before or after, as `second` says.
inline Floats load_of_pair(const std::byte* p, std::size_t index, bool second) {
  const std::uint16_t* pairs = reinterpret_cast<const std::uint16_t*>(p) + 2 * index;
  return second ? load_second_bfloat16(pairs) : load_first_bfloat16(pairs);
}

// Dimension d of sixteen keys.
template <KvFormat F>
inline Floats load_keys(const std::byte* page, int d, bool odd) {
  if constexpr (F == KvFormat::bf16)
    return load_of_pair(page, std::size_t(d / 2) * page_keys, odd);
  else
    return load_element<F>(page, std::size_t(d) * page_keys);
}

// Dimensions d to d + 15 of the value in slot s.
template <KvFormat F>
inline Floats load_value(const std::byte* values, std::size_t padded, int s, std::size_t d, bool odd) {
  if constexpr (F == KvFormat::bf16)
    return load_of_pair(values, std::size_t(s / 2) * padded + d, odd);
  else
    return load_element<F>(values, std::size_t(s) * padded + d);
}

// Elements i to i + 15 of a vector [n]; zeros after its end.
inline Floats load_row(const float* x, int i, int n) {
  if (i + lanes <= n) return load(x + i);
  float row[lanes] = {};
  std::memcpy(row, x + i, std::size_t(n - i) * sizeof(float));
  return load(row);
}
inline void store_row(float* x, int i, int n, Floats a) {
  if (i + lanes <= n) return store(x + i, a);
  float row[lanes];
  store(row, a);
  std::memcpy(x + i, row, std::size_t(n - i) * sizeof(float));
}

// The scales of sixteen keys or values; only int8 has any.
inline const float* key_scales(const PageShape& shape, const std::byte* page) {
  return reinterpret_cast<const float*>(page + shape.key_bytes() + shape.value_bytes());
}
inline const float* value_scales(const PageShape& shape, const std::byte* page) {
  return key_scales(shape, page) + page_keys;
}

// Sixteen numbers as elements of a page.
template <KvFormat F>
inline void store_elements(const float* x, float inverse, std::byte* to, std::size_t step) {
  const auto scatter = [&](const auto& elements) {
    for (int i = 0; i < lanes; ++i) std::memcpy(to + std::size_t(i) * step, elements + i, sizeof elements[0]);
  };
  if constexpr (F == KvFormat::f32) scatter(x);
  if constexpr (F == KvFormat::int8) {
    std::int8_t codes[lanes];
    store_bytes(codes, to_ints(load(x) * fill(inverse)));
    scatter(codes);
  }
  if constexpr (F == KvFormat::f16) {
    std::uint16_t halves[lanes];
    store_float16(halves, load(x));
    scatter(halves);
  }
}

// A vector [head_dim] to every step-th byte from `to`; for int8 with its scale.
template <KvFormat F>
inline void store_vector(const PageShape& shape, const float* x, std::byte* to, std::size_t step, float* scale) {
  float inverse = 1;
  if constexpr (F == KvFormat::int8) {
    float most = 0, check = 0;
    for (int d = 0; d < shape.head_dim; ++d) {
      most = std::max(most, std::abs(x[d]));
      check += x[d] * 0.0f;  // 0, unless a number is infinite or none: then the scale is none, and so is what is read back
    }
    *scale = check == 0 ? most / 127.0f : std::numeric_limits<float>::quiet_NaN();
    inverse = check == 0 && most > 1e-36f ? 127.0f / most : 0.0f;
  }
  for (int d = 0; d < shape.head_dim; d += lanes) {
    float row[lanes];
    store(row, load_row(x, d, shape.head_dim));
    const int n = std::min(lanes, shape.head_dim - d);
    if (n == lanes) {
      store_elements<F>(row, inverse, to + std::size_t(d) * step, step);
    } else {
      alignas(alignment) std::byte last[lanes * 4];
      store_elements<F>(row, inverse, last, shape.element());
      for (int i = 0; i < n; ++i)
        std::memcpy(to + std::size_t(d + i) * step, last + std::size_t(i) * shape.element(), shape.element());
    }
  }
}

template <KvFormat F>
inline void store_format(const PageShape& shape, std::byte* page, int slot, const float* key, const float* value) {
  const std::size_t element = shape.element();
  std::byte* values = page + shape.key_bytes() + std::size_t(slot) * std::size_t(shape.padded()) * element;
  float* scales = reinterpret_cast<float*>(page + shape.key_bytes() + shape.value_bytes());
  store_vector<F>(shape, key, page + std::size_t(slot) * element, page_keys * element, scales + slot);
  store_vector<F>(shape, value, values, element, scales + page_keys + slot);
}

// The same for bfloat16, whose rows are pairs: a key brings whole words, a value one half of each word. The half that is
// not there yet becomes zero.
inline void store_pairs(const PageShape& shape, std::byte* page, int slot, const float* key, const float* value) {
  std::byte* words = page + std::size_t(slot) * 4;
  auto* halves = reinterpret_cast<std::uint16_t*>(page + shape.key_bytes()) + std::size_t(slot / 2 * 2 * shape.padded());
  for (int d = 0; d < shape.head_dim; d += lanes) {
    std::uint16_t row[lanes];
    store_bfloat16(row, load_row(key, d, shape.head_dim));
    for (int i = 0; i < lanes; i += 2) std::memcpy(words + std::size_t((d + i) / 2) * page_keys * 4, row + i, 4);
    const Floats part = load_row(value, d, shape.head_dim);
    if (slot % 2 == 0)
      store_first_bfloat16(halves + 2 * d, part);
    else
      store_second_bfloat16(halves + 2 * d, part);
  }
}

void store_position(const PageShape& shape, std::byte* page, int slot, const float* key, const float* value) {
  // What an earlier owner of the page left is multiplied by zero, and must be finite for that.
  if (slot == 0) std::memset(page + shape.key_bytes(), 0, shape.bytes() - shape.key_bytes());
  switch (shape.format) {
    case KvFormat::f32: return store_format<KvFormat::f32>(shape, page, slot, key, value);
    case KvFormat::bf16: return store_pairs(shape, page, slot, key, value);
    case KvFormat::f16: return store_format<KvFormat::f16>(shape, page, slot, key, value);
    case KvFormat::int8: return store_format<KvFormat::int8>(shape, page, slot, key, value);
  }
}

template <KvFormat F>
inline void load_format(const PageShape& shape, const std::byte* page, int slot, float* key, float* value) {
  const float key_scale = F == KvFormat::int8 ? key_scales(shape, page)[slot] : 1.0f;
  const float value_scale = F == KvFormat::int8 ? value_scales(shape, page)[slot] : 1.0f;
  const auto padded = std::size_t(shape.padded());
  float row[lanes];
  for (int d = 0; d < shape.head_dim; ++d) {
    store(row, load_keys<F>(page, d, d % 2 != 0));
    key[d] = row[slot] * key_scale;
  }
  for (int d = 0; d < shape.head_dim; d += lanes) {
    store(row, load_value<F>(page + shape.key_bytes(), padded, slot, std::size_t(d), slot % 2 != 0) * fill(value_scale));
    std::memcpy(value + d, row, sizeof(float) * std::size_t(std::min(lanes, shape.head_dim - d)));
  }
}

void load_position(const PageShape& shape, const std::byte* page, int slot, float* key, float* value) {
  switch (shape.format) {
    case KvFormat::f32: return load_format<KvFormat::f32>(shape, page, slot, key, value);
    case KvFormat::bf16: return load_format<KvFormat::bf16>(shape, page, slot, key, value);
    case KvFormat::f16: return load_format<KvFormat::f16>(shape, page, slot, key, value);
    case KvFormat::int8: return load_format<KvFormat::int8>(shape, page, slot, key, value);
  }
}

}  // namespace
}  // namespace clearhead
