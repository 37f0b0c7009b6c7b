"""Edits: what is changed where it arises changes all that follows, on both executors and in every family."""

from collections.abc import Sequence
from dataclasses import replace
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
    assert np.array_equal(seen[path][[2, 5]], other[path][[2, 5]])
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


@EXECUTORS
def test_keys_and_values_of_the_memory_are_edited_where_they_are_made(make: Make) -> None:
    """With the encoder, and for as long as the memory lives; in the decoder's calls there is nothing left to edit."""
    model = make(BY_FAMILY["t5"])
    edits = Edits(model.config, [Edit("decoder.layers.0.cross_attention.value", lambda values, first: values * 0)])
    plain, changed = model.encode([B]), model.encode([B], edits=edits)
    expected = model.decode([A], memory=changed)[0]
    assert not close(expected, model.decode([A], memory=plain)[0], 1e-3)
    assert np.array_equal(model.decode([A], memory=plain, edits=edits)[0], model.decode([A], memory=plain)[0])
    seen = Trace(model.config, kinds=["cross_attention.value"])
    model.decode([A], memory=changed, trace=seen)
    assert not seen["decoder.layers.0.cross_attention.value"].any()
    assert seen["decoder.layers.1.cross_attention.value"].any()


@EXECUTORS
def test_an_edit_may_return_what_stands_instead_and_keep_what_it_saw(make: Make) -> None:
    model, kept = make(BY_FAMILY["gpt2"]), list[np.ndarray]()

    def look(values: np.ndarray, first: int) -> np.ndarray:
        kept.append(values)
        return values * 2

    seen, plain = Trace(model.config), Trace(model.config)
    run(model, A, trace=plain)
    path = "decoder.layers.0.mlp.hidden"
    run(model, A, trace=seen, edits=[Edit(path, look)])
    run(model, B)
    assert close(seen[path], 2 * plain[path]) and close(kept[0], 2 * plain[path])
    with pytest.raises(OptionError, match=r"returned shape \(3,\), not \(7, "):
        run(model, A, edits=[Edit(path, lambda values, first: np.zeros(3))])


def test_an_edit_cannot_run_a_model() -> None:
    """It would wait for itself: the threads that would compute are waiting for the edit."""
    model, other = native(BY_FAMILY["gpt2"]), native(BY_FAMILY["llama"])
    for use in (model, other):
        edit = Edit("decoder.layers.0.output", lambda values, first, use=use: use.read(values) and None)
        with pytest.raises(OptionError, match="an edit cannot run a model"):
            run(model, A, edits=[edit])
    assert np.isfinite(run(model, A)).all()


def test_edits_made_for_another_model_are_refused() -> None:
    trace = Trace(BY_FAMILY["llama"])
    run(native(BY_FAMILY["llama"]), A, trace=trace)
    with pytest.raises(OptionError, match="another model's run"):
        Edits(BY_FAMILY["qwen2"], patch(trace, "decoder.layers.0.output"))


def test_positions_and_heads_are_whole_numbers_that_are_there() -> None:
    trace = Trace(BY_FAMILY["llama"])
    run(native(BY_FAMILY["llama"]), A, trace=trace)
    module, path = "decoder.layers.0.attention", "decoder.layers.0.output"
    for wrong in (lambda: ablate(module, [0], positions=[-1]), lambda: steer(path, [0.0] * 24, positions=[-1])):
        with pytest.raises(OptionError, match="positions names -1; positions count from 0"):
            wrong()
    with pytest.raises(OptionError, match="positions names 7; the trace holds 0 to 6"):
        patch(trace, path, positions=[2, 7])
    for heads in (3, "01"):
        with pytest.raises(OptionError, match="must be a list"):
            ablate(module, heads)  # type: ignore[arg-type]
    for heads in ([0.0], [True]):
        with pytest.raises(OptionError, match="must hold whole numbers"):
            ablate(module, heads)  # type: ignore[list-item]
    assert ablate("blocks.0.attn", [-1]).where == "blocks.0.attn.hook_z"
    with pytest.raises(OptionError, match="edits holds 'x'"):
        flat(["x"])  # type: ignore[list-item]
    assert len(flat(ablate(module, [0]))) == 1


@pytest.mark.parametrize("kv", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_an_edit_that_only_looks_changes_nothing_in_few_bits(dtype: str, kv: str) -> None:
    model = native(BY_FAMILY["llama"], dtype, kv=kv)
    plain = run(model, A)
    look = [
        Edit(p, lambda values, first: None)
        for p in Trace(model.config).choice.places
        if p.endswith((".key", ".heads", ".output"))
    ]
    assert np.array_equal(run(model, A, edits=look), plain)
    weights = run(model, A, edits=[Edit("weights", lambda values, first: None)])
    assert close(weights, plain, 1e-5 if kv == "float32" else 0.05)  # rounding falls another way


@pytest.mark.parametrize(
    "place", ["decoder.layers.1.mlp.output", "decoder.output", "decoder.layers.0.attention.weights"]
)
def test_a_long_prompt_whose_edit_fails_leaves_the_cache_as_it_was(place: str) -> None:
    """In the second of its passes."""
    config = replace(BY_FAMILY["gpt2"], max_positions=1024)
    model = native(config)
    cache = model.new_cache(1, 1000)
    model.decode([A], cache)

    def fail(values: np.ndarray, first: int) -> None:
        if first > 100:
            raise KeyError("mine")

    long = [(7 * i) % 31 for i in range(700)]
    with pytest.raises(KeyError):
        model.decode([long], cache, edits=Edits(config, [Edit(place, fail)]))
    assert cache.lengths == [len(A)]
    assert np.array_equal(model.decode([B], cache)[0], run(model, A + B)[-1:])


def test_an_encoder_whose_edit_fails_gives_nothing() -> None:
    model = native(BY_FAMILY["t5"])

    def fail(values: np.ndarray, first: int) -> None:
        raise KeyError("mine")

    for place in ("encoder.output", "encoder.layers.0.attention.heads", "decoder.layers.1.cross_attention.key"):
        with pytest.raises(KeyError):
            model.encode([A], edits=Edits(model.config, [Edit(place, fail)]))
    assert np.isfinite(run(model, A)).all()
