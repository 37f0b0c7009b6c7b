"""What a trace keeps, of which places, in which shapes; and that looking changes nothing, in however many calls.

T queries, S keys, M the encoder's tokens.
"""

import json
import os
import shutil
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import clearhead as ch
from clearhead.config import GenerationConfig, ModelConfig, RotaryScaling
from clearhead.edits import Edits, steer
from clearhead.engine.model import Model
from clearhead.engine.watching import WatchedExecutor
from clearhead.errors import ClearheadError, ContextWindowError, OptionError, TraceBudgetError
from clearhead.executor import Executor, Memory
from clearhead.generation.generate import generate
from clearhead.native import _native
from clearhead.trace import Trace
from clearhead.trace.comparison import compare
from clearhead.trace.file import load
from clearhead.trace.schema import places, stacks
from models import BY_FAMILY, EXECUTORS, Make, executor, native
from test_native_executor import WIDE
from tiny import bert_folder, gpt2_folder, t5_folder

torch.set_num_threads(1)
FAMILIES = pytest.mark.parametrize("family", BY_FAMILY)
DECODERS = pytest.mark.parametrize("family", [name for name, config in BY_FAMILY.items() if config.n_decoder_layers])
LABELS = {"head_bias": True, "labels": ("a", "b", "c")}
CONFIGS = BY_FAMILY | {
    "labels of tokens": replace(BY_FAMILY["bert"], head="token_labels", **LABELS),
    "label of a text": replace(BY_FAMILY["bert"], head="sequence_labels", pooler=True, **LABELS),
    "no head": replace(BY_FAMILY["bert"], head="none", head_bias=False),
}
DEEPER = replace(BY_FAMILY["t5"], n_encoder_layers=3)  # than its decoder of two layers
ROW = [3, 14, 15, 9, 2, 6, 5, 27, 1]
SOURCE = [8, 28, 4, 19, 7]
H, K, D, C = 6, 2, 4, 24  # of llama


def read(
    model: Executor, row: Sequence[int] = ROW, *, trace: Trace | None = None, sizes: Sequence[int] = (), start: int = 0
) -> np.ndarray:
    """Everything a model makes of a row, in pieces of some sizes; `start` tokens are read before the trace begins.

    Beside a decoder the encoder reads SOURCE. An encoder's head is asked where it has one.
    """
    config, memory = model.config, None
    if config.n_encoder_layers:
        memory = model.encode([SOURCE if config.n_decoder_layers else list(row)], trace=trace)
    if memory is not None and not config.n_decoder_layers:
        return memory.states[0] if config.head == "none" else model.head(memory, trace)[0]
    if not sizes and not start:
        return model.decode([list(row)], memory=memory, want="all", trace=trace)[0]
    return in_pieces(model, row, trace, sizes or (len(row) - start,), start, memory)


def in_pieces(
    model: Executor, row: Sequence[int], trace: Trace | None, sizes: Sequence[int], start: int, memory: Memory | None
) -> np.ndarray:
    cache, at, found = model.new_cache(1, len(row)), start, []
    if start:
        found += model.decode([list(row[:start])], cache, memory, want="all")
    if trace is not None:
        trace.room = {"decoder": len(row) - start}
    for size in sizes:
        found += model.decode([list(row[at : at + size])], cache, memory, want="all", trace=trace)
        at += size
    return np.concatenate(found)


def seen(model: Executor, row: Sequence[int] = ROW, **chosen: Any) -> Trace:
    """The trace of one pass."""
    trace = Trace(model.config, **chosen)
    read(model, row, trace=trace)
    trace.ids = {"decoder": list(row)} if model.config.n_decoder_layers else {"encoder": list(row)}
    return trace


def same(one: Trace, other: Trace) -> None:
    """Bit for bit, everywhere."""
    assert one.paths == other.paths
    for path in one:
        assert np.array_equal(one[path], other[path]), path


# What is kept


@pytest.mark.parametrize(
    ("layers", "kept"),
    [
        ([-1], {"encoder": [2], "decoder": [1]}),
        ([2], {"encoder": [2], "decoder": []}),
        ([-3], {"encoder": [0], "decoder": []}),
        (range(2), {"encoder": [0, 1], "decoder": [0, 1]}),
        ((1, -2, 1), {"encoder": [1], "decoder": [0, 1]}),
        ([np.int64(0)], {"encoder": [0], "decoder": [0]}),
        ([], {"encoder": [], "decoder": []}),
    ],
)
def test_layers_count_from_either_end_of_each_stack(layers: Sequence[int], kept: dict[str, list[int]]) -> None:
    chosen = Trace(DEEPER, layers=layers).choice.places
    for stack in stacks(DEEPER):
        assert sorted({p.layer for p in chosen.values() if p.stack == stack and p.layer is not None}) == kept[stack]
    assert [p for p in chosen if ".layers." not in p] == [p for p in Trace(DEEPER).choice.places if ".layers." not in p]


