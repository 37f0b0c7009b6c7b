// Keys and values of sequences, in pages that sequences share until one of them writes.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "pages.h"

namespace clearhead {

// Where pages come from: slabs of 16 pages each, grown when needed and given back when empty, but for a few spares. A page holds its sixteen
// positions for every layer and key/value head: in a slab, those of one layer and head lie side by side.
class PagePool {
 public:
  PagePool(PageShape shape, int layers, int kv_heads, int spares);

  const PageShape& shape() const { return shape_; }
  int layers() const { return parts_ / kv_heads_; }
  std::int32_t take();                       // a page nobody else holds; its contents are zeros or an earlier owner's
  std::int32_t copy(std::int32_t page);      // the same contents in a page of one's own
  void keep(std::int32_t page);              // one more holder
  void drop(std::int32_t page);              // one holder less
  bool shared(std::int32_t page) const { return holders_[std::size_t(page)] > 1; }
  PageView view(const std::int32_t* table, int layer, int kv_head) const;
  std::size_t bytes() const;                 // of all slabs

  std::mutex mutex;  // held by whoever calls take, copy, keep or drop

 private:
  struct Free {
    void operator()(std::byte* p) const;
  };
  std::byte* page_start(std::int32_t page, int index) const;

  const PageShape shape_;
  const int kv_heads_, parts_, spares_;  // parts: layers times heads; spares: empty slabs that are kept
  const std::size_t page_bytes_, part_bytes_, slab_bytes_;
  std::vector<std::unique_ptr<std::byte, Free>> slabs_;  // null: given back
  std::vector<std::byte*> starts_;                       // the same, plain, for kernels
  std::vector<std::int32_t> holders_, free_;
  std::vector<int> used_;  // pages in use of each slab
  int empty_ = 0;          // slabs none of whose pages is in use
};

// Rows of a batch, each a table of pages and a count of positions.
class Cache {
 public:
  Cache(std::shared_ptr<PagePool> pool, int rows, int capacity);
  ~Cache();
  Cache(const Cache&) = delete;
  Cache& operator=(const Cache&) = delete;

  int rows() const { return int(lengths_.size()); }
  int capacity() const { return capacity_; }
  const std::vector<int>& lengths() const { return lengths_; }
  const std::vector<std::int32_t>& table(int row) const { return tables_[std::size_t(row)]; }
  PagePool& pool() const { return *pool_; }

  // Own pages for `count` positions after what row `row` holds; nothing else of it changes.
  void reserve(int row, int count);
  // Counts `count` positions as held.
  void advance(int row, int count) { lengths_[std::size_t(row)] += count; }
  // Row i keeps its first lengths[i] positions.
  void truncate(const std::vector<int>& lengths);
  // Row i continues from old row rows[i]; pages are shared, not copied.
  void select(const std::vector<int>& rows);
  // The first `length` positions of `source`'s row become those of this row, which must be empty. Pages are shared.
  void adopt(int row, const Cache& source, int source_row, int length);
  // A cache over the same pages, with this many empty rows.
  std::shared_ptr<Cache> empty_like(int rows) const { return std::make_shared<Cache>(pool_, rows, capacity_); }
  // The rows of `source` follow this cache's own. Pages are shared.
  void join(const Cache& source);

 private:
  void release(std::vector<std::int32_t>& table, std::size_t from);

  std::shared_ptr<PagePool> pool_;
  const int capacity_;
  std::vector<int> lengths_;
  std::vector<std::vector<std::int32_t>> tables_;
};

}  // namespace clearhead
