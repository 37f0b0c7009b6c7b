// Products of matrices that fit the caches, C [rows, columns] = A B, in 32-bit words: a float32, or a pair of bfloat16 where
// the machine multiplies those. A is read word by word in any layout, B by vectors of sixteen columns; what a word spans are
// steps of the sum. So a matrix has three forms: its rows as A, its columns side by side as B (`pack_columns`), and
// its rows one after the other as B (`pack_steps`).
#pragma once

#include "elements.h"
#include "float_tiles.h"

namespace clearhead {
namespace {

// Numbers in a word.
#if defined(__AVX512BF16__)
template <class E>
constexpr int per_word = std::is_same_v<E, Half> ? 2 : 1;
#else
template <class E>
constexpr int per_word = 1;
#endif

template <class E>
using DotOf = std::conditional_t<per_word<E> == 2, Bfloat16Dot, FloatDot>;

template <class E>
constexpr int words_of(int n) { return (n + per_word<E> - 1) / per_word<E>; }

struct FactorA {
  const std::byte* words;
  std::size_t row, step;  // bytes
};
struct FactorB {
  const std::byte* words;
  std::size_t step;  // bytes
};

// Sums of T rows and V vectors of columns, from start(row, vector) on; finish(row, vector, sum) gets them.
template <class Dot, int T, int V, class Start, class Finish>
inline void sum_tile(FactorA a, FactorB b, int steps, Start&& start, Finish&& finish) {
  Floats sums[T][V];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) sums[t][v] = start(t, v);
  for (int k = 0; k < steps; ++k, a.words += a.step, b.words += b.step) {
    Words vectors[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) vectors[v] = load_words(b.words + v * 64);
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) {
      const Words word = spread(a.words + a.row * std::size_t(t));
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) sums[t][v] = Dot::add(sums[t][v], vectors[v], word);
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) finish(t, v, sums[t][v]);
}

// C [rows, 16 vectors] = A B, or C + A B; rows of C are c_row floats apart.
template <class E, bool Add>
void small_product(int rows, int vectors, int steps, FactorA a, FactorB b, float* c, std::size_t c_row) {
  in_tiles<float_blocks>(0, vectors, [&](auto v, int vector) {
    in_tiles<float_tokens>(0, rows, [&](auto t, int row) {
      float* to = c + std::size_t(row) * c_row + vector * lanes;
      const auto place = [&](int i, int j) { return to + std::size_t(i) * c_row + j * lanes; };
      sum_tile<DotOf<E>, t, v>(
          {a.words + a.row * std::size_t(row), a.row, a.step}, {b.words + std::size_t(vector) * 64, b.step}, steps,
          [&](int i, int j) { return Add ? load(place(i, j)) : zeros(); },
          [&](int i, int j, Floats sum) { store(place(i, j), sum); });
    });
  });
}

