#include "cache.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <stdexcept>

namespace clearhead {

namespace {

std::size_t pages_for(int positions) { return std::size_t(positions + page_keys - 1) / page_keys; }

}  // namespace

void PagePool::Free::operator()(std::byte* p) const { ::operator delete(p, std::align_val_t(4096)); }

PagePool::PagePool(PageShape shape, int layers, int kv_heads, int spares)
    : shape_(shape),
      kv_heads_(kv_heads),
      parts_(layers * kv_heads),
      spares_(spares),
      page_bytes_(shape.bytes()),
      part_bytes_(page_bytes_ * slab_pages),
      slab_bytes_(part_bytes_ * std::size_t(parts_)) {}

std::int32_t PagePool::take() {
  if (free_.empty()) {
    std::size_t slab = 0;
    while (slab < slabs_.size() && slabs_[slab]) ++slab;
    if (slab == slabs_.size()) {
      slabs_.emplace_back();
      starts_.push_back(nullptr);
      used_.push_back(0);
      holders_.resize(holders_.size() + slab_pages, 0);
    }
    slabs_[slab].reset(static_cast<std::byte*>(::operator new(slab_bytes_, std::align_val_t(4096))));
    std::memset(slabs_[slab].get(), 0, slab_bytes_);  // padding and keys not yet written must be finite
    starts_[slab] = slabs_[slab].get();
    ++empty_;
    for (int i = slab_pages; i-- > 0;) free_.push_back(std::int32_t(slab << slab_shift) + i);
  }
  const std::int32_t page = free_.back();
  free_.pop_back();
  holders_[std::size_t(page)] = 1;
  if (used_[std::size_t(page >> slab_shift)]++ == 0) --empty_;
  return page;
}

std::byte* PagePool::page_start(std::int32_t page, int index) const {
  return starts_[std::size_t(page >> slab_shift)] + part_bytes_ * std::size_t(index) +
         page_bytes_ * std::size_t(page & (slab_pages - 1));
}

std::int32_t PagePool::copy(std::int32_t page) {
  const std::int32_t own = take();
  for (int i = 0; i < parts_; ++i) std::memcpy(page_start(own, i), page_start(page, i), page_bytes_);
  return own;
}

void PagePool::keep(std::int32_t page) { ++holders_[std::size_t(page)]; }

void PagePool::drop(std::int32_t page) {
  if (--holders_[std::size_t(page)] > 0) return;
  const auto slab = std::size_t(page >> slab_shift);
  free_.push_back(page);
  if (--used_[slab] > 0 || ++empty_ <= spares_) return;
  --empty_;
  std::erase_if(free_, [&](std::int32_t p) { return std::size_t(p >> slab_shift) == slab; });
  slabs_[slab].reset();
  starts_[slab] = nullptr;
}

PageView PagePool::view(const std::int32_t* table, int layer, int kv_head) const {
  return {starts_.data(), table, part_bytes_ * std::size_t(layer * kv_heads_ + kv_head), page_bytes_};
}

std::size_t PagePool::bytes() const {
  return slab_bytes_ * std::size_t(std::count_if(slabs_.begin(), slabs_.end(), [](const auto& s) { return bool(s); }));
}

Cache::Cache(std::shared_ptr<PagePool> pool, int rows, int capacity)
    : pool_(std::move(pool)), capacity_(capacity), lengths_(std::size_t(rows), 0), tables_(std::size_t(rows)) {}

Cache::~Cache() {
  const std::lock_guard lock(pool_->mutex);
  for (auto& table : tables_) release(table, 0);
}

void Cache::release(std::vector<std::int32_t>& table, std::size_t from) {
  while (table.size() > from) {
    pool_->drop(table.back());
    table.pop_back();
  }
}

void Cache::reserve(int row, int count) {
  if (count == 0) return;
  const std::lock_guard lock(pool_->mutex);
  auto& table = tables_[std::size_t(row)];
  const int length = lengths_[std::size_t(row)];
  release(table, pages_for(length));  // reserved for a call that failed
  if (length % page_keys != 0 && pool_->shared(table.back())) {
    const std::int32_t own = pool_->copy(table.back());
    pool_->drop(table.back());
    table.back() = own;
  }
  while (table.size() < pages_for(length + count)) table.push_back(pool_->take());
}

void Cache::truncate(const std::vector<int>& lengths) {
  if (lengths.size() != lengths_.size()) throw std::invalid_argument("one length for each row");
  const std::lock_guard lock(pool_->mutex);
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    lengths_[i] = std::min(lengths_[i], std::max(lengths[i], 0));
    release(tables_[i], pages_for(lengths_[i]));
  }
}

void Cache::select(const std::vector<int>& rows) {
  for (int row : rows)
    if (row < 0 || row >= int(lengths_.size())) throw std::out_of_range("a row that the cache lacks");
  const std::lock_guard lock(pool_->mutex);
  std::vector<int> lengths;
  std::vector<std::vector<std::int32_t>> tables;
  for (int row : rows) {
    lengths.push_back(lengths_[std::size_t(row)]);
    tables.push_back(tables_[std::size_t(row)]);
    for (std::int32_t page : tables.back()) pool_->keep(page);
  }
  for (auto& table : tables_) release(table, 0);
  lengths_ = std::move(lengths);
  tables_ = std::move(tables);
}

void Cache::adopt(int row, const Cache& source, int source_row, int length) {
  if (&source.pool() != pool_.get()) throw std::invalid_argument("caches of one executor share pages, others cannot");
  auto& table = tables_.at(std::size_t(row));
  const auto& theirs = source.tables_.at(std::size_t(source_row));
  if (lengths_[std::size_t(row)] != 0) throw std::invalid_argument("only an empty row can begin with another's");
  if (length < 0 || length > source.lengths_[std::size_t(source_row)] || length > capacity_)
    throw std::invalid_argument("no more positions can be taken over than the other row holds and this one has room for");
  const std::lock_guard lock(pool_->mutex);
  release(table, 0);
  table.assign(theirs.begin(), theirs.begin() + std::ptrdiff_t(pages_for(length)));
  for (std::int32_t page : table) pool_->keep(page);
  lengths_[std::size_t(row)] = length;
}

void Cache::join(const Cache& source) {
  if (&source.pool() != pool_.get()) throw std::invalid_argument("caches of one executor share pages, others cannot");
  for (int length : source.lengths_)
    if (length > capacity_) throw std::invalid_argument("a row is longer than this cache's capacity");
  const std::lock_guard lock(pool_->mutex);
  for (int row = 0, n = source.rows(); row < n; ++row) {
    lengths_.push_back(source.lengths_[std::size_t(row)]);
    tables_.push_back(source.tables_[std::size_t(row)]);
    for (std::int32_t page : tables_.back()) pool_->keep(page);
  }
}

}  // namespace clearhead
