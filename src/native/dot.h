// Dot products of sixteen rows at once: 64 bytes of packed weights, one 32-bit word for each row, against one word of
// activations. A word is one float32, two bfloat16 or four bytes; see matrix.h.
#pragma once

#include "simd.h"

namespace clearhead {
namespace {

#if defined(__AVX512F__)

using Words = __m512i;
inline Words load_words(const std::byte* p) { return _mm512_loadu_si512(p); }
inline void store_words(std::byte* p, Words a) { _mm512_storeu_si512(p, a); }
inline Words spread(const std::byte* p) {  // one word to all rows
  std::int32_t word;
  std::memcpy(&word, p, sizeof word);
  return _mm512_set1_epi32(word);
}
inline Words low_nibbles(Words a) { return _mm512_and_si512(a, _mm512_set1_epi8(15)); }
inline Words high_nibbles(Words a) { return _mm512_and_si512(_mm512_srli_epi16(a, 4), _mm512_set1_epi8(15)); }
inline Words masked(Words a, int b) { return _mm512_and_si512(a, _mm512_set1_epi8(static_cast<char>(b))); }
inline Ints sixteenth(Ints a) { return {_mm512_srai_epi32(a.v, 4)}; }
inline Words minus(Words a, int b) { return _mm512_sub_epi8(a, _mm512_set1_epi8(static_cast<char>(b))); }
inline Floats dot_float(Floats acc, Words w, Words x) {
  return fma(Floats{_mm512_castsi512_ps(w)}, Floats{_mm512_castsi512_ps(x)}, acc);
}

#elif defined(__AVX2__)

struct Words { __m256i low, high; };
inline Words load_words(const std::byte* p) {
  const auto* q = reinterpret_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(q), _mm256_loadu_si256(q + 1)};
}
inline void store_words(std::byte* p, Words a) {
  auto* q = reinterpret_cast<__m256i*>(p);
  _mm256_storeu_si256(q, a.low);
  _mm256_storeu_si256(q + 1, a.high);
}
inline Words spread(const std::byte* p) {  // one word to all rows
  std::int32_t word;
  std::memcpy(&word, p, sizeof word);
  const __m256i all = _mm256_set1_epi32(word);
  return {all, all};
}
inline __m256i low_nibbles(__m256i a) { return _mm256_and_si256(a, _mm256_set1_epi8(15)); }
inline __m256i high_nibbles(__m256i a) { return low_nibbles(_mm256_srli_epi16(a, 4)); }
inline Words low_nibbles(Words a) { return {low_nibbles(a.low), low_nibbles(a.high)}; }
inline Words high_nibbles(Words a) { return {high_nibbles(a.low), high_nibbles(a.high)}; }
inline Words masked(Words a, int b) {
  const __m256i all = _mm256_set1_epi8(static_cast<char>(b));
  return {_mm256_and_si256(a.low, all), _mm256_and_si256(a.high, all)};
}
inline Ints sixteenth(Ints a) { return {_mm256_srai_epi32(a.low, 4), _mm256_srai_epi32(a.high, 4)}; }
inline Words minus(Words a, int b) {
  const __m256i all = _mm256_set1_epi8(static_cast<char>(b));
  return {_mm256_sub_epi8(a.low, all), _mm256_sub_epi8(a.high, all)};
}
inline Floats dot_float(Floats acc, Words w, Words x) {
  return fma(Floats{_mm256_castsi256_ps(w.low), _mm256_castsi256_ps(w.high)},
             Floats{_mm256_castsi256_ps(x.low), _mm256_castsi256_ps(x.high)}, acc);
}

#else

struct Words { std::uint8_t v[64]; };
inline Words load_words(const std::byte* p) {
  Words r;
  std::memcpy(r.v, p, sizeof r.v);
  return r;
}
inline void store_words(std::byte* p, Words a) { std::memcpy(p, a.v, sizeof a.v); }
inline Words spread(const std::byte* p) {  // one word to all rows
  Words r;
  for (int i = 0; i < lanes; ++i) std::memcpy(r.v + 4 * i, p, 4);
  return r;
}
template <class Each>
inline Words bytes(Words a, Each each) {
  for (std::uint8_t& b : a.v) b = static_cast<std::uint8_t>(each(b));
  return a;
}
inline Words low_nibbles(Words a) { return bytes(a, [](int b) { return b & 15; }); }
inline Words high_nibbles(Words a) { return bytes(a, [](int b) { return b >> 4; }); }
inline Words masked(Words a, int mask) { return bytes(a, [mask](int b) { return b & mask; }); }
inline Ints sixteenth(Ints a) { return make<Ints>([&](int i) { return a.v[i] / 16; }); }
inline Words minus(Words a, int n) { return bytes(a, [n](int b) { return b - n; }); }
inline Floats as_floats(Words a) {
  Floats r;
  std::memcpy(r.v, a.v, sizeof r.v);
  return r;
}
inline Floats dot_float(Floats acc, Words w, Words x) { return fma(as_floats(w), as_floats(x), acc); }

#endif

// acc + two products of bfloat16.
#if defined(__AVX512BF16__)
inline Floats dot_bfloat16(Floats acc, Words w, Words x) {
  return {_mm512_dpbf16_ps(acc.v, reinterpret_cast<__m512bh>(w), reinterpret_cast<__m512bh>(x))};
}
#elif defined(__AVX512F__)
inline Floats dot_bfloat16(Floats acc, Words w, Words x) {
  const auto even = [](Words a) { return Floats{_mm512_castsi512_ps(_mm512_slli_epi32(a, 16))}; };
  const auto odd = [](Words a) {
    return Floats{_mm512_castsi512_ps(_mm512_and_si512(a, _mm512_set1_epi32(static_cast<int>(0xffff0000u))))};
  };
  return fma(odd(w), odd(x), fma(even(w), even(x), acc));
}
#elif defined(__AVX2__)
inline Floats dot_bfloat16(Floats acc, Words w, Words x) {
  const auto even = [](Words a) {
    return Floats{_mm256_castsi256_ps(_mm256_slli_epi32(a.low, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(a.high, 16))};
  };
  const auto odd = [](Words a) {
    const __m256i upper = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
    return Floats{_mm256_castsi256_ps(_mm256_and_si256(a.low, upper)),
                  _mm256_castsi256_ps(_mm256_and_si256(a.high, upper))};
  };
  return fma(odd(w), odd(x), fma(even(w), even(x), acc));
}
#else
inline Floats dot_bfloat16(Floats acc, Words w, Words x) {
  const auto half = [](Words a, int which) {
    return make<Floats>([&](int i) {
      std::uint16_t bits;
      std::memcpy(&bits, a.v + 4 * i + 2 * which, 2);
      return from_bfloat16(bits);
    });
  };
  return fma(half(w, 1), half(x, 1), fma(half(w, 0), half(x, 0), acc));
}
#endif

// Byte codes that are stored above their value by Zero (128, 8 or 0), against signed bytes: `dot_start` and one
// `dot_bytes<Zero>` after the other give the sum of value times activation, exactly. `sum` is that of the activations.
#if defined(__AVX512VNNI__)
template <int Zero>
inline Ints dot_start(std::int32_t sum) { return fill(-Zero * sum); }
template <int Zero>
inline Ints dot_bytes(Ints acc, Words w, Words x) { return {_mm512_dpbusd_epi32(acc.v, w, x)}; }
#elif defined(__AVXVNNI__)
template <int Zero>
inline Ints dot_start(std::int32_t sum) { return fill(-Zero * sum); }
template <int Zero>
inline Ints dot_bytes(Ints acc, Words w, Words x) {
  return {_mm256_dpbusd_avx_epi32(acc.low, w.low, x.low), _mm256_dpbusd_avx_epi32(acc.high, w.high, x.high)};
}
#elif defined(__AVX2__)
// Pairs of products are added in 16 bits, which 255 * 127 * 2 would overflow: codes of 8 bits are made signed, and their
// signs moved to the activations, so that no pair exceeds 128 * 127 * 2.
template <int Zero>
inline Ints dot_start(std::int32_t sum) { return fill(Zero == 128 ? 0 : -Zero * sum); }
template <int Zero>
inline __m256i dot_bytes(__m256i acc, __m256i w, __m256i x) {
  if constexpr (Zero == 128) {
    w = _mm256_xor_si256(w, _mm256_set1_epi8(-128));
    x = _mm256_sign_epi8(x, w);
    w = _mm256_abs_epi8(w);
  }
  return _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(w, x), _mm256_set1_epi16(1)));
}
template <int Zero>
inline Ints dot_bytes(Ints acc, Words w, Words x) {
  return {dot_bytes<Zero>(acc.low, w.low, x.low), dot_bytes<Zero>(acc.high, w.high, x.high)};
}
#else
template <int Zero>
inline Ints dot_start(std::int32_t sum) { return fill(-Zero * sum); }
template <int Zero>
inline Ints dot_bytes(Ints acc, Words w, Words x) {
  return make<Ints>([&](int i) {
    std::int32_t s = acc.v[i];
    for (int j = 4 * i; j < 4 * i + 4; ++j) s += w.v[j] * static_cast<std::int8_t>(x.v[j]);
    return s;
  });
}
#endif

// High nibbles where they lie, sixteen times their value, which saves a shift for each vector; `unraised` divides their
// sum. Where pairs of products are added in 16 bits, these would overflow.
#if defined(__AVX2__) && !defined(__AVX512VNNI__) && !defined(__AVXVNNI__)
inline Words raised_nibbles(Words a) { return high_nibbles(a); }
inline Ints unraised(Ints sum) { return sum; }
#else
inline Words raised_nibbles(Words a) { return masked(a, 0xf0); }
inline Ints unraised(Ints sum) { return sixteenth(sum); }
#endif

}  // namespace
}  // namespace clearhead