// Sixteen rows of sixteen words each, turned round: row(i) gives one; the first `words` of what comes out are written.
template <class Row>
inline void transpose(Row&& row, int words, std::byte* to, std::size_t to_row) {
#if defined(__AVX512F__)
  __m512i r[lanes], s[lanes];
#pragma GCC unroll 16
  for (int i = 0; i < lanes; ++i) r[i] = row(i);
#pragma GCC unroll 8
  for (int i = 0; i < lanes; i += 2) {
    s[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    s[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < lanes; i += 4) {
    r[i] = _mm512_unpacklo_epi64(s[i], s[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(s[i], s[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(s[i + 1], s[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(s[i + 1], s[i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {  // r[4 g + i]: in each quarter, column 4 quarter + i of rows 4 g to 4 g + 3
    s[i] = _mm512_shuffle_i32x4(r[i], r[4 + i], 0x88);
    s[4 + i] = _mm512_shuffle_i32x4(r[8 + i], r[12 + i], 0x88);
    s[8 + i] = _mm512_shuffle_i32x4(r[i], r[4 + i], 0xdd);
    s[12 + i] = _mm512_shuffle_i32x4(r[8 + i], r[12 + i], 0xdd);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm512_shuffle_i32x4(s[i], s[4 + i], 0x88);
    r[4 + i] = _mm512_shuffle_i32x4(s[8 + i], s[12 + i], 0x88);
    r[8 + i] = _mm512_shuffle_i32x4(s[i], s[4 + i], 0xdd);
    r[12 + i] = _mm512_shuffle_i32x4(s[8 + i], s[12 + i], 0xdd);
  }
#pragma GCC unroll 16
  for (int i = 0; i < lanes; ++i)
    if (i < words) _mm512_storeu_si512(to + to_row * std::size_t(i), r[i]);
#else
  alignas(alignment) std::byte rows[lanes][64];
  for (int i = 0; i < lanes; ++i) store_words(rows[i], row(i));
  for (int i = 0; i < words; ++i)
    for (int j = 0; j < lanes; ++j) std::memcpy(to + to_row * std::size_t(i) + 4 * j, rows[j] + 4 * i, 4);
#endif
}

// No words.
inline Words blank() {
  alignas(alignment) static constexpr std::byte zero[64] = {};
  return load_words(zero);
}

// Numbers of E as words: as many as a vector has, or fewer, or none, and zeros.
template <class E>
inline Words words_at(const E* x, int n) {
#if defined(__AVX512BF16__)
  if constexpr (per_word<E> == 2) return _mm512_maskz_loadu_epi16(_bzhi_u32(~0u, unsigned(n)), x);
#endif
  std::byte floats[64];
  store(reinterpret_cast<float*>(floats), take(x, n));
  return load_words(floats);
}

// A row of E as words, to whole vectors, zeros after its end.
template <class E>
inline void pack_row(const E* x, int columns, std::byte* to) {
  constexpr int width = lanes * per_word<E>;
  for (int i = 0; i < columns; i += width) store_words(to + i / per_word<E> * 4, words_at(x + i, std::min(columns - i, width)));
}

// X [rows, columns] as A: its rows.
template <class E>
void pack_rows(const E* x, std::ptrdiff_t stride, int rows, int columns, std::byte* to, std::size_t to_row) {
  for (int r = 0; r < rows; ++r) pack_row(x + r * stride, columns, to + to_row * std::size_t(r));
}

// X [rows, columns] as B, whose columns are the rows of X: `to` has a step for each word of a row, zeros after the last row.
template <class E>
void pack_columns(const E* x, std::ptrdiff_t stride, int rows, int columns, std::byte* to, std::size_t to_step) {
  constexpr int width = lanes * per_word<E>;
  for (int r = 0; r < rows; r += lanes)
    for (int c = 0; c < columns; c += width) {
      const int n = std::min(columns - c, width), some = std::min(rows - r, lanes);
      const E* first = x + r * stride + c;
      const auto row = [&](int i) {  // without a branch, which could not be foreseen
        const bool there = i < some;
        return words_at(first + (there ? i * stride : 0), there ? n : 0);
      };
      transpose(row, words_of<E>(n), to + to_step * std::size_t(c / per_word<E>) + std::size_t(r) * 4, to_step);
    }
}

// Sixteen numbers of two rows as words; zeros for a row that is missing.
inline Words interleaved(const Half* a, const Half* b, int n) {
#if defined(__AVX512F__)
  const auto some = __mmask16((1u << n) - 1u);
  const __m512i low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(some, a));
  if (b == nullptr) return low;
  return _mm512_or_si512(low, _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(some, b)), 16));
#else
  Half words[lanes][2] = {};
  for (int i = 0; i < n; ++i) words[i][0] = a[i], words[i][1] = b ? b[i] : Half(0);
  return load_words(reinterpret_cast<const std::byte*>(words));
#endif
}

// The same of 32 numbers of each, which lie in a vector.
struct TwoWords { Words first, second; };
inline TwoWords interleaved(Words a, Words b) {
#if defined(__AVX512F__)
  const __m512i even = _mm512_unpacklo_epi16(a, b), odd = _mm512_unpackhi_epi16(a, b);  // 4 of 8 in each quarter
  const __m512i low = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), high = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
  return {_mm512_permutex2var_epi64(even, low, odd), _mm512_permutex2var_epi64(even, high, odd)};
#else
  Half x[2 * lanes], y[2 * lanes];
  store_words(reinterpret_cast<std::byte*>(x), a);
  store_words(reinterpret_cast<std::byte*>(y), b);
  return {interleaved(x, y, lanes), interleaved(x + lanes, y + lanes, lanes)};
#endif
}

// Calls each(i, n, words) for the words of two rows [columns], of which the second may be missing.
template <class Each>
inline void for_words(const Half* a, const Half* b, int columns, Each&& each) {
  int i = 0;
  if (b)
    for (; i + 2 * lanes <= columns; i += 2 * lanes) {
      const auto at = [i](const Half* x) { return load_words(reinterpret_cast<const std::byte*>(x + i)); };
      const TwoWords words = interleaved(at(a), at(b));
      each(i, std::integral_constant<int, lanes>{}, words.first);
      each(i + lanes, std::integral_constant<int, lanes>{}, words.second);
    }
  for (; i < columns; i += lanes) {
    const int n = std::min(lanes, columns - i);
    each(i, n, interleaved(a + i, b ? b + i : b, n));
  }
}

// X [rows, columns] as B, whose steps are the rows of X, one or two to a word.
template <class E>
void pack_steps(const E* x, std::ptrdiff_t stride, int rows, int columns, std::byte* to, std::size_t to_step) {
  if constexpr (per_word<E> == 1) {
    pack_rows(x, stride, rows, columns, to, to_step);
  } else {
    for (int r = 0; r < rows; r += 2) {
      const E *a = x + r * stride, *b = r + 1 < rows ? a + stride : nullptr;
      std::byte* words = to + to_step * std::size_t(r / 2);
      for_words(a, b, columns, [&](int i, auto, Words w) { store_words(words + i * 4, w); });
    }
  }
}

}  // namespace
}  // namespace clearhead
