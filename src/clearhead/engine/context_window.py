"""Making a text fit the context window, never in silence: it fits, it is an error, or the caller chose what to drop."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from clearhead.errors import ContextWindowError, OptionError
from clearhead.text.tokenizer import Tokenizer

Overflow = Literal["error", "truncate-left", "truncate-middle"]
OVERFLOWS = ("error", "truncate-left", "truncate-middle")


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """How a completion used the context window, in tokens."""

    window: int  # what the model can hold
    used: int  # by prompt and completion together (by the completion alone where an encoder reads the prompt)
    remaining: int
    dropped: int = 0  # of the prompt, by the strategy
    strategy: Overflow = "error"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitted:
    """Ids that fit, and how many were given up for it."""

    ids: list[int]
    text: str
    dropped: int


def fit(text: str, encode: Callable[[str], list[int]], tokenizer: Tokenizer, limit: int, strategy: Overflow) -> Fitted:
    """Ids of `text`, framed by `encode`, in at most `limit` tokens.

    Only the text is shortened: what `encode` puts around it (a chat template, [CLS] and [SEP]) stays whole.

    Raises:
        ContextWindowError: it does not fit and `strategy` is "error", or its frame alone does not fit.
        OptionError: an unknown strategy.
    """
    if strategy not in OVERFLOWS:
        raise OptionError(f"on_overflow is {strategy!r}; choose one of {', '.join(OVERFLOWS)}")
    ids = encode(text)
    if len(ids) <= limit:
        return Fitted(ids=ids, text=text, dropped=0)
    if strategy == "error":
        raise ContextWindowError(
            f"the prompt takes {len(ids)} tokens and the context window has room for {limit}; shorten it by "
            f"{len(ids) - limit}, or let `complete` or `chat` cut it (on_overflow truncate-left or truncate-middle)"
        )
    return shorten(text, encode, tokenizer, limit, strategy)


def shorten(
    text: str, encode: Callable[[str], list[int]], tokenizer: Tokenizer, limit: int, strategy: Overflow
) -> Fitted:
    """The longest part of `text` that fits: its end, or its beginning and its end.

    Cutting ids and reading the rest as text can give a few other ids, hence the loop.
    """
    whole = len(encode(text))
    content = tokenizer.encode(text, add_special_tokens=False)
    keep = len(content) - (whole - limit)
    while keep > 0:
        head = keep // 2 if strategy == "truncate-middle" else 0
        kept = tokenizer.decode(content[:head]) + tokenizer.decode(content[len(content) - (keep - head) :])
        ids = encode(kept)
        if len(ids) <= limit:
            return Fitted(ids=ids, text=kept, dropped=whole - len(ids))
        keep -= len(ids) - limit
    raise ContextWindowError(
        f"nothing of the prompt fits: what frames it takes the {limit} tokens the context window has room for"
    )


def prompt_limit(window: int, max_new_tokens: int, strategy: Overflow) -> int:
    """How long a prompt may be. A prompt cut on request leaves room for the completion, up to half of the window."""
    if strategy == "error":
        return window - min(1, max_new_tokens)
    return window - min(max_new_tokens, window // 2)
