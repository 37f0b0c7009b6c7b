// Memory for whole vectors: aligned to 64 bytes, zero at first, a multiple of 64 bytes long.
#pragma once

#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include "matrix.h"

namespace clearhead {

template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t size) { grow(size); }
  Buffer(const T* values, std::size_t size) : Buffer(size) { std::memcpy(data(), values, size * sizeof(T)); }

  T* data() { return memory_.get(); }
  const T* data() const { return memory_.get(); }
  std::size_t size() const { return size_; }

  // Room for `size` elements. What was held is lost where the memory had to grow, and stays where it had not.
  void grow(std::size_t size) {
    if (size <= size_) return;
    const std::size_t bytes = round_up(size * sizeof(T), std::size_t(2 * alignment));
    memory_.reset(static_cast<T*>(::operator new(bytes, std::align_val_t(alignment))));
    std::memset(static_cast<void*>(memory_.get()), 0, bytes);
    size_ = size;
  }

 private:
  struct Free {
    void operator()(T* p) const { ::operator delete(static_cast<void*>(p), std::align_val_t(alignment)); }
  };
  std::unique_ptr<T, Free> memory_;
  std::size_t size_ = 0;
};

}  // namespace clearhead
