// Products of layers that learn, in bfloat16 with sums in float32: Y = X W^T + b, dX = dY W, dW = dY^T X.
//
// B lies in panels: the inner dimension in blocks, the columns in groups of as many vectors as a tile has, so that a tile
// reads one stream. W [N, K] makes the panels of Y by columns, those of dX by steps (small_product.h); they are made
// anew for each call, from the parameters themselves, which costs a hundredth of the product. dW takes rows of X as steps,
// and dY turned, in panels of as many rows as a tile has.
#pragma once

#include "kernels.h"
#include "small_product.h"

namespace clearhead {
namespace {

constexpr int inner_words = 256;                           // of a block
constexpr int gradient_words = 128;                        // of a block of the batch, twice as many rows
constexpr int gradient_vectors = 24, gradient_rows = 256;  // columns and rows of dW that stay in the cache

// Where the vectors of B lie: `words` of the inner dimension by `vectors`.
struct Panels {
  std::byte* data;
  int words, vectors;

  int width(int group) const { return std::min(float_blocks, vectors - group * float_blocks); }
  int height(int block) const { return std::min(inner_words, words - block * inner_words); }
  int blocks() const { return (words + inner_words - 1) / inner_words; }
  int groups() const { return (vectors + float_blocks - 1) / float_blocks; }
  std::byte* group(int block, int g) const {
    return data + (std::size_t(block) * inner_words * std::size_t(vectors) +
                   std::size_t(g) * float_blocks * std::size_t(height(block))) * 64;
  }
  std::size_t step(int g) const { return std::size_t(width(g)) * 64; }
  // Of one word and vector.
  std::byte* at(int word, int vector) const {
    const int g = vector / float_blocks, block = word / inner_words;
    return group(block, g) + step(g) * std::size_t(word % inner_words) + std::size_t(vector % float_blocks) * 64;
  }
};

// Memory that will be read, or written, when the block at work is done: rows of `bytes`, asked for in turns as it goes on.
// Activations come from afar: a product waits for a fifth of its time otherwise (docs/log.md).
class Coming {
 public:
  Coming(const void* first, std::ptrdiff_t step, std::size_t bytes, int rows, int turns)
      : row_(static_cast<const std::byte*>(first)), step_(step), lines_(int((bytes + 63) / 64)),
        left_(rows * lines_), some_((left_ + turns - 1) / std::max(turns, 1)) {}
  void turn() {
    for (int i = std::min(some_, left_); i > 0; --i, --left_) {
      __builtin_prefetch(row_ + std::ptrdiff_t(line_) * 64, 0, 2);
      if (++line_ == lines_) line_ = 0, row_ += step_;
    }
  }

