// Products with bfloat16 on tiles. Sums over 32 columns at a time are added to float32; whatever else is in the tile, a
// token's sums are made by the same steps.
#pragma once

#include "amx.h"
#include "functions.h"
#include "tiles.h"

namespace clearhead {
namespace {

constexpr int step_columns = 32;
constexpr std::size_t panel_bytes = std::size_t(512) << 10;  // of weights that stay in the second-level cache
constexpr int most_of_panel = 64;                            // blocks

// Up to sixteen tokens times B blocks, which are read once.
template <int B>
void tile_of_halves(const Operand& x, int token, int rows, const Product& p, int block) {
  const Matrix& m = *p.matrix;
  const std::byte *a = x.codes + x.stride * std::size_t(token), *w = m.block(block);
  const std::size_t next = m.block_bytes();
  clear_tile<0>(), clear_tile<1>(), clear_tile<2>(), clear_tile<3>();
  for (int k = 0; k < m.padded(); k += step_columns, a += 64, w += tile_bytes) {
    load_tile<4>(a, x.stride);
    const auto dot = [&](auto b, auto tile) {
      if constexpr (b < B) {
        const std::byte* from = w + next * std::size_t(b);
        for (std::size_t i = 0; i < tile_bytes; i += 64) __builtin_prefetch(from + 4 * tile_bytes + i, 0, 3);
        load_tile<tile>(from, 64);
        dot_tiles_bfloat16<b, 4, tile>();
      }
    };
    dot(std::integral_constant<int, 0>{}, std::integral_constant<int, 6>{});
    dot(std::integral_constant<int, 1>{}, std::integral_constant<int, 7>{});
    dot(std::integral_constant<int, 2>{}, std::integral_constant<int, 6>{});
    dot(std::integral_constant<int, 3>{}, std::integral_constant<int, 7>{});
  }
  alignas(64) float sums[4][tile_rows][lanes];
  store_tile<0>(sums[0], 64), store_tile<1>(sums[1], 64), store_tile<2>(sums[2], 64), store_tile<3>(sums[3], 64);
  for (int t = 0; t < rows; ++t)
    for (int b = 0; b < B; ++b) write(p, token + t, block + b, load(sums[b][t]));
}

void few_halves(const Operand& x, int token, int rows, const Product& p, int first, int last) {
  const ProductShapes shapes(rows, rows, 64);
  in_tiles<4>(first, last, [&](auto blocks, int block) { tile_of_halves<blocks>(x, token, rows, p, block); });
}

// Sixteen rows of int8 or int4 as bfloat16, in the order of a block of bfloat16.
template <bool Nibbles>
void dequantise_block(const Matrix& m, int block, std::byte* to) {
  const __m512i interleave = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21,
                                              5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  for (int g = 0; g < m.groups(); ++g) {
    const std::byte* from = m.codes(block, g);
    const Floats scale = load_float16(m.scales(block, g));
    const Floats least = m.minima ? load_float16(m.minimums(block, g)) : scale * fill(float(-m.zero()));
    const auto four = [&](Words codes) {  // columns of each row
      const auto column = [&](int i) {
        const __m512i code = _mm512_and_si512(_mm512_srli_epi32(codes, unsigned(8 * i)), _mm512_set1_epi32(255));
        return fma(to_floats(Ints{code}), scale, least);
      };
      for (int i = 0; i < 4; i += 2, to += 64) {
        const auto pair = __m512i(_mm512_cvtne2ps_pbh(column(i + 1).v, column(i).v));
        store_words(to, _mm512_permutexvar_epi16(interleave, pair));
      }
    };
    for (int k = 0; k < m.group; k += Nibbles ? 8 : 4, from += 64) {
      const Words words = load_words(from);
      four(Nibbles ? low_nibbles(words) : words);
      if (Nibbles) four(high_nibbles(words));
    }
  }
}

// Blocks of weights in bfloat16 that stay in the cache while all tokens pass by: where they are, or made in `memory`.
class Panel {
 public:
  static std::size_t bytes(const Matrix& m) { return std::size_t(m.padded()) * lanes * 2; }
  static int most(const Matrix& m) {  // an even number, for blocks are taken by two
    return std::clamp(int(panel_bytes / bytes(m)) / 2 * 2, 2, most_of_panel);
  }
  explicit Panel(std::byte* memory) : memory_(memory) {}
  void clear() { count_ = 0; }
  int count() const { return count_; }
  const std::byte* operator[](int i) const { return blocks_[i]; }
  void add(const Matrix& m, int block) {
    std::byte* made = memory_ + bytes(m) * std::size_t(count_);
    if (m.format == Format::int4) dequantise_block<true>(m, block, made);
    if (m.format == Format::int8) dequantise_block<false>(m, block, made);
    blocks_[count_++] = m.quantised() ? made : m.block(block);
  }

