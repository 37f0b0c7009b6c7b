#include "threads.h"

#include <chrono>
#include <map>

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace clearhead {

namespace {

// About 20 to 100 microseconds: longer than most waits inside a pass. Between two jobs up to four times as long: a decoding
// loop comes back with the next step in about 100, and to wake a thread takes as much. Nobody notices either on an idle core.
constexpr int spins = 2000, spins_between_jobs = 8000;

void pause() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

std::int64_t since(std::chrono::steady_clock::time_point began) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - began).count();
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

int Team::size() const { return pool_.active_; }

void Team::barrier() {
  const unsigned ended = round_++ % 2;
  const auto forget = [&] {  // nobody claims from these before two barriers from now
    for (int i = 0; i < pool_.active_; ++i) pool_.teams_[std::size_t(i)]->claimed_[ended].store(0, std::memory_order_relaxed);
  };
  const int last = pool_.active_ - 1;  // read before arriving: afterwards the next job may begin
  if (last == 0) return forget();
  const std::uint32_t before = pool_.passed_.load(std::memory_order_acquire);
  if (pool_.arrived_.fetch_add(1, std::memory_order_acq_rel) == last) {
    pool_.arrived_.store(0, std::memory_order_relaxed);
    forget();
    pool_.passed_.store(before + 1, std::memory_order_release);
    pool_.passed_.notify_all();
    return;
  }
  const auto began = std::chrono::steady_clock::now();
  if (Pool::wait(pool_.passed_, before, spins)) asleep_.fetch_add(since(began), std::memory_order_relaxed);
}

int Team::claim(int count, int owner, int chunk) {
  auto& claimed = pool_.teams_[std::size_t(owner)]->claimed_[round_ % 2];
  return part(count, owner) + claimed.fetch_add(chunk, std::memory_order_relaxed);
}

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

void Pool::run(const std::function<void(Team&)>& job, bool judged) {
  const std::lock_guard lock(turn_);
  if (alone_ > 0 || size_ == 1) {
    --alone_;
    active_ = 1;
    return job(*teams_[0]);
  }
  for (auto& team : teams_) {
    team->round_ = teams_[0]->round_;
    team->asleep_.store(0, std::memory_order_relaxed);
  }
  active_ = size_;
  job_ = &job;
  const auto began = std::chrono::steady_clock::now();
  started_.fetch_add(1, std::memory_order_release);
  started_.notify_all();
  job(*teams_[0]);
  teams_[0]->barrier();
  if (judged) judge(since(began));
}

void Pool::judge(std::int64_t nanoseconds) {
  std::int64_t asleep = 0;
  for (const auto& team : teams_) asleep += team->asleep_.load(std::memory_order_relaxed);
  // Of a team of n that shares its work well, nobody sleeps for long; of one that is held up, n - 1 sleep all the time.
  const bool held_up = 2 * asleep > (size_ - 1) * nanoseconds;
  if (!held_up) {
    penalty_ = 0;
    return;
  }
  penalty_ = penalty_ == 0 ? 8 : penalty_ < 256 ? 2 * penalty_ : penalty_;
  alone_ = penalty_;
}

void Pool::work(int thread) {
  for (std::uint32_t seen = 0;;) {
    wait(started_, seen, spins_between_jobs);
    ++seen;
    if (closing_.load()) return;
    (*job_)(*teams_[std::size_t(thread)]);
    teams_[std::size_t(thread)]->barrier();
  }
}

bool Pool::wait(const std::atomic<std::uint32_t>& value, std::uint32_t old, int most_spins) {
  for (int i = 0; i < most_spins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return false;
    pause();
  }
  while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
  return true;
}

}  // namespace clearhead