 private:
  const std::byte* row_;
  std::ptrdiff_t step_;
  int lines_, left_, some_, line_ = 0;
};

constexpr int tiles_of(int n, int tile) { return (n + tile - 1) / tile; }

// Up to 32 numbers of a row, rounded, as words; zeros after the end.
inline Words rounded_words(const float* x, int n) {
  const Floats a = take(x, std::min(n, lanes)), b = n > lanes ? take(x + lanes, n - lanes) : zeros();
#if defined(__AVX512BF16__)
  return reinterpret_cast<Words>(_mm512_cvtne2ps_pbh(b.v, a.v));
#else
  Half numbers[2 * lanes];
  put(numbers, a);
  put(numbers + lanes, b);
  return load_words(reinterpret_cast<const std::byte*>(numbers));
#endif
}

// W [rows, columns] as panels whose columns are W's rows. Words of a panel that follow each other are a step apart, but a panel
// ends with its block, which is whole tiles of sixteen words.
void panels_of_columns(const float* w, int rows, int columns, const Panels& to) {
  static_assert(inner_words % lanes == 0);
  for (int r = 0; r < rows; r += lanes)
    for (int c = 0; c < columns; c += 2 * lanes) {
      const int n = std::min(columns - c, 2 * lanes), some = std::min(rows - r, lanes);
      const float* first = w + std::size_t(r) * std::size_t(columns) + c;
      const auto row = [&](int i) {
        return i < some ? rounded_words(first + std::size_t(i) * std::size_t(columns), n) : blank();
      };
      transpose(row, (n + 1) / 2, to.at(c / 2, r / lanes), to.step(r / lanes / float_blocks));
    }
}

// W [rows, columns] as panels whose steps are W's rows.
void panels_of_steps(const float* w, int rows, int columns, const Panels& to) {
  for (int r = 0; r < rows; r += 2)
    for (int c = 0; c < columns; c += 2 * lanes) {
      const int n = std::min(columns - c, 2 * lanes);
      const float* first = w + std::size_t(r) * std::size_t(columns) + c;
      const TwoWords words = interleaved(rounded_words(first, n), r + 1 < rows ? rounded_words(first + columns, n) : blank());
      store_words(to.at(r / 2, c / lanes), words.first);
      if (n > lanes) store_words(to.at(r / 2, c / lanes + 1), words.second);
    }
}

void make_panels(const DenseWeights& w, std::byte* memory) {
  const int inner = w.by_steps ? w.rows : w.columns, outer = w.by_steps ? w.columns : w.rows;
  const Panels to{memory, (inner + 1) / 2, (outer + lanes - 1) / lanes};
  w.by_steps ? panels_of_steps(w.data, w.rows, w.columns, to) : panels_of_columns(w.data, w.rows, w.columns, to);
}

// Rows of Y from sums that are complete.
struct Finished {
  const DenseProduct& job;
  template <class N>
  void operator()(int row, int column, N n, Floats sum) const {
    if (job.bias) sum = sum + take(job.bias + column, n);
    Half* out = job.out + row * job.out_row + column;
    put(out, job.add ? sum + take(out, n) : sum, n);
  }
};

// All vectors of some rows and one block of the inner dimension: from start(row, column) to finish(row, column, n, sum).
template <class Start, class Finish>
inline void multiply_block(const DenseProduct& job, const Panels& b, int block, int first, int last, Start&& start,
                           Finish&& finish) {
  const Half* x = job.x + block * inner_words * 2;
  const int rows = last - first, tiles = b.groups() * tiles_of(rows, float_tokens);
  Coming inputs(x + last * job.x_row, job.x_row * 2, std::size_t(b.height(block)) * 4, rows, tiles);
  Coming outputs(job.out + last * job.out_row, job.out_row * 2, std::size_t(job.columns) * 2, block ? 0 : rows, tiles);
  for (int g = 0; g < b.groups(); ++g)
    in_tiles<float_blocks>(0, b.width(g), [&](auto v, int) {
      const int column = g * float_blocks * lanes;
      const bool whole = column + v * lanes <= job.columns;
      in_tiles<float_tokens>(first, last, [&](auto t, int row) {
        const FactorA a{reinterpret_cast<const std::byte*>(x + row * job.x_row), std::size_t(job.x_row) * sizeof(Half), 4};
        const FactorB factor{b.group(block, g), b.step(g)};
        const auto begin = [&](int i, int j) { return start(row + i, column + j * lanes); };
        inputs.turn();
        outputs.turn();
        if (whole)
          sum_tile<Bfloat16Dot, t, v>(a, factor, b.height(block), begin, [&](int i, int j, Floats sum) {
            finish(row + i, column + j * lanes, std::integral_constant<int, lanes>{}, sum);
          });
        else
          sum_tile<Bfloat16Dot, t, v>(a, factor, b.height(block), begin, [&](int i, int j, Floats sum) {
            finish(row + i, column + j * lanes, std::clamp(job.columns - column - j * lanes, 0, lanes), sum);
          });
      });
    });
}

void multiply_dense(const DenseProduct& job, int first, int last, Workspace& work) {
  const Panels b{const_cast<std::byte*>(job.panels), job.words, (job.columns + lanes - 1) / lanes};
  const auto nothing_yet = [](int, int) { return zeros(); };
  const Finished finish_row{job};
  if (b.blocks() == 1) return multiply_block(job, b, 0, first, last, nothing_yet, finish_row);
  const auto width = std::size_t(b.vectors) * lanes;
  auto* sums = reinterpret_cast<float*>(work.bytes(std::size_t(last - first) * width * sizeof(float)));
  const auto place = [&](int row, int column) { return sums + std::size_t(row - first) * width + column; };
  const auto keep = [&](int row, int column, auto, Floats sum) { store(place(row, column), sum); };
  const auto so_far = [&](int row, int column) { return load(place(row, column)); };
  multiply_block(job, b, 0, first, last, nothing_yet, keep);
  for (int block = 1; block + 1 < b.blocks(); ++block) multiply_block(job, b, block, first, last, so_far, keep);
  multiply_block(job, b, b.blocks() - 1, first, last, so_far, finish_row);
}

// Where dY lies turned: panels of as many of its columns as a tile has rows.
// They would share their places in the cache if one began a page after the other.
constexpr int turned_rows = float_tokens >= 8 ? 8 : float_tokens >= 4 ? 4 : 2;
constexpr std::size_t turned_step = turned_rows * 4, turned_panel = gradient_words * turned_step + alignment;

// Rows [first, last) of dY [batch, outputs], from column `output` on. The columns' sums are added to `sums`, if there are any.
inline void turn_gradients(const DenseGradient& job, int first, int last, int output, int outputs, std::byte* to, float* sums) {
  const std::uint16_t one = to_bfloat16(1), pair[2] = {one, one};
  const Words ones = spread(reinterpret_cast<const std::byte*>(pair));
  for (int r = first; r < last; r += 2, to += turned_step) {
    const Half *a = job.d_out + r * job.d_out_row + output, *b = r + 1 < last ? a + job.d_out_row : nullptr;
    std::byte* panel = to;
    for_words(a, b, outputs, [&](int i, auto n, Words words) {
      alignas(alignment) std::byte some[64];
      store_words(some, words);
      for (int j = 0; j < 64; j += int(turned_step), panel += turned_panel) std::memcpy(panel, some + j, turned_step);
      if (sums) put(sums + i, Bfloat16Dot::add(take(sums + i, n), words, ones), n);
    });
  }
}

// Rows [first, last) of X [batch, inputs], from `column` on, as steps.
inline void lay_inputs(const DenseGradient& job, int first, int last, int column, int columns, const Panels& to) {
  for (int r = first; r < last; r += 2) {
    const Half *a = job.x + r * job.x_row + column, *b = r + 1 < last ? a + job.x_row : nullptr;
    const int word = (r - first) / 2;
    std::byte* at = to.group(0, 0) + to.step(0) * std::size_t(word);
    for_words(a, b, columns, [&](int i, auto, Words words) {
      const int vector = i / lanes, in_group = vector % float_blocks;
      if (in_group == 0) at = to.group(0, vector / float_blocks) + to.step(vector / float_blocks) * std::size_t(word);
      store_words(at + in_group * 64, words);
    });
  }
}

// One block of dW: rows [output, output + outputs), columns from `column` on, over rows [.., last) of the batch.
inline void add_gradients(const DenseGradient& job, const std::byte* turned, const Panels& b, int words, int output,
                          int outputs, int column, int last, bool add) {
  const int rows = std::min(2 * words, job.batch - last), tiles = b.groups() * tiles_of(outputs, turned_rows);
  Coming inputs(job.x + last * job.x_row + column, job.x_row * 2, std::size_t(b.vectors) * lanes * 2, rows, tiles);
  Coming d_outs(job.d_out + last * job.d_out_row + output, job.d_out_row * 2, std::size_t(outputs) * 2, rows, tiles);
  for (int g = 0; g < b.groups(); ++g)
    in_tiles<float_blocks>(0, b.width(g), [&](auto v, int) {
      const int c = column + g * float_blocks * lanes;
      const bool whole = c + v * lanes <= job.inputs;
      in_tiles<turned_rows>(0, outputs, [&](auto t, int row) {
        inputs.turn();
        d_outs.turn();
        float* to = job.d_weight + std::size_t(output + row) * std::size_t(job.inputs) + c;
        const auto place = [&](int i, int j) { return to + std::size_t(i) * std::size_t(job.inputs) + j * lanes; };
        const auto tile = [&](auto size) {
          sum_tile<Bfloat16Dot, t, v>(
              {turned + turned_panel * std::size_t(row / turned_rows), 4, turned_step}, {b.group(0, g), b.step(g)}, words,
              [&](int i, int j) { return add ? take(place(i, j), size(j)) : zeros(); },
              [&](int i, int j, Floats sum) { put(place(i, j), sum, size(j)); });
        };
        if (whole)
          tile([](int) { return std::integral_constant<int, lanes>{}; });
        else
          tile([&](int j) { return std::clamp(job.inputs - c - j * lanes, 0, lanes); });
      });
    });
}

void weigh_gradients(const DenseGradient& job, int first_output, int last_output, Workspace& work) {
  constexpr int batch = 2 * gradient_words, columns = gradient_vectors * lanes;
  const std::size_t panels = std::size_t(gradient_words) * columns * 4;
  std::byte* memory = work.bytes(panels + std::size_t(gradient_rows / turned_rows) * turned_panel);
  std::byte* turned = memory + panels;
  for (int column = 0; column < job.inputs; column += columns)
    for (int output = first_output; output < last_output; output += gradient_rows) {
      const int outputs = std::min(gradient_rows, last_output - output), some = std::min(columns, job.inputs - column);
      float* sums = column == 0 && job.d_bias ? job.d_bias + output : nullptr;
      for (int first = 0; first < job.batch; first += batch) {
        const int last = std::min(job.batch, first + batch), words = (last - first + 1) / 2;
        const Panels b{memory, words, (some + lanes - 1) / lanes};
        lay_inputs(job, first, last, column, some, b);
        turn_gradients(job, first, last, output, outputs, turned, sums);
        add_gradients(job, turned, b, words, output, outputs, column, last, job.add || first > 0);
      }
    }
}

}  // namespace
}  // namespace clearhead
