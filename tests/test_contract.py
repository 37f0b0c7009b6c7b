"""The numerical contract, over all families: how a text is computed never changes what is computed.

cached = full for chunks of any size, after a rewind and after rows moved; a row alone = the same row in any batch;
traced = untraced. In float64, where a difference means a mistake and not rounding.
"""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clearhead.config import ModelConfig, RotaryScaling
from clearhead.errors import OptionError
from clearhead.families.layout import count, layout
from clearhead.model.executor import TorchExecutor
from clearhead.model.transformer import Transformer
from clearhead.trace import Trace
from models import BY_FAMILY, EXECUTORS, Make, executor, random_weights
from test_parity import relaxed, run

DECODERS = [name for name, config in BY_FAMILY.items() if config.kind != "encoder"]
ROW = st.lists(st.integers(2, 30), min_size=1, max_size=12)


def close(ours: Any, theirs: Any) -> bool:
    return len(ours) == len(theirs) and all(
        np.allclose(a, b, rtol=0, atol=1e-9) for a, b in zip(ours, theirs, strict=True)
    )


def full(model: TorchExecutor, sources: list[list[int]], rows: list[list[int]]) -> list[np.ndarray]:
    """Logits of whole rows in one pass without a cache; `sources` are read only where there are two stacks."""
    return run(model, sources if model.config.kind == "encoder-decoder" else rows, rows)


@pytest.mark.parametrize("family", BY_FAMILY)
def test_the_model_has_exactly_the_weights_of_the_layout(family: str) -> None:
    config = BY_FAMILY[family]
    with torch.device("meta"):
        parameters = {name: tuple(p.shape) for name, p in Transformer(config).named_parameters()}
    assert parameters == layout(config)
    assert count(layout(config)) == sum(int(np.prod(shape)) for shape in parameters.values())


@EXECUTORS
@pytest.mark.parametrize("family", DECODERS)
def test_cached_equals_full(family: str, make: Make) -> None:
    model = make(BY_FAMILY[family])

    @relaxed
    @given(st.data())
    def check(data: st.DataObject) -> None:
        rows = data.draw(st.lists(ROW, min_size=1, max_size=4))
        sources = [data.draw(ROW) for _ in rows]
        whole = full(model, sources, rows)
        memory = model.encode(sources) if model.config.kind == "encoder-decoder" else None
        cache = model.new_cache(len(rows), 16)
        seen: list[list[np.ndarray]] = [[] for _ in rows]
        while any(n < len(row) for n, row in zip(cache.lengths, rows, strict=True)):
            if data.draw(st.integers(0, 4)) == 0:  # rewind some rows, then go on from there
                kept = [data.draw(st.integers(0, n)) for n in cache.lengths]
                cache.truncate(kept)
                seen = [parts[:n] for parts, n in zip(seen, kept, strict=True)]
            steps = [
                data.draw(st.integers(0, min(5, len(row) - n))) for n, row in zip(cache.lengths, rows, strict=True)
            ]
            chunk = [row[n : n + k] for n, k, row in zip(cache.lengths, steps, rows, strict=True)]
            for parts, logits in zip(seen, model.decode(chunk, cache, memory, want="all"), strict=True):
                parts.extend(logits)
        assert close(seen, whole)

    check()


@EXECUTORS
@pytest.mark.parametrize("family", DECODERS)
def test_rows_go_on_where_they_were_moved(family: str, make: Make) -> None:
    model = make(BY_FAMILY[family])
    rows, sources = [[5, 6, 7], [8, 9], [10, 11, 12, 13]], [[3, 4], [5, 6, 7], [8]]
    memory = model.encode(sources) if model.config.kind == "encoder-decoder" else None
    cache = model.new_cache(3, 16)
    model.decode(rows, cache, memory)
    order = [2, 0, 0, 1]
    cache.select(order)
    moved = model.decode(
        [[20], [21], [22, 23], [24]], cache, None if memory is None else memory.select(order), want="all"
    )
    new = [rows[old] + extra for old, extra in zip(order, [[20], [21], [22, 23], [24]], strict=True)]
    whole = full(model, [sources[old] for old in order], new)
    assert close(moved, [logits[len(rows[old]) :] for old, logits in zip(order, whole, strict=True)])


@EXECUTORS
@pytest.mark.parametrize("family", BY_FAMILY)
def test_a_row_is_the_same_alone_and_in_a_batch(family: str, make: Make) -> None:
    model = make(BY_FAMILY[family])
    rows, sources = [[5, 6, 7], [8], [10, 11, 12, 13, 14]], [[3, 4, 9], [5, 6, 7, 8], [8]]
    together = full(model, sources, rows)
    alone = [full(model, [source], [row])[0] for source, row in zip(sources, rows, strict=True)]
    assert close(together, alone)


@EXECUTORS
@pytest.mark.parametrize("family", BY_FAMILY)
def test_traced_equals_untraced_and_attention_rows_sum_to_one(family: str, make: Make) -> None:
    model, trace = make(BY_FAMILY[family]), Trace(BY_FAMILY[family])
    row, source = [[5, 6, 7, 8]], [[3, 4, 9]]
    plain = full(model, source, row)
    encoded = source if model.config.kind == "encoder-decoder" else row
    memory = None if model.config.kind == "decoder" else model.encode(encoded, trace=trace)
    traced = (
        model.head(memory, trace)
        if model.config.kind == "encoder"
        else model.decode(row, None, memory, want="all", trace=trace)
    )
    assert close(plain, traced)
    weights = [array for path, array in trace.arrays.items() if path.endswith(".weights")]
    assert len(weights) == model.config.n_encoder_layers + model.config.n_decoder_layers * (
        2 if model.config.kind == "encoder-decoder" else 1
    )
    assert all(np.allclose(array.sum(-1), 1) for array in weights)
    if model.config.kind == "decoder":
        ahead = np.triu(np.ones((4, 4), dtype=bool), 1)
        assert all((array[:, ahead] == 0).all() for array in weights)


