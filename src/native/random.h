// Dropout's random numbers, by place and not by order: whoever asks for the same place of the same draw gets the same bits,
// in any order, on any thread and instruction set, so that a backward pass needs no record of what the forward pass left out.
//
// A word is a hash of its index: two multiplications, with shifts between them (a finaliser in the manner of MurmurHash3's,
// with constants found by C. Wellons' search for the least bias), the seed's halves mixed in before each. Each half of a word
// decides about one number, in steps of 1 / 65536.
#pragma once

#include "elements.h"
#include "training.h"

namespace clearhead {
namespace {

// Sixteen words; `index` is a multiple of 16.
inline Ints random_words(std::uint64_t seed, std::uint32_t index) {
  alignas(alignment) static constexpr std::int32_t places[lanes] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  Ints x;
  static_assert(sizeof x == sizeof places);
  std::memcpy(&x, places, sizeof x);
  x = x ^ fill(std::int32_t(index ^ std::uint32_t(seed)));
  x = (x ^ shift_right(x, 16)) * fill(std::int32_t(0x7feb352d));
  x = x ^ fill(std::int32_t(std::uint32_t(seed >> 32)));
  x = (x ^ shift_right(x, 15)) * fill(std::int32_t(0x846ca68bu));
  return x ^ shift_right(x, 16);
}

// What the numbers of one row are multiplied with.
class RowMask {
 public:
  RowMask(const Dropping& how, std::size_t row, int columns)
      : seed_(how.seed), first_(std::uint32_t(row * words_of(columns))), cut_(fill(float(how.cut))),
        factor_(fill(how.factor)) {}

  // Of columns i to i + 15; i is a multiple of 16.
  Floats operator()(int i) const {
    const Ints words = random_words(seed_, first_ + std::uint32_t(i / (2 * lanes) * lanes));
    return factors(i % (2 * lanes) == 0 ? words & fill(0xffff) : shift_right(words, 16));
  }
  // Of columns i to i + 31; i is a multiple of 32.
  void both(int i, Floats& a, Floats& b) const {
    const Ints words = random_words(seed_, first_ + std::uint32_t(i / 2));
    a = factors(words & fill(0xffff));
    b = factors(shift_right(words, 16));
  }

 private:
  static std::size_t words_of(int columns) { return std::size_t(round_up(columns, 2 * lanes) / 2); }
  Floats factors(Ints halves) const { return where_less(to_floats(halves), cut_, zeros(), factor_); }

  std::uint64_t seed_;
  std::uint32_t first_;
  Floats cut_, factor_;
};

// Calls each(i, n, factors) for the vectors of a row; without dropout the factors are 1.
template <bool Drop, class Each>
inline void for_dropped(const RowMask& mask, int columns, Each&& each) {
  if constexpr (!Drop) {
    for_vectors(columns, [&](int i, auto n) { each(i, n, fill(1.0f)); });
  } else {
    int i = 0;
    for (; i + 2 * lanes <= columns; i += 2 * lanes) {
      Floats a, b;
      mask.both(i, a, b);
      each(i, std::integral_constant<int, lanes>{}, a);
      each(i + lanes, std::integral_constant<int, lanes>{}, b);
    }
    for (; i < columns; i += lanes) each(i, std::min(columns - i, lanes), mask(i));
  }
}

// Calls with(element, whether numbers are left out).
template <class With>
inline void for_kind(bool half, const Dropping& dropping, With&& with) {
  const bool drop = dropping.cut > 0;
  if (half)
    drop ? with(Half{}, std::true_type{}) : with(Half{}, std::false_type{});
  else
    drop ? with(float{}, std::true_type{}) : with(float{}, std::false_type{});
}

}  // namespace
}  // namespace clearhead
