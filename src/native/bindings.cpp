// The extension module: models, caches and memories as Python sees them. Everything that takes long releases the
// interpreter; sizes of arrays are checked here, before plain pointers go on.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <chrono>

#include "cpu.h"
#include "model.h"
#include "modules.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace clearhead {

namespace {

using Bytes = nb::ndarray<const std::uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Array = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;
using Output = nb::ndarray<float, nb::c_contig, nb::device::cpu>;

template <class T>
T choice(const std::string& name, const std::map<std::string, T>& choices, const char* what) {
  const auto found = choices.find(name);
  if (found == choices.end()) throw std::invalid_argument(std::string(what) + " '" + name + "' is unknown");
  return found->second;
}

Config config_of(const nb::dict& d) {
  const auto number = [&](const char* key) { return nb::cast<int>(d[key]); };
  const auto real = [&](const char* key) { return float(nb::cast<double>(d[key])); };
  const auto truth = [&](const char* key) { return nb::cast<bool>(d[key]); };
  const auto is = [&](const char* key, const char* value) { return nb::cast<std::string>(d[key]) == value; };
  Config c;
  c.vocab_size = number("vocab_size"), c.d_model = number("d_model"), c.d_ff = number("d_ff");
  c.n_heads = number("n_heads"), c.n_kv_heads = number("n_kv_heads"), c.head_dim = number("head_dim");
  c.n_encoder_layers = number("n_encoder_layers"), c.n_decoder_layers = number("n_decoder_layers");
  c.rms = is("norm", "rms"), c.pre = is("norm_placement", "pre"), c.parallel = is("residual", "parallel");
  c.gated = is("mlp", "gated"), c.rotary = is("position", "rotary");
  c.norm_eps = real("norm_eps"), c.score_scale = real("score_scale");
  c.embedding_scale = real("embedding_scale"), c.logit_scale = real("logit_scale");
  c.embedding_norm = truth("embedding_norm"), c.pooler = truth("pooler"), c.tied = truth("tied");
  c.activation = choice<Activation>(nb::cast<std::string>(d["activation"]),
                                    {{"relu", Activation::relu},
                                     {"gelu", Activation::gelu},
                                     {"gelu_tanh", Activation::gelu_tanh},
                                     {"silu", Activation::silu}},
                                    "activation");
  c.head = choice<Config::Head>(nb::cast<std::string>(d["head"]),
                                {{"none", Config::Head::none},
                                 {"lm", Config::Head::lm},
                                 {"mlm", Config::Head::mlm},
                                 {"token_labels", Config::Head::token_labels},
                                 {"sequence_labels", Config::Head::sequence_labels}},
                                "head");
  c.n_labels = number("n_labels");
  return c;
}

// (format, minima, rows, columns, group, data): a matrix as `native/packing.py` packed it.
using PackedMatrix = std::tuple<std::string, bool, int, int, int, Bytes>;

Matrix matrix_of(const std::string& name, const PackedMatrix& packed) {
  const auto& [format, minima, rows, columns, group, data] = packed;
  Matrix m{format_named(format), minima, rows, columns, group, reinterpret_cast<const std::byte*>(data.data())};
  if (!m.sound())
    throw std::invalid_argument(name + " has a shape that no packed matrix has");
  if (data.size() != m.bytes() || reinterpret_cast<std::uintptr_t>(data.data()) % alignment != 0)
    throw std::invalid_argument(name + " has " + std::to_string(data.size()) + " bytes of packed weights, or they are " +
                                "not aligned; its shape calls for " + std::to_string(m.bytes()));
  return m;
}

Table table_of(const Array& a) {
  if (a.ndim() == 1) return {a.data(), 1, int(a.shape(0))};
  if (a.ndim() == 2) return {a.data(), int(a.shape(0)), int(a.shape(1))};
  throw std::invalid_argument("a table has one or two dimensions");
}

// Tables that stay alive as long as Python holds this.
class PositionTables {
 public:
  PositionTables(const nb::object& added, const nb::object& cosines, const nb::object& sines, const nb::object& bias,
                 int origin) {
    positions_.added = hold(added);
    positions_.cosines = hold(cosines);
    positions_.sines = hold(sines);
    positions_.bias = hold(bias);
    positions_.origin = origin;
    if (positions_.bias.rows > 0) --positions_.bias.rows;  // one row more than there are heads, so that reads may run over
  }
  const Positions& get() const { return positions_; }