def test_heads_count_from_the_end_and_stay_in_order() -> None:
    model = native(BY_FAMILY["llama"])
    some, everything = seen(model, heads=[-1, 2, 2, np.int64(0)]), seen(model)
    assert some.choice.heads == (0, 2, 5)
    for path in everything:
        heads = [0, 2, 5] if everything.choice.places[path].axes[0] == "H" else slice(None)
        assert np.array_equal(some[path], everything[path][heads]), path
    assert some.heads_of("decoder.layers.0.attention.weights") == [0, 2, 5]
    assert some.heads_of("decoder.layers.0.attention.key") == [0, 1]  # of keys and values, all


KINDS: list[tuple[list[str], Callable[[str], bool]]] = [
    (["weights"], lambda path: path.endswith(".weights")),
    (["attention.weights"], lambda path: path.endswith(".attention.weights")),
    (["cross_attention.key", "logits"], lambda path: path.endswith("cross_attention.key") or path == "head.logits"),
    (["mlp.output"], lambda path: path.endswith("mlp.output")),
    (["encoder.output"], lambda path: path == "encoder.output"),
    (["decoder.layers.*.input"], lambda path: path.startswith("decoder.layers.") and path.endswith(".input")),
    (["*"], lambda path: True),
    (["decoder_blocks.*.self_attn.hook_pattern"], lambda p: p.startswith("dec") and p.endswith(".attention.weights")),
    (["encoder_blocks.2.hook_resid_post"], lambda path: path == "encoder.layers.2.output"),
    ([], lambda path: False),
]


@pytest.mark.parametrize(("kinds", "wanted"), KINDS, ids=[" ".join(kinds) or "none" for kinds, _ in KINDS])
def test_kinds_are_ends_of_paths_patterns_and_names_of_transformer_lens(
    kinds: list[str], wanted: Callable[[str], bool]
) -> None:
    every = [place.path for stack in stacks(DEEPER) for place in places(DEEPER, stack)]
    assert list(Trace(DEEPER, kinds=kinds).choice.places) == [path for path in every if wanted(path)]


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"layers": [2]}, "layers names 2; this model has layers 0 to 1"),
        ({"layers": [0, -3]}, "layers names -3"),
        ({"layers": ["0"]}, "layers names '0'"),
        ({"layers": [True]}, "layers names True"),
        ({"layers": [1.0]}, r"layers names 1\.0"),
        ({"layers": "01"}, "layers is '01'; it must be a list"),
        ({"layers": 1}, "layers is 1; it must be a list"),
        ({"heads": [6]}, "heads names 6; this model has heads 0 to 5"),
        ({"heads": 0}, "heads is 0"),
        ({"heads": [None]}, "heads names None"),
        ({"kinds": "weights"}, "kinds is 'weights'; it must be a list"),
        ({"kinds": [7]}, "kinds names 7; a kind is a text"),
        (
            {"kinds": ["weights", "weight"]},
            "kinds names 'weight', which no path ends with; a kind ends with one of .*sum",
        ),
        ({"kinds": [""]}, "kinds names ''"),
        ({"kinds": ["eights"]}, "kinds names 'eights'"),  # no end of a name, but of a path
        ({"kinds": ["cross_attention.weights"]}, "which this model does not have"),
        ({"kinds": ["embed.positions"]}, "which this model does not have"),
        ({"kinds": ["encoder.*.weights"]}, "which this model does not have"),
        ({"kinds": ["decoder.layers.2.input"]}, "which this model does not have"),
        ({"kinds": ["*.nothing"]}, "which no path ends with"),
    ],
    ids=repr,
)
def test_a_wrong_choice_is_refused_in_one_line(chosen: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message) as refused:
        Trace(BY_FAMILY["llama"], **chosen)
    assert "\n" not in str(refused.value)


# Shapes


def shape_of(path: str, config: ModelConfig) -> tuple[int, ...]:
    """Of a place, by its name, for ROW and SOURCE."""
    stack, name = path.split(".", 1)
    t = len(SOURCE) if stack == "encoder" and config.n_decoder_layers else len(ROW)
    s = len(SOURCE) if "cross_attention" in path else t
    last = name.rsplit(".", 1)[-1]
    heads, kv = (config.n_heads, t, config.head_dim), (config.n_kv_heads, s, config.head_dim)
    if path == "head.logits":
        rows = 1 if config.head == "sequence_labels" else len(ROW)
        return rows, len(config.labels) or config.vocab_size
    if last == "bias":
        return (config.n_heads if config.position in ("alibi", "relative") else 1), t, t
    if last == "weights":
        return config.n_heads, t, s
    if last == "hidden":
        return t, config.d_ff
    return {"query": heads, "heads": heads, "key": kv, "value": kv}.get(last, (t, config.d_model))


