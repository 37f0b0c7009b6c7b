// Products with int8 and int4 on tiles. A group's sums are exact in 32-bit integers; vectors then scale and add them with
// the operations of `byte_tile`, in its order, so that both give the same bits.
#pragma once

#include "amx.h"
#include "tiles.h"

namespace clearhead {
namespace {

constexpr int under_way = 4;  // groups on their way from tiles to vectors: their latency is longer than their work

// Codes as signed bytes, as tiles want them.
template <int Zero, bool Nibbles>
inline void make_signed(const std::byte* from, std::size_t bytes, std::byte* to) {
  for (std::size_t i = 0; i < bytes; i += 64) {
    const Words words = load_words(from + i);
    if (Nibbles) {
      store_words(to, minus(low_nibbles(words), Zero));
      store_words(to + 64, minus(high_nibbles(words), Zero));
      to += 128;
    } else {
      store_words(to, minus(words, Zero));
      to += 64;
    }
  }
}

// A block that is made ready group by group, on the way: for the only tile of tokens.
template <int Zero, bool Nibbles, int Group>
class Direct {
 public:
  static constexpr bool minima = Zero == 0;
  Direct(const Matrix& m, int block)
      : codes_(m.block(block)), scales_(m.scales(block)), minima_(minima ? m.minimums(block) : nullptr) {}
  const std::byte* group(int g) {
    constexpr std::size_t bytes = std::size_t(Group) * lanes / (Nibbles ? 2 : 1);
    std::byte* to = ready_[g % under_way];
    make_signed<Zero, Nibbles>(codes_ + bytes * std::size_t(g), bytes, to);
    __builtin_prefetch(codes_ + bytes * std::size_t(g) + 2048, 0, 3);
    return to;
  }
  Floats scale(int g) const { return load_float16(scales_ + g * lanes); }
  Floats minimum(int g) const { return load_float16(minima_ + g * lanes); }

 private:
  const std::byte* codes_;
  const std::uint16_t *scales_, *minima_;
  alignas(64) std::byte ready_[under_way][Group * lanes];
};

// A block that was made ready before: for many tiles of tokens.
template <bool Minima, int Group>
class Panel {
 public:
  static constexpr bool minima = Minima;
  static std::size_t bytes(const Matrix& m) { return code_bytes(m) + factor_bytes(m) * (Minima ? 2 : 1); }
  Panel(const Matrix& m, std::byte* at)
      : codes_(at), scales_(reinterpret_cast<float*>(at + code_bytes(m))), minima_(scales_ + m.groups() * lanes) {}
  template <int Zero, bool Nibbles>
  void fill(const Matrix& m, int block) const {
    make_signed<Zero, Nibbles>(m.block(block), m.code_bytes(), codes_);
    for (int i = 0; i < m.groups() * lanes; i += lanes) {
      store(scales_ + i, load_float16(m.scales(block) + i));
      if (Minima) store(minima_ + i, load_float16(m.minimums(block) + i));
    }
  }
  const std::byte* group(int g) const { return codes_ + std::size_t(g) * Group * lanes; }
  Floats scale(int g) const { return load(scales_ + g * lanes); }
  Floats minimum(int g) const { return load(minima_ + g * lanes); }

 private:
  static std::size_t code_bytes(const Matrix& m) { return std::size_t(m.padded()) * lanes; }
  static std::size_t factor_bytes(const Matrix& m) { return std::size_t(m.groups()) * lanes * sizeof(float); }
  std::byte* codes_;
  float *scales_, *minima_;
};

// Sixteen tokens: their codes, and for each group their scales and their scales times sums [groups][16].
struct TokenTile {
  const std::byte* codes;
  std::size_t stride;
  const float *scales, *totals;
};

// Tiles of sixteen tokens from `first` on, the last perhaps not full, with their factors turned round in memory.
class TokenTiles {
 public:
  static std::size_t bytes(const Matrix& m, int tokens) {
    return std::size_t(round_up(tokens, tile_rows)) * std::size_t(m.groups()) * 2 * sizeof(float);
  }
  TokenTiles(const Operand& x, const Matrix& m, int first, int last, std::byte* memory)
      : x_(x), first_(first), tokens_(last - first), groups_(m.groups()), factors_(reinterpret_cast<float*>(memory)) {
    for (int i = 0; i < count(); ++i) turn(i, m.minima);
  }
  int count() const { return (tokens_ + tile_rows - 1) / tile_rows; }
  int full() const { return tokens_ / tile_rows; }
  int rows(int i) const { return std::min(tile_rows, tokens_ - i * tile_rows); }
  int token(int i) const { return first_ + i * tile_rows; }
  TokenTile operator[](int i) const {
    return {x_.codes + x_.stride * std::size_t(token(i)), x_.stride, scales(i), scales(i) + groups_ * tile_rows};
  }

