// Products with int8 and int4 on tiles. A group's sums are exact in 32-bit integers; vectors then scale and add them with
// the operations of `byte_tile`, in its order, so that both give the same bits.
#pragma once

#include "amx.h"
#include "tiles.h"

namespace clearhead {
namespace {

constexpr int batch_groups = 8;  // that go from tiles to vectors together

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

// A block whose groups are made ready on the way: for a few tiles of tokens.
template <int Zero, bool Nibbles, int Group>
class Direct {
 public:
  static constexpr bool minima = Zero == 0;
  Direct(const Matrix& m, int block, std::byte* memory) : stored_(m.block(block)), ready_(memory) {}
  void prepare(int from, int to) {
    for (int g = from; g < to; ++g) {
      make_signed<Zero, Nibbles>(at(g), code_bytes, ready_ + std::size_t(g - from) * Group * lanes);
      for (std::size_t i = 0; i < next; i += 64) __builtin_prefetch(at(g) + i + 8192, 0, 3);
    }
    from_ = from;
  }
  const std::byte* group(int g) const { return ready_ + std::size_t(g - from_) * Group * lanes; }
  Floats scale(int g) const { return load_float16(scales(g)); }
  Floats minimum(int g) const { return load_float16(scales(g) + lanes); }

 private:
  static constexpr std::size_t code_bytes = std::size_t(Group) * lanes / (Nibbles ? 2 : 1);
  static constexpr std::size_t next = code_bytes + (minima ? 4 : 2) * lanes;  // as Matrix::group_bytes
  const std::byte* at(int g) const { return stored_ + next * std::size_t(g); }
  const std::uint16_t* scales(int g) const { return reinterpret_cast<const std::uint16_t*>(at(g) + code_bytes); }
  const std::byte* stored_;
  std::byte* ready_;
  int from_ = 0;
};

// A block that was made ready before: for many tiles of tokens.
template <bool Minima, int Group>
class CodePanel {
 public:
  static constexpr bool minima = Minima;
  static std::size_t bytes(const Matrix& m) { return code_bytes(m) + factor_bytes(m) * (Minima ? 2 : 1); }
  CodePanel(const Matrix& m, std::byte* at)
      : codes_(at), scales_(reinterpret_cast<float*>(at + code_bytes(m))), minima_(scales_ + m.groups() * lanes) {}
  template <int Zero, bool Nibbles>
  void fill(const Matrix& m, int block) const {
    for (int g = 0; g < m.groups(); ++g) {
      make_signed<Zero, Nibbles>(m.codes(block, g), m.code_bytes(Group), codes_ + std::size_t(g) * Group * lanes);
      store(scales_ + g * lanes, load_float16(m.scales(block, g)));
      if (Minima) store(minima_ + g * lanes, load_float16(m.minimums(block, g)));
    }
  }
  void prepare(int, int) {}
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

// The dots of group g, by way of the tile `Sums`.
template <int Sums, int Group, class Block>
[[gnu::always_inline]] inline void dot_group(const Block& w, const TokenTile& x, int g, std::int32_t (*dots)[lanes]) {
  const std::byte *codes = w.group(g), *from = x.codes + g * Group;
  clear_tile<Sums>();
  for (int k = 0; k < Group; k += 64) {
    load_tile<4>(from + k, x.stride);
    load_tile<6>(codes + k * lanes, 64);
    dot_tiles_int8<Sums, 4, 6>();
  }
  store_tile<Sums>(dots, 64);
}

using Dots = std::int32_t[batch_groups][tile_rows][lanes];

// The dots of groups [from, to).
template <int Group, class Block>
[[gnu::always_inline]] inline void dot_groups(Block& w, const TokenTile& x, int from, int to, Dots& dots) {
  w.prepare(from, to);
  int g = from;
  for (; g + 4 <= to; g += 4) {
    dot_group<0, Group>(w, x, g, dots[g - from]);
    dot_group<1, Group>(w, x, g + 1, dots[g + 1 - from]);
    dot_group<2, Group>(w, x, g + 2, dots[g + 2 - from]);
    dot_group<3, Group>(w, x, g + 3, dots[g + 3 - from]);
  }
  for (; g < to; ++g) dot_group<0, Group>(w, x, g, dots[g - from]);
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

// A tile of tokens, `rows` of which there are, times `blocks` blocks from `first` on, which `block(i)` gives. Dots of the
// next batch of groups are under way while those of one are scaled: a vector that waits for what a tile has just stored
// would wait for all that came before.
template <int Group, class BlockOf>
void tile_of_bytes(BlockOf&& block, const TokenTile x, const Product& p, int token, int rows, int first, int blocks) {
  const int groups = p.matrix->groups(), batches = (groups + batch_groups - 1) / batch_groups;
  alignas(64) Dots dots[2];
  const auto end = [&](int batch) { return std::min(groups, (batch + 1) * batch_groups); };
  auto next = block(0);
  dot_groups<Group>(next, x, 0, end(0), dots[0]);
  int turn = 0;
  for (int b = 0; b < blocks; ++b) {
    const auto w = next;
    Floats sums[tile_rows];
#pragma GCC unroll 16
    for (int t = 0; t < tile_rows; ++t) sums[t] = zeros();
    for (int batch = 0; batch < batches; ++batch, turn ^= 1) {
      if (batch + 1 < batches) {
        dot_groups<Group>(next, x, end(batch), end(batch + 1), dots[turn ^ 1]);
      } else if (b + 1 < blocks) {
        next = block(b + 1);
        dot_groups<Group>(next, x, 0, end(0), dots[turn ^ 1]);
      }
      for (int g = batch * batch_groups; g < end(batch); ++g) add_group(w, x, g, dots[turn][g % batch_groups], sums);
    }
#pragma GCC unroll 16
    for (int t = 0; t < tile_rows; ++t)
      if (t < rows) write(p, token + t, first + b, sums[t]);
  }
}

// Every tile of tokens times blocks [first, first + blocks): the full ones, then the last.
template <int Group, class BlockOf>
void all_tiles(const TokenTiles& x, const Product& p, BlockOf&& block, int first, int blocks) {
  const auto pass = [&](int from, int to) {
    if (from >= to) return;
    const ProductShapes shapes(x.rows(from), x.rows(from), std::min(Group, 64));
    for (int i = from; i < to; ++i) tile_of_bytes<Group>(block, x[i], p, x.token(i), x.rows(i), first, blocks);
  };
  pass(0, x.full());
  pass(x.full(), x.count());
}

// A few tiles of tokens, over blocks that are read once.
template <int Group, int Zero, bool Nibbles>
void few_tiles(const TokenTiles& x, const Product& p, int first, int last) {
  alignas(64) std::byte ready[batch_groups * Group * lanes];
  all_tiles<Group>(x, p, [&](int i) { return Direct<Zero, Nibbles, Group>(*p.matrix, first + i, ready); }, first,
                   last - first);
}

// Many tiles of tokens, over panels of blocks that stay in the second-level cache.
template <int Group, int Zero, bool Nibbles>
void many_tiles(const TokenTiles& x, const Product& p, int first, int last, std::byte* memory, int most) {
  using Block = CodePanel<Zero == 0, Group>;
  const Matrix& m = *p.matrix;
  const auto panel = [&](int i) { return Block(m, memory + Block::bytes(m) * std::size_t(i)); };
  for (; first < last; first += most) {
    const int blocks = std::min(most, last - first);
    for (int i = 0; i < blocks; ++i) panel(i).template fill<Zero, Nibbles>(m, first + i);
    all_tiles<Group>(x, p, panel, first, blocks);
  }
}

template <int Group, int Zero, bool Nibbles>
void tiles_of_bytes(const Operand& x, int first_token, int last_token, const Product& p, int first, int last,
                    Workspace& work) {
  constexpr std::size_t codes_bytes = std::size_t(256) << 10;
  const Matrix& m = *p.matrix;
  const std::size_t block_bytes = CodePanel<Zero == 0, Group>::bytes(m);
  const std::size_t own = TokenTiles::bytes(m, last_token - first_token);
  const int most = std::clamp(int(codes_bytes / block_bytes), 1, last - first);
  std::byte* memory = work.bytes(own + block_bytes * std::size_t(most));
  const TokenTiles tokens(x, m, first_token, last_token, memory);
  if (tokens.count() <= 2) return few_tiles<Group, Zero, Nibbles>(tokens, p, first, last);
  many_tiles<Group, Zero, Nibbles>(tokens, p, first, last, memory + own, most);
}

}  // namespace
}  // namespace clearhead
