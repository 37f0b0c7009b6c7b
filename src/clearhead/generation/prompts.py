"""What a model is given to continue: token ids checked against its vocabulary and its context window.

A decoder's prompt is what its sequence begins with. With an encoder, the text goes to the encoder (the *source*) and
the decoder's prompt is usually the one id that starts it; `encode_sources` makes both.
"""

from collections.abc import Sequence

import numpy as np

from clearhead.config import Architecture, SpecialTokens
from clearhead.errors import ContextWindowError, OptionError, UnsupportedError
from clearhead.executor import Executor, Memory, Tokens


def check_ids(ids: Sequence[int], config: Architecture, name: str = "prompt") -> list[int]:
    """The ids as a list of plain ints.

    Raises:
        OptionError: no ids at all, or an id that is not a whole number in [0, vocab_size).
        ContextWindowError: more ids than the context window holds.
    """
    if len(ids) == 0:
        raise OptionError(f"{name} is empty; a model needs at least one token to continue")
    if len(ids) > config.max_positions:
        raise ContextWindowError(
            f"{name} has {len(ids)} tokens and the context window holds {config.max_positions}; shorten it by "
            f"{len(ids) - config.max_positions}"
        )
    for position, token in enumerate(ids):
        whole = isinstance(token, int | np.integer) and not isinstance(token, bool)
        if not whole or not 0 <= token < config.vocab_size:
            raise OptionError(
                f"{name} has id {token!r:.40} at position {position}; this vocabulary has ids 0 to "
                f"{config.vocab_size - 1}"
            )
    return [int(token) for token in ids]


def check_prompts(prompts: Tokens, config: Architecture, memory: Memory | None) -> list[list[int]]:
    """Every prompt as a list of plain ints, for a model that has a decoder.

    Raises:
        OptionError, ContextWindowError: see `check_ids`; also no prompt, or memory that this model lacks or cannot use.
        UnsupportedError: the model has no decoder.
    """
    if config.kind == "encoder":
        raise UnsupportedError(
            f"a {config.family} model has no decoder and cannot generate; ask it to fill masks instead"
        )
    if (memory is None) != (config.kind == "decoder"):
        raise OptionError(
            f"a {config.kind} model {'lacks' if memory is None else 'cannot use'} an encoder's memory here"
        )
    if len(prompts) == 0:
        raise OptionError("there is no prompt; give at least one")
    single = len(prompts) == 1
    return [check_ids(ids, config, "prompt" if single else f"prompt {i}") for i, ids in enumerate(prompts)]


def encode_sources(executor: Executor, sources: Tokens, special: SpecialTokens) -> tuple[list[list[int]], Memory]:
    """Run the encoder over the sources; what the decoder begins with, and the memory it reads.

    Raises:
        OptionError, ContextWindowError: see `check_ids`; also a model that does not say what its decoder begins with.
        UnsupportedError: the model has no encoder beside its decoder.
    """
    config = executor.config
    if config.kind != "encoder-decoder":
        raise UnsupportedError(f"a {config.family} model reads no source; give its decoder or encoder the ids directly")
    start = decoder_start(special)
    checked = [check_ids(ids, config, f"source {i}") for i, ids in enumerate(sources)]
    if not checked:
        raise OptionError("there is no source; give at least one")
    return [[start] for _ in checked], executor.encode(checked)


def decoder_start(special: SpecialTokens) -> int:
    """The id a decoder beside an encoder begins with.

    Raises:
        OptionError: the model does not say.
    """
    start = special.bos if special.decoder_start is None else special.decoder_start
    if start is None:
        raise OptionError("the checkpoint names no decoder_start id; give the decoder a prompt of its own")
    return start


def room(prompt: Sequence[int], config: Architecture, max_new_tokens: int) -> int:
    """How many tokens may follow the prompt: prompt and new tokens together never exceed the context window."""
    return min(max_new_tokens, config.max_positions - len(prompt))
