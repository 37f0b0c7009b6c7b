// How products are cut into tiles: a few tokens by a few row blocks, whose sums stay in registers.
//
// Every output is one chain of the same operations in the same order, whatever tile it falls in: a token gets the same
// result alone and in any batch.
#pragma once

#include <algorithm>
#include <type_traits>

#include "dot.h"
#include "kernels.h"

namespace clearhead {
namespace {

// Tiles as large as the registers hold: 32 of AVX-512, 16 of AVX2 with two to a vector. The gate looks for races with
// small ones, of the same code: every size of tile is compiled by itself.
#if defined(CLEARHEAD_SMALL_TILES)
constexpr int float_tokens = 3, float_blocks = 2, byte_tokens = 3, byte_blocks = 2;
#elif defined(__AVX512F__)
constexpr int float_tokens = 8, float_blocks = 3, byte_tokens = 4, byte_blocks = 3;
#elif defined(__AVX2__)
constexpr int float_tokens = 4, float_blocks = 1, byte_tokens = 3, byte_blocks = 1;
#else
constexpr int float_tokens = 4, float_blocks = 1, byte_tokens = 2, byte_blocks = 1;
#endif

constexpr std::size_t slice_bytes = std::size_t(512) << 10;  // of activations that stay in the second-level cache

// Weights that a lone token will read soon. It reads one stream, which processors foresee by themselves, and better than
// when they are told (docs/log.md); those with tiles, whose memory is farther away, were quicker when told.
inline void foresee([[maybe_unused]] const std::byte* weights) {
#if defined(__AMX_INT8__)
  __builtin_prefetch(weights + 8192, 0, 3);
#endif
}

// The weights of the blocks that come next, asked for bit by bit while these are multiplied.
class Ahead {
 public:
  // Tiles of T tokens times `blocks` blocks of m, of which `tiles` will take `steps` steps each.
  Ahead(const Matrix& m, int block, int blocks, int tiles, int steps)
      : next_(m.block(block + blocks)), end_(m.block(block + 2 * blocks)) {
    const int lines = int(std::size_t(end_ - next_) / 64);
    bytes_ = 64 * std::ptrdiff_t((lines + tiles * steps - 1) / (tiles * steps));
  }
  // Of blocks that are there already.
  Ahead() : next_(nullptr), end_(nullptr), bytes_(0) {}
  void step() {
    const std::byte* stop = std::min(end_, next_ + bytes_);
    for (; next_ < stop; next_ += 64) __builtin_prefetch(next_, 0, 3);
  }

 private:
  const std::byte *next_, *end_;
  std::ptrdiff_t bytes_;
};

inline void write(const Product& p, int token, int block, Floats sum) {
  float* out = p.out + p.stride * std::size_t(token) + std::size_t(block) * lanes;
  if (p.bias) sum = sum + load(p.bias + std::size_t(block) * lanes);
  store(out, p.add ? sum + load(out) : sum);
}

// Calls tile(n, i) for n things from i on, n known to the compiler: Most as long as that fits, then the rest at once.
template <int Most, class Tile>
void in_tiles(int first, int last, Tile&& tile) {
  for (; last - first >= Most; first += Most) tile(std::integral_constant<int, Most>{}, first);
  if constexpr (Most > 1)
    if (first < last) in_tiles<Most - 1>(first, last, tile);
}

// The products of tokens with blocks, tile by tile: into(token, block) says where a tile's sums go, [T, stride]; then
// done(token, T, block, B) may look at them. `ask` for the blocks that come next, unless other tokens did.
template <class Tiles, class Into, class Done>
void sum_tiles(const Operand& x, int first_token, int last_token, const Matrix& m, int first, int last, bool ask,
               int stride, Into&& into, Done&& done) {
  in_tiles<Tiles::blocks>(first, last, [&](auto blocks, int block) {
    const int tiles = (last_token - first_token + Tiles::tokens - 1) / Tiles::tokens;
    Ahead ahead = ask ? Ahead(m, block, blocks, tiles, Tiles::steps(m)) : Ahead();
    in_tiles<Tiles::tokens>(first_token, last_token, [&](auto tokens, int token) {
      Tiles::template sum<tokens, blocks>(x, token, m, block, ahead, into(token, block), stride);
      done(token, tokens, block, blocks);
    });
  });
}

// Calls part(first, last) for slices of the tokens that stay in the cache while all blocks pass by.
template <class Part>
void in_slices(int first, int last, std::size_t token_bytes, Part&& part) {
  const int most = std::max(32, int(slice_bytes / token_bytes) / 32 * 32);
  for (; first < last; first += most) part(first, std::min(last, first + most));
}

}  // namespace
}  // namespace clearhead
