"""A program that traces a run and prints what that took: `python peak_of_tracing.py torch|native` -> JSON.

It runs in a process of its own, since a peak cannot be taken back. The same text is read without a trace first: what
that takes at its peak (weights, activations, logits, what allocators keep) is subtracted.
"""

import json
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from clearhead.trace import Trace
from models import BY_FAMILY, executor, native
from peak_of_loading import memory

CONFIG = replace(
    BY_FAMILY["llama"],
    d_model=64,
    d_ff=128,
    n_heads=16,
    n_kv_heads=4,
    head_dim=4,
    n_decoder_layers=40,
    vocab_size=512,
    max_positions=384,
)
PROMPT = 372
ROW = [i * 7 % 512 for i in range(384)]


def run(model: Any, trace: Trace | None) -> None:
    """A prompt, and some tokens after it one by one."""
    cache = model.new_cache(1, len(ROW))
    model.decode([ROW[:PROMPT]], cache, want="all", trace=trace)
    for token in ROW[PROMPT:]:
        model.decode([[token]], cache, trace=trace)


def main(name: str) -> None:
    """Read, trace, report."""
    torch.set_num_threads(1)
    model = executor(CONFIG, "float32") if name == "torch" else native(CONFIG)
    run(model, None)
    before = memory("VmHWM")
    trace = Trace(CONFIG)
    trace.room = {"decoder": len(ROW)}
    run(model, trace)
    peak = memory("VmHWM") - before
    assert np.isfinite(trace["head.logits"]).all()
    print(json.dumps({"arrays": trace.nbytes, "peak": peak}))


if __name__ == "__main__":
    main(sys.argv[1])
