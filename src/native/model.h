// A model ready to run: its weights, the kernels for this machine, and what calls work in. One call runs at a time.
#pragma once

#include <memory>
#include <mutex>
#include <span>

#include "pass.h"

namespace clearhead {

// The encoder's output for some rows. Rows share their states and pages with the memory they were selected from.
struct Memory {
  struct Row {
    std::shared_ptr<const Buffer<float>> states;  // of the call that made it: [M, stride]
    std::size_t first = 0;                        // where this row begins, in floats
    int length = 0;
  };
  std::vector<Row> rows;
  std::size_t stride = 0;
  std::shared_ptr<Cache> cross;  // keys and values for cross-attention; none without a decoder

  const float* state(int row) const { return rows[std::size_t(row)].states->data() + rows[std::size_t(row)].first; }
  std::shared_ptr<Memory> select(const std::vector<int>& chosen) const;
  void extend(const Memory& other);  // the other's rows follow this one's
};

using Interrupted = std::function<bool()>;

// Who looks at a call, and who changes what it computes. Only for calls of one row.
struct Watch {
  const Capture* capture = nullptr;
  const Editor* editor = nullptr;
};

class Model {
 public:
  Model(Weights weights, const Kernels& kernels, int threads, KvFormat kv);

  const Config& config() const { return weights_.config; }
  const Kernels& kernels() const { return kernels_; }
  int threads() const { return threads_; }
  std::size_t logit_stride() const {
    return spaced(std::size_t(std::max(config().logits(), 1)) * sizeof(float)) / sizeof(float);
  }
  std::shared_ptr<Cache> new_cache(int rows, int capacity) const;
  std::size_t cache_bytes() const { return pool_->bytes(); }

  // New tokens of rows that follow what `cache` holds of them; without a cache they start at position 0. Writes the
  // logits of each row's last token or of all tokens, [rows that bring tokens, or M; stride]. Rows of the cache are
  // longer afterwards, unless the call was interrupted: then it returns false and nothing has changed.
  bool decode(const std::vector<int>& ids, const std::vector<int>& counts, Cache* cache, const Memory* memory, bool all,
              const Positions& positions, const Watch& watch, float* logits, std::size_t stride,
              const Interrupted& interrupted);

  // Null if interrupted.
  std::shared_ptr<Memory> encode(const std::vector<int>& ids, const std::vector<int>& counts,
                                 const std::vector<int>& types, const Positions& positions, const Watch& watch,
                                 const Interrupted& interrupted);

  // An encoder's head over every state of each row, or, for a head over whole texts, over the pooled rows.
  void head(const Memory& memory, float* logits);
  void pool(const Memory& memory, float* out, std::size_t stride);

  // What the head makes of states of any layer [rows, C], after the last norm: logits [rows, logit_stride].
  void read(const float* states, int rows, float* logits);

 private:
  Pass start(const std::vector<int>& ids, const std::vector<int>& counts, const Positions& positions,
             const Watch& watch, const Interrupted& interrupted);
  void make_room(int tokens, int threads);
  bool run(Pass& pass, const std::function<void(Team&)>& job);

  Weights weights_;
  const Kernels& kernels_;
  int threads_;
  PageShape page_;
  std::shared_ptr<PagePool> pool_, scratch_pool_, memory_pool_;
  Scratch scratch_;
  std::mutex turn_;
};

}  // namespace clearhead
