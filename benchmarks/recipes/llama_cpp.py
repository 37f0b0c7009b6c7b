"""GGUF types of SmolLM2, made by llama.cpp from the file that is shipped."""

import ctypes
from functools import partial
from pathlib import Path

from llama_cpp import llama_cpp as lib

from benchmarks.recipes.making import main, make

TYPES = {"F16": 1, "Q4_0": 2, "Q8_0": 7, "BF16": 32}  # of enum llama_ftype


def recipe(folder: Path) -> None:
    """Every type."""
    source = folder / "smollm2" / "Q4_1.gguf"
    for name in TYPES:
        make(folder / "smollm2" / f"{name}.gguf", partial(quantise, source, name))


def quantise(source: Path, name: str, target: Path) -> None:
    """Its own tool, with two threads."""
    options = lib.llama_model_quantize_default_params()
    options.ftype, options.allow_requantize, options.nthread = TYPES[name], True, 2
    status = lib.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(options))
    if status:
        raise OSError(f"llama.cpp cannot make {target.name} from {source}: status {status}")


if __name__ == "__main__":
    main(recipe)