@pytest.mark.parametrize("name", CONFIGS)
@EXECUTORS
def test_every_place_is_filled_in_its_shape(name: str, make: Make) -> None:
    config = CONFIGS[name]
    model, trace = make(config), Trace(config)
    plain = read(model, trace=None)
    assert np.array_equal(read(model, trace=trace), plain) or make is executor
    every = [place.path for stack in stacks(config) for place in places(config, stack)]
    assert trace.paths == list(trace) == every and set(trace.arrays) == set(every)
    for path in trace:
        assert trace[path].shape == shape_of(path, config), path
        assert path.endswith("bias") or np.isfinite(trace[path]).all(), path
        assert path.endswith("bias") or np.abs(trace[path]).max() > 0, path
    for module in trace.attentions():
        weights = trace.attention(module)
        np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6, err_msg=module)
        assert (np.triu(weights, 1).max() == 0) == (module.startswith("decoder") and module.endswith(".attention"))
    assert ("head.logits" in trace) == (config.head != "none")
    assert sum(array.nbytes for array in trace.arrays.values()) == trace.nbytes


@FAMILIES
@EXECUTORS
def test_each_place_alone_is_what_it_is_among_all(family: str, make: Make) -> None:
    model = make(BY_FAMILY[family])
    everything = seen(model)
    for path in everything:
        alone = seen(model, kinds=[path])
        assert list(alone.arrays) == [path]
        if make is native:
            assert np.array_equal(alone[path], everything[path]), path
        else:  # torch sums attention in another order where it forms no weights
            np.testing.assert_allclose(alone[path], everything[path], atol=1e-12, err_msg=path)


@pytest.mark.parametrize("heads", [None, [1, 4]])
@FAMILIES
@EXECUTORS
def test_the_softmax_of_the_scores_is_the_weights(family: str, make: Make, heads: list[int] | None) -> None:
    trace = seen(make(BY_FAMILY[family]), heads=heads)
    for module in trace.attentions():
        scores = trace.scores(module)
        e = np.exp(scores - scores.max(-1, keepdims=True))
        np.testing.assert_allclose(e / e.sum(-1, keepdims=True), trace.attention(module), atol=2e-6, err_msg=module)


def test_scores_need_queries_keys_and_bias() -> None:
    trace = seen(native(BY_FAMILY["llama"]), kinds=["weights", "query", "key"])
    with pytest.raises(OptionError, match=r"holds no 'decoder\.bias'"):
        trace.scores("decoder.layers.0.attention")


def test_a_place_that_is_not_held_is_refused_with_those_that_are() -> None:
    trace = seen(native(BY_FAMILY["llama"]), kinds=["weights"], layers=[1])
    assert "decoder.layers.1.attention.weights" in trace and "blocks.1.attn.hook_pattern" in trace
    assert trace["blocks.1.attn.hook_pattern"] is not None and "blocks.0.attn.hook_pattern" not in trace
    with pytest.raises(
        OptionError, match=r"holds no 'blocks\.0\.attn\.hook_pattern'; it holds decoder\.layers\.1\.att"
    ):
        trace["blocks.0.attn.hook_pattern"]
    with pytest.raises(OptionError, match=r"holds no 'head\.logits'; it holds decoder"):
        trace["head.logits"]
    with pytest.raises(OptionError, match="it holds nothing"):
        Trace(BY_FAMILY["llama"])["head.logits"]


# Call by call

# A configuration, what its weights are kept in, and the instruction set: of several families, and on every one of them.
BEST, SETS = _native.instruction_sets()[-1], _native.instruction_sets()
SMALL = {name: replace(config, max_positions=64) for name, config in BY_FAMILY.items() if config.n_decoder_layers}
PIECES: list[tuple[str, str, str]] = [
    *((family, "float32", BEST) for family in SMALL),
    *((family, "int8", BEST) for family in ("t5", "bloom", "palm")),
    *(("plain", dtype, BEST) for dtype in ("float32", "int8", "int4")),
    *(("gated", dtype, each) for dtype in ("float32", "bfloat16", "int8", "int4") for each in SETS),
]
LONG = [(5 * i + 3) % 31 for i in range(50)]


