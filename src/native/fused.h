// The first product of an MLP, its activation, and the conversion to what the second product takes, strip by strip: the
// sums never leave the nearest cache as floats. The bits are those of the three steps one after the other.
#pragma once

#include "elementwise.h"
#include "quantise.h"
#include "tiles.h"

namespace clearhead {
namespace {

constexpr int most_strip_blocks = strip_columns / lanes;

// Sums of some tokens with a strip of blocks: [tokens][strip_columns].
template <class Tiles>
void sum_strip(const Operand& x, int first_token, int last_token, const Matrix& m, int first, int last, bool ask,
               float* sums) {
  const auto into = [&](int token, int block) {
    return sums + (token - first_token) * strip_columns + (block - first) * lanes;
  };
  sum_tiles<Tiles>(x, first_token, last_token, m, first, last, ask, strip_columns, into, [](int, int, int, int) {});
}

inline void add_bias(const float* bias, int first, int blocks, float* sums) {
  if (bias == nullptr) return;
  for (int i = 0; i < blocks * lanes; i += lanes) store(sums + i, load(sums + i) + load(bias + first * lanes + i));
}

// One token's numbers [columns] of a strip to the type that the second product takes.
inline void hand_over(const Activated& a, int token, int column, int columns, float* numbers) {
  const std::size_t at = a.stride * std::size_t(token) + std::size_t(column);
  if (a.floats) {
    for (int i = 0; i < columns; i += lanes) store(a.floats + at + i, load(numbers + i));
  } else if (a.halves) {
    to_bfloat16(numbers, columns, a.halves + at);
  } else {
    const int padded = round_up(columns, a.group);
    std::fill(numbers + columns, numbers + padded, 0.0f);
    const std::size_t group = std::size_t(token) * std::size_t(a.groups) + std::size_t(column / a.group);
    quantise(numbers, padded, a.group, a.codes + at, a.scales + group, a.sums + group, nullptr);
  }
}

template <class Tiles>
void activate_by_tiles(const Operand& x, int tokens, const Activated& a, int first, int last, Workspace& work) {
  constexpr int step = 6 * Tiles::tokens;  // tokens that pass a strip together
  float* gates = reinterpret_cast<float*>(work.bytes(2 * step * strip_columns * sizeof(float)));
  float* factors = gates + step * strip_columns;
  in_slices(0, tokens, x.stride, [&](int from, int to) {
    for (int strip = first; strip < last; strip += most_strip_blocks) {
      const int end = std::min(last, strip + most_strip_blocks), blocks = end - strip;
      for (int token = from; token < to; token += step) {
        const int stop = std::min(to, token + step);
        sum_strip<Tiles>(x, token, stop, *a.matrix, strip, end, token == from, gates);
        if (a.factor) sum_strip<Tiles>(x, token, stop, *a.factor, strip, end, token == from, factors);
        for (int t = token; t < stop; ++t) {
          float *gate = gates + (t - token) * strip_columns, *factor = factors + (t - token) * strip_columns;
          add_bias(a.bias, strip, blocks, gate);
          if (a.factor) add_bias(a.factor_bias, strip, blocks, factor);
          activate(a.activation, gate, a.factor ? factor : nullptr, std::size_t(blocks * lanes), gate);
          hand_over(a, t, strip * lanes, blocks * lanes, gate);
        }
      }
    }
  });
}

}  // namespace
}  // namespace clearhead
