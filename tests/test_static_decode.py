"""Decoding one token per row over tensors that stay in place equals the eager pass, whatever came before.

What a GPU would record and replay is recorded and replayed here call by call (`replays`).
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._dynamo.testing import CompileCounterWithBackend

from clearhead.config import GenerationConfig, ModelConfig, SpecialTokens
from clearhead.errors import ContextWindowError
from clearhead.generation.beam import beam_search
from clearhead.generation.generate import generate
from clearhead.generation.prompts import encode_sources
from clearhead.model.cache import KVCache
from clearhead.model.executor import TorchExecutor
from clearhead.model.step import cache as step_cache
from clearhead.model.step.cache import StaticCache
from clearhead.model.step.compiler import compiled, leave_open
from clearhead.model.step.forward import as_it_is
from clearhead.model.step.stepper import Stepper
from clearhead.trace import Trace
from models import BY_FAMILY, executor, random_weights
from replays import Recording
from test_contract import DECODERS, FLIPS, ROW
from test_parity import relaxed

MANY = 1000  # processors of a machine on which every small model spreads its keys


@pytest.fixture(autouse=True)
def short_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that small models come to longer ones."""
    monkeypatch.setattr(step_cache, "FEWEST_KEYS", 4)


def stepping(config: ModelConfig, dtype: str = "float64", **how: Any) -> TorchExecutor:
    """A model that decodes by recorded steps."""
    model = TorchExecutor(config, random_weights(config), dtype, "cpu")
    model.stepper = Stepper(model.model, **{"record": Recording} | how)
    return model


def close(ours: Any, theirs: Any, bound: float = 1e-9) -> bool:
    return len(ours) == len(theirs) and all(
        a.shape == b.shape and np.abs(a - b).max(initial=0) <= bound for a, b in zip(ours, theirs, strict=True)
    )


def sources_of(model: TorchExecutor, sources: list[list[int]]) -> Any:
    return model.encode(sources) if model.config.kind == "encoder-decoder" else None


@pytest.mark.parametrize(("dtype", "spread"), [("float64", 0), ("float64", MANY), ("float32", MANY)])
@pytest.mark.parametrize("family", DECODERS)
def test_steps_between_calls_of_every_kind_equal_eager_ones(family: str, dtype: str, spread: int) -> None:
    eager, static = executor(BY_FAMILY[family], dtype), stepping(BY_FAMILY[family], dtype, spread=spread)
    bound, replayed = {"float64": 1e-9, "float32": 1e-4}[dtype], 0

    @settings(relaxed, max_examples=20)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        nonlocal replayed
        rows = data.draw(st.lists(ROW, min_size=1, max_size=3))
        sources = [data.draw(ROW) for _ in rows]
        memories = [sources_of(model, sources) for model in (eager, static)]
        caches = [model.new_cache(len(rows), 30) for model in (eager, static)]
        calls = rows  # the prompts, then whatever comes
        for _ in range(8):
            ours, theirs = (
                model.decode(calls, cache, memory)
                for model, cache, memory in zip((static, eager), caches[::-1], memories[::-1], strict=True)
            )
            assert close(ours, theirs, bound)
            match data.draw(st.sampled_from(["step", "step", "step", "chunk", "rewind", "select"])):
                case "rewind":
                    kept = [data.draw(st.integers(0, n)) for n in caches[0].lengths]
                    [cache.truncate(kept) for cache in caches]
                case "select":
                    count = len(caches[0].lengths)
                    order = data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=5))
                    [cache.select(order) for cache in caches]
                    memories = [None if memory is None else memory.select(order) for memory in memories]
            room = 30 - max(caches[0].lengths)
            counts = data.draw(st.sampled_from([(1, 1), (0, 3)]))
            calls = [
                data.draw(st.lists(st.integers(2, 30), min_size=min(counts[0], room), max_size=min(counts[1], room)))
                for _ in caches[0].lengths
            ]
            assert caches[0].lengths == caches[1].lengths
        replayed += sum(replay.replays for replay in caches[1].storage.replays.values())

    check()
    assert replayed > 100


@pytest.mark.parametrize("family", DECODERS)
def test_steps_read_every_choice_of_the_configuration(family: str) -> None:
    plain = BY_FAMILY[family]
    changes = [change for flip in FLIPS.values() if flip is not None and (change := flip(plain)) is not None]
    extra = [{"n_token_types": 2}, {"position": "learned"}, {"position": "sinusoidal", "d_model": 23}]
    for change in [*changes, *extra]:
        config = replace(plain, **change)
        eager, static = executor(config), stepping(config)
        caches, memories = [], []
        for model in (eager, static):
            caches.append(model.new_cache(2, 16))
            memories.append(sources_of(model, [[3, 4, 9], [5]]))
            model.decode([[5, 6, 7], [8]], caches[-1], memories[-1])
        for _ in range(9):
            ours, theirs = (
                model.decode([[11], [12]], cache, memory)
                for model, cache, memory in zip((static, eager), caches[::-1], memories[::-1], strict=True)
            )
            assert close(ours, theirs), change