@pytest.mark.parametrize(("name", "dtype", "instruction_set"), PIECES)
def test_a_run_traced_in_pieces_is_one_pass_bit_for_bit(name: str, dtype: str, instruction_set: str) -> None:
    config = (SMALL | WIDE)[name]
    model = native(config, dtype, instruction_set)
    whole = Trace(config)
    logits = read(model, LONG, trace=whole)
    assert np.array_equal(logits, read(model, LONG))
    assert np.array_equal(logits, whole["head.logits"])

    @given(st.data())
    @settings(max_examples=6, deadline=None, derandomize=True)
    def check(data: st.DataObject) -> None:
        cuts = sorted(data.draw(st.sets(st.integers(1, len(LONG) - 1), max_size=6)))
        sizes = np.diff([0, *cuts, len(LONG)]).tolist()
        trace = Trace(config)
        assert np.array_equal(read(model, LONG, trace=trace, sizes=sizes), logits)
        same(trace, whole)

    check()
    single = Trace(config)
    assert np.array_equal(read(model, LONG, trace=single, sizes=[1] * len(LONG)), logits)
    same(single, whole)


@DECODERS
def test_torch_sees_in_pieces_what_it_sees_at_once(family: str) -> None:
    model, trace = executor(BY_FAMILY[family]), Trace(BY_FAMILY[family])
    read(model, trace=trace, sizes=[4, 1, 1, 3])
    for difference in compare(trace, seen(model)):
        assert difference.relative < 1e-12, difference


@pytest.mark.parametrize("sizes", [(6,), (1, 2, 3)])
@DECODERS
@EXECUTORS
def test_a_trace_may_begin_in_the_middle_of_a_sequence(family: str, make: Make, sizes: tuple[int, ...]) -> None:
    config = BY_FAMILY[family]
    model, trace, whole = make(config), Trace(config), seen(make(config))
    read(model, trace=trace, sizes=sizes, start=3)
    assert trace.spans["decoder"].first == 3
    for path in trace:
        axes, expected = trace.choice.places[path].axes, whole[path]
        if path.startswith(("decoder", "head")) and "T" in axes:
            expected = expected[(slice(None),) * axes.index("T") + (slice(3, None),)]
        np.testing.assert_allclose(trace[path], expected, rtol=0, atol=0 if make is native else 1e-12, err_msg=path)


@EXECUTORS
def test_more_tokens_than_there_is_room_for_are_refused(make: Make) -> None:
    model = make(BY_FAMILY["llama"])
    for room, counts in ({"decoder": 5}, [3, 3]), ({}, [3, 1]), ({"decoder": 2}, [3]):
        trace, cache = Trace(model.config, kinds=["weights"]), model.new_cache(1, 16)
        trace.room = dict(room)
        for count in counts[:-1]:
            model.decode([ROW[:count]], cache, trace=trace)
        with pytest.raises(OptionError, match=f"the trace has room for .* and was given {counts[-1]} from position"):
            model.decode([ROW[: counts[-1]]], cache, trace=trace)
    trace, cache = Trace(model.config), model.new_cache(1, 16)
    model.decode([ROW[:4]], cache)
    model.decode([ROW[4:6]], cache, trace=trace)
    cache.truncate([2])
    with pytest.raises(OptionError, match="from position 4 on, and was given 2 from position 2 on"):
        model.decode([ROW[4:6]], cache, trace=trace)


@EXECUTORS
def test_tokens_taken_back_are_written_over(make: Make) -> None:
    model = make(BY_FAMILY["llama"])
    trace, cache = Trace(model.config), model.new_cache(1, 16)
    trace.room = {"decoder": 9}
    model.decode([ROW[:4]], cache, trace=trace)
    cache.truncate([2])
    model.decode([[30, 29, 28]], cache, trace=trace)
    expected = seen(model, [*ROW[:2], 30, 29, 28])
    for path in expected:
        np.testing.assert_allclose(trace[path], expected[path], rtol=0, atol=0 if make is native else 1e-12)


@EXECUTORS
def test_a_trace_serves_one_model_and_one_source(make: Make) -> None:
    llama, bert, t5 = (make(BY_FAMILY[family]) for family in ("llama", "bert", "t5"))
    with pytest.raises(OptionError, match="made for another model"):
        llama.decode([ROW], trace=Trace(replace(BY_FAMILY["llama"], norm_eps=1e-3)))
    with pytest.raises(OptionError, match="made for another model"):
        bert.encode([ROW], trace=Trace(BY_FAMILY["llama"]))
    with pytest.raises(OptionError, match="the trace saw nothing of the encoder"):
        bert.head(bert.encode([ROW]), Trace(bert.config))
    with pytest.raises(OptionError, match="one sequence at a time"):
        llama.decode([ROW, ROW], trace=Trace(llama.config))
    trace = Trace(t5.config)
    trace.room = {"decoder": 4}
    t5.decode([[1, 2]], memory=t5.encode([SOURCE]), trace=trace)
    for source in (SOURCE[:3], ROW):
        with pytest.raises(OptionError, match=f"beside 5 tokens of an encoder, and was given {len(source)}"):
            t5.decode([[1, 2]], memory=t5.encode([source]), trace=trace)