 private:
  Table hold(const nb::object& object) {
    if (object.is_none()) return {};
    arrays_.push_back(nb::cast<Array>(object));
    return table_of(arrays_.back());
  }
  std::vector<Array> arrays_;
  Positions positions_;
};

// The arrays of a trace by kind and layer (-1 for those of a whole stack), with room for `rows` tokens, `keys` keys and
// `memory` tokens of the encoder. Kept for a whole run; `at` says where the next call's tokens go.
class CaptureTables {
 public:
  CaptureTables(const Config& c, bool encoder, std::vector<int> heads, int rows, int keys, int memory,
                std::vector<std::tuple<std::string, int, Output>> places)
      : config_(&c), places_(std::move(places)) {
    if (rows < 1 || keys < rows || memory < 0) throw std::invalid_argument("a trace of no tokens");
    capture_.layers.resize(std::size_t(encoder ? c.n_encoder_layers : c.n_decoder_layers));
    capture_.heads = std::move(heads);
    capture_.rows = rows, capture_.keys = keys, capture_.memory = memory;
    for (int h : capture_.heads)
      if (h < 0 || h >= c.n_heads) throw std::out_of_range("a traced head that the model lacks");
    for (const auto& [kind, layer, array] : places_) {
      if (array.size() != size(kind, c))
        throw std::invalid_argument("the trace's array for " + kind + " holds " + std::to_string(array.size()) +
                                    " numbers; the run writes " + std::to_string(size(kind, c)));
      place(kind, layer) = array.data();
    }
  }

  void at(int row, int first_key) { capture_.row = row, capture_.first_key = first_key; }

  // For a call of T tokens, after which the row has S keys beside M of the encoder's.
  const Capture* checked(const Config& c, int T, int S, int M) const {
    if (&c != config_) throw std::invalid_argument("the trace was made for another model");
    if (capture_.row < 0 || capture_.row > capture_.rows || T > capture_.rows - capture_.row || S > capture_.keys ||
        M != capture_.memory || capture_.first_key < 0 || capture_.first_key > S)
      throw std::invalid_argument("the trace has no room for this call");
    return &capture_;
  }

  std::size_t layers() const { return capture_.layers.size(); }

 private:
  float*& place(const std::string& kind, int layer) {
    if (kind == "embed.tokens") return capture_.tokens;
    if (kind == "embed.positions") return capture_.positions;
    if (kind == "embed.sum") return capture_.sum;
    if (kind == "embed.output") return capture_.embedded;
    if (kind == "last") return capture_.last;
    Capture::Layer& l = capture_.layers.at(std::size_t(layer));
    if (kind == "input") return l.input;
    if (kind == "output") return l.output;
    if (kind == "mlp.hidden") return l.hidden;
    if (kind == "mlp.output") return l.mlp_output;
    const bool cross = kind.starts_with("cross_");
    Capture::Attending& a = cross ? l.cross_attention : l.attention;
    const std::string of = cross ? kind.substr(6) : kind;
    if (of == "attention.weights") return a.weights;
    if (of == "attention.query") return a.query;
    if (of == "attention.key") return a.key;
    if (of == "attention.value") return a.value;
    if (of == "attention.heads") return a.heads;
    if (of == "attention.output") return a.output;
    throw std::invalid_argument("nothing of a pass is called " + kind);
  }

  std::size_t size(const std::string& kind, const Config& c) const {
    const auto T = std::size_t(capture_.rows), H = capture_.heads.size(), D = std::size_t(c.head_dim);
    const auto S = std::size_t(kind.starts_with("cross_") ? capture_.memory : capture_.keys);
    const auto ends = [&](const char* end) { return kind.ends_with(end); };
    if (ends("attention.weights")) return H * T * S;
    if (ends("attention.query") || ends("attention.heads")) return H * T * D;
    if (ends("attention.key") || ends("attention.value")) return std::size_t(c.n_kv_heads) * S * D;
    return T * std::size_t(ends("mlp.hidden") ? c.d_ff : c.d_model);
  }