def test_a_later_cache_takes_over_storage_and_recordings_and_none_of_what_they_held() -> None:
    model, text = stepping(BY_FAMILY["t5"]), [[5, 6, 7], [8, 9]]

    def run() -> tuple[Any, list[np.ndarray]]:
        cache, memory = model.new_cache(2, 16), model.encode([[3, 4, 9], [5]])
        model.decode(text, cache, memory)
        return cache.storage, model.decode([[11], [12]], cache, memory)

    first, before = run()
    recordings = dict(first.replays)
    with torch.inference_mode():
        for keys, values in [*first.kept, *first.memory]:
            keys.fill_(float("nan"))
            values.fill_(float("nan"))
    second, after = run()
    assert second is first and second.replays == recordings
    assert close(after, before, 0)


def test_two_caches_at_a_time_hold_two_storages_and_those_left_are_few() -> None:
    model = stepping(BY_FAMILY["gpt2"])
    caches = [model.new_cache(1, 16) for _ in range(5)]
    logits = []
    for i, cache in enumerate(caches):
        model.decode([[5 + i, 6]], cache)
    for cache in caches:
        logits += model.decode([[7]], cache)
    assert close(logits, [executor(BY_FAMILY["gpt2"]).decode([[5 + i, 6, 7]])[0] for i in range(5)])
    del cache
    caches.clear()
    assert len(model.stepper.storages.free) == step_cache.FREE_STORAGES


def test_a_cache_grows_with_its_rows_and_leaves_the_smaller_storage() -> None:
    model, eager = stepping(BY_FAMILY["llama"]), executor(BY_FAMILY["llama"])
    cache = model.new_cache(2, 16)
    model.decode([[5, 6], [7, 8, 9]], cache)
    small = cache.storage
    cache.select([1, 0, 1, 1, 0])
    assert list(model.stepper.storages.free) == [small]
    assert cache.storage.rows == 8
    whole = eager.decode([[7, 8, 9, 10], [5, 6, 11], [7, 8, 9, 12], [7, 8, 9, 13], [5, 6, 14]])
    assert close(model.decode([[10], [11], [12], [13], [14]], cache), whole)


def test_storages_that_lie_free_make_room_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    model = stepping(BY_FAMILY["gpt2"])
    model.new_cache(1, 8)
    true, free = step_cache.Storage, model.stepper.storages.free
    assert len(free) == 1

    def storage(*size: Any) -> Any:
        if free:
            raise torch.OutOfMemoryError("short")
        return true(*size)

    monkeypatch.setattr(step_cache, "Storage", storage)
    cache = model.new_cache(2, 16)
    assert cache.storage.rows == 2
    assert not free


def test_no_room_is_an_error_that_changes_nothing() -> None:
    model = stepping(BY_FAMILY["gpt2"])
    cache = model.new_cache(2, 3)
    model.decode([[5, 6], [7, 8, 9]], cache)
    with pytest.raises(ContextWindowError, match="4 tokens do not fit a cache of 3"):
        model.decode([[10], [11]], cache)
    assert cache.lengths == [2, 3]
    cache.truncate([2, 2])
    assert close(model.decode([[10], [9]], cache), executor(BY_FAMILY["gpt2"]).decode([[5, 6, 10], [7, 8, 9]]))


def test_a_traced_step_is_an_eager_one_on_the_same_cache() -> None:
    model, trace = stepping(BY_FAMILY["bloom"]), Trace(BY_FAMILY["bloom"])
    cache = model.new_cache(1, 16)
    model.decode([[5, 6]], cache)
    model.decode([[7]], cache)
    replays = cache.storage.replays[4].replays
    traced = model.decode([[8]], cache, trace=trace)
    assert trace.attention("decoder.layers.1.attention").shape == (6, 1, 4)
    assert cache.storage.replays[4].replays == replays
    [whole] = executor(BY_FAMILY["bloom"]).decode([[5, 6, 7, 8, 9]], want="all")
    assert close([*traced, *model.decode([[9]], cache)], whole[3:, None])


