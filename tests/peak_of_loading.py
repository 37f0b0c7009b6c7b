"""A program that loads a model and prints what that took: `python peak_of_loading.py PATH DTYPE` -> JSON.

It runs in a process of its own, since a peak cannot be taken back. Everything is imported beforehand, and every weight
is read once afterwards, so that pages of a mapped file count as well.
"""

import json
import sys
from pathlib import Path

import gguf.quants  # noqa: F401
import ml_dtypes  # noqa: F401
import safetensors.numpy  # noqa: F401
import torch

import clearhead.checkpoints.ctranslate2
import clearhead.checkpoints.folder
import clearhead.checkpoints.gguf  # noqa: F401
from clearhead.checkpoints.opening import open_checkpoint
from clearhead.model.executor import TorchExecutor


def memory(entry: str) -> int:
    """Bytes of physical memory: VmRSS now, VmHWM at most so far (proc(5))."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(entry)]
    return int(line.split()[1]) * 1024


def main(path: Path, dtype: str) -> None:
    """Load, touch, report."""
    torch.set_num_threads(1)
    torch.zeros(1024).to(torch.bfloat16).sum()
    before = memory("VmRSS")
    checkpoint = open_checkpoint(path)
    executor = TorchExecutor(checkpoint.config, checkpoint.weights(), dtype, "cpu")
    weights = list(executor.model.parameters())
    for weight in weights:
        weight.view(torch.uint8).max()
    size = sum(weight.numel() * weight.element_size() for weight in weights)
    print(json.dumps({"weights": size, "peak": memory("VmHWM") - before}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
