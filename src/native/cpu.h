// Which kernels this machine can run, and which one is chosen.
#pragma once

#include <string>
#include <vector>

#include "kernels.h"

namespace clearhead {

// "portable", "avx2", "avx2_vnni", "avx512", "avx512_bf16", "amx": those this processor can run, slowest first.
std::vector<std::string> instruction_sets();

// The kernels of that name. Throws std::invalid_argument for a name that is unknown or that this machine lacks.
const Kernels& kernels(const std::string& name);

}  // namespace clearhead
