// Rows of float32 or bfloat16 as training has them: any number of columns, sixteen at a time, fewer at the end, and nothing
// before or after a row may be touched.
#pragma once

#include <algorithm>

#include "simd.h"

namespace clearhead {
namespace {

using Half = std::uint16_t;  // a bfloat16

inline Floats take(const float* p) { return load(p); }
inline Floats take(const Half* p) { return load_bfloat16(p); }
inline void put(float* p, Floats a) { store(p, a); }
#if defined(__AVX512BF16__)
// Rounded by the machine, which takes what is nearly 0 for 0.
inline void put(Half* p, Floats a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(a.v)));
}
#else
inline void put(Half* p, Floats a) { store_bfloat16(p, a); }
#endif

inline float number(float a) { return a; }
inline float number(Half a) { return from_bfloat16(a); }
inline void set(float* p, float a) { *p = a; }
inline void set(Half* p, float a) { *p = to_bfloat16(a); }

#if defined(__AVX512F__)

// The first n, and zeros; n from 0 to 16.
inline Floats take(const float* p, int n) { return {_mm512_maskz_loadu_ps(__mmask16((1u << n) - 1u), p)}; }
inline Floats take(const Half* p, int n) {
  const __m512i words = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(__mmask16((1u << n) - 1u), p));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(words, 16))};
}
inline void put(float* p, Floats a, int n) { _mm512_mask_storeu_ps(p, __mmask16((1u << n) - 1u), a.v); }
inline void put(Half* p, Floats a, int n) {
#if defined(__AVX512BF16__)
  const __m256i halves = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(a.v));
#else
  const __m256i halves = _mm512_cvtepi32_epi16(rounded(a));
#endif
  _mm256_mask_storeu_epi16(p, __mmask16((1u << n) - 1u), halves);
}

#else

template <class E>
inline Floats take(const E* p, int n) {
  E row[lanes] = {};
  std::memcpy(row, p, std::size_t(n) * sizeof(E));
  return take(row);
}
template <class E>
inline void put(E* p, Floats a, int n) {
  E row[lanes];
  put(row, a);
  std::memcpy(p, row, std::size_t(n) * sizeof(E));
}

#endif

// Calls each(i, n) for the vectors of a row: n is 16, or what is left at the end. Where all are whole, the compiler knows.
template <class Each>
inline void for_vectors(int columns, Each&& each) {
  int i = 0;
  for (; i + lanes <= columns; i += lanes) each(i, std::integral_constant<int, lanes>{});
  if (i < columns) each(i, columns - i);
}

// The same for either kind of n.
template <class E>
inline Floats take(const E* p, std::integral_constant<int, lanes>) { return take(p); }
template <class E>
inline void put(E* p, Floats a, std::integral_constant<int, lanes>) { put(p, a); }
inline Floats first(std::integral_constant<int, lanes>, Floats a, Floats) { return a; }

}  // namespace
}  // namespace clearhead