 private:
  float* scales(int i) const { return factors_ + std::size_t(i) * std::size_t(groups_) * 2 * tile_rows; }
  void turn(int i, bool minima) {
    float *to = scales(i), *totals = to + groups_ * tile_rows;
    for (int t = 0; t < tile_rows; ++t) {  // rows that no token fills repeat the last one's factors
      const auto from = std::size_t(token(i) + std::min(t, rows(i) - 1)) * std::size_t(groups_);
      for (int g = 0; g < groups_; ++g) to[g * tile_rows + t] = x_.scales[from + std::size_t(g)];
      for (int g = 0; minima && g < groups_; ++g)
        totals[g * tile_rows + t] = x_.scales[from + std::size_t(g)] * float(x_.sums[from + std::size_t(g)]);
    }
  }
  const Operand& x_;
  const int first_, tokens_, groups_;
  float* factors_;
};

// The dots of group g, into the tile `Sums`.
template <int Sums, int Group, class Block>
[[gnu::always_inline]] inline void dot_group(Block& w, const TokenTile& x, int g) {
  const std::byte *codes = w.group(g), *from = x.codes + g * Group;
  clear_tile<Sums>();
  for (int k = 0; k < Group; k += 64) {
    load_tile<4>(from + k, x.stride);
    load_tile<6>(codes + k * lanes, 64);
    dot_tiles_int8<Sums, 4, 6>();
  }
}

// Scales the dots of group g and adds them to the sums.
template <class Block>
[[gnu::always_inline]] inline void add_group(const Block& w, const TokenTile& x, int g,
                                             const std::int32_t (*dots)[lanes], Floats (&sums)[tile_rows]) {
  const Floats scale = w.scale(g);
#pragma GCC unroll 16
  for (int t = 0; t < tile_rows; ++t)
    sums[t] = fma(to_floats(Ints{_mm512_load_si512(dots[t])}), scale * fill(x.scales[g * tile_rows + t]), sums[t]);
  if (!Block::minima) return;
  const Floats minimum = w.minimum(g);
#pragma GCC unroll 16
  for (int t = 0; t < tile_rows; ++t) sums[t] = fma(minimum, fill(x.totals[g * tile_rows + t]), sums[t]);
}

// Group g, the I-th of four: a later one starts its way through the tiles while its dots are scaled.
template <int I, int Group, class Block>
[[gnu::always_inline]] inline void pass_group(Block& w, const TokenTile& x, int g, int last,
                                              std::int32_t (*dots)[tile_rows][lanes], Floats (&sums)[tile_rows]) {
  dot_group<(I + 3) % under_way, Group>(w, x, std::min(g + 3, last));
  store_tile<(I + 1) % under_way>(dots[(I + 1) % under_way], 64);
  add_group(w, x, g, dots[I], sums);
}

// A tile of tokens, `rows` of which there are, times one block.
template <int Group, class Block>
void tile_of_bytes(Block w, const TokenTile x, const Product& p, int token, int rows, int block) {
  const int groups = p.matrix->groups(), last = groups - 1;
  Floats sums[tile_rows];
  alignas(64) std::int32_t dots[under_way][tile_rows][lanes];
#pragma GCC unroll 16
  for (int t = 0; t < tile_rows; ++t) sums[t] = zeros();
  dot_group<0, Group>(w, x, 0);
  dot_group<1, Group>(w, x, std::min(1, last));
  dot_group<2, Group>(w, x, std::min(2, last));
  store_tile<0>(dots[0], 64);
  int g = 0;
  for (; g + 4 <= groups; g += 4) {
    pass_group<0, Group>(w, x, g, last, dots, sums);
    pass_group<1, Group>(w, x, g + 1, last, dots, sums);
    pass_group<2, Group>(w, x, g + 2, last, dots, sums);
    pass_group<3, Group>(w, x, g + 3, last, dots, sums);
  }
  if (g < groups) pass_group<0, Group>(w, x, g, last, dots, sums);
  if (g + 1 < groups) pass_group<1, Group>(w, x, g + 1, last, dots, sums);
  if (g + 2 < groups) pass_group<2, Group>(w, x, g + 2, last, dots, sums);
#pragma GCC unroll 16
  for (int t = 0; t < tile_rows; ++t)
    if (t < rows) write(p, token + t, block, sums[t]);
}

// A few tiles of tokens, over blocks that are read once.
template <int Group, int Zero, bool Nibbles>
void few_tiles(const TokenTiles& x, const Product& p, int first, int last) {
  const int full = x.full();
  for (int b = first; b < last; ++b) {
    const auto pass = [&](int from, int to) {
      if (from >= to) return;
      const TileShapes shapes(x.rows(from), x.rows(from), std::min(Group, 64));
      for (int i = from; i < to; ++i)
        tile_of_bytes<Group>(Direct<Zero, Nibbles, Group>(*p.matrix, b), x[i], p, x.token(i), x.rows(i), b);
    };
    pass(0, full);
    pass(full, x.count());
  }
}

// Many tiles of tokens, over panels of blocks that stay in the second-level cache.
template <int Group, int Zero, bool Nibbles>
void many_tiles(const TokenTiles& x, const Product& p, int first, int last, std::byte* memory, int most) {
  using Block = Panel<Zero == 0, Group>;
  const Matrix& m = *p.matrix;
  const auto panel = [&](int i) { return Block(m, memory + Block::bytes(m) * std::size_t(i)); };
  for (; first < last; first += most) {
    const int blocks = std::min(most, last - first);
    for (int i = 0; i < blocks; ++i) panel(i).template fill<Zero, Nibbles>(m, first + i);
    const auto pass = [&](int from, int to) {
      if (from >= to) return;
      const TileShapes shapes(x.rows(from), x.rows(from), std::min(Group, 64));
      for (int i = from; i < to; ++i)
        for (int b = 0; b < blocks; ++b) tile_of_bytes<Group>(panel(b), x[i], p, x.token(i), x.rows(i), first + b);
    };
    pass(0, x.full());
    pass(x.full(), x.count());
  }
}

template <int Group, int Zero, bool Nibbles>
void tiles_of_bytes(const Operand& x, int first_token, int last_token, const Product& p, int first, int last,
                    Workspace& work) {
  constexpr std::size_t panel_bytes = std::size_t(256) << 10;
  const Matrix& m = *p.matrix;
  const std::size_t block_bytes = Panel<Zero == 0, Group>::bytes(m);
  const std::size_t own = TokenTiles::bytes(m, last_token - first_token);
  const int most = std::clamp(int(panel_bytes / block_bytes), 1, last - first);
  std::byte* memory = work.bytes(own + block_bytes * std::size_t(most));
  const TokenTiles tokens(x, m, first_token, last_token, memory);
  if (tokens.count() <= 2) return few_tiles<Group, Zero, Nibbles>(tokens, p, first, last);
  many_tiles<Group, Zero, Nibbles>(tokens, p, first, last, memory + own, most);
}

template <int Zero, bool Nibbles>
void multiply_bytes_in_tiles(const Operand& x, int t0, int t1, const Product& p, int first, int last, Workspace& work) {
  switch (p.matrix->group) {
    case 32: return tiles_of_bytes<32, Zero, Nibbles>(x, t0, t1, p, first, last, work);
    case 64: return tiles_of_bytes<64, Zero, Nibbles>(x, t0, t1, p, first, last, work);
    default: return tiles_of_bytes<128, Zero, Nibbles>(x, t0, t1, p, first, last, work);
  }
}

}  // namespace
}  // namespace clearhead
