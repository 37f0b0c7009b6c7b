"""Edits: what is changed where it arises changes all that follows, on both executors and in every family."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from clearhead.edits import Edit, Edits, ablate, flat, patch, steer
from clearhead.errors import OptionError
from clearhead.executor import Executor, Memory
from clearhead.families.layout import layout
from clearhead.native.executor import NativeExecutor
from clearhead.native.packing import pack_weights
from clearhead.trace import Trace
from models import BY_FAMILY, EXECUTORS, Make, executor, native, random_weights

UNCHANGED = ("tokens", "positions", "sum", "bias", "logits")  # what no edit sets
A, B = [3, 14, 15, 9, 2, 6, 5], [27, 1, 8, 28, 18, 28, 4]
FAMILIES = pytest.mark.parametrize("family", BY_FAMILY)


def last_of(model: Executor) -> str:
    return "decoder" if model.config.n_decoder_layers else "encoder"


def run(
    model: Executor, row: Sequence[int], *, trace: Trace | None = None, edits: Sequence[Edit] = (), pieces: int = 1
) -> np.ndarray:
    """Logits [T, V] of a row; beside an encoder, which reads it backwards. A decoder reads it in some pieces."""
    changed = Edits(model.config, edits) if edits else None
    memory: Memory | None = None
    if model.config.n_encoder_layers:
        memory = model.encode([list(row[::-1])], trace=trace, edits=changed)
    if not model.config.n_decoder_layers:
        assert memory is not None
        return model.head(memory, trace)[0]
    cache, found = model.new_cache(1, len(row)), []
    if trace is not None:
        trace.room = {"decoder": len(row)}
    for part in np.array_split(np.asarray(row), pieces):
        found += model.decode([part.tolist()], cache, memory, want="all", trace=trace, edits=changed)
    return np.concatenate(found)


def close(ours: np.ndarray, theirs: np.ndarray, bound: float = 1e-5) -> bool:
    return float(np.abs(ours - theirs).max()) <= bound * float(np.abs(theirs).max())


def without_heads(config: Any, layer: int, heads: Sequence[int]) -> Any:
    """The random weights, with what some heads give to the output projection multiplied by zero."""
    stack = "decoder" if config.n_decoder_layers else "encoder"
    for name, value in random_weights(config):
        if name == f"{stack}.layers.{layer}.attention.output.weight":
            for head in heads:
                value[:, head * config.head_dim : (head + 1) * config.head_dim] = 0
        yield name, value


@FAMILIES
@EXECUTORS
def test_an_ablated_head_is_one_whose_output_is_multiplied_by_zero(family: str, make: Make) -> None:
    config = BY_FAMILY[family]
    model = make(config)
    zeroed = NativeExecutor(config, pack_weights(config, without_heads(config, 1, [0, 4]), "float32"), "float32")
    expected = run(zeroed, A)
    edit = ablate(f"{last_of(model)}.layers.1.attention", [0, 4])
    assert close(run(model, A, edits=[edit]), expected)
    assert not close(run(model, A), expected, 1e-3)


@FAMILIES
@EXECUTORS
@pytest.mark.parametrize("pieces", [1, 3, 7])
def test_every_activation_of_another_run_gives_its_logits(family: str, make: Make, pieces: int) -> None:
    """All but the last states themselves, which would be the logits already."""
    model = make(BY_FAMILY[family])
    other = Trace(model.config)
    expected = run(model, B, trace=other)
    kept = [path for path in other.paths if path.rsplit(".", 1)[-1] not in UNCHANGED]
    kept.remove(f"{last_of(model)}.output")
    edits = flat([patch(other, path) for path in kept])
    assert close(run(model, A, edits=edits, pieces=pieces), expected)


@FAMILIES
@EXECUTORS
def test_each_kind_of_place_can_be_patched_alone(family: str, make: Make) -> None:
    """With one place of B in A's run, the trace shows B's values there, and the logits move; both executors agree."""
    model, reference = make(BY_FAMILY[family]), executor(BY_FAMILY[family])
    other = Trace(model.config)
    run(model, B, trace=other)
    plain = run(model, A)
    for path in other.paths:
        if path.rsplit(".", 1)[-1] in UNCHANGED or ".layers.1." in path:
            continue
        seen = Trace(model.config)
        edits = patch(other, path)
        found = run(model, A, trace=seen, edits=edits)
        np.testing.assert_allclose(seen[path], other[path], rtol=0, atol=1e-5, err_msg=path)
        assert close(found, run(reference, A, edits=edits), 1e-4), path
        assert not close(found, plain, 1e-6), path


@FAMILIES
@EXECUTORS
def test_a_patch_at_some_positions_leaves_the_others(family: str, make: Make) -> None:
    model = make(BY_FAMILY[family])
    stack = last_of(model)
    other, seen, plain = Trace(model.config), Trace(model.config), Trace(model.config)
    run(model, B, trace=other)
    run(model, A, trace=plain)
    run(model, A, trace=seen, edits=patch(other, f"{stack}.layers.0.output", positions=[2, 5]), pieces=2)
    path = f"{stack}.layers.0.output"
    assert np.array_equal(seen[path][[2, 5]], other[path][[2, 5]].astype(np.float32))
    np.testing.assert_allclose(np.delete(seen[path], [2, 5], 0), np.delete(plain[path], [2, 5], 0), atol=1e-5)


@FAMILIES
@EXECUTORS
def test_a_steering_vector_is_added(family: str, make: Make) -> None:
    model = make(BY_FAMILY[family])
    stack, vector = last_of(model), np.linspace(-1, 1, model.config.d_model)
    path = f"{stack}.layers.0.output"
    seen, plain = Trace(model.config), Trace(model.config)
    run(model, A, trace=plain)
    run(model, A, trace=seen, edits=[steer(path, vector, scale=2, positions=[0, 3])])
    apart = seen[path] - plain[path]
    np.testing.assert_allclose(apart[[0, 3]], np.tile(2 * vector, (2, 1)), atol=1e-5)
    assert np.abs(np.delete(apart, [0, 3], 0)).max() < 1e-5


@FAMILIES
def test_an_edit_that_changes_nothing_changes_no_bit(family: str) -> None:
    """Weights apart: where they are edited, their sum over values is made in the open."""
    model = native(BY_FAMILY[family])
    every = [p for p in Trace(model.config).choice.places if p.rsplit(".", 1)[-1] not in (*UNCHANGED, "weights")]
    seen: list[str] = []
    edits = [Edit(path, lambda values, first, path=path: seen.append(path), "a look") for path in every]
    assert np.array_equal(run(model, A, edits=edits), run(model, A))
    assert sorted(set(seen)) == sorted(every)
    look = Edit("weights", lambda values, first: None, "a look")
    assert close(run(model, A, edits=[look]), run(model, A), 1e-6)


@EXECUTORS
def test_what_an_edit_raises_reaches_the_caller_and_nothing_is_kept(make: Make) -> None:
    model = make(BY_FAMILY["llama"])

    def fail(values: np.ndarray, first: int) -> None:
        raise KeyError("mine")

    cache = model.new_cache(1, 16)
    model.decode([A], cache)
    edits = Edits(model.config, [Edit("decoder.layers.1.mlp.output", fail, "a failure")])
    with pytest.raises(KeyError, match="mine"):
        model.decode([B], cache, edits=edits)
    assert cache.lengths == [len(A)]
    assert close(model.decode([B], cache)[0], run(model, A + B)[-1:])


def test_impossible_edits_are_refused() -> None:
    config = BY_FAMILY["llama"]
    model = native(config)
    trace = Trace(config, kinds=["input"])
    run(model, A, trace=trace)
    with pytest.raises(OptionError, match="heads is empty"):
        ablate("decoder.layers.0.attention", [])
    with pytest.raises(OptionError, match=r"heads names 6; decoder\.layers\.0\.attention has heads 0 to 5"):
        run(model, A, edits=[ablate("decoder.layers.0.attention", [6])])
    with pytest.raises(OptionError, match="which this model does not have"):
        Edits(config, [ablate("decoder.layers.7.attention", [0])])
    with pytest.raises(OptionError, match="cannot be edited"):
        Edits(config, [steer("decoder.embed.tokens", [0.0] * 24)])
    with pytest.raises(OptionError, match="holds nothing"):
        patch(trace, "weights")
    with pytest.raises(OptionError, match="one axis of finite numbers"):
        steer("decoder.layers.0.output", [float("nan")] * 24)
    with pytest.raises(OptionError, match="the vector has 3 numbers"):
        run(model, A, edits=[steer("decoder.layers.0.output", [1.0, 2.0, 3.0])])
    with pytest.raises(OptionError, match="another model"):
        model.decode([A], edits=Edits(BY_FAMILY["gpt2"], []))
    with pytest.raises(OptionError, match="one sequence"):
        model.decode([A, B], edits=Edits(config, [ablate("decoder.layers.0.attention", [0])]))


def test_weights_have_the_layout_that_ablation_assumes() -> None:
    assert layout(BY_FAMILY["llama"])["decoder.layers.1.attention.output.weight"] == (24, 24)
