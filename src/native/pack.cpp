#include "pack.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <stdexcept>
#include <vector>

#include "half.h"
#include "rounding.h"

namespace clearhead {

namespace {

// One row on its way: codes as they are stored, and for each group a scale and a minimum.
struct Row {
  std::vector<std::uint8_t> codes;
  std::vector<std::uint16_t> scales, minima;
};

std::uint8_t byte(const std::byte* p) { return std::to_integer<std::uint8_t>(*p); }

std::uint16_t half(const std::byte* p) {
  std::uint16_t bits;
  std::memcpy(&bits, p, sizeof bits);
  return bits;
}

std::uint16_t scale_bits(float scale) {
  const std::uint16_t bits = to_float16(scale);
  if (!std::isfinite(from_float16(bits))) throw std::invalid_argument("a weight is not finite, or too large to quantise");
  return bits;
}

// GGUF's blocks of 32 and 256 numbers (llama.cpp, ggml-common.h), one group of 32 after the other.

void q4_0(const std::byte* p, int group, Row& row) {
  p += 18 * group;
  row.scales[group] = half(p);
  for (int i = 0; i < 16; ++i) {
    row.codes[32 * group + i] = byte(p + 2 + i) & 15;
    row.codes[32 * group + 16 + i] = byte(p + 2 + i) >> 4;
  }
}

void q4_1(const std::byte* p, int group, Row& row) {
  p += 20 * group;
  row.scales[group] = half(p);
  row.minima[group] = half(p + 2);
  for (int i = 0; i < 16; ++i) {
    row.codes[32 * group + i] = byte(p + 4 + i) & 15;
    row.codes[32 * group + 16 + i] = byte(p + 4 + i) >> 4;
  }
}

int fifth_bit(const std::byte* high, int i) { return byte(high + i / 8) >> (i % 8) & 1; }

void q5_0(const std::byte* p, int group, Row& row) {
  p += 22 * group;
  row.scales[group] = half(p);
  for (int i = 0; i < 32; ++i) {
    const int low = i < 16 ? byte(p + 6 + i) & 15 : byte(p + 6 + i - 16) >> 4;
    row.codes[32 * group + i] = std::uint8_t((low | fifth_bit(p + 2, i) << 4) - 16 + 128);
  }
}

void q5_1(const std::byte* p, int group, Row& row) {
  p += 24 * group;
  row.scales[group] = half(p);
  row.minima[group] = half(p + 2);
  for (int i = 0; i < 32; ++i) {
    const int low = i < 16 ? byte(p + 8 + i) & 15 : byte(p + 8 + i - 16) >> 4;
    row.codes[32 * group + i] = std::uint8_t(low | fifth_bit(p + 4, i) << 4);
  }
}

void q8_0(const std::byte* p, int group, Row& row) {
  p += 34 * group;
  row.scales[group] = half(p);
  for (int i = 0; i < 32; ++i) row.codes[32 * group + i] = byte(p + 2 + i) ^ 0x80;
}

// The 6-bit scale and minimum of group j (0 to 7) of a K block, from its twelve bytes.
void k_scales(const std::byte* s, int j, int& scale, int& minimum) {
  if (j < 4) {
    scale = byte(s + j) & 63;
    minimum = byte(s + j + 4) & 63;
  } else {
    scale = (byte(s + j + 4) & 15) | (byte(s + j - 4) >> 6) << 4;
    minimum = (byte(s + j + 4) >> 4) | (byte(s + j) >> 6) << 4;
  }
}

void k_group(const std::byte* block, int j, int group, Row& row) {
  int scale = 0, minimum = 0;
  k_scales(block + 4, j, scale, minimum);
  row.scales[group] = scale_bits(from_float16(half(block)) * float(scale));
  row.minima[group] = scale_bits(-from_float16(half(block + 2)) * float(minimum));
}

void q4_k(const std::byte* p, int group, Row& row) {
  const std::byte* block = p + 144 * (group / 8);
  const int j = group % 8;
  k_group(block, j, group, row);
  for (int i = 0; i < 32; ++i) {
    const int both = byte(block + 16 + 32 * (j / 2) + i);
    row.codes[32 * group + i] = std::uint8_t(j % 2 ? both >> 4 : both & 15);
  }
}

void q5_k(const std::byte* p, int group, Row& row) {
  const std::byte* block = p + 176 * (group / 8);
  const int j = group % 8;
  k_group(block, j, group, row);
  for (int i = 0; i < 32; ++i) {
    const int both = byte(block + 48 + 32 * (j / 2) + i), high = byte(block + 16 + i) >> j & 1;
    row.codes[32 * group + i] = std::uint8_t((j % 2 ? both >> 4 : both & 15) | high << 4);
  }
}

// One group of floats, rounded to the form that the matrix has.
void round_group(const Matrix& m, const float* x, int group, Row& row) {
  for (int i = 0; i < m.group; ++i)
    if (!std::isfinite(x[i])) throw std::invalid_argument("a weight is not finite");
  const Factors best = m.format == Format::int8 ? eight_bits(x, m.group)
                       : m.minima               ? four_bits_with_minimum(x, m.group)
                                                : four_bits(x, m.group);
  row.scales[group] = scale_bits(best.scale);
  row.minima[group] = scale_bits(best.minimum);
  const Factors kept{from_float16(row.scales[group]), from_float16(row.minima[group])};
  const Range range = m.format == Format::int8 ? Range{-127, 127} : m.minima ? Range{0, 15} : Range{-8, 7};
  round_codes(x, m.group, kept, range, m.zero(), row.codes.data() + std::size_t(group * m.group));
}

// CTranslate2's rows: signed bytes, then one scale for all of them.
void scaled_row(const Matrix& m, const std::byte* p, Row& row) {
  float scale = 0;
  std::memcpy(&scale, p + m.columns, sizeof scale);
  std::fill(row.scales.begin(), row.scales.end(), scale_bits(scale));
  for (int k = 0; k < m.columns; ++k) row.codes[std::size_t(k)] = byte(p + k) ^ 0x80;
}

void q6_k(const std::byte* p, int group, Row& row) {
  const std::byte* block = p + 210 * (group / 8);
  const int j = group % 8, half_block = j / 4, quarter = j % 4;  // 128 numbers, and 32 of them
  const std::byte *low = block + 64 * half_block + 32 * (quarter % 2), *high = block + 128 + 32 * half_block;
  const std::byte* scales = block + 192 + 8 * half_block + 2 * quarter;
  const float d = from_float16(half(block + 208));
  float x[32];
  for (int i = 0; i < 32; ++i) {
    const int bits = quarter < 2 ? byte(low + i) & 15 : byte(low + i) >> 4;
    const int code = (bits | (byte(high + i) >> 2 * quarter & 3) << 4) - 32;
    x[i] = d * float(std::to_integer<std::int8_t>(scales[i / 16])) * float(code);
  }
  round_group({Format::int8}, x, group, row);
}

struct Type {
  int numbers, bytes;  // of a block
  Format format;
  bool minima;
  void (*unpack)(const std::byte* row, int group, Row& into);
};

const std::map<std::string, Type>& types() {
  static const std::map<std::string, Type> all = {
      {"Q4_0", {32, 18, Format::int4, false, q4_0}},   {"Q4_1", {32, 20, Format::int4, true, q4_1}},
      {"Q5_0", {32, 22, Format::int8, false, q5_0}},   {"Q5_1", {32, 24, Format::int8, true, q5_1}},
      {"Q8_0", {32, 34, Format::int8, false, q8_0}},   {"Q4_K", {256, 144, Format::int4, true, q4_k}},
      {"Q5_K", {256, 176, Format::int8, true, q5_k}},  {"Q6_K", {256, 210, Format::int8, false, q6_k}},
  };
  return all;
}

// A row of codes, with its scales and minima, into its place among the sixteen of its block.
void place_codes(const Matrix& m, std::byte* data, int index, const Row& row) {
  const int lane = index % lanes;
  std::byte* block = data + m.block_bytes() * std::size_t(index / lanes);
  for (int g = 0; g < m.groups(); ++g, block += m.group_bytes()) {
    for (int k = 0; k < m.group; k += 4) {
      std::byte* to = block + 64 * (m.format == Format::int8 ? k / 4 : k / 8) + 4 * lane;
      for (int i = 0; i < 4; ++i) {
        const auto code = std::byte(row.codes[std::size_t(g * m.group + k + i)]);
        if (m.format == Format::int8)
          to[i] = code;
        else
          to[i] = k / 4 % 2 ? (to[i] & std::byte(0x0f)) | code << 4 : (to[i] & std::byte(0xf0)) | code;
      }
    }
    std::byte* scale = block + m.code_bytes(m.group) + 2 * lane;
    std::memcpy(scale, &row.scales[std::size_t(g)], 2);
    if (m.minima) std::memcpy(scale + 2 * lanes, &row.minima[std::size_t(g)], 2);
  }
}

void place_floats(const Matrix& m, std::byte* data, int index, const float* x) {
  const int lane = index % lanes;
  std::byte* block = data + m.block_bytes() * std::size_t(index / lanes);
  for (int k = 0; k < m.columns; ++k) {
    if (m.format == Format::f32) {
      std::memcpy(block + 64 * k + 4 * lane, x + k, 4);
    } else {
      const std::uint16_t bits = to_bfloat16(x[k]);
      std::memcpy(block + 64 * (k / 2) + 4 * lane + 2 * (k % 2), &bits, 2);
    }
  }
}

const Type& fitting(const Matrix& m, const std::string& type) {
  const auto found = types().find(type);
  if (found == types().end()) throw std::invalid_argument("weights of type " + type + " cannot be packed as they are");
  const Type& t = found->second;
  if (t.format != m.format || t.minima != m.minima || m.group != 32 || m.columns % t.numbers != 0)
    throw std::invalid_argument("weights of type " + type + " do not fit this format");
  return t;
}

}  // namespace

std::size_t row_bytes(const std::string& type, int columns) {
  if (type == "F32") return 4 * std::size_t(columns);
  if (type == "int8") return std::size_t(columns) + 4;
  const auto found = types().find(type);
  if (found == types().end() || columns % found->second.numbers != 0)
    throw std::invalid_argument("rows of " + std::to_string(columns) + " numbers of type " + type + " cannot be packed");
  return std::size_t(columns / found->second.numbers) * std::size_t(found->second.bytes);
}

void pack_rows(const Matrix& m, std::byte* data, const std::string& type, const std::byte* source, int first,
               int count) {
  const std::size_t stride = row_bytes(type, m.columns);
  Row row{std::vector<std::uint8_t>(std::size_t(m.padded()), std::uint8_t(m.quantised() ? m.zero() : 0)),
          std::vector<std::uint16_t>(std::size_t(m.groups()), 0), std::vector<std::uint16_t>(std::size_t(m.groups()), 0)};
  std::vector<float> floats(std::size_t(m.padded()), 0.0f);
  const bool scaled = type == "int8";
  const Type* t = type == "F32" || scaled ? nullptr : &fitting(m, type);
  if (scaled && (m.format != Format::int8 || m.minima))
    throw std::invalid_argument("rows of int8 fit the format int8 only");
  if (type == "F32" && m.format == Format::int8 && m.minima)
    throw std::invalid_argument("only the blocks of Q5_1 and Q5_K are packed as int8 with minima");
  for (int r = first; r < first + count; ++r, source += stride) {
    if (t) {
      for (int g = 0; g < m.groups(); ++g) t->unpack(source, g, row);
      place_codes(m, data, r, row);
      continue;
    }
    if (scaled) {
      scaled_row(m, source, row);
      place_codes(m, data, r, row);
      continue;
    }
    std::memcpy(floats.data(), source, stride);
    if (m.quantised()) {
      for (int g = 0; g < m.groups(); ++g) round_group(m, floats.data() + g * m.group, g, row);
      place_codes(m, data, r, row);
    } else {
      place_floats(m, data, r, floats.data());
    }
  }
}

}  // namespace clearhead
