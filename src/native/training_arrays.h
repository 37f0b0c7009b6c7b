// Arrays of training as Python hands them over, and work on them in pieces that do not depend on how many threads there are:
// sums over pieces are formed in their order, so that the bits do not either. One thread runs them without any
// synchronisation.
#pragma once

#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <vector>

#include "cpu.h"
#include "modules.h"
#include "openmp.h"
#include "threads.h"

namespace clearhead {

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using Input = nb::ndarray<nb::ro, nb::device::cpu>;
using Output = nb::ndarray<nb::device::cpu>;
using Floats = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;
using FloatsOut = nb::ndarray<float, nb::c_contig, nb::device::cpu>;
template <class Array>
using Maybe = std::optional<Array>;

void require(bool holds, const char* what) {
  if (!holds) throw std::invalid_argument(what);
}

// Those of an instruction set, of the best where none is named.
const TrainingKernels& chosen(const std::string& instruction_set) {
  static const Kernels& best = kernels(instruction_sets().back());
  const TrainingKernels* found = (instruction_set.empty() ? best : kernels(instruction_set)).training;
  require(found != nullptr, "there are no kernels of training without vectors; torch's operations are quicker");
  return *found;
}

template <class Array>
bool is_half(const Array& a) {
  if (a.dtype() == nb::dtype<std::int16_t>()) return true;
  require(a.dtype() == nb::dtype<float>(), "arrays of training are float32, or bfloat16 as int16");
  return false;
}

template <class Array>
bool contiguous(const Array& a) {
  if (a.size() == 0) return true;
  std::int64_t step = 1;
  for (std::size_t i = a.ndim(); i-- > 0; step *= std::int64_t(a.shape(i)))
    if (a.shape(i) > 1 && a.stride(i) != step) return false;
  return true;
}

template <class Array>
auto* data_of(const Maybe<Array>& a) { return a ? a->data() : nullptr; }
template <class Array>
void* memory_of(const Array& a) { return const_cast<void*>(static_cast<const void*>(a.data())); }
template <class Array>
void* memory_of(const Maybe<Array>& a) { return a ? memory_of(*a) : nullptr; }

// Calls work(piece, workspace) for all pieces, some at a time.
template <class Work>
void share(int pieces, int some, int threads, Work&& work) {
  require(threads >= 1, "there is at least one thread");
  const nb::gil_scoped_release released;
  const auto run = [&](int first, int last, Workspace& workspace) {
    for (int piece = first; piece < last; ++piece) work(piece, workspace);
  };
  thread_local Workspace mine;
  if (threads == 1 || pieces <= some) return run(0, pieces, mine);
  std::exception_ptr failure;  // of whichever thread was first: no memory
  std::atomic<bool> failed = false;
  const auto kept = [&](int first, int last, Workspace& workspace) {
    try {
      run(first, last, workspace);
    } catch (...) {
      if (!failed.exchange(true)) failure = std::current_exception();
    }
  };
  std::atomic<int> next = 0;
  const auto claim = [&] {
    thread_local Workspace own;
    for (int first = next.fetch_add(some); first < pieces; first = next.fetch_add(some))
      kept(first, std::min(pieces, first + some), own);
  };
  if (!run_in_openmp(threads, claim))
    shared_pool(threads)->run([&](Team& team) {
      team.share(pieces, some, [&](int first, int last) { kept(first, last, team.workspace()); });
    });
  if (failed) std::rethrow_exception(failure);
}

// The same where each piece adds to sums [width]: work(piece, its own sums, workspace).
template <class Work>
void share_sums(int pieces, int threads, float* sums, std::size_t width, Work&& work) {
  if (sums == nullptr) return share(pieces, 1, threads, [&](int piece, Workspace& w) { work(piece, nullptr, w); });
  const bool alone = threads == 1 || pieces <= 1;
  std::vector<float> own((alone ? 1 : std::size_t(pieces)) * width);
  const auto add = [&](const float* piece) {
    for (std::size_t i = 0; i < width; ++i) sums[i] += piece[i];
  };
  share(pieces, 1, threads, [&](int piece, Workspace& w) {
    float* mine = own.data() + (alone ? 0 : std::size_t(piece) * width);
    if (alone) std::fill_n(mine, width, 0.0f);
    work(piece, mine, w);
    if (alone) add(mine);
  });
  for (int piece = 0; !alone && piece < pieces; ++piece) add(own.data() + std::size_t(piece) * width);
}

int pieces_of(int n, int piece) { return (n + piece - 1) / piece; }

}  // namespace

}  // namespace clearhead
