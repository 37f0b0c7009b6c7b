// Intel's tile registers (AMX): eight tiles of up to sixteen rows of 64 bytes, and products of whole tiles. Sixteen
// vectors of a packed block, as they lie in memory, are the right-hand tile of one product, and rows of activations the
// left-hand one.
#pragma once

#include <algorithm>

#include "dot.h"

namespace clearhead {
namespace {

constexpr int tile_rows = 16;
constexpr std::size_t tile_bytes = 64 * tile_rows;

// Rows of a tile, and bytes of each.
struct TileShape {
  int rows = 0, bytes = 64;
};

// The shapes of this thread's tiles, while it lives.
class TileShapes {
 public:
  explicit TileShapes(const TileShape (&tiles)[8]) {
    Shapes s;
    for (int i = 0; i < 8; ++i) {
      s.rows[i] = std::uint8_t(tiles[i].rows);
      s.bytes[i] = std::uint16_t(tiles[i].bytes);
    }
    asm volatile("ldtilecfg (%0)" ::"r"(&s) : "memory");
  }
  ~TileShapes() { asm volatile("tilerelease" ::: "memory"); }
  TileShapes(const TileShapes&) = delete;
  TileShapes& operator=(const TileShapes&) = delete;

 private:
  struct alignas(64) Shapes {  // as LDTILECFG reads it
    std::uint8_t palette = 1, start = 0, unused[14] = {};
    std::uint16_t bytes[16] = {};
    std::uint8_t rows[16] = {};
  };
};

// For products with weights: sums in 0 to 3, activations in 4 and 5, weights in 6 and 7. A row of activations is `bytes`
// long. 0, 1 and 4 have the rows of `first` tokens, and 2, 3 and 5 those of `second`.
class ProductShapes : public TileShapes {
 public:
  ProductShapes(int first, int second, int bytes)
      : TileShapes({{first}, {first}, {second}, {second}, {first, bytes}, {second, bytes}, {bytes / 4}, {bytes / 4}}) {}
};

// The instructions. Compilers' own forms of them are not ordered with ordinary loads and stores; these are.
template <int Tile>
inline void clear_tile() {
  asm volatile("tilezero %%tmm%c0" ::"i"(Tile));
}
template <int Tile>
inline void load_tile(const void* p, std::size_t stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(p), "r"(stride), "i"(Tile) : "memory");
}
template <int Tile>
inline void store_tile(void* p, std::size_t stride) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(p), "r"(stride), "i"(Tile) : "memory");
}
template <int Sums, int A, int B>
inline void dot_tiles_bfloat16() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(Sums), "i"(A), "i"(B));
}
template <int Sums, int A, int B>
inline void dot_tiles_int8() {
  asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(Sums), "i"(A), "i"(B));
}

}  // namespace
}  // namespace clearhead
