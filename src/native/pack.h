// Rows of weights into the form of matrix.h: from floats, or without loss from the blocks of a GGUF file.
#pragma once

#include <string>

#include "matrix.h"

namespace clearhead {

// Bytes of one row of `columns` numbers in a GGUF type ("F32", "Q4_0", ...). Throws std::invalid_argument for a type that
// cannot be packed from its blocks, or columns that are no whole number of blocks.
std::size_t row_bytes(const std::string& type, int columns);

// Writes rows first .. first + count - 1 of `matrix` into its `data` [matrix.bytes()], from `source`: rows one after the
// other in the given type. Types and the formats they fit: F32 any; Q4_0 int4; Q4_1, Q4_K int4 with minima; Q8_0, Q5_0,
// Q6_K int8; Q5_1, Q5_K int8 with minima, all in groups of 32; "int8", CTranslate2's bytes followed by one float32 scale a
// row, int8. Everything is exact but the scales of the K types and of "int8", which are rounded to float16, and Q6_K, whose
// groups of 16 are quantised again. Rows of a block may be packed by several threads.
void pack_rows(const Matrix& matrix, std::byte* data, const std::string& type, const std::byte* source, int first,
               int count);

}  // namespace clearhead