def test_a_cache_or_memory_of_other_rows_is_refused() -> None:
    model = executor(BY_FAMILY["t5"])
    with pytest.raises(OptionError, match="2 rows of tokens, and a memory of 1"):
        model.decode([[5], [6]], memory=model.encode([[3, 4]]))
    with pytest.raises(OptionError, match="1 rows of tokens, and a cache of 2"):
        model.decode([[5]], model.new_cache(2, 8), model.encode([[3, 4]]))
    with pytest.raises(OptionError, match="rewound to -1"):
        model.new_cache(2, 8).truncate([-1, 0])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("family", BY_FAMILY)
def test_types_of_two_bytes_stay_near_float64(family: str, dtype: str) -> None:
    rows, sources = [[5, 6, 7] * 9, [8], [10, 11, 12, 13, 14]], [[3, 4, 9], [5, 6, 7, 8] * 7, [8]]
    exact, rounded = (full(executor(BY_FAMILY[family], t), sources, rows) for t in ("float64", dtype))
    bound = {"bfloat16": 8e-2, "float16": 1e-2}[dtype]
    assert all(np.abs(a - b).max() < bound * np.abs(a).max() for a, b in zip(exact, rounded, strict=True))


# What each field is changed to; None: it has no other value that means something, and why.
SCALING = RotaryScaling(kind="linear", factor=4.0)
FLIPS: dict[str, Any] = {
    "family": None,  # a label
    "vocab_size": None,  # sizes: the shapes of the weights change with them
    "d_model": None,
    "d_ff": None,
    "n_heads": lambda c: (
        {"n_heads": 2, "n_kv_heads": 2, "head_dim": 12}
        if c.n_kv_heads == c.n_heads and c.position != "relative"
        else None
    ),
    "n_kv_heads": None,
    "head_dim": None,
    "n_encoder_layers": None,
    "n_decoder_layers": None,
    "max_positions": None,
    "norm": lambda c: {"norm": "rms" if c.norm == "layer_without_bias" else "layer_without_bias"},
    "norm_placement": lambda c: (
        {"norm_placement": "post"} if c.residual == "sequential" and c.norm_placement == "pre" else None
    ),
    "norm_eps": lambda c: {"norm_eps": 0.1},
    "residual": lambda c: {"residual": "sequential"} if c.residual == "parallel" else None,
    "position": lambda c: {"position": "alibi" if c.position == "rotary" else "rotary"},
    "rotary_base": lambda c: {"rotary_base": 300.0} if c.position == "rotary" else None,
    "rotary_scaling": lambda c: {"rotary_scaling": SCALING} if c.position == "rotary" else None,
    "relative_buckets": None,  # the shape of a weight
    "relative_max_distance": lambda c: {"relative_max_distance": 6} if c.position == "relative" else None,
    "attention_bias": lambda c: {"attention_bias": "none"} if c.attention_bias != "none" else None,
    "attention_scale": lambda c: {"attention_scale": 0.7},
    "activation": lambda c: {"activation": "relu" if c.activation != "relu" else "gelu"},
    "mlp": lambda c: {"mlp": "plain"} if c.mlp == "gated" else None,
    "mlp_bias": lambda c: {"mlp_bias": False} if c.mlp_bias else None,
    "n_token_types": lambda c: {"n_token_types": 0} if c.n_token_types else None,
    "embedding_scale": lambda c: {"embedding_scale": 2.5} if not c.embedding_norm or c.position == "learned" else None,
    "embedding_norm": lambda c: {"embedding_norm": not c.embedding_norm} if c.embedding_norm else None,
    "pooler": None,  # adds weights; its output is tested with BERT's
    "head": None,  # another head has other weights
    "head_bias": lambda c: {"head_bias": False} if c.head_bias else None,
    "tied": lambda c: {"tied": False} if c.tied else None,
    "logit_scale": lambda c: {"logit_scale": 0.3},
    "labels": None,  # names of rows
}


def test_every_field_of_the_configuration_has_its_flip() -> None:
    assert set(FLIPS) == {f.name for f in fields(ModelConfig)}


@pytest.mark.parametrize("field", [name for name, flip in FLIPS.items() if flip is not None])
def test_a_flipped_field_is_noticed(field: str) -> None:
    noticed = 0
    for config in BY_FAMILY.values():
        change = FLIPS[field](config)
        if change is None:
            continue
        weights = dict(random_weights(config))
        other = replace(config, **change)
        extra = {name: array for name, array in random_weights(other) if name not in weights}
        kept = {name: weights.get(name, extra.get(name)) for name in layout(other)}
        rows = [[5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]]
        before = run(TorchExecutor(config, weights.items(), "float64", "cpu"), rows, rows)[0]
        after = run(TorchExecutor(other, kept.items(), "float64", "cpu"), rows, rows)[0]
        assert np.abs(before - after).max() > 1e-4, (config.family, change)
        noticed += 1
    assert noticed
