"""Clearhead's native executor."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np

import clearhead as ch
from benchmarks import engine
from benchmarks.engine import Rows, ids, timed
from benchmarks.shapes import decoder
from clearhead.config import GenerationConfig, ModelConfig, SpecialTokens
from clearhead.executor import Executor
from clearhead.families.layout import layout
from clearhead.generation import decode
from clearhead.generation.generate import generate
from clearhead.generation.prompts import encode_sources
from clearhead.generation.row import choose_all
from clearhead.native.cache import PagedCache
from clearhead.native.executor import NativeExecutor
from clearhead.native.packing import pack_weights
from clearhead.trace import Trace

RANDOM = "random:"


class Engine(engine.Engine):
    """`model` is whatever `clearhead.load` takes, or `random:SHAPE`."""

    package = "clearhead"

    def __init__(self, model: str, threads: int, dtype: str = "auto") -> None:
        super().__init__(model, threads)
        self.special = SpecialTokens()
        if model.startswith(RANDOM):
            self.executor = random_executor(model.removeprefix(RANDOM), dtype, threads)
            return
        loaded = ch.load(model, executor="native", dtype=dtype, threads=threads)
        assert isinstance(loaded.executor, NativeExecutor)
        self.executor, self.special = loaded.executor, loaded.special

    def facts(self) -> dict[str, Any]:
        """Bytes and parameters that a step, or a token of a prompt, goes through, and their arithmetic."""
        shapes = layout(self.executor.config)
        layers = sum(a[0] * a[1] for name, a in shapes.items() if ".layers." in name and len(a) == 2)
        head = shapes.get("head.projection.weight", shapes["embed.tokens.weight"])
        dtype = self.executor.dtype
        return super().facts() | {
            "weight_bytes": self.executor.packed_bytes,
            "position_bytes": position_bytes(self.executor),
            "layer_parameters": layers,
            "step_parameters": layers + head[0] * head[1],
            "arithmetic": dtype if dtype in ("float32", "bfloat16") else "int8",
        }

    def begin(self, rows: int, capacity: int) -> None:
        """A new cache."""
        self.cache: PagedCache = self.executor.new_cache(rows, capacity)

    def feed(self, tokens: Rows) -> None:
        """One call."""
        self.logits = self.executor.decode(tokens, self.cache)

    def likeliest(self) -> int:
        """Of the only row."""
        return int(self.logits[0][-1].argmax())

    def state(self, tokens: list[int]) -> list[float]:
        """[C] of the first token."""
        state: list[float] = self.executor.encode([tokens]).states[0][0].tolist()
        return state

    def captured(self, prompt: int = 64, new: int = 48) -> float:
        """`decode` of one row with the attention weights of all layers and heads kept, of the prompt's tokens too."""
        self.begin(1, prompt + new)
        trace = Trace(self.executor.config, kinds=["weights"])
        trace.room = {"decoder": prompt + new}
        self.executor.decode([ids(prompt)], self.cache, trace=trace)
        return new / timed(lambda: [self.executor.decode([[5]], self.cache, trace=trace) for _ in range(new)])

    def sampling(self, batch: int = 32, new: int = 16, *, choosing: bool = True) -> float:
        """Percent of a batch's steps, top-p at temperature 1: of choosing tokens, or of all outside the executor."""
        config = GenerationConfig(max_new_tokens=new, temperature=1.0, top_p=0.95, seed=1, ignore_eos=True)
        inside, chooser = Clock(self.executor.decode), Clock(choose_all)
        executor = Timed(self.executor, inside)
        rows = decode.start(cast(Executor, executor), [ids(16, row) for row in range(batch)], config, self.special)
        decode.choose_all = chooser
        try:
            steps = decode.run(cast(Executor, executor), rows)
            next(steps)  # the prompts are read
            inside.seconds = chooser.seconds = 0.0
            seconds = timed(lambda: list(steps))
        finally:
            decode.choose_all = choose_all
        return 100 * (chooser.seconds if choosing else seconds - inside.seconds) / seconds

    def encode(self, batch: int = 32, tokens: int = 128) -> float:
        """Texts per second."""
        texts = [ids(tokens, row) for row in range(batch)]
        return batch / timed(lambda: self.executor.encode(texts).states)

    def translate(self, beams: int = 1, new: int = 0) -> float:
        """Tokens per second."""
        sources, found = self.sources(), list[list[int]]()
        seconds = timed(lambda: found.extend(self.translations(sources, beams, new)))
        return sum(map(len, found)) / seconds

    def translation(self, beams: int, new: int) -> list[int]:
        """Of the first source."""
        return self.translations(self.sources()[:1], beams, new)[0]

    def translations(self, sources: Rows, beams: int, new: int) -> Rows:
        """The best of each."""
        config = GenerationConfig(beams=beams, max_new_tokens=new or 96, min_new_tokens=new)
        prompts, memory = encode_sources(self.executor, sources, self.special)
        groups = generate(self.executor, prompts, config, self.special, memory=memory)
        return [list(best.text_tokens) for best, *_ in groups]

    def sources(self) -> Rows:
        """Beside the model."""
        sources: Rows = json.loads((Path(self.model).parent / "sources.json").read_text())["ids"]
        return sources


def random_executor(shape: str, dtype: str, threads: int) -> NativeExecutor:
    """A decoder of random weights."""
    config, dtype = decoder(shape), "float32" if dtype == "auto" else dtype
    return NativeExecutor(config, pack_weights(config, random_weights(config), dtype), dtype, threads=threads)


def random_weights(config: ModelConfig) -> Iterator[tuple[str, np.ndarray]]:
    """Every weight; large ones repeat one million numbers, since drawing billions takes longer than all else."""
    drawn = (np.random.default_rng(0).standard_normal(2**20) * 0.02).astype(np.float32)
    for name, shape in layout(config).items():
        values = np.resize(drawn, shape)
        yield name, values + 1 if name.endswith("norm.weight") else values


def position_bytes(executor: NativeExecutor) -> int:
    """Keys and values of one token."""
    config, size = executor.config, {"float32": 4, "int8": 1}.get(executor.kv, 2)
    return 2 * config.n_decoder_layers * config.n_kv_heads * config.head_dim * size


class Clock:
    """A function that knows how long its calls took."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self.call, self.seconds = call, 0.0

    def __call__(self, *given: Any, **options: Any) -> Any:
        start = time.perf_counter()
        try:
            return self.call(*given, **options)
        finally:
            self.seconds += time.perf_counter() - start


class Timed:
    """An executor whose decoding is timed."""

    def __init__(self, executor: NativeExecutor, decode: Clock) -> None:
        self.executor, self.decode = executor, decode

    def __getattr__(self, name: str) -> Any:
        return getattr(self.executor, name)
