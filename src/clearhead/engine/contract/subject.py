"""What the checks are made on: one model, three rows of tokens of unequal length, and their logits by the plainest way.

T tokens of a row, V vocab_size, S source tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from clearhead.config import GenerationConfig, ModelConfig
from clearhead.engine.contract.samples import SAMPLES
from clearhead.engine.model import Model
from clearhead.executor import Executor, Floats, Memory
from clearhead.generation.generate import generate
from clearhead.generation.records import Generation

LONGEST_ROW, NEW_TOKENS = 24, 24
BOUNDS = {"float64": 1e-9, "float32": 1e-4, "float16": 1e-2, "bfloat16": 8e-2, "int8": 1e-4, "int4": 1e-4}


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """A figure, what it counts, and the most it may be; or why there was nothing to measure."""

    figure: float
    bound: float
    measures: str
    detail: str = ""
    skipped: str = ""


UNSEEN = Measured(figure=0, bound=0, measures="", skipped="a trace is of a Transformer")


@dataclass(frozen=True)
class Subject:
    """One model with its rows. `sources` are the encoder's, where it stands beside a decoder."""

    model: Model
    rows: list[list[int]]
    sources: list[list[int]] | None

    @property
    def executor(self) -> Executor:
        """What computes."""
        return self.model.executor

    @property
    def traceable(self) -> bool:
        """Whether it can be looked into."""
        return isinstance(self.executor.config, ModelConfig)

    @property
    def bound(self) -> float:
        """The largest relative difference that the order of sums may cause in this type."""
        return BOUNDS.get(self.executor.dtype, BOUNDS["float32"])

    @property
    def longest(self) -> int:
        """The index of the longest row."""
        return max(range(len(self.rows)), key=lambda i: len(self.rows[i]))

    def memory(self, rows: Sequence[int]) -> Memory | None:
        """The encoder's output for these rows, or None without an encoder."""
        return None if self.sources is None else self.executor.encode([self.sources[i] for i in rows])

    @cached_property
    def full(self) -> list[Floats]:
        """Logits [T, V] of every row, alone, in one pass without a cache."""
        return [self.executor.decode([row], memory=self.memory([i]), want="all")[0] for i, row in enumerate(self.rows)]

    @cached_property
    def states(self) -> list[Floats]:
        """The encoder's states [S, C] of every text it reads, alone."""
        return [self.executor.encode([row]).states[0] for row in self.encoded]

    @property
    def prompt(self) -> list[int]:
        """What generation goes on from: a few tokens again and again, so that there is something to guess from."""
        few = self.rows[0][:4]
        times = max(1, min(4, self.model.config.max_positions // (2 * len(few))))
        return few * times

    @cached_property
    def greedy(self) -> Generation:
        """The prompt's continuation by the plainest way."""
        return self.generate(self.request)

    @property
    def request(self) -> GenerationConfig:
        """A few tokens, the model's own end ignored, so that there is always something to compare."""
        room = self.model.config.max_positions - len(self.prompt)
        return GenerationConfig(max_new_tokens=min(NEW_TOKENS, room), ignore_eos=True)

    def generate(self, config: GenerationConfig) -> Generation:
        """One continuation of the prompt."""
        special, memory = self.model.special, self.memory([0])
        [[done]] = generate(self.executor, [self.prompt], config, special, memory=memory)
        return done

    @property
    def encoded(self) -> list[list[int]]:
        """What the encoder reads."""
        return self.rows if self.sources is None else self.sources

    def compared(self, ours: Sequence[Floats], theirs: Sequence[Floats], detail: str = "") -> Measured:
        """How far two computations of the same arrays lie apart."""
        figure = max(relative(a, b) for a, b in zip(ours, theirs, strict=True))
        return Measured(figure=figure, bound=self.bound, measures="largest relative difference", detail=detail)


def relative(ours: Floats, theirs: Floats) -> float:
    """The largest difference, each relative to its value or to the scale of all values, whichever is larger.

    The scale is what 99 % of the magnitudes stay below: a few logits far off (Marian's padding has -10,000) must not
    excuse the rest. Infinite where either is no number, or the shapes differ.
    """
    if ours.shape != theirs.shape or not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return float("inf")
    if theirs.size == 0:
        return 0.0
    magnitudes = np.abs(theirs)
    scale = max(float(np.quantile(magnitudes, 0.99)), float(np.finfo(theirs.dtype).tiny))
    return float((np.abs(ours - theirs) / np.maximum(magnitudes, scale)).max())


def subject(model: Model) -> Subject:
    """Three rows from the sample texts, or from ids drawn at random where the model has no vocabulary."""
    longest = min(LONGEST_ROW, max(2, model.config.max_positions // 2))
    lengths = [max(2, longest // 3), max(2, 2 * longest // 3), longest]
    ids = some_ids(model, 2 * sum(lengths))
    rows = [[ids.pop() for _ in range(n)] for n in lengths]
    if model.config.kind != "encoder-decoder":
        return Subject(model, rows, None)
    begun = [[decoder_start(model), *row[1:]] for row in rows]
    return Subject(model, begun, [[ids.pop() for _ in range(n)] for n in reversed(lengths)])


def some_ids(model: Model, count: int) -> list[int]:
    """Ordinary ids, none of them special."""
    s, size = model.special, model.config.vocab_size
    special = {s.bos, s.pad, s.unknown, s.mask, s.decoder_start, *s.eos, *s.suppressed}
    found: list[int] = []
    if model.checkpoint.tokenizer is not None:
        special |= model.tokenizer.special_ids
        for text in SAMPLES:
            found += model.tokenizer.encode(text, add_special_tokens=False)
    found = [i for i in found if i not in special and i < size]
    if len(set(found)) < 2:
        ordinary = [i for i in range(min(size, 10_000)) if i not in special] or [0]
        found = np.random.default_rng(0).choice(ordinary, size=count).tolist()
    return [found[i % len(found)] for i in range(count)][::-1]


def decoder_start(model: Model) -> int:
    """What the decoder begins with; any id will do for a comparison."""
    s = model.special
    return next((i for i in (s.decoder_start, s.bos, s.pad) if i is not None), 0)
