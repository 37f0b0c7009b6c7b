#include "openmp.h"

#if defined(__linux__)
#include <dlfcn.h>
#include <link.h>

#include <cstring>
#endif

namespace clearhead {

#if defined(__linux__)

namespace {

// GNU's runtime: what a compiler makes of `#pragma omp parallel` calls this.
using Parallel = void (*)(void (*)(void*), void*, unsigned, unsigned);

// The library's path: torch's own, before any other.
int remember_library(dl_phdr_info* info, std::size_t, void* found) {
  auto& path = *static_cast<const char**>(found);
  if (std::strstr(info->dlpi_name, "libgomp") == nullptr) return 0;
  if (path == nullptr || std::strstr(info->dlpi_name, "/torch")) path = info->dlpi_name;
  return 0;
}

Parallel find_parallel() {
  const char* path = nullptr;
  dl_iterate_phdr(remember_library, &path);
  void* library = path ? dlopen(path, RTLD_LAZY | RTLD_NOLOAD) : nullptr;
  return library ? reinterpret_cast<Parallel>(dlsym(library, "GOMP_parallel")) : nullptr;
}

}  // namespace

bool run_in_openmp(int threads, const std::function<void()>& job) {
  static const Parallel parallel = find_parallel();
  if (parallel == nullptr) return false;
  const auto call = [](void* data) { (*static_cast<const std::function<void()>*>(data))(); };
  parallel(call, const_cast<std::function<void()>*>(&job), unsigned(threads), 0);
  return true;
}

#else

bool run_in_openmp(int, const std::function<void()>&) { return false; }

#endif

}  // namespace clearhead
