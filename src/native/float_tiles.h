// Products with float32 and bfloat16.
#pragma once

#include "tiles.h"

namespace clearhead {
namespace {

struct FloatDot {
  static constexpr int columns = 1;  // of a word
  static Floats add(Floats acc, Words w, Words x) { return dot_float(acc, w, x); }
};

struct Bfloat16Dot {
  static constexpr int columns = 2;
  static Floats add(Floats acc, Words w, Words x) { return dot_bfloat16(acc, w, x); }
};

constexpr int vectors_of_a_step = 16;  // of a block: 16 or 32 columns

// Sums of T tokens with B blocks, to [T, stride].
template <class Dot, int T, int B>
void float_tile(const Operand& x, int token, const Matrix& m, int block, Ahead& ahead, float* to, int stride) {
  const std::byte *w = m.block(block), *a = x.codes + x.stride * std::size_t(token);
  const std::size_t next = m.block_bytes();
  Floats sums[T][B];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t)
#pragma GCC unroll 8
    for (int b = 0; b < B; ++b) sums[t][b] = zeros();
  for (int step = 0, n = m.padded() / Dot::columns / vectors_of_a_step; step < n; ++step) {
    ahead.step();
    for (int v = 0; v < vectors_of_a_step; ++v, w += 64, a += 4) {
      Words weights[B];
#pragma GCC unroll 8
      for (int b = 0; b < B; ++b) weights[b] = load_words(w + next * std::size_t(b));
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t) {
        const Words word = spread(a + x.stride * std::size_t(t));
#pragma GCC unroll 8
        for (int b = 0; b < B; ++b) sums[t][b] = Dot::add(sums[t][b], weights[b], word);
      }
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t)
#pragma GCC unroll 8
    for (int b = 0; b < B; ++b) store(to + t * stride + b * lanes, sums[t][b]);
}

// One token times one block, in one stream.
template <class Dot>
inline Floats lone_float_tile(const Operand& x, int token, const Matrix& m, int block) {
  const std::byte *w = m.block(block), *a = x.codes + x.stride * std::size_t(token);
  Floats sum = zeros();
  for (int v = 0, n = m.padded() / Dot::columns; v < n; v += 4) {
#pragma GCC unroll 4
    for (int u = 0; u < 4; ++u, w += 64, a += 4) {
      foresee(w);
      sum = Dot::add(sum, load_words(w), spread(a));
    }
  }
  return sum;
}

template <class Dot>
struct FloatTiles {
  static constexpr int tokens = float_tokens, blocks = float_blocks;  // of the quickest tile
  template <int T, int B>
  static void sum(const Operand& x, int token, const Matrix& m, int block, Ahead& ahead, float* to, int stride) {
    float_tile<Dot, T, B>(x, token, m, block, ahead, to, stride);
  }
  static int steps(const Matrix& m) { return m.padded() / Dot::columns / vectors_of_a_step; }
  static Floats lone(const Operand& x, int token, const Matrix& m, int block) {
    return lone_float_tile<Dot>(x, token, m, block);
  }
};

}  // namespace
}  // namespace clearhead
