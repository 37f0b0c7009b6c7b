// A team of threads that walks through a computation together: every thread runs the same function, does its part of
// shared loops and helps the others with theirs, and waits for them at barriers. Waiting spins briefly, for the next piece
// of work is usually microseconds away, and then sleeps, so that an idle team costs nothing.
//
// Where other programs want the same cores, a team spends its time waiting for whichever thread was put off: one thread
// alone is then quicker than several. A pool that notices this lets its next jobs run alone, and tries again after a while;
// results are the same either way.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "kernels.h"

namespace clearhead {

class Pool;

// What one thread sees of its team.
class Team {
 public:
  int thread() const { return thread_; }
  int size() const;
  Workspace& workspace() { return workspace_; }

  // Every thread arrives before any goes on.
  void barrier();

  // Calls work(first, last) for chunks that together cover 0 .. count. Each thread has a part of its own, from one end to
  // the other, so that it reads memory in order; whoever is done goes on with what is left of the others' parts. Ends with
  // a barrier: afterwards all of it is done, for all threads.
  template <class Work>
  void share(int count, int chunk, Work&& work) {
    const int threads = size();
    for (int i = 0; i < threads; ++i) {
      const int owner = (thread_ + i) % threads, end = part(count, owner + 1);
      for (int first = claim(count, owner, chunk); first < end; first = claim(count, owner, chunk))
        work(first, first + chunk < end ? first + chunk : end);
    }
    barrier();
  }

 private:
  friend class Pool;
  Team(Pool& pool, int thread) : pool_(pool), thread_(thread) {}
  int part(int count, int owner) const { return int(std::int64_t(count) * owner / size()); }  // where it begins
  int claim(int count, int owner, int chunk);

  Pool& pool_;
  int thread_;
  unsigned round_ = 0;  // barriers passed: which of the two counters of each thread is this loop's
  alignas(alignment) std::atomic<int> claimed_[2]{};  // of its own part of the loop under way, and of the one after it
  std::atomic<std::int64_t> asleep_ = 0;  // nanoseconds, at barriers of this job
  Workspace workspace_;
};

class Pool {
 public:
  explicit Pool(int threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int size() const { return size_; }

  // Runs `job` on every thread, the caller's among them, and returns when all have ended. One job at a time: other
  // callers wait for their turn. `job` must not throw. One that is not `judged` says nothing about other programs: its
  // threads may rightly wait for each other.
  void run(const std::function<void(Team&)>& job, bool judged = true);

 private:
  friend class Team;
  void work(int thread);
  // True if it had to sleep.
  static bool wait(const std::atomic<std::uint32_t>& value, std::uint32_t old, int most_spins);
  void judge(std::int64_t nanoseconds);

  const int size_;
  std::vector<std::unique_ptr<Team>> teams_;
  std::vector<std::thread> threads_;
  std::mutex turn_;
  const std::function<void(Team&)>* job_ = nullptr;
  int active_ = 1;               // threads of the job under way
  int alone_ = 0, penalty_ = 0;  // jobs still to run alone; and how many that were last time

  alignas(alignment) std::atomic<std::uint32_t> started_{0};  // counts jobs; the workers wait for it to change
  alignas(alignment) std::atomic<int> arrived_{0};            // threads at the barrier
  alignas(alignment) std::atomic<std::uint32_t> passed_{0};   // counts barriers
  std::atomic<bool> closing_{false};
};

// The pool of this size that all models of the process share: two models that run at once take turns, rather than have
// more threads than cores wait for each other. A child process made by fork gets its own.
std::shared_ptr<Pool> shared_pool(int threads);

}  // namespace clearhead