@pytest.mark.parametrize("family", DECODERS)
def test_texts_and_beams_are_those_of_the_eager_pass(family: str) -> None:
    special, rows = SpecialTokens(bos=0, eos=(1, 29), pad=0, decoder_start=0), [[5, 6, 7], [8, 9, 10, 11], [12]]
    config, found = BY_FAMILY[family], []
    for model in (executor(config), stepping(config)):
        prompts, memory = encode_sources(model, rows, special) if config.n_encoder_layers else (rows, None)
        plain = generate(model, prompts, GenerationConfig(max_new_tokens=15), special, memory=memory)
        drawn = generate(
            model, prompts, GenerationConfig(max_new_tokens=15, temperature=1.5, seed=3, n=3), special, memory=memory
        )
        beams = beam_search(model, prompts, GenerationConfig(max_new_tokens=15, beams=3, n=3), special, memory=memory)
        found.append([[g.tokens for g in group] for way in (plain, drawn, beams) for group in way])
    assert found[0] == found[1]


def test_stacked_weights_are_held_once() -> None:
    block = stepping(BY_FAMILY["llama"]).model.decoder.layers[0]
    linear = (block.attention.query, block.attention.value, block.mlp.gate, block.mlp.up)
    assert len({layer.weight.untyped_storage().data_ptr() for layer in linear}) == 2


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> CompileCounterWithBackend:
    """Counts what is compiled, in the place of the backend that makes kernels: that takes long, and a C++ compiler."""
    backend, true = CompileCounterWithBackend("aot_eager"), torch.compile

    def compile(piece: Any, *, fullgraph: bool, dynamic: bool, options: Any) -> Any:
        assert fullgraph and not dynamic
        return true(piece, fullgraph=fullgraph, dynamic=dynamic, backend=backend)

    monkeypatch.setattr(torch, "compile", compile)
    torch._dynamo.reset()
    return backend


@pytest.mark.parametrize("family", DECODERS)
def test_pieces_are_compiled_whole_and_once_for_all_layers_and_capacities(
    family: str, counter: CompileCounterWithBackend
) -> None:
    config = replace(BY_FAMILY[family], n_decoder_layers=3)
    eager = executor(config)
    static = stepping(config, fuse=compiled, record=as_it_is, prepare=leave_open, spread=MANY)
    for capacity in (9, 30, 13):
        caches = [model.new_cache(2, capacity) for model in (eager, static)]
        memories = [sources_of(model, [[3, 4, 9], [5]]) for model in (eager, static)]
        for model, cache, memory in zip((eager, static), caches, memories, strict=True):
            model.decode([[5, 6, 7, 8], [9]], cache, memory)
        for _ in range(4):  # all within one span
            theirs, ours = (
                model.decode([[11], [12]], cache, memory)
                for model, cache, memory in zip((eager, static), caches, memories, strict=True)
            )
            assert close(ours, theirs)
    across = 3 if config.kind == "encoder-decoder" else 0  # what hides padding, asks, and reads a memory
    assert counter.frame_count == 5 + across


def test_where_the_compiler_fails_steps_go_on_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_graph: Any, _inputs: Any) -> Any:
        raise RuntimeError("no C compiler")

    true = torch.compile
    monkeypatch.setattr(torch, "compile", lambda piece, **_: true(piece, backend=broken))
    torch._dynamo.reset()
    model = stepping(BY_FAMILY["llama"], fuse=compiled, record=as_it_is, prepare=leave_open, spread=MANY)
    cache = model.new_cache(1, 16)
    model.decode([[5, 6]], cache)
    with pytest.warns(UserWarning, match="without torch.compile, which failed: .*no C compiler"):
        first = model.decode([[7]], cache)
    second = model.decode([[8]], cache)
    [whole] = executor(BY_FAMILY["llama"]).decode([[5, 6, 7, 8]], want="all")
    assert close([*first, *second], whole[2:, None])


@pytest.mark.parametrize(
    ("decoding", "takes"),
    [(None, KVCache), ("eager", KVCache), ("static", StaticCache), ("compiled", StaticCache)],
)
def test_the_executor_is_told_how_to_decode(decoding: Any, takes: type, counter: CompileCounterWithBackend) -> None:
    config = BY_FAMILY["qwen2"]
    model = TorchExecutor(config, random_weights(config), "float64", "cpu", decoding)
    for capacity in (12, 16, 20):
        cache = model.new_cache(1, capacity)
        model.decode([[5, 6]], cache)
        assert close(model.decode([[7]], cache), executor(config).decode([[5, 6, 7]]))
        assert type(cache) is takes
    assert counter.frame_count == (4 if decoding == "compiled" else 0)  # without a GPU attention is a kernel of its own
