// Products of activations with packed weights: tiles of a few tokens by a few row blocks, whose sums stay in registers.
//
// Every output is one chain of the same operations in the same order, whatever tile it falls in: a token gets the same
// result alone and in any batch.
#pragma once

#include <algorithm>

#include "dot.h"

namespace clearhead {
namespace {

// Tiles as large as the registers hold: 32 of AVX-512, 16 of AVX2 with two to a vector.
#if defined(__AVX512F__)
constexpr int float_tokens = 8, byte_tokens = 4, tile_blocks = 3, lone_blocks = 4;
#elif defined(__AVX2__)
constexpr int float_tokens = 4, byte_tokens = 3, tile_blocks = 1, lone_blocks = 2;
#else
constexpr int float_tokens = 4, byte_tokens = 2, tile_blocks = 1, lone_blocks = 1;
#endif

constexpr int ahead = 1024;  // bytes that weights are asked for before they are needed

inline void prefetch(const std::byte* p) { __builtin_prefetch(p + ahead, 0, 3); }

inline void write(const Product& p, int token, int block, Floats sum) {
  float* out = p.out + p.stride * std::size_t(token) + std::size_t(block) * lanes;
  if (p.bias) sum = sum + load(p.bias + std::size_t(block) * lanes);
  store(out, p.add ? sum + load(out) : sum);
}

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
  for (auto& row : sums)
    for (Floats& sum : row) sum = zeros();
  for (int v = 0, n = m.padded() / Dot::columns; v < n; ++v, w += 64, a += 4) {
    Words weights[B];
#pragma GCC unroll 8
    for (int b = 0; b < B; ++b) {
      weights[b] = load_words(w + next * std::size_t(b));
      if (T == 1) prefetch(w + next * std::size_t(b));
    }
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) {
      const Words word = spread(a + x.stride * std::size_t(t));
#pragma GCC unroll 8
      for (int b = 0; b < B; ++b) sums[t][b] = Dot::add(sums[t][b], weights[b], word);
    }
  }
  for (int t = 0; t < T; ++t)
    for (int b = 0; b < B; ++b) write(p, token + t, block + b, sums[t][b]);
}

// Where a tile of byte or nibble codes finds them: in the matrix, or in a panel unpacked from it.
struct Codes {
  const std::byte* start;
  std::size_t next;  // bytes from block to block
};

template <int T, int B, int Zero, bool Nibbles>
void byte_tile(const Codes& codes, const Operand& x, int token, const Product& p, int block) {
  const Matrix& m = *p.matrix;
  const int groups = m.groups(), steps = m.group / 32;
  const std::byte *w = codes.start, *a = x.codes + x.stride * std::size_t(token);
  const float* scales = x.scales + std::size_t(token) * std::size_t(groups);
  const std::int32_t* totals = x.sums + std::size_t(token) * std::size_t(groups);
  Floats sums[T][B];
  for (auto& row : sums)
    for (Floats& sum : row) sum = zeros();
  for (int g = 0; g < groups; ++g) {
    Ints dots[T][B];
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t)
#pragma GCC unroll 8
      for (int b = 0; b < B; ++b) dots[t][b] = dot_start<Zero>(totals[t * groups + g]);
    for (int s = 0; s < steps; ++s, a += 32) {
#pragma GCC unroll 8
      for (int v = 0; v < 8; v += Nibbles ? 2 : 1, w += 64) {
        Words first[B], second[B];
#pragma GCC unroll 8
        for (int b = 0; b < B; ++b) {
          first[b] = load_words(w + codes.next * std::size_t(b));
          if (T == 1) prefetch(w + codes.next * std::size_t(b));
          if (Nibbles) second[b] = high_nibbles(first[b]), first[b] = low_nibbles(first[b]);
        }
#pragma GCC unroll 8
        for (int t = 0; t < T; ++t) {
          const std::byte* word = a + x.stride * std::size_t(t) + 4 * v;
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
      const Floats scale = load_float16(m.scales(block + b) + g * lanes);
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t)
        sums[t][b] = fma(to_floats(dots[t][b]), scale * fill(scales[t * groups + g]), sums[t][b]);
      if (Zero != 0) continue;
      const Floats minimum = load_float16(m.minimums(block + b) + g * lanes);
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t)
        sums[t][b] = fma(minimum, fill(scales[t * groups + g] * float(totals[t * groups + g])), sums[t][b]);
    }
  }
  for (int t = 0; t < T; ++t)
    for (int b = 0; b < B; ++b) write(p, token + t, block + b, sums[t][b]);
}