  Capture capture_;
  const Config* config_;  // of the model that it was made for, which lives as long
  std::vector<std::tuple<std::string, int, Output>> places_;
};

// Places whose values a Python function changes: it gets (kind, layer, rows [rows, columns], in place). What it raises
// ends the call, and goes on to the caller.
class Edits {
 public:
  Edits(const std::vector<std::pair<std::string, int>>& places, nb::callable change) {
    editor_.places.insert(places.begin(), places.end());
    editor_.change = [change = std::move(change)](const char* kind, int layer, float* data, int rows, int columns,
                                                  std::size_t stride) {
      const nb::gil_scoped_acquire held;
      try {
        const std::size_t shape[2] = {std::size_t(rows), std::size_t(columns)};
        const std::int64_t strides[2] = {std::int64_t(stride), 1};
        const nb::ndarray<nb::numpy, float> view(data, 2, shape, nb::handle(), strides);
        change(kind, layer, nb::cast(view, nb::rv_policy::reference));
      } catch (nb::python_error& error) {
        error.restore();
        return false;
      } catch (const std::exception& error) {
        PyErr_SetString(PyExc_RuntimeError, error.what());
        return false;
      }
      return true;
    };
  }
  const Editor& get() const { return editor_; }

 private:
  Editor editor_;
};

// Asks Python, at most every 20 ms, whether Ctrl-C was pressed; and the model's own flag every time.
class Interruption {
 public:
  explicit Interruption(const std::atomic<bool>& cancelled) : cancelled_(cancelled) {}
  bool operator()() {
    if (cancelled_.load(std::memory_order_relaxed)) return true;
    const auto now = std::chrono::steady_clock::now();
    if (now - asked_ < std::chrono::milliseconds(20)) return false;
    asked_ = now;
    const nb::gil_scoped_acquire held;
    return PyErr_CheckSignals() != 0;  // the error stays set, for whoever made the call
  }

 private:
  const std::atomic<bool>& cancelled_;
  std::chrono::steady_clock::time_point asked_ = std::chrono::steady_clock::now();
};

// A model with what it must keep alive: the arrays its matrices lie in.
class PyModel {
  // Without the interpreter; an error that a signal set meanwhile goes on to the caller.
  template <class Call>
  auto run(Call&& call) {
    Interruption interruption(cancelled_);
    const auto result = [&] {
      const nb::gil_scoped_release released;
      return call([&] { return interruption(); });
    }();
    cancelled_ = false;
    if (PyErr_Occurred()) throw nb::python_error();
    return result;
  }

 public:
  PyModel(const nb::dict& config, const std::map<std::string, PackedMatrix>& matrices,
          const std::map<std::string, Array>& arrays, const std::string& instruction_set, int threads,
          const std::string& kv) {
    std::map<std::string, Matrix> found;
    std::map<std::string, Table> tables;
    for (const auto& [name, packed] : matrices) {
      found.emplace(name, matrix_of(name, packed));
      data_.push_back(std::get<5>(packed));
    }
    for (const auto& [name, array] : arrays) tables.emplace(name, table_of(array));
    const auto format = choice<KvFormat>(
        kv, {{"float32", KvFormat::f32}, {"bfloat16", KvFormat::bf16}, {"float16", KvFormat::f16}, {"int8", KvFormat::int8}},
        "kv");
    model_ = std::make_unique<Model>(gather(config_of(config), found, tables), kernels(instruction_set), threads, format);
  }

  bool decode(const std::vector<int>& ids, const std::vector<int>& counts, const std::shared_ptr<Cache>& cache,
              const std::shared_ptr<Memory>& memory, bool all, const PositionTables& positions,
              const CaptureTables* capture, const Edits* edits, Output logits) {
    check_counts(ids, counts);
    const int end = check_rows(counts, cache.get(), memory.get());
    std::size_t rows = all ? ids.size() : 0;
    for (int count : all ? std::vector<int>() : counts) rows += count > 0;
    const std::size_t stride = logits.ndim() == 2 ? logits.shape(1) : 0;
    if (stride < round_up(std::size_t(model_->config().logits()), std::size_t(lanes)) || logits.shape(0) != rows)
      throw std::invalid_argument("logits have another size");
    check_watched(counts, capture, edits, model_->config().n_decoder_layers);
    const int T = counts[0], M = memory ? memory->rows[0].length : 0;
    const Watch watch{capture ? capture->checked(model_->config(), T, end, M) : nullptr, edits ? &edits->get() : nullptr};
    return run([&](const Interrupted& interrupted) {
      return model_->decode(ids, counts, cache.get(), memory.get(), all, positions.get(),
                            watch, logits.data(), stride, interrupted);
    });
  }

