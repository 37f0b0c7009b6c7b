// Products with int8 and int4. A group's sum is exact in 32-bit integers; then it is scaled and added to the others'.
#pragma once

#include "tiles.h"

namespace clearhead {
namespace {

inline Floats load_factors(const std::byte* at) { return load_float16(reinterpret_cast<const std::uint16_t*>(at)); }

// Sums of T tokens with B blocks, to [T, stride].
template <int T, int B, int Zero, bool Nibbles, int Group>
void byte_tile(const Operand& x, int token, const Matrix& m, int block, Ahead& ahead, float* to, int stride) {
  const int groups = m.padded() / Group;
  constexpr int vectors = Group / (Nibbles ? 8 : 4);
  const std::size_t next = m.block_bytes();
  const std::byte *w = m.block(block), *a = x.codes + x.stride * std::size_t(token);
  const float* scales = x.scales + std::size_t(token) * std::size_t(groups);
  const std::int32_t* totals = x.sums + std::size_t(token) * std::size_t(groups);
  Floats sums[T][B];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t)
#pragma GCC unroll 8
    for (int b = 0; b < B; ++b) sums[t][b] = zeros();
  for (int g = 0; g < groups; ++g) {
    ahead.step();
    Ints dots[T][B];
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t)
#pragma GCC unroll 8
      for (int b = 0; b < B; ++b) dots[t][b] = dot_start<Zero>(totals[t * groups + g]);
    for (int v = 0; v < vectors; v += 4) {
#pragma GCC unroll 4
      for (int u = 0; u < 4; ++u, w += 64, a += Nibbles ? 8 : 4) {
        Words first[B], second[B];
#pragma GCC unroll 8
        for (int b = 0; b < B; ++b) {
          first[b] = load_words(w + next * std::size_t(b));
          if (Nibbles) second[b] = high_nibbles(first[b]), first[b] = low_nibbles(first[b]);
        }
#pragma GCC unroll 8
        for (int t = 0; t < T; ++t) {
          const std::byte* word = a + x.stride * std::size_t(t);
          const Words one = spread(word);
#pragma GCC unroll 8
          for (int b = 0; b < B; ++b) dots[t][b] = dot_bytes<Zero>(dots[t][b], first[b], one);
          if (!Nibbles) continue;
          const Words other = spread(word + 4);
#pragma GCC unroll 8
          for (int b = 0; b < B; ++b) dots[t][b] = dot_bytes<Zero>(dots[t][b], second[b], other);
        }
      }
    }
#pragma GCC unroll 8
    for (int b = 0; b < B; ++b) {
      const std::byte* factors = w + next * std::size_t(b);
      const Floats scale = load_factors(factors);
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t)
        sums[t][b] = fma(to_floats(dots[t][b]), scale * fill(scales[t * groups + g]), sums[t][b]);
      if (Zero != 0) continue;
      const Floats minimum = load_factors(factors + lanes * 2);
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t)
        sums[t][b] = fma(minimum, fill(scales[t * groups + g] * float(totals[t * groups + g])), sums[t][b]);
    }
    w += lanes * (Zero == 0 ? 4 : 2);
  }
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t)
#pragma GCC unroll 8
    for (int b = 0; b < B; ++b) store(to + t * stride + b * lanes, sums[t][b]);
}

// One token times one block. Memory is what limits it, so it reads one stream from end to end; the processor works on
// several groups at once, for each has sums of its own, and two of them, which need not wait for each other.
template <int Zero, bool Nibbles, int Group>
inline Floats lone_byte_tile(const Operand& x, int token, const Matrix& m, int block) {
  constexpr int vectors = Group / (Nibbles ? 8 : 4);
  const int groups = m.padded() / Group;
  const std::byte *w = m.block(block), *a = x.codes + x.stride * std::size_t(token);
  const float* scales = x.scales + std::size_t(token) * std::size_t(groups);
  const std::int32_t* totals = x.sums + std::size_t(token) * std::size_t(groups);
  Floats sum = zeros();
  for (int g = 0; g < groups; ++g) {
    Ints dots = dot_start<Zero>(totals[g]), others = fill(std::int32_t(0));
    for (int v = 0; v < vectors; v += Nibbles ? 4 : 8) {
#pragma GCC unroll 4
      for (int u = 0; u < 4; ++u, w += Nibbles ? 64 : 128, a += 8) {
        foresee(w);
        if (!Nibbles) foresee(w + 64);
        const Words words = load_words(w);
        dots = dot_bytes<Zero>(dots, Nibbles ? low_nibbles(words) : words, spread(a));
        others = dot_bytes<Zero>(others, Nibbles ? raised_nibbles(words) : load_words(w + 64), spread(a + 4));
      }
    }
    foresee(w);
    const Floats scale = load_factors(w);
    w += lanes * 2;
    sum = fma(to_floats(dots + (Nibbles ? unraised(others) : others)), scale * fill(scales[g]), sum);
    if (Zero != 0) continue;
    sum = fma(load_factors(w), fill(scales[g] * float(totals[g])), sum);
    w += lanes * 2;
  }
  return sum;
}

template <int Zero, bool Nibbles, int Group>
struct ByteTiles {
  static constexpr int tokens = byte_tokens, blocks = byte_blocks;  // of the quickest tile
  template <int T, int B>
  static void sum(const Operand& x, int token, const Matrix& m, int block, Ahead& ahead, float* to, int stride) {
    byte_tile<T, B, Zero, Nibbles, Group>(x, token, m, block, ahead, to, stride);
  }
  static int steps(const Matrix& m) { return m.padded() / Group; }
  static Floats lone(const Operand& x, int token, const Matrix& m, int block) {
    return lone_byte_tile<Zero, Nibbles, Group>(x, token, m, block);
  }
};

}  // namespace
}  // namespace clearhead