// Calls tile(n) for `count` things in steps of at most Most, n as a compile-time number: Most as long as it fits, then the
// rest at once.
template <int Most, class Tile>
void in_tiles(int first, int last, Tile&& tile) {
  for (; last - first >= Most; first += Most) tile(std::integral_constant<int, Most>{}, first);
  if constexpr (Most > 1)
    if (first < last) in_tiles<Most - 1>(first, last, tile);
}

template <class Dot>
void multiply_floats(const Operand& x, int first_token, int last_token, const Product& p, int first, int last) {
  const auto panel = [&](auto blocks, int block) {
    in_tiles<float_tokens>(first_token, last_token, [&](auto tokens, int token) {
      float_tile<Dot, tokens, blocks>(x, token, p, block);
    });
  };
  if (last_token - first_token == 1)
    in_tiles<lone_blocks>(first, last, [&](auto blocks, int block) { float_tile<Dot, 1, blocks>(x, first_token, p, block); });
  else
    in_tiles<tile_blocks>(first, last, panel);
}

// A panel of nibbles as bytes, which the tiles then read many times.
inline void spread_nibbles(const std::byte* from, std::size_t bytes, std::byte* to) {
  for (std::size_t i = 0; i < bytes; i += 64, to += 128) {
    const Words both = load_words(from + i);
    store_words(to, low_nibbles(both));
    store_words(to + 64, high_nibbles(both));
  }
}

template <int Zero, bool Nibbles>
void multiply_bytes(const Operand& x, int first_token, int last_token, const Product& p, int first, int last,
                    Workspace& work) {
  const Matrix& m = *p.matrix;
  const auto at = [&](int block) { return Codes{m.block(block), m.block_bytes()}; };
  if (last_token - first_token == 1)
    return in_tiles<lone_blocks>(first, last, [&](auto blocks, int block) {
      byte_tile<1, blocks, Zero, Nibbles>(at(block), x, first_token, p, block);
    });
  in_tiles<tile_blocks>(first, last, [&](auto blocks, int block) {
    if (!Nibbles || last_token - first_token <= 2 * byte_tokens)
      return in_tiles<byte_tokens>(first_token, last_token, [&](auto tokens, int token) {
        byte_tile<tokens, blocks, Zero, Nibbles>(at(block), x, token, p, block);
      });
    const std::size_t unpacked = m.code_bytes() * 2;
    std::byte* panel = work.bytes(unpacked * std::size_t(blocks));
    for (int b = 0; b < blocks; ++b)
      spread_nibbles(m.block(block + b), m.code_bytes(), panel + unpacked * std::size_t(b));
    in_tiles<byte_tokens>(first_token, last_token, [&](auto tokens, int token) {
      byte_tile<tokens, blocks, Zero, false>({panel, unpacked}, x, token, p, block);
    });
  });
}

void multiply(const Operand& x, int first_token, int last_token, const Product& p, int first, int last,
              Workspace& work) {
  const Matrix& m = *p.matrix;
  const int t0 = first_token, t1 = last_token;
  switch (m.format) {
    case Format::f32: return multiply_floats<FloatDot>(x, t0, t1, p, first, last);
    case Format::bf16: return multiply_floats<Bfloat16Dot>(x, t0, t1, p, first, last);
    case Format::int8:
      if (m.minima) return multiply_bytes<0, false>(x, t0, t1, p, first, last, work);
      return multiply_bytes<128, false>(x, t0, t1, p, first, last, work);
    case Format::int4:
      if (m.minima) return multiply_bytes<0, true>(x, t0, t1, p, first, last, work);
      return multiply_bytes<8, true>(x, t0, t1, p, first, last, work);
  }
}

}  // namespace
}  // namespace clearhead