 private:
  std::byte* memory_;
  const std::byte* blocks_[most_of_panel];
  int count_ = 0;
};

// Up to thirty-two tokens, in one tile or two, times two blocks: sums of the first tile of tokens, then of the second.
template <bool Two>
inline void sum_pair(const Operand& x, int token, const std::byte* w, const std::byte* other, int columns,
                     float (*sums)[tile_rows * lanes]) {
  const std::byte* a = x.codes + x.stride * std::size_t(token);
  const std::size_t second = x.stride * tile_rows;
  clear_tile<0>(), clear_tile<1>();
  if (Two) clear_tile<2>(), clear_tile<3>();
  for (int k = 0; k < columns; k += step_columns, a += 64, w += tile_bytes, other += tile_bytes) {
    load_tile<4>(a, x.stride);
    load_tile<6>(w, 64);
    dot_tiles_bfloat16<0, 4, 6>();
    load_tile<7>(other, 64);
    dot_tiles_bfloat16<1, 4, 7>();
    if (!Two) continue;
    load_tile<5>(a + second, x.stride);
    dot_tiles_bfloat16<2, 5, 6>();
    dot_tiles_bfloat16<3, 5, 7>();
  }
  store_tile<0>(sums[0], 64), store_tile<1>(sums[1], 64);
  if (Two) store_tile<2>(sums[2], 64), store_tile<3>(sums[3], 64);
}

// All tokens times a panel: finish(token, rows, i, sums of block i, sums of block i + 1) for tiles of up to sixteen tokens.
template <class Finish>
inline void sum_panel(const Operand& x, int first, int last, const Panel& panel, int columns, Finish&& finish) {
  alignas(64) float sums[4][tile_rows * lanes];
  const auto pass = [&](int token, int rows, auto two) {
    for (int i = 0; i < panel.count(); i += 2) {
      sum_pair<two>(x, token, panel[i], panel[std::min(i + 1, panel.count() - 1)], columns, sums);
      finish(token, std::min(rows, tile_rows), i, sums[0], sums[1]);
      if (two) finish(token + tile_rows, rows - tile_rows, i, sums[2], sums[3]);
    }
  };
  constexpr int pair = 2 * tile_rows;
  int token = first;
  if (last - token >= pair) {
    const ProductShapes shapes(tile_rows, tile_rows, 64);
    for (; last - token >= pair; token += pair) pass(token, pair, std::true_type{});
  }
  const int rest = last - token;
  if (rest > tile_rows) {
    const ProductShapes shapes(tile_rows, rest - tile_rows, 64);
    pass(token, rest, std::true_type{});
  } else if (rest > 0) {
    const ProductShapes shapes(rest, rest, 64);
    pass(token, rest, std::false_type{});
  }
}

// Sums of up to sixteen tokens with one block, as `write` does it.
inline void write_tile(const Product& p, int token, int rows, int block, const float* sums) {
  float* out = p.out + p.stride * std::size_t(token) + std::size_t(block) * lanes;
  const Floats bias = p.bias ? load(p.bias + std::size_t(block) * lanes) : zeros();
  const auto each = [&](auto&& finished) {
    for (int t = 0; t < rows; ++t, out += p.stride, sums += lanes) store(out, finished(load(sums)));
  };
  if (p.bias && p.add) return each([&](Floats sum) { return sum + bias + load(out); });
  if (p.bias) return each([&](Floats sum) { return sum + bias; });
  if (p.add) return each([&](Floats sum) { return sum + load(out); });
  each([](Floats sum) { return sum; });
}

void multiply_halves_in_tiles(const Operand& x, int first_token, int last_token, const Product& p, int first, int last,
                              Workspace& work) {
  const Matrix& m = *p.matrix;
  const int most = Panel::most(m);
  if (!m.quantised() && last_token - first_token <= tile_rows)
    return few_halves(x, first_token, last_token - first_token, p, first, last);
  Panel panel(work.bytes(m.quantised() ? Panel::bytes(m) * std::size_t(most) : 0));
  for (; first < last; first += most) {
    panel.clear();
    for (int b = first; b < std::min(last, first + most); ++b) panel.add(m, b);
    sum_panel(x, first_token, last_token, panel, m.padded(),
              [&](int token, int rows, int i, const float* sums, const float* others) {
                write_tile(p, token, rows, first + i, sums);
                if (i + 1 < panel.count()) write_tile(p, token, rows, first + i + 1, others);
              });
  }
}

// Sums of up to sixteen tokens with one block, and perhaps with one they are multiplied by, to their activation.
template <class Function>
inline void activate_tile(const Activated& a, int token, int rows, int block, const float* sums, const float* factors,
                          Function&& f) {
  std::uint16_t* out = a.halves + a.stride * std::size_t(token) + std::size_t(block) * lanes;
  const auto bias_of = [&](const float* bias) { return bias ? load(bias + std::size_t(block) * lanes) : zeros(); };
  const Floats bias = bias_of(a.bias), factor_bias = bias_of(a.factor_bias);
  for (int t = 0; t < rows; ++t, out += a.stride, sums += lanes, factors += lanes) {
    const Floats y = f(a.bias ? load(sums) + bias : load(sums));
    const Floats factor = a.factor_bias ? load(factors) + factor_bias : load(factors);
    store_bfloat16(out, a.factor ? y * factor : y);
  }
}

template <class Function>
void multiply_and_activate(const Operand& x, int tokens, const Activated& a, int first, int last, Workspace& work,
                           Function&& f) {
  const Matrix& m = *a.matrix;
  const int most = Panel::most(m), step = a.factor ? most / 2 : most;
  Panel panel(work.bytes(m.quantised() ? Panel::bytes(m) * std::size_t(most) : 0));
  for (; first < last; first += step) {
    panel.clear();
    for (int b = first; b < std::min(last, first + step); ++b) {
      panel.add(m, b);
      if (a.factor) panel.add(*a.factor, b);
    }
    sum_panel(x, 0, tokens, panel, m.padded(), [&](int token, int rows, int i, const float* sums, const float* others) {
      if (a.factor) return activate_tile(a, token, rows, first + i / 2, sums, others, f);
      activate_tile(a, token, rows, first + i, sums, sums, f);
      if (i + 1 < panel.count()) activate_tile(a, token, rows, first + i + 1, others, others, f);
    });
  }
}

void activate_halves_in_tiles(const Operand& x, int tokens, const Activated& a, int first, int last, Workspace& work) {
  const auto go = [&](auto&& f) { multiply_and_activate(x, tokens, a, first, last, work, f); };
  switch (a.activation) {
    case Activation::none: return go([](Floats v) { return v; });
    case Activation::relu: return go([](Floats v) { return relu(v); });
    case Activation::gelu: return go([](Floats v) { return gelu(v); });
    case Activation::gelu_tanh: return go([](Floats v) { return gelu_tanh(v); });
    case Activation::silu: return go([](Floats v) { return silu(v); });
  }
}

}  // namespace
}  // namespace clearhead
