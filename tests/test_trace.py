"""What a trace keeps, of which places, in which shapes; and that looking changes nothing, in however many calls.

T queries, S keys, M the encoder's tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clearhead.config import ModelConfig
from clearhead.errors import OptionError
from clearhead.native import _native
from clearhead.trace import Trace
from clearhead.trace.comparison import compare
from clearhead.trace.schema import places, stacks
from models import BY_FAMILY, EXECUTORS, Make, executor, native
from test_native_executor import WIDE
from trace_runs import CONFIGS, DECODERS, DEEPER, FAMILIES, ROW, SOURCE, read, same, seen

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
