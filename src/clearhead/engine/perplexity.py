"""How well a model predicts a text: exp of the mean negative log-probability of its tokens (Jelinek et al. 1977)."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from clearhead.engine.model import Model
from clearhead.errors import OptionError, UnsupportedError
from clearhead.generation.score import score_sequences

WINDOW = 512  # tokens read together: every token but the first of a window is predicted from those before it in it


@dataclass(frozen=True, kw_only=True, slots=True)
class Perplexity:
    """The figure, and what it was measured on."""

    value: float
    tokens: int  # predicted
    window: int


@dataclass(frozen=True, slots=True)
class Window:
    """Tokens that were read together, and the log-probability of each but the first."""

    ids: list[int]
    logprobs: list[float]


def perplexity(
    model: Model,
    text: str,
    *,
    window: int = WINDOW,
    most: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Perplexity:
    """Perplexity of a decoder-only model over `text`, in windows that follow each other without overlap.

    `most` ends after so many tokens; `progress` is told how many of them are done.

    Raises:
        UnsupportedError: the model is no decoder alone.
        OptionError: fewer than two tokens, or a window of fewer.
    """
    if most is not None and most < 2:
        raise OptionError(f"perplexity of the first {most} tokens is asked for; it needs at least 2")
    check_kind(model)
    window = min(window, model.config.max_positions)
    ids = model.tokenizer.encode(text, add_special_tokens=False)[:most]
    total, count = 0.0, 0
    for each in windows(model, ids, window):
        total, count = total - math.fsum(each.logprobs), count + len(each.logprobs)
        progress(count)
    return Perplexity(value=math.exp(total / count), tokens=count, window=window)


def windows(model: Model, ids: Sequence[int], window: int = WINDOW) -> Iterator[Window]:
    """A text's ids in windows that follow each other without overlap, each predicted for itself; errors as above."""
    check_kind(model)
    if len(ids) < 2 or window < 2:
        raise OptionError(f"perplexity needs at least two tokens in a window; there are {min(len(ids), window)}")
    for first in range(0, len(ids) - 1, window):
        some = list(ids[first : first + window])
        [row] = score_sequences(model.executor, [some])
        yield Window(some, [value for value in row if value is not None])


def check_kind(model: Model) -> None:
    """Refuse a model that is no decoder alone."""
    if model.config.kind != "decoder":
        raise UnsupportedError(f"perplexity is measured on a decoder; {model.name} is an {model.config.kind}")
