"""A text through a model with everything looked at: what is seen of it, and what that takes."""

import json
import os
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clearhead as ch
from clearhead.config import GenerationConfig
from clearhead.engine.model import Model
from clearhead.engine.watching import WatchedExecutor
from clearhead.errors import ContextWindowError, OptionError, TraceBudgetError
from clearhead.generation.generate import generate
from clearhead.trace import Trace
from clearhead.trace.comparison import compare
from models import native
from trace_runs import CONFIGS, ROW, SOURCE, read, same, unable


def ending_with(model: Model, token: int) -> Model:
    """The same model, for which this token ends a text."""
    checkpoint = replace(model.checkpoint, special=replace(model.special, eos=(token,)))
    return replace(model, checkpoint=checkpoint)


def test_what_is_written_is_seen_like_what_was_given(gpt2: Model) -> None:
    trace = gpt2.trace("The teacher", max_new_tokens=9)
    assert trace.n_prompt == 11 and len(trace.ids["decoder"]) == trace["head.logits"].shape[0] == 20
    assert trace.tokens == trace.ids["decoder"] and trace.source is gpt2 and trace.model == gpt2.name
    assert trace.pieces["decoder"][:4] == ["T", "h", "e", "Ġ"] and trace.texts["decoder"][:4] == ["T", "h", "e", " "]
    greedy = trace["head.logits"].argmax(-1)
    assert greedy[10:-1].tolist() == trace.tokens[11:]
    whole = Trace(gpt2.config)
    gpt2.executor.decode([trace.tokens], trace=whole)
    for path in whole:
        np.testing.assert_allclose(
            trace[path], whole[path], rtol=0, atol=0 if gpt2.executor.name == "native" else 2e-5, err_msg=path
        )


def test_a_decoder_beside_an_encoder_says_its_own_or_what_it_is_given(t5: Model) -> None:
    own = t5.trace("abc", max_new_tokens=5)
    assert own.n_prompt == 1 and own.ids["decoder"][0] == 257 and len(own.ids["decoder"]) == 6
    assert own["decoder.layers.0.cross_attention.weights"].shape == (6, 6, 4)
    assert own.special["encoder"] == [False, False, False, True] and own.ids["encoder"][-1] == 256
    assert own.special["decoder"][0] is (257 in t5.tokenizer.special_ids)
    given = t5.trace("abc", target="xy")
    assert given.texts["decoder"][1:3] == ["x", "y"] and given.n_prompt == len(given.ids["decoder"])
    with pytest.raises(OptionError, match="max_new_tokens"):
        t5.trace("abc", max_new_tokens=-1)


def test_a_run_that_ends_early_leaves_what_it_read(gpt2: Model, tmp_path: Path) -> None:
    long = gpt2.trace("The", max_new_tokens=20)
    at = next(i for i in range(5, 23) if long.tokens[i] not in long.tokens[3:i])  # somewhere after the prompt
    model = ending_with(gpt2, long.tokens[at])
    for trace in (model.trace("The", max_new_tokens=20), model.trace("The", max_new_tokens=20, spill=tmp_path / "t")):
        assert trace.tokens == long.tokens[: at + 1]
        assert trace.arrays["decoder.layers.0.input"].shape == (23, 24)  # as the room was
        assert trace["decoder.layers.0.attention.weights"].shape == (6, at + 1, at + 1)
        assert trace["decoder.layers.0.attention.key"].shape == (6, at + 1, 4)
        shared = compare(trace, long)
        assert max(d.relative for d in shared) < 1e-6
        assert trace.nbytes < sum(array.nbytes for array in trace.arrays.values())
        (tmp_path / f"{trace.nbytes}.trace").unlink(missing_ok=True)
        trace.save(tmp_path / f"{trace.nbytes}.trace")
        same(ch.Trace.load(tmp_path / f"{trace.nbytes}.trace"), trace)


def test_text_and_new_tokens_must_fit_the_window(gpt2: Model) -> None:
    with pytest.raises(ContextWindowError, match="3 tokens and 126 new ones do not fit the context window of 128"):
        gpt2.trace("The", max_new_tokens=126)
    assert len(gpt2.trace("The", max_new_tokens=125, kinds=["output"]).tokens) <= 128


def test_watching_changes_no_text(gpt2: Model) -> None:
    request, ids = GenerationConfig(max_new_tokens=12), gpt2.tokenizer.encode("The teacher")
    [[plain]] = generate(gpt2.executor, [ids], request, gpt2.special)
    trace = Trace(gpt2.config)
    trace.room = {"decoder": len(ids) + 12}
    [[watched]] = generate(WatchedExecutor(gpt2.executor, trace), [ids], request, gpt2.special)
    assert watched == plain


# What it takes


@pytest.mark.parametrize("chosen", [{}, {"layers": [-1], "heads": [0, 3]}, {"kinds": ["weights", "key", "logits"]}])
@pytest.mark.parametrize("name", CONFIGS)
def test_the_estimate_is_what_is_held(name: str, chosen: dict[str, Any]) -> None:
    config = CONFIGS[name]
    if "kinds" in chosen and config.head == "none":
        chosen = {"kinds": ["weights"]}
    trace = Trace(config, **chosen)
    read(native(config), trace=trace)
    found: dict[str, int] = {}
    for path, array in trace.arrays.items():
        kind = path if path == "head.logits" else path.rsplit(".", 1)[-1]
        found[kind] = found.get(kind, 0) + array.nbytes
    counts = {"encoder": len(SOURCE if config.n_decoder_layers else ROW), "decoder": len(ROW)}
    estimate = Trace(config, **chosen).estimate(counts)
    assert {kind: size for kind, size in estimate.items() if size} == found
    assert list(estimate.values()) == sorted(estimate.values(), reverse=True)


def test_a_trace_beyond_its_budget_is_refused_before_anything_is_allocated(
    gpt2: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpt2.trace("x", kinds=["tokens"])  # what is imported for the first time would count
    monkeypatch.setattr(gpt2.executor, "decode", unable)
    total = sum(Trace(gpt2.config).estimate({"decoder": 128}).values())
    assert total > 1_000_000
    tracemalloc.start()
    with pytest.raises(TraceBudgetError) as refused:
        gpt2.trace("x" * 100, max_new_tokens=28, budget=total - 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < total / 4
    message = str(refused.value)
    assert f"this trace would take {total / 1e6:.1f} MB (weights 0.8 MB, " in message, message
    for way in ("layers", "heads", "kinds", "raise the budget", "spill"):
        assert way in message
    monkeypatch.undo()
    assert gpt2.trace("x" * 100, max_new_tokens=28, budget=total).nbytes <= total
    assert gpt2.trace("x" * 100, budget=1000, kinds=["decoder.layers.0.attention.weights"], heads=[]).nbytes == 0


@pytest.mark.parametrize("name", ["torch", "native"])
def test_a_trace_takes_hardly_more_memory_than_its_arrays(name: str) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("peaks are read from /proc, which only Linux has")
    program = Path(__file__).with_name("peak_of_tracing.py")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}  # what is freed is gone
    done = subprocess.run(
        [sys.executable, str(program), name], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["arrays"] > 300e6
    assert 0.5 * figures["arrays"] < figures["peak"] <= 1.1 * figures["arrays"], figures
