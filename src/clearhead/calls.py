"""What every executor asks of a call before it runs, so that a wrong one gets the same answer from each."""

from collections.abc import Sequence
from typing import Any, TypeVar

from clearhead.config import Architecture, ModelConfig
from clearhead.edits import Edits
from clearhead.errors import ContextWindowError, OptionError, UnsupportedError
from clearhead.executor import Floats, Tokens
from clearhead.trace import Trace

T = TypeVar("T")


def own(value: object, kind: type[T], executor: str) -> T:
    """A cache or memory that this executor made; another's means nothing to it.

    Raises:
        OptionError: it is of another kind.
    """
    if not isinstance(value, kind):
        raise OptionError(f"the {executor} executor cannot use a {type(value).__name__}; it makes its own")
    return value


def check_capacity(capacity: int, config: Architecture) -> None:
    """Refuse a cache that holds nothing, or more than the model can read."""
    if not 0 < capacity <= config.max_positions:
        raise OptionError(f"cache capacity is {capacity}; it must be from 1 to {config.max_positions}")


def check_watched(tokens: Sequence[Any], trace: Trace | None, edits: Edits | None, config: ModelConfig) -> None:
    """A trace shows one sequence, edits change one, and both were made for this model."""
    if (trace is not None or edits is not None) and len(tokens) != 1:
        raise OptionError(f"a trace shows one sequence at a time, and edits change one, not {len(tokens)}")
    if trace is not None:
        trace.check(config)
    if edits is not None and edits.config != config:
        raise OptionError("the edits were made for another model; make them from this model's configuration")


def check_read(states: Floats, config: ModelConfig) -> None:
    """The head reads states [T, C], if it scores tokens or labels of tokens."""
    if config.head in ("none", "sequence_labels"):
        raise UnsupportedError(f"this checkpoint's head is {config.head!r}; it scores no single token")
    if states.ndim != 2 or states.shape[1] != config.d_model or len(states) == 0:
        raise OptionError(f"states have shape {states.shape}; the head reads [tokens, {config.d_model}]")


def check_rows(tokens: Tokens, **held: Sequence[int] | None) -> None:
    """A cache and a memory, given by their rows' lengths, hold one row for each of the call."""
    for name, lengths in held.items():
        if lengths is not None and len(lengths) != len(tokens):
            raise OptionError(f"{len(tokens)} rows of tokens, and a {name} of {len(lengths)}; select its rows first")


def check_window(length: int, config: Architecture) -> None:
    """Refuse a sequence longer than the positions the model knows."""
    if length > config.max_positions:
        raise ContextWindowError(
            f"{length} tokens do not fit the context window of {config.max_positions}; shorten the text"
        )


def check_room(length: int, capacity: int) -> None:
    """Refuse more positions than a cache was made for."""
    if length > capacity:
        raise ContextWindowError(f"{length} tokens do not fit a cache of {capacity}; ask for a larger one")


def check_encoder(tokens: Tokens, config: Architecture) -> None:
    """An encoder reads rows of at least one token."""
    if not config.n_encoder_layers:
        raise UnsupportedError("this model has no encoder")
    if min(map(len, tokens), default=0) == 0:
        raise OptionError("an encoder needs at least one row, and at least one token in every row")


def check_decoder(has_memory: bool, config: Architecture) -> None:
    """A decoder beside an encoder reads its memory, any other none."""
    if not config.n_decoder_layers:
        raise UnsupportedError("this model has no decoder")
    if has_memory != bool(config.n_encoder_layers):
        raise OptionError("a decoder beside an encoder needs the encoder's memory, and no other takes one")
