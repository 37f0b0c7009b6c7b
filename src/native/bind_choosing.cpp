// Choosing tokens from logits, for all rows of a batch at once and by all threads of a pool.
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <limits>

#include "cpu.h"
#include "modules.h"
#include "sampling.h"
#include "threads.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace clearhead {

namespace {

using Logits = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

// Those of an instruction set, of the best where none is named.
const Kernels& chosen_kernels(const std::string& instruction_set) {
  static const Kernels& best = kernels(instruction_sets().back());
  return instruction_set.empty() ? best : kernels(instruction_set);
}

void check(const std::vector<Logits>& rows) {
  for (const Logits& row : rows)
    if (row.size() == 0 || row.size() > std::size_t(1) << 30) throw std::invalid_argument("a row has from 1 to 2^30 logits");
}

// each(worker, row) for every row; a worker keeps its memory.
template <class Worker, class Each>
void for_rows(std::size_t rows, int threads, Each&& each) {
  const nb::gil_scoped_release released;
  const auto some = [&](int first, int last) {
    thread_local Worker worker;
    for (int row = first; row < last; ++row) each(worker, std::size_t(row));
  };
  if (rows == 1) return some(0, 1);
  std::exception_ptr failure;  // of whichever thread was first: no memory
  std::atomic<bool> failed = false;
  const auto kept = [&](int first, int last) {
    try {
      some(first, last);
    } catch (...) {
      if (!failed.exchange(true)) failure = std::current_exception();
    }
  };
  shared_pool(threads)->run([&](Team& team) { team.share(int(rows), 1, kept); }, false);
  if (failed) std::rethrow_exception(failure);
}

// One token of each row's logits [V]; -1 if their largest is not finite.
std::vector<int> sample(const std::vector<Logits>& rows, const std::vector<double>& temperatures,
                        const std::vector<int>& top_k, const std::vector<double>& top_p,
                        const std::vector<double>& min_p, const std::vector<double>& uniforms, int threads,
                        const std::string& instruction_set) {
  check(rows);
  const Kernels& kernels = chosen_kernels(instruction_set);
  for (const std::size_t size : {temperatures.size(), top_k.size(), top_p.size(), min_p.size(), uniforms.size()})
    if (size != rows.size()) throw std::invalid_argument("one setting of each kind for each row");
  std::vector<int> tokens(rows.size());
  for_rows<Sampler>(rows.size(), threads, [&](Sampler& sampler, std::size_t i) {
    const Sampling how{temperatures[i], top_k[i], top_p[i], min_p[i]};
    tokens[i] = sampler.draw(kernels, rows[i].data(), int(rows[i].size()), how, uniforms[i]);
  });
  return tokens;
}

// Of each row's logits [V]: the ids [rows, count] of the largest that are not banned, best first, their logits, and log of
// the sum of exp over all. Where there are fewer, ids are -1 and logits -infinity.
nb::tuple best(const std::vector<Logits>& rows, int count, std::vector<std::vector<int>> banned, int threads,
               const std::string& instruction_set) {
  check(rows);
  const Kernels& kernels = chosen_kernels(instruction_set);
  if (count < 1) throw std::invalid_argument("how many are the best must be at least 1");
  if (banned.size() != rows.size()) throw std::invalid_argument("one list of banned ids for each row");
  for (std::size_t i = 0; i < rows.size(); ++i)
    for (int id : banned[i])
      if (id < 0 || std::size_t(id) >= rows[i].size()) throw std::out_of_range("a banned id that the row lacks");
  for (std::vector<int>& ids : banned) std::sort(ids.begin(), ids.end());
  const std::size_t all = rows.size() * std::size_t(count);
  std::vector<std::int64_t> ids(all, -1);
  std::vector<double> logits(all, -std::numeric_limits<double>::infinity()), normalisers(rows.size());
  for_rows<Ranking>(rows.size(), threads, [&](Ranking& ranking, std::size_t i) {
    normalisers[i] = ranking.rank(kernels, rows[i].data(), int(rows[i].size()), count, banned[i]);
    std::size_t at = i * std::size_t(count);
    for (const Ranking::Place& place : ranking.places()) {
      ids[at] = place.id;
      logits[at++] = double(place.logit);
    }
  });
  const auto array = [](const auto& from, std::initializer_list<std::size_t> shape) {
    using T = typename std::decay_t<decltype(from)>::value_type;
    return nb::cast(nb::ndarray<nb::numpy, const T>(from.data(), shape), nb::rv_policy::copy);
  };
  const auto columns = std::size_t(count);
  return nb::make_tuple(array(ids, {rows.size(), columns}), array(logits, {rows.size(), columns}),
                        array(normalisers, {rows.size()}));
}

}  // namespace

void bind_choosing(nb::module_& m) {
  m.def("sample", &sample, "rows"_a, "temperatures"_a, "top_k"_a, "top_p"_a, "min_p"_a, "uniforms"_a, "threads"_a,
        "instruction_set"_a = "");
  m.def("best", &best, "rows"_a, "count"_a, "banned"_a, "threads"_a, "instruction_set"_a = "");
}

}  // namespace clearhead
