// Vectors of sixteen: the few operations the kernels are written in, for AVX-512 (one register), AVX2 (two) and, with the
// compiler's own vectors, any other machine. Everything here is `static`: each instruction set compiles its own copy.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "half.h"
#include "matrix.h"

namespace clearhead {
namespace {

#if defined(__AVX512F__)

struct Floats { __m512 v; };
struct Ints { __m512i v; };

inline Floats load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void store(float* p, Floats a) { _mm512_storeu_ps(p, a.v); }
inline Floats fill(float a) { return {_mm512_set1_ps(a)}; }
inline Floats operator+(Floats a, Floats b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Floats operator-(Floats a, Floats b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Floats operator*(Floats a, Floats b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Floats operator/(Floats a, Floats b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Floats fma(Floats a, Floats b, Floats c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }  // a b + c
// 1 / a to 1 unit in the last place, where that is neither nearly 0 nor nearly infinite
inline Floats reciprocal(Floats a) {
  const __m512 r = _mm512_rcp14_ps(a.v);
  return {_mm512_fmadd_ps(r, _mm512_fnmadd_ps(a.v, r, _mm512_set1_ps(1.0f)), r)};
}
inline Floats max(Floats a, Floats b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Floats min(Floats a, Floats b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Floats round(Floats a) { return {_mm512_roundscale_ps(a.v, 8)}; }  // to nearest, ties to even, no exceptions
// a in its first n places, b in the others
inline Floats first(int n, Floats a, Floats b) { return {_mm512_mask_mov_ps(b.v, __mmask16((1u << n) - 1u), a.v)}; }
// where a < b, `yes`, else `no`
inline Floats where_less(Floats a, Floats b, Floats yes, Floats no) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), no.v, yes.v)};
}
// total + x where x reaches `least`
inline Floats add_reaching(Floats total, Floats x, Floats least) {
  return {_mm512_mask_add_ps(total.v, _mm512_cmp_ps_mask(x.v, least.v, _CMP_GE_OQ), total.v, x.v)};
}
inline unsigned bits_less(Floats a, Floats b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ); }  // bit i: a[i] < b[i]
// The elements whose bits are set, one after the other; a whole vector may be written.
inline void store_chosen(unsigned bits, Floats a, float* to) {
  _mm512_storeu_ps(to, _mm512_maskz_compress_ps(__mmask16(bits), a.v));
}
inline Floats times_power_of_two(Floats a, Floats n) { return {_mm512_scalef_ps(a.v, n.v)}; }
inline Ints to_ints(Floats a) { return {_mm512_cvtps_epi32(a.v)}; }  // to nearest, ties to even
inline Floats to_floats(Ints a) { return {_mm512_cvtepi32_ps(a.v)}; }
inline Ints fill(std::int32_t a) { return {_mm512_set1_epi32(a)}; }
inline Ints operator+(Ints a, Ints b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline Ints operator*(Ints a, Ints b) { return {_mm512_mullo_epi32(a.v, b.v)}; }  // the lower half
inline Ints operator^(Ints a, Ints b) { return {_mm512_xor_si512(a.v, b.v)}; }
inline Ints operator&(Ints a, Ints b) { return {_mm512_and_si512(a.v, b.v)}; }
inline Ints shift_right(Ints a, int n) { return {_mm512_srli_epi32(a.v, unsigned(n))}; }  // zeros come in
inline Ints max(Ints a, Ints b) { return {_mm512_max_epi32(a.v, b.v)}; }
inline Ints magnitude_bits(Floats a) {
  return {_mm512_and_si512(_mm512_castps_si512(a.v), _mm512_set1_epi32(0x7fffffff))};
}
inline std::int32_t largest(Ints a) { return _mm512_reduce_max_epi32(a.v); }
inline void store_bytes(std::int8_t* p, Ints a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a.v));
}
inline Floats load_bytes(const std::int8_t* p) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
}
inline Floats load_float16(const std::uint16_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
inline void store_float16(std::uint16_t* p, Floats a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(a.v, 8));
}
inline Floats load_bfloat16(const std::uint16_t* p) {
  const __m512i words = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(words, 16))};
}
// the first, or the second, of sixteen pairs
inline Floats load_first_bfloat16(const std::uint16_t* p) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16))};
}
inline Floats load_second_bfloat16(const std::uint16_t* p) {
  return {_mm512_castsi512_ps(_mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi32(-65536)))};
}
inline __m512i rounded(Floats a) {  // to bfloat16, to nearest, ties to even
  const __m512i bits = _mm512_castps_si512(a.v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  return _mm512_srli_epi32(_mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
}
inline void store_bfloat16(std::uint16_t* p, Floats a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(rounded(a)));
}
// as the first of sixteen pairs, whose second is zero; as the second of pairs that are there
inline void store_first_bfloat16(std::uint16_t* p, Floats a) { _mm512_storeu_si512(p, rounded(a)); }
inline void store_second_bfloat16(std::uint16_t* p, Floats a) {
  const __m512i first = _mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi32(0xffff));
  _mm512_storeu_si512(p, _mm512_or_si512(first, _mm512_slli_epi32(rounded(a), 16)));
}
inline float sum(Floats a) { return _mm512_reduce_add_ps(a.v); }
inline float largest(Floats a) { return _mm512_reduce_max_ps(a.v); }
inline std::int32_t sum(Ints a) { return _mm512_reduce_add_epi32(a.v); }

