#include "threads.h"

#include <map>

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace clearhead {

namespace {

// About 20 to 50 microseconds: longer than any wait inside a pass, shorter than anyone would notice on an idle core.
constexpr int spins = 4000;

void pause() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

int process() {
#if defined(__unix__) || defined(__APPLE__)
  return int(getpid());
#else
  return 0;
#endif
}

}  // namespace

std::shared_ptr<Pool> shared_pool(int threads) {
  // Never destroyed: at the end of the process, or after a fork, there may be no threads left to join.
  static auto* const pools = new std::map<std::pair<int, int>, std::shared_ptr<Pool>>;
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  std::shared_ptr<Pool>& pool = (*pools)[{process(), threads}];
  if (!pool) pool = std::make_shared<Pool>(threads);
  return pool;
}

int Team::size() const { return pool_.size_; }

void Team::barrier() {
  if (pool_.size_ == 1) {
    pool_.next_[round_ % 2].store(0, std::memory_order_relaxed);
    ++round_;
    return;
  }
  const std::uint32_t before = pool_.passed_.load(std::memory_order_acquire);
  if (pool_.arrived_.fetch_add(1, std::memory_order_acq_rel) == pool_.size_ - 1) {
    pool_.arrived_.store(0, std::memory_order_relaxed);
    pool_.next_[round_ % 2].store(0, std::memory_order_relaxed);  // nobody claims from it before two barriers from now
    pool_.passed_.store(before + 1, std::memory_order_release);
    pool_.passed_.notify_all();
  } else {
    pool_.wait(pool_.passed_, before);
  }
  ++round_;
}

int Team::claim(int chunk) { return pool_.next_[round_ % 2].fetch_add(chunk, std::memory_order_relaxed); }

Pool::Pool(int threads) : size_(threads < 1 ? 1 : threads) {
  for (int i = 0; i < size_; ++i) teams_.emplace_back(new Team(*this, i));
  for (int i = 1; i < size_; ++i) threads_.emplace_back([this, i] { work(i); });
}

Pool::~Pool() {
  closing_.store(true);
  started_.fetch_add(1);
  started_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Pool::run(const std::function<void(Team&)>& job) {
  const std::lock_guard lock(turn_);
  job_ = &job;
  started_.fetch_add(1, std::memory_order_release);
  started_.notify_all();
  job(*teams_[0]);
  teams_[0]->barrier();
}

void Pool::work(int thread) {
  for (std::uint32_t seen = 0;;) {
    wait(started_, seen);
    ++seen;
    if (closing_.load()) return;
    (*job_)(*teams_[std::size_t(thread)]);
    teams_[std::size_t(thread)]->barrier();
  }
}

void Pool::wait(const std::atomic<std::uint32_t>& value, std::uint32_t old) {
  for (int i = 0; i < spins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    pause();
  }
  while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
}

}  // namespace clearhead
