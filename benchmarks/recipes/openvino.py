"""SmolLM2 for OpenVINO: read by openvino-genai from GGUF, compressed by NNCF."""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import nncf
import openvino as ov
import openvino_genai

from benchmarks.recipes.making import main, make

MODES: dict[str, dict[str, Any]] = {
    "int8": {"mode": nncf.CompressWeightsMode.INT8_ASYM},
    "int4": {"mode": nncf.CompressWeightsMode.INT4_SYM, "group_size": 64, "ratio": 1.0},
}


def recipe(folder: Path) -> None:
    """Both."""
    smol = folder / "smollm2"
    make(smol / "openvino-float16", partial(read, smol / "F16.gguf"))
    for name in MODES:
        make(smol / f"openvino-{name}", partial(compress, smol / "openvino-float16" / "openvino_model.xml", name))


def read(file: Path, folder: Path) -> None:
    """openvino-genai writes what it read beside the file it read."""
    folder.mkdir()
    copy = folder / file.name
    shutil.copy(file, copy)
    openvino_genai.LLMPipeline(str(copy), "CPU", enable_save_ov_model=True)
    copy.unlink()


def compress(source: Path, name: str, folder: Path) -> None:
    """Weights alone; activations are quantised while it runs, as it sees fit."""
    folder.mkdir()
    network = nncf.compress_weights(ov.Core().read_model(source), **MODES[name])
    ov.save_model(network, folder / source.name, compress_to_fp16=False)


if __name__ == "__main__":
    main(recipe)