  std::shared_ptr<Memory> encode(const std::vector<int>& ids, const std::vector<int>& counts,
                                 const std::vector<int>& types, const PositionTables& positions,
                                 const CaptureTables* capture, const Edits* edits) {
    check_counts(ids, counts);
    for (int count : counts)
      if (count < 1) throw std::invalid_argument("an encoder needs at least one token in every row");
    if (!types.empty() && types.size() != ids.size()) throw std::invalid_argument("one token type for each token");
    check_watched(counts, capture, edits, model_->config().n_encoder_layers);
    const Watch watch{capture ? capture->checked(model_->config(), counts[0], counts[0], 0) : nullptr,
                      edits ? &edits->get() : nullptr};
    return run([&](const Interrupted& interrupted) {
      return model_->encode(ids, counts, types, positions.get(), watch, interrupted);
    });
  }

  void read(const Array& states, Output logits) {
    const Config& c = model_->config();
    const auto rows = states.ndim() == 2 ? states.shape(0) : 0;
    if (rows == 0 || states.shape(1) != std::size_t(c.d_model) || c.head == Config::Head::none ||
        c.head == Config::Head::sequence_labels || logits.size() != rows * model_->logit_stride())
      throw std::invalid_argument("states or logits have another size, or the model has no head for them");
    const nb::gil_scoped_release released;
    model_->read(states.data(), int(rows), logits.data());
  }

  void head(const Memory& memory, Output logits) {
    std::size_t rows = 0;
    for (const Memory::Row& row : memory.rows)
      rows += model_->config().head == Config::Head::sequence_labels ? 1 : std::size_t(row.length);
    if (model_->config().head == Config::Head::none || logits.size() != rows * model_->logit_stride())
      throw std::invalid_argument("logits have another size");
    const nb::gil_scoped_release released;
    model_->head(memory, logits.data());
  }

  void pool(const Memory& memory, Output out) {
    const std::size_t stride = round_up(std::size_t(model_->config().d_model), std::size_t(lanes));
    if (!model_->config().pooler || out.size() != memory.rows.size() * stride)
      throw std::invalid_argument("pooled rows have another size");
    const nb::gil_scoped_release released;
    model_->pool(memory, out.data(), stride);
  }

  const Config& config() const { return model_->config(); }
  void cancel() { cancelled_ = true; }
  std::shared_ptr<Cache> new_cache(int rows, int capacity) const { return model_->new_cache(rows, capacity); }
  std::size_t logit_stride() const { return model_->logit_stride(); }
  std::size_t cache_bytes() const { return model_->cache_bytes(); }
  int threads() const { return model_->threads(); }
  std::string instruction_set() const { return model_->kernels().name; }

 private:
  static void check_counts(const std::vector<int>& ids, const std::vector<int>& counts) {
    std::size_t all = 0;
    for (int count : counts) {
      if (count < 0) throw std::invalid_argument("a row cannot bring fewer than 0 tokens");
      all += std::size_t(count);
    }
    if (all != ids.size() || ids.empty()) throw std::invalid_argument("counts do not add up to the tokens, or there are none");
  }

  static void check_watched(const std::vector<int>& counts, const CaptureTables* capture, const Edits* edits, int layers) {
    if ((capture || edits) && counts.size() != 1) throw std::invalid_argument("one sequence is watched at a time");
    if (capture && int(capture->layers()) != layers) throw std::invalid_argument("the trace is of another stack");
  }

  // The number of keys the first row has afterwards.
  int check_rows(const std::vector<int>& counts, const Cache* cache, const Memory* memory) const {
    if (cache && cache->rows() != int(counts.size())) throw std::invalid_argument("the cache has another number of rows");
    if (memory && memory->rows.size() != counts.size()) throw std::invalid_argument("the memory has another number of rows");
    if (bool(memory) != (model_->config().n_encoder_layers > 0) || (memory && !memory->cross))
      throw std::invalid_argument("a decoder beside an encoder needs its memory, and no other takes one");
    for (std::size_t i = 0; cache && i < counts.size(); ++i)
      if (cache->lengths()[i] + counts[i] > cache->capacity()) throw std::length_error("the cache is full");
    return (cache ? cache->lengths()[0] : 0) + counts[0];
  }

  std::vector<Bytes> data_;
  std::unique_ptr<Model> model_;
  std::atomic<bool> cancelled_ = false;
};

nb::object states_of(const std::shared_ptr<Memory>& memory, int row, int columns) {
  const Memory::Row& from = memory->rows.at(std::size_t(row));
  auto* keep = new std::shared_ptr<const Buffer<float>>(from.states);
  const nb::capsule owner(keep, [](void* p) noexcept { delete static_cast<std::shared_ptr<const Buffer<float>>*>(p); });
  const std::size_t shape[] = {std::size_t(from.length), std::size_t(columns)};
  const std::int64_t strides[] = {std::int64_t(memory->stride), 1};
  return nb::cast(nb::ndarray<nb::numpy, const float>(memory->state(row), 2, shape, owner, strides));
}

std::vector<int> lengths_of(const Memory& memory) {
  std::vector<int> lengths;
  for (const Memory::Row& row : memory.rows) lengths.push_back(row.length);
  return lengths;
}

}  // namespace

