// The parts of the extension module that stand for themselves.
#pragma once

#include <nanobind/nanobind.h>

#include <stdexcept>
#include <string>

#include "matrix.h"

namespace clearhead {

inline Format format_named(const std::string& name) {
  if (name == "float32") return Format::f32;
  if (name == "bfloat16") return Format::bf16;
  if (name == "int8") return Format::int8;
  if (name == "int4") return Format::int4;
  throw std::invalid_argument("format '" + name + "' is unknown; choose from float32, bfloat16, int8, int4");
}

void bind_kernels(nanobind::module_& m);
void bind_choosing(nanobind::module_& m);
void bind_training(nanobind::module_& m);
void bind_layers(nanobind::module_& m);

}  // namespace clearhead
