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

template <class Dot, int T, int B>
void float_tile(const Operand& x, int token, const Product& p, int block) {
  const Matrix& m = *p.matrix;
  const std::byte *w = m.block(block), *a = x.codes + x.stride * std::size_t(token);
  const std::size_t next = m.block_bytes();
  Floats sums[T][B];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t)
#pragma GCC unroll 8
    for (int b = 0; b < B; ++b) sums[t][b] = zeros();
  for (int v = 0, n = m.padded() / Dot::columns; v < n; ++v, w += 64, a += 4) {
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
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t)
#pragma GCC unroll 8
    for (int b = 0; b < B; ++b) write(p, token + t, block + b, sums[t][b]);
}

// One token times one block, in one stream.
template <class Dot>
void lone_float_tile(const Operand& x, int token, const Product& p, int block) {
  const Matrix& m = *p.matrix;
  const std::byte *w = m.block(block), *a = x.codes + x.stride * std::size_t(token);
  Floats sum = zeros();
  for (int v = 0, n = m.padded() / Dot::columns; v < n; v += 4) {
#pragma GCC unroll 4
    for (int u = 0; u < 4; ++u, w += 64, a += 4) {
      foresee(w);
      sum = Dot::add(sum, load_words(w), spread(a));
    }
  }
  write(p, token, block, sum);
}

template <class Dot>
void multiply_floats(const Operand& x, int first_token, int last_token, const Product& p, int first, int last) {
  if (last_token - first_token == 1) {
    for (int block = first; block < last; ++block) lone_float_tile<Dot>(x, first_token, p, block);
    return;
  }
  in_slices(first_token, last_token, x.stride, [&](int from, int to) {
    in_tiles<float_blocks>(first, last, [&](auto blocks, int block) {
      in_tiles<float_tokens>(from, to, [&](auto tokens, int token) {
        float_tile<Dot, tokens, blocks>(x, token, p, block);
      });
    });
  });
}

}  // namespace
}  // namespace clearhead