#elif defined(__AVX2__)

struct Floats { __m256 low, high; };
struct Ints { __m256i low, high; };

inline Floats load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void store(float* p, Floats a) { _mm256_storeu_ps(p, a.low); _mm256_storeu_ps(p + 8, a.high); }
inline Floats fill(float a) { return {_mm256_set1_ps(a), _mm256_set1_ps(a)}; }
inline Floats operator+(Floats a, Floats b) { return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }
inline Floats operator-(Floats a, Floats b) { return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)}; }
inline Floats operator*(Floats a, Floats b) { return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
inline Floats operator/(Floats a, Floats b) { return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)}; }
inline Floats fma(Floats a, Floats b, Floats c) {  // a b + c
  return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
inline Floats max(Floats a, Floats b) { return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)}; }
inline Floats min(Floats a, Floats b) { return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)}; }
inline Floats round(Floats a) { return {_mm256_round_ps(a.low, 8), _mm256_round_ps(a.high, 8)}; }
inline Floats first(int n, Floats a, Floats b) {  // a in its first n places, b in the others
  const __m256i at = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256 low = _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n), at));
  const __m256 high = _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n - 8), at));
  return {_mm256_blendv_ps(b.low, a.low, low), _mm256_blendv_ps(b.high, a.high, high)};
}
// where a < b, `yes`, else `no`
inline Floats where_less(Floats a, Floats b, Floats yes, Floats no) {
  return {_mm256_blendv_ps(no.low, yes.low, _mm256_cmp_ps(a.low, b.low, _CMP_LT_OQ)),
          _mm256_blendv_ps(no.high, yes.high, _mm256_cmp_ps(a.high, b.high, _CMP_LT_OQ))};
}
// total + x where x reaches `least`
inline Floats add_reaching(Floats total, Floats x, Floats least) {
  return {_mm256_add_ps(total.low, _mm256_and_ps(x.low, _mm256_cmp_ps(x.low, least.low, _CMP_GE_OQ))),
          _mm256_add_ps(total.high, _mm256_and_ps(x.high, _mm256_cmp_ps(x.high, least.high, _CMP_GE_OQ)))};
}
inline unsigned bits_less(Floats a, Floats b) {  // bit i: a[i] < b[i]
  return unsigned(_mm256_movemask_ps(_mm256_cmp_ps(a.low, b.low, _CMP_LT_OQ))) |
         unsigned(_mm256_movemask_ps(_mm256_cmp_ps(a.high, b.high, _CMP_LT_OQ))) << 8;
}
inline __m256 power_of_two(__m256 n) {
  const __m256i exponent = _mm256_cvtps_epi32(_mm256_add_ps(n, _mm256_set1_ps(127.0f)));
  return _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
}
inline Floats power_of_two(Floats n) { return {power_of_two(n.low), power_of_two(n.high)}; }
inline Ints to_ints(Floats a) { return {_mm256_cvtps_epi32(a.low), _mm256_cvtps_epi32(a.high)}; }
inline Floats to_floats(Ints a) { return {_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high)}; }
inline Ints fill(std::int32_t a) { return {_mm256_set1_epi32(a), _mm256_set1_epi32(a)}; }
inline Ints operator+(Ints a, Ints b) { return {_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)}; }
inline Ints operator*(Ints a, Ints b) {  // the lower half
  return {_mm256_mullo_epi32(a.low, b.low), _mm256_mullo_epi32(a.high, b.high)};
}
inline Ints operator^(Ints a, Ints b) { return {_mm256_xor_si256(a.low, b.low), _mm256_xor_si256(a.high, b.high)}; }
inline Ints operator&(Ints a, Ints b) { return {_mm256_and_si256(a.low, b.low), _mm256_and_si256(a.high, b.high)}; }
inline Ints shift_right(Ints a, int n) { return {_mm256_srli_epi32(a.low, n), _mm256_srli_epi32(a.high, n)}; }
inline Ints max(Ints a, Ints b) { return {_mm256_max_epi32(a.low, b.low), _mm256_max_epi32(a.high, b.high)}; }
inline Ints magnitude_bits(Floats a) {
  const __m256i all = _mm256_set1_epi32(0x7fffffff);
  return {_mm256_and_si256(_mm256_castps_si256(a.low), all), _mm256_and_si256(_mm256_castps_si256(a.high), all)};
}
inline std::int32_t largest(Ints a) {
  const __m256i t = _mm256_max_epi32(a.low, a.high);
  __m128i s = _mm_max_epi32(_mm256_castsi256_si128(t), _mm256_extracti128_si256(t, 1));
  s = _mm_max_epi32(s, _mm_shuffle_epi32(s, 0x4e));
  return _mm_cvtsi128_si32(_mm_max_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}
inline void store_bytes(std::int8_t* p, Ints a) {
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a.low, a.high), 0xd8);
  const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
}
inline Floats load_bytes(const std::int8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
          _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)))};
}
inline Floats load_float16(const std::uint16_t* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
          _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
}
inline void store_float16(std::uint16_t* p, Floats a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(a.low, 8));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8), _mm256_cvtps_ph(a.high, 8));
}
inline Floats load_bfloat16(const std::uint16_t* p) {
  const auto half = [](const std::uint16_t* q) {
    const __m256i words = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(q)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(words, 16));
  };
  return {half(p), half(p + 8)};
}
inline __m256i load_half(const std::uint16_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
// the first, or the second, of sixteen pairs
inline Floats load_first_bfloat16(const std::uint16_t* p) {
  const auto half = [](const std::uint16_t* q) { return _mm256_castsi256_ps(_mm256_slli_epi32(load_half(q), 16)); };
  return {half(p), half(p + 16)};
}
inline Floats load_second_bfloat16(const std::uint16_t* p) {
  const __m256i upper = _mm256_set1_epi32(-65536);
  const auto half = [&](const std::uint16_t* q) { return _mm256_castsi256_ps(_mm256_and_si256(load_half(q), upper)); };
  return {half(p), half(p + 16)};
}
inline __m256i rounded(__m256 a) {
  const __m256i bits = _mm256_castps_si256(a);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i sum = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  return _mm256_srli_epi32(sum, 16);
}
inline void store_bfloat16(std::uint16_t* p, Floats a) {  // to nearest, ties to even
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packus_epi32(rounded(a.low), rounded(a.high)), 0xd8);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), words);
}
// as the first of sixteen pairs, whose second is zero; as the second of pairs that are there
inline void store_first_bfloat16(std::uint16_t* p, Floats a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), rounded(a.low));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 16), rounded(a.high));
}
inline void store_second_bfloat16(std::uint16_t* p, Floats a) {
  const auto half = [](std::uint16_t* q, __m256 x) {
    const __m256i first = _mm256_and_si256(load_half(q), _mm256_set1_epi32(0xffff));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(q), _mm256_or_si256(first, _mm256_slli_epi32(rounded(x), 16)));
  };
  half(p, a.low);
  half(p + 16, a.high);
}
inline float sum(__m256 a) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
inline float sum(Floats a) { return sum(_mm256_add_ps(a.low, a.high)); }
inline float largest(Floats a) {
  const __m256 m = _mm256_max_ps(a.low, a.high);
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(m), _mm256_extractf128_ps(m, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
inline std::int32_t sum(Ints a) {
  const __m256i t = _mm256_add_epi32(a.low, a.high);
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(t), _mm256_extracti128_si256(t, 1));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

#else

// The compiler's vectors: two NEON or SSE registers for each half, or plain loops.
struct Floats { float v[lanes]; };
struct Ints { std::int32_t v[lanes]; };

template <class Result, class Each>
inline Result make(Each each) {
  Result r;
  for (int i = 0; i < lanes; ++i) r.v[i] = each(i);
  return r;
}

inline Floats load(const float* p) { return make<Floats>([&](int i) { return p[i]; }); }
inline void store(float* p, Floats a) { std::memcpy(p, a.v, sizeof a.v); }
inline Floats fill(float a) { return make<Floats>([&](int) { return a; }); }
inline Floats operator+(Floats a, Floats b) { return make<Floats>([&](int i) { return a.v[i] + b.v[i]; }); }
inline Floats operator-(Floats a, Floats b) { return make<Floats>([&](int i) { return a.v[i] - b.v[i]; }); }
inline Floats operator*(Floats a, Floats b) { return make<Floats>([&](int i) { return a.v[i] * b.v[i]; }); }
inline Floats operator/(Floats a, Floats b) { return make<Floats>([&](int i) { return a.v[i] / b.v[i]; }); }
inline Floats fma(Floats a, Floats b, Floats c) {  // a b + c, rounded twice where the machine has no fused form
  return make<Floats>([&](int i) { return a.v[i] * b.v[i] + c.v[i]; });
}
inline Floats max(Floats a, Floats b) { return make<Floats>([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; }); }
inline Floats min(Floats a, Floats b) { return make<Floats>([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; }); }
inline float round(float a) {  // ties to even, for |a| below 2^22
  const float shift = 12582912.0f;
  return a < 4194304.0f && a > -4194304.0f ? (a + shift) - shift : a;
}
inline Floats round(Floats a) { return make<Floats>([&](int i) { return round(a.v[i]); }); }
inline Floats first(int n, Floats a, Floats b) {  // a in its first n places, b in the others
  return make<Floats>([&](int i) { return i < n ? a.v[i] : b.v[i]; });
}
// where a < b, `yes`, else `no`
inline Floats where_less(Floats a, Floats b, Floats yes, Floats no) {
  return make<Floats>([&](int i) { return a.v[i] < b.v[i] ? yes.v[i] : no.v[i]; });
}
// total + x where x reaches `least`
inline Floats add_reaching(Floats total, Floats x, Floats least) {
  return make<Floats>([&](int i) { return x.v[i] >= least.v[i] ? total.v[i] + x.v[i] : total.v[i]; });
}
inline unsigned bits_less(Floats a, Floats b) {  // bit i: a[i] < b[i]
  unsigned bits = 0;
  for (int i = 0; i < lanes; ++i) bits |= unsigned(a.v[i] < b.v[i]) << i;
  return bits;
}
inline Floats power_of_two(Floats n) {  // 2^n for whole n in [-126, 127]
  return make<Floats>([&](int i) {
    const std::uint32_t bits = static_cast<std::uint32_t>(static_cast<std::int32_t>(n.v[i]) + 127) << 23;
    float r;
    std::memcpy(&r, &bits, sizeof r);
    return r;
  });
}
inline Ints to_ints(Floats a) { return make<Ints>([&](int i) { return static_cast<std::int32_t>(round(a.v[i])); }); }
inline Floats to_floats(Ints a) { return make<Floats>([&](int i) { return static_cast<float>(a.v[i]); }); }
inline Ints fill(std::int32_t a) { return make<Ints>([&](int) { return a; }); }
inline Ints operator+(Ints a, Ints b) { return make<Ints>([&](int i) { return a.v[i] + b.v[i]; }); }
inline Ints operator*(Ints a, Ints b) {  // the lower half
  return make<Ints>([&](int i) { return std::int32_t(std::uint32_t(a.v[i]) * std::uint32_t(b.v[i])); });
}
inline Ints operator^(Ints a, Ints b) { return make<Ints>([&](int i) { return a.v[i] ^ b.v[i]; }); }
inline Ints operator&(Ints a, Ints b) { return make<Ints>([&](int i) { return a.v[i] & b.v[i]; }); }
inline Ints shift_right(Ints a, int n) {  // zeros come in
  return make<Ints>([&](int i) { return std::int32_t(std::uint32_t(a.v[i]) >> n); });
}
inline void store_bytes(std::int8_t* p, Ints a) {
  for (int i = 0; i < lanes; ++i) p[i] = static_cast<std::int8_t>(a.v[i]);
}
inline Floats load_bytes(const std::int8_t* p) {
  return make<Floats>([&](int i) { return static_cast<float>(p[i]); });
}
inline Floats load_float16(const std::uint16_t* p) {
  return make<Floats>([&](int i) { return from_float16(p[i]); });
}
inline void store_float16(std::uint16_t* p, Floats a) {
  for (int i = 0; i < lanes; ++i) p[i] = to_float16(a.v[i]);
}
inline Floats load_bfloat16(const std::uint16_t* p) {
  return make<Floats>([&](int i) { return from_bfloat16(p[i]); });
}
// the first, or the second, of sixteen pairs
inline Floats load_first_bfloat16(const std::uint16_t* p) {
  return make<Floats>([&](int i) { return from_bfloat16(p[2 * i]); });
}
inline Floats load_second_bfloat16(const std::uint16_t* p) {
  return make<Floats>([&](int i) { return from_bfloat16(p[2 * i + 1]); });
}
inline void store_bfloat16(std::uint16_t* p, Floats a) {  // to nearest, ties to even
  for (int i = 0; i < lanes; ++i) p[i] = to_bfloat16(a.v[i]);
}
// as the first of sixteen pairs, whose second is zero; as the second of pairs that are there
inline void store_first_bfloat16(std::uint16_t* p, Floats a) {
  for (int i = 0; i < lanes; ++i) p[2 * i] = to_bfloat16(a.v[i]), p[2 * i + 1] = 0;
}
inline void store_second_bfloat16(std::uint16_t* p, Floats a) {
  for (int i = 0; i < lanes; ++i) p[2 * i + 1] = to_bfloat16(a.v[i]);
}
inline float sum(Floats a) {
  float s = 0;
  for (float x : a.v) s += x;
  return s;
}
inline float largest(Floats a) {
  float m = a.v[0];
  for (float x : a.v) m = x > m ? x : m;
  return m;
}
inline Ints max(Ints a, Ints b) { return make<Ints>([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; }); }
inline Ints magnitude_bits(Floats a) {
  return make<Ints>([&](int i) {
    std::int32_t bits;
    std::memcpy(&bits, a.v + i, sizeof bits);
    return bits & 0x7fffffff;
  });
}
inline std::int32_t largest(Ints a) {
  std::int32_t m = a.v[0];
  for (std::int32_t x : a.v) m = x > m ? x : m;
  return m;
}
inline std::int32_t sum(Ints a) {
  std::int32_t s = 0;
  for (std::int32_t x : a.v) s += x;
  return s;
}

#endif

inline Floats zeros() { return fill(0.0f); }

#if !defined(__AVX512F__)
inline Floats reciprocal(Floats a) { return fill(1.0f) / a; }
// a 2^n for whole n in [-252, 254], in two factors: n may be 128, which one float cannot hold.
inline Floats times_power_of_two(Floats a, Floats n) {
  const Floats half = round(n * fill(0.5f));
  return a * power_of_two(half) * power_of_two(n - half);
}
// The elements whose bits are set, one after the other; a whole vector may be written.
inline void store_chosen(unsigned bits, Floats a, float* to) {
  float all[lanes];
  store(all, a);
  for (; bits; bits &= bits - 1) *to++ = all[__builtin_ctz(bits)];
}
#endif

}  // namespace
}  // namespace clearhead
