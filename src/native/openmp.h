// The OpenMP team of this process, where torch brought one. Training alternates between torch's operations and ours, and
// torch's team waits for its next operation by spinning for milliseconds: threads of our own would find their cores taken
// (docs/log.md). So ours run on the same team.
#pragma once

#include <functional>

namespace clearhead {

// Runs `job` on so many threads, the caller's among them, and returns when all have ended; false where there is no team.
bool run_in_openmp(int threads, const std::function<void()>& job);

}  // namespace clearhead