@pytest.mark.parametrize("kinds", [["weights"], ["query", "key", "heads", "output", "bias"], None, []])
@pytest.mark.parametrize("family", ["llama", "t5", "bert"])
def test_torch_forms_weights_only_where_someone_looks(
    family: str, kinds: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []
    kernel = torch.nn.functional.scaled_dot_product_attention

    def counted(*arguments: Any, **options: Any) -> torch.Tensor:
        calls.append(1)
        return kernel(*arguments, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", counted)
    model, modules = (
        executor(BY_FAMILY[family]),
        {"llama": 1, "t5": 3, "bert": 1}[family],
    )  # of attention, in each layer
    read(model)
    assert len(calls) == 2 * modules
    calls.clear()
    seen(model, layers=[1], kinds=kinds)
    assert len(calls) == (modules if kinds is None or "weights" in kinds else 2 * modules)


# Through a model


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("tiny")
    return {make.__name__: make(root / make.__name__) for make in (gpt2_folder, t5_folder, bert_folder)}


@pytest.fixture(params=["torch", "native"])
def gpt2(folders: dict[str, Path], request: pytest.FixtureRequest) -> Model:
    return ch.load(folders["gpt2_folder"], executor=request.param, dtype="float32")


@pytest.fixture(params=["torch", "native"])
def t5(folders: dict[str, Path], request: pytest.FixtureRequest) -> Model:
    return ch.load(folders["t5_folder"], executor=request.param, dtype="float32")


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


def unable(*_: Any, **__: Any) -> Any:
    raise AssertionError("the model ran")


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


# Files


@pytest.fixture(params=["gpt2", "t5", "bert", "some of gpt2"])
def trace(request: pytest.FixtureRequest, folders: dict[str, Path]) -> ch.Trace:
    name = request.param.split()[-1]
    model = ch.load(folders[f"{name}_folder"], executor="native", dtype="float32")
    if name == "bert":
        return model.trace("the teacher taught")
    chosen = {"layers": [1], "heads": [5, 0], "kinds": ["weights", "value"]} if "some" in request.param else {}
    return model.trace("The книга\n\x1b[1m", max_new_tokens=4, **chosen)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def check_loaded(loaded: Trace, trace: Trace) -> None:
    same(loaded, trace)
    for name in ("config", "model", "ids", "pieces", "texts", "special", "n_prompt"):
        assert getattr(loaded, name) == getattr(trace, name), name
    assert loaded.choice.heads == trace.choice.heads and loaded.attentions() == trace.attentions()
    assert compare(loaded, trace).equal and repr(loaded) == repr(trace)


def test_a_saved_trace_comes_back(trace: ch.Trace, tmp_path: Path) -> None:
    trace.save(tmp_path / "a.trace")
    assert names(tmp_path) == ["a.trace"]
    loaded = ch.Trace.load(tmp_path / "a.trace", model=trace.source)
    check_loaded(loaded, trace)
    assert loaded.source is trace.source
    loaded.save(tmp_path / "b.trace")
    check_loaded(load(tmp_path / "b.trace"), trace)
    with pytest.raises(OptionError, match=r"a\.trace exists; name a new file"):
        trace.save(tmp_path / "a.trace")
    check_loaded(load(tmp_path / "a.trace"), trace)


def test_long_spellings_are_saved(trace: ch.Trace, tmp_path: Path) -> None:
    for stack, ids in trace.ids.items():
        trace.pieces[stack], trace.texts[stack] = ["Ġ\n\x1b書" * 500] * len(ids), [" " * 2000] * len(ids)
    trace.save(tmp_path / "a.trace")
    check_loaded(load(tmp_path / "a.trace"), trace)
    with safetensors.safe_open(tmp_path / "a.trace", framework="numpy") as file:
        assert json.loads(file.metadata()["trace"])["pieces"] == trace.pieces


def test_any_safetensors_reader_reads_it(trace: ch.Trace, tmp_path: Path) -> None:
    trace.save(tmp_path / "a.safetensors")
    with safetensors.safe_open(tmp_path / "a.safetensors", framework="numpy") as file:
        assert set(file.keys()) == set(trace.paths)
        assert json.loads(file.metadata()["trace"])["n_prompt"] == trace.n_prompt
        for path in trace:
            assert np.array_equal(file.get_tensor(path), trace.arrays[path])


def test_configurations_with_tuples_and_scalings_come_back(tmp_path: Path) -> None:
    factors = RotaryScaling(kind="factors", factors=(1.0, 2.0), attention_factor=1.0)
    for i, config in enumerate((replace(BY_FAMILY["llama"], rotary_scaling=factors), CONFIGS["labels of tokens"])):
        one = seen(native(config))
        ch.Trace.save(one, tmp_path / str(i))
        assert load(tmp_path / str(i)).config == config


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["gpt2", "t5", "bert"])
def test_a_spilled_trace_is_the_same_and_a_file(
    name: str, dtype: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    model = ch.load(folders[f"{name}_folder"], executor="torch" if dtype == "float64" else "native", dtype=dtype)
    new = {"bert": 0}.get(name, 6)
    held, spilled = (
        model.trace("the teacher", max_new_tokens=new, spill=spill) for spill in (None, tmp_path / "a.trace")
    )
    assert all(isinstance(array, np.memmap) for array in spilled.arrays.values())
    assert all(array.dtype == dtype for array in held.arrays.values())
    assert held.paths == spilled.paths and held.tokens == spilled.tokens
    for path in held:
        assert np.array_equal(held[path], spilled[path]) and spilled[path].dtype == held[path].dtype, path
    check_loaded(load(tmp_path / "a.trace"), spilled)
    with safetensors.safe_open(tmp_path / "a.trace", framework="numpy") as file:
        assert set(file.keys()) == set(spilled.paths)
        for path in spilled:
            assert np.array_equal(file.get_tensor(path), spilled.arrays[path]), path


def test_a_float64_trace_is_saved_as_it_is(tmp_path: Path) -> None:
    trace = seen(executor(BY_FAMILY["llama"]))
    ch.Trace.save(trace, tmp_path / "a.trace")
    loaded = load(tmp_path / "a.trace")
    assert loaded["head.logits"].dtype == np.float64
    same(loaded, trace)


def test_a_spill_that_cannot_be_is_refused_before_the_model_runs(
    gpt2: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").write_text("mine")
    monkeypatch.setattr(gpt2.executor, "decode", unable)
    with pytest.raises(OptionError, match="there exists; name a new file, or remove it first"):
        gpt2.trace("abc", spill=tmp_path / "there")
    assert (tmp_path / "there").read_text() == "mine"
    with pytest.raises(OptionError, match="cannot be written"):
        gpt2.trace("abc", spill=tmp_path / "nowhere" / "a.trace")
    usage = shutil.disk_usage(tmp_path)._replace(free=10_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(
        OptionError, match=r"a\.trace would take 0\.0 GB and the disk has 0\.0 GB free; narrow the trace"
    ):
        gpt2.trace("abc", spill=tmp_path / "a.trace")
    assert names(tmp_path) == ["there"]


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_a_run_that_fails_leaves_no_file(
    gpt2: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: type[BaseException]
) -> None:
    def failing(*arguments: Any, **options: Any) -> Any:
        assert (tmp_path / "a.trace").exists()
        raise failure

    monkeypatch.setattr(gpt2.executor, "decode", failing)
    with pytest.raises(failure):
        gpt2.trace("abc", spill=tmp_path / "a.trace")
    assert names(tmp_path) == []


def test_a_save_that_fails_leaves_no_file(trace: ch.Trace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "copyto", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        trace.save(tmp_path / "a.trace")
    monkeypatch.undo()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 0))
    with pytest.raises(OptionError, match="would take"):
        trace.save(tmp_path / "a.trace")
    assert names(tmp_path) == []


@pytest.fixture(scope="module")
def saved(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("saved") / "a.trace"
    model = ch.load(folders["gpt2_folder"], executor="native", dtype="float32")
    model.trace("The book", max_new_tokens=3).save(path)
    return path.read_bytes()


def refused(data: bytes, path: Path) -> str:
    """What is said of a file that is no trace: one OptionError, in one line, naming it."""
    path.write_bytes(data)
    with pytest.raises(OptionError) as error:
        load(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    return str(error.value)


def test_a_file_cut_short_anywhere_is_refused(saved: bytes, tmp_path: Path) -> None:
    length = struct.unpack("<Q", saved[:8])[0]
    cuts = {*range(12), *range(12, len(saved), 997), 7 + length, 8 + length, 9 + length, len(saved) - 4, len(saved) - 1}
    for cut in sorted(cuts):
        refused(saved[:cut], tmp_path / "cut")
    refused(saved + b"\0" * 4, tmp_path / "long")
    (tmp_path / "whole").write_bytes(saved)
    assert len(load(tmp_path / "whole").paths) == 26


WEIGHTS, INPUT = "decoder.layers.0.attention.weights", "decoder.layers.0.input"
HOSTILE: dict[str, Callable[[dict[str, Any], dict[str, Any]], Any]] = {
    "another shape": lambda h, a: h[WEIGHTS].update(shape=[6, 121, 1]),
    "a negative size": lambda h, a: h[INPUT].update(shape=[-11, -24]),
    "no shape": lambda h, a: h[WEIGHTS].pop("shape"),
    "half precision": lambda h, a: h[WEIGHTS].update(dtype="F16"),
    "another type of the same name": lambda h, a: h[WEIGHTS].update(dtype="F64"),
    "a list for a type": lambda h, a: h[WEIGHTS].update(dtype=["F32"]),
    "a number for an array": lambda h, a: h.update({WEIGHTS: 7}),
    "an array of no model": lambda h, a: h.update({"decoder.layers.9.input": h[INPUT]}),
    "one array over another": lambda h, a: h[INPUT].update(data_offsets=h["decoder.layers.0.output"]["data_offsets"]),
    "offsets before the data": lambda h, a: h[INPUT].update(data_offsets=[-1056, 0]),
    "offsets beyond the file": lambda h, a: h[INPUT].update(data_offsets=[10**12, 10**12 + 1056]),
    "offsets beyond all numbers": lambda h, a: h[INPUT].update(data_offsets=[10**40, 10**40 + 1056]),
    "offsets backwards": lambda h, a: h[INPUT]["data_offsets"].reverse(),
    "offsets in fractions": lambda h, a: h[INPUT].update(data_offsets=[0.5, 1056.5]),
    "one offset": lambda h, a: h[INPUT].update(data_offsets=[0]),
    "a gap": lambda h, a: h.pop(INPUT),
    "no metadata": lambda h, a: h.pop("__metadata__"),
    "no trace in it": lambda h, a: h["__metadata__"].pop("trace"),
    "metadata that is a list": lambda h, a: h.update(__metadata__=[1]),
    "another format": lambda h, a: h["__metadata__"].update(format="clearhead-trace/2"),
    "no format": lambda h, a: h["__metadata__"].pop("format"),
    "text that is no JSON": lambda h, a: h["__metadata__"].update(trace="{'config'"),
    "text that is a number": lambda h, a: h["__metadata__"].update(trace="7"),
    "brackets without end": lambda h, a: h["__metadata__"].update(trace="[" * 200_000),
    "a configuration of no model": lambda h, a: a["config"].update(n_heads=7),
    "a field that is none": lambda h, a: a["config"].update(weather="fine"),
    "a size below zero": lambda h, a: a["config"].update(d_model=-1),
    "too few fields": lambda h, a: a["config"].pop("d_ff"),
    "no configuration": lambda h, a: a.update(config=None),
    "a scaling that is none": lambda h, a: a["config"].update(rotary_scaling={"kind": "odd"}),
    "a head too many": lambda h, a: a.update(heads=[0, 6]),
    "heads by a number": lambda h, a: a.update(heads=6),
    "no spans": lambda h, a: a.pop("spans"),
    "more than was read": lambda h, a: a["spans"]["decoder"].__setitem__(2, 10**9),
    "less than nothing": lambda h, a: a["spans"]["decoder"].__setitem__(2, -1),
    "a start before the start": lambda h, a: a["spans"]["decoder"].__setitem__(0, -1),
    "a length in words": lambda h, a: a["spans"].update(decoder=["0", "11", "11", "0"]),
    "a stack that is none": lambda h, a: a["spans"].update(tower=[0, 1, 1, 0]),
    "no decoder": lambda h, a: a["spans"].pop("decoder"),
    "ids that are texts": lambda h, a: a["ids"].update(decoder=["x"] * 11),
    "ids that are no lists": lambda h, a: a.update(ids=7),
    "fewer texts than ids": lambda h, a: a["texts"].update(decoder=["x"]),
    "pieces of nothing": lambda h, a: a["pieces"].update(tower=[]),
    "marks that are numbers": lambda h, a: a["special"].update(decoder=[0] * 11),
    "a prompt beyond the text": lambda h, a: a.update(n_prompt=12),
    "a prompt in words": lambda h, a: a.update(n_prompt="all"),
    "a name that is a list": lambda h, a: a.update(model=["gpt2"]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_header_that_lies_is_refused(name: str, saved: bytes, tmp_path: Path) -> None:
    length = struct.unpack("<Q", saved[:8])[0]
    header = json.loads(saved[8 : 8 + length])
    about = json.loads(header["__metadata__"]["trace"])
    before = json.dumps(about)
    HOSTILE[name](header, about)
    if json.dumps(about) != before:
        header["__metadata__"]["trace"] = json.dumps(about)
    text = json.dumps(header).encode()
    refused(struct.pack("<Q", len(text)) + text + saved[8 + length :], tmp_path / "a.trace")


@pytest.mark.parametrize(
    "head",
    [
        struct.pack("<Q", 2**63),
        struct.pack("<Q", 2**64 - 8),
        struct.pack("<Q", 1 << 31),
        struct.pack("<Q", 0),
        struct.pack("<Q", 2) + b"{}",
        struct.pack("<Q", 4) + b"[12]",
        struct.pack("<Q", 4) + b"null",
        struct.pack("<Q", 4) + b"\xff\xfe\x00\x80",
        struct.pack("<Q", 9) + b'"\\ud800"}',
        struct.pack("<Q", 200_000) + b"[" * 200_000,
        struct.pack("<Q", 200_000) + b'{"a":' * 40_000,
    ],
    ids=range(11),
)
def test_bytes_that_are_no_header_are_refused(head: bytes, tmp_path: Path) -> None:
    assert "is no trace, or a damaged one" in refused(head + b"\0" * 4096, tmp_path / "a.trace")


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(OptionError, match="cannot be read"):
            load(path)


# Two traces


def test_equal_runs_compare_equal() -> None:
    model = native(BY_FAMILY["t5"])
    compared = compare(seen(model), seen(model))
    assert compared.equal and compared.first is None
    assert [d.path for d in compared] == seen(model).paths
    assert repr(compared) == f"<comparison of {len(compared.differences)} places: equal>"


@EXECUTORS
def test_the_first_place_that_differs_is_where_the_cause_is(make: Make) -> None:
    model = make(BY_FAMILY["llama"])
    plain, steered, path = seen(model), Trace(model.config), "decoder.layers.0.mlp.output"
    vector = np.linspace(1, 2, C)
    edits = Edits(model.config, [steer(path, vector, positions=[4])])
    model.decode([ROW], trace=steered, want="all", edits=edits)
    steered.ids = plain.ids
    compared = compare(plain, steered)
    assert compared.first is not None and compared.first.path == path and not compared.equal
    assert compared.first.largest == pytest.approx(2, rel=1e-5)
    assert compared.first.relative == pytest.approx(np.linalg.norm(vector) / np.linalg.norm(plain[path]), rel=1e-5)
    assert compared.tokens == {"decoder": []} and "furthest apart at decoder.layers." in repr(compared)


def test_runs_of_other_lengths_are_compared_where_both_are() -> None:
    model = native(BY_FAMILY["bloom"])
    assert compare(seen(model, ROW[:4]), seen(model)).equal
    middle = Trace(model.config)
    read(model, trace=middle, sizes=[2, 4], start=3)
    for one, other in ((middle, seen(model)), (seen(model), middle)):
        assert compare(one, other).equal and len(compare(one, other).differences) == len(middle.paths)
    assert compare(seen(model, ROW[:3]), middle).differences[0].largest == 0  # nothing in common


def test_other_tokens_are_named_by_position() -> None:
    model = native(BY_FAMILY["llama"])
    other = [*ROW[:4], 30, *ROW[5:8], 29]
    compared = compare(seen(model), seen(model, other))
    assert compared.tokens == {"decoder": [4, 8]} and not compared.equal
    assert compared.first is not None and compared.first.path == "decoder.embed.tokens"


def test_what_cannot_be_compared_is_refused() -> None:
    model, trace = native(BY_FAMILY["llama"]), seen(native(BY_FAMILY["llama"]))
    with pytest.raises(OptionError, match="of two models"):
        compare(trace, seen(native(BY_FAMILY["qwen2"])))
    with pytest.raises(OptionError, match=r"hold different heads, \(0, 1, 2, 3, 4, 5\) and \(1,\)"):
        compare(trace, seen(model, heads=[1]))
    with pytest.raises(OptionError, match="no place in common"):
        compare(seen(model, kinds=["weights"]), seen(model, kinds=["query"]))
    assert issubclass(OptionError, ClearheadError)


def test_watching_changes_no_text(gpt2: Model) -> None:
    request, ids = GenerationConfig(max_new_tokens=12), gpt2.tokenizer.encode("The teacher")
    [[plain]] = generate(gpt2.executor, [ids], request, gpt2.special)
    trace = Trace(gpt2.config)
    trace.room = {"decoder": len(ids) + 12}
    [[watched]] = generate(WatchedExecutor(gpt2.executor, trace), [ids], request, gpt2.special)
    assert watched == plain