NB_MODULE(_native, m) {
  nb::set_leak_warnings(false);  // a model kept to the end, as a notebook keeps one, is no leak
  m.doc() = "The native executor's C++ (src/native).";
  m.attr("PACKED_VERSION") = 4;  // to be raised whenever packing gives other bytes
  m.def("instruction_sets", &instruction_sets, "Kernels that this processor can run, slowest first.");

  nb::class_<Cache>(m, "Cache")
      .def_prop_ro("capacity", &Cache::capacity)
      .def_prop_ro("lengths", &Cache::lengths)
      .def_prop_ro("pages", [](const Cache& c) {
        std::vector<std::vector<std::int32_t>> pages;
        for (int row = 0; row < c.rows(); ++row) pages.push_back(c.table(row));
        return pages;
      })
      .def("truncate", &Cache::truncate, "lengths"_a)
      .def("select", &Cache::select, "rows"_a)
      .def("adopt", &Cache::adopt, "row"_a, "source"_a, "source_row"_a, "length"_a)
      .def("join", &Cache::join, "source"_a);

  nb::class_<Memory>(m, "Memory")
      .def_prop_ro("lengths", &lengths_of)
      .def("select", &Memory::select, "rows"_a)
      .def("extend", &Memory::extend, "other"_a);
  m.def("states", &states_of, "memory"_a, "row"_a, "columns"_a);

  nb::class_<PositionTables>(m, "Positions")
      .def(nb::init<const nb::object&, const nb::object&, const nb::object&, const nb::object&, int>(), "added"_a.none(),
           "cosines"_a.none(), "sines"_a.none(), "bias"_a.none(), "origin"_a);
  nb::class_<CaptureTables>(m, "Capture")
      .def("__init__",
           [](CaptureTables* self, const PyModel& model, bool encoder, std::vector<int> heads, int rows, int keys,
              int memory, std::vector<std::tuple<std::string, int, Output>> places) {
             new (self) CaptureTables(model.config(), encoder, std::move(heads), rows, keys, memory, std::move(places));
           },
           nb::keep_alive<1, 2>(), "model"_a, "encoder"_a, "heads"_a, "rows"_a, "keys"_a, "memory"_a, "places"_a)
      .def("at", &CaptureTables::at, "row"_a, "first_key"_a);
  nb::class_<Edits>(m, "Edits")
      .def(nb::init<const std::vector<std::pair<std::string, int>>&, nb::callable>(), "places"_a, "change"_a);

  nb::class_<PyModel>(m, "Model")
      .def(nb::init<const nb::dict&, const std::map<std::string, PackedMatrix>&, const std::map<std::string, Array>&,
                    const std::string&, int, const std::string&>(),
           "config"_a, "matrices"_a, "arrays"_a, "instruction_set"_a, "threads"_a, "kv"_a)
      .def("decode", &PyModel::decode, "ids"_a, "counts"_a, "cache"_a.none(), "memory"_a.none(), "all"_a, "positions"_a,
           "capture"_a.none(), "edits"_a.none(), "logits"_a)
      .def("encode", &PyModel::encode, "ids"_a, "counts"_a, "types"_a, "positions"_a, "capture"_a.none(),
           "edits"_a.none())
      .def("read", &PyModel::read, "states"_a, "logits"_a)
      .def("head", &PyModel::head, "memory"_a, "logits"_a)
      .def("pool", &PyModel::pool, "memory"_a, "out"_a)
      .def("cancel", &PyModel::cancel)
      .def("new_cache", &PyModel::new_cache, "rows"_a, "capacity"_a)
      .def_prop_ro("logit_stride", &PyModel::logit_stride)
      .def_prop_ro("cache_bytes", &PyModel::cache_bytes)
      .def_prop_ro("threads", &PyModel::threads)
      .def_prop_ro("instruction_set", &PyModel::instruction_set);

  bind_kernels(m);
  bind_choosing(m);
  bind_training(m);
  bind_layers(m);
}

}  // namespace clearhead
