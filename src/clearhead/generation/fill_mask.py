"""Masked language modelling: what an encoder-only model would write where a text has masks (Devlin et al. 2019, 3.1).

S positions of a row, V vocab_size.
"""

import math
from dataclasses import dataclass

import numpy as np

from clearhead.config import SpecialTokens
from clearhead.errors import OptionError, UnsupportedError
from clearhead.executor import Executor, Floats, Tokens
from clearhead.generation.prompts import check_ids
from clearhead.generation.sampling import alternatives_of, log_softmax


@dataclass(frozen=True, kw_only=True, slots=True)
class Filling:
    """What one mask could stand for."""

    position: int  # of the mask in its row
    candidates: tuple[tuple[int, float], ...]  # (token, probability), likeliest first


def fill_mask(
    executor: Executor, rows: Tokens, special: SpecialTokens, *, top: int = 5, token_types: Tokens | None = None
) -> list[list[Filling]]:
    """The `top` likeliest tokens of every mask of every row, each mask by itself.

    Raises:
        UnsupportedError: the model has no masked-language head, or its vocabulary no mask.
        OptionError: a row without a mask, an id outside the vocabulary, or `top` below 1.
        ContextWindowError: a row longer than the context window.
    """
    mask = mask_of(executor, special)
    if isinstance(top, bool) or not isinstance(top, int) or not 1 <= top <= executor.config.vocab_size:
        raise OptionError(f"top is {top!r}; it must be a whole number from 1 to {executor.config.vocab_size}")
    if len(rows) == 0:
        raise OptionError("there is no row to fill; give at least one")
    checked = [check_ids(row, executor.config, f"row {i}") for i, row in enumerate(rows)]
    for i, row in enumerate(checked):
        if mask not in row:
            raise OptionError(f"row {i} has no mask (id {mask}); put one where a token is wanted")
    outputs = executor.head(executor.encode(checked, token_types))
    return [fillings(row, logits, mask, top) for row, logits in zip(checked, outputs, strict=True)]


def fill_likeliest_first(
    executor: Executor, row: list[int], special: SpecialTokens, *, token_types: list[int] | None = None
) -> list[int]:
    """The row with every mask filled, the surest first; the model is asked again each time, so that fillings agree.

    Raises:
        UnsupportedError, OptionError, ContextWindowError: see `fill_mask`.
    """
    filled = list(row)
    types = None if token_types is None else [token_types]
    for _ in range(max(1, row.count(mask_of(executor, special)))):
        [masks] = fill_mask(executor, [filled], special, top=1, token_types=types)
        surest = max(masks, key=lambda filling: filling.candidates[0][1])
        filled[surest.position] = surest.candidates[0][0]
    return filled


def mask_of(executor: Executor, special: SpecialTokens) -> int:
    """The mask's id, for a model that can fill it."""
    config = executor.config
    if config.kind != "encoder" or config.head != "mlm":
        raise UnsupportedError(
            f"this {config.family} model ({config.kind}, head {config.head!r}) was not made to fill masks"
        )
    if special.mask is None:
        raise UnsupportedError("this vocabulary has no mask token")
    return special.mask


def fillings(row: list[int], logits: Floats, mask: int, top: int) -> list[Filling]:
    """Every mask of one row, from logits [S, V]."""
    positions = np.flatnonzero(np.asarray(row) == mask)
    logprobs = log_softmax(logits[positions])
    return [
        Filling(
            position=at, candidates=tuple((token, math.exp(value)) for token, value in alternatives_of(scores, top))
        )
        for at, scores in zip(positions.tolist(), logprobs, strict=True)
    ]
