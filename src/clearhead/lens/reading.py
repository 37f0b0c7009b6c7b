"""What a model reads before its gradients are asked for, and where its answer is looked at.

Gradients are the torch executor's. T tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from clearhead.errors import OptionError, UnsupportedError
from clearhead.executor import Differentiable
from clearhead.generation.prompts import check_ids, decoder_start
from clearhead.lens.likely import token_text
from clearhead.lens.modules import check_index
from clearhead.lens.payload import Token
from clearhead.text.printable import one_line
from clearhead.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from clearhead.engine.model import Model


def differentiable(model: "Model") -> Differentiable:
    """The model's executor, if it has gradients.

    Raises:
        UnsupportedError: it has none.
    """
    if not isinstance(model.executor, Differentiable):
        raise UnsupportedError('gradients need the torch executor: load the model with executor="torch"')
    return model.executor


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a model reads, and where its answer is looked at."""

    tokens: list[int]  # of the last stack
    source: list[int] | None  # of an encoder beside it
    at: int  # the position whose logits are explained


def read(model: "Model", text: str, *, said: str | None, at: int | None, chat: bool) -> Asked:
    """The text as ids, and the position that is asked about."""
    config = model.config
    if config.head not in ("lm", "mlm"):
        raise UnsupportedError(f"{model.name} has no head over its vocabulary; it says no token to explain")
    if said is not None and config.kind != "encoder-decoder":
        raise OptionError(f"said is for a model that reads one text and writes another, not {config.kind}s")
    ids = check_ids(encoded(model, text, chat=chat), config, "text")
    if config.kind == "decoder":
        return Asked(tokens=ids, source=None, at=inside(at, ids))
    if config.kind == "encoder":
        return Asked(tokens=ids, source=None, at=masked(ids, model.special.mask) if at is None else inside(at, ids))
    prefix = [decoder_start(model.special), *(model.tokenizer.encode_target(said) if said else [])]
    return Asked(tokens=check_ids(prefix, config, "said"), source=ids, at=inside(at, prefix))


def encoded(model: "Model", text: str, *, chat: bool) -> list[int]:
    """The text's ids, in the chat template where asked.

    Raises:
        OptionError: something that is no text.
    """
    if not isinstance(text, str):
        raise OptionError(f"the text is {text!r:.60}; it must be a string")
    if not chat:
        return model.tokenizer.encode(text)
    limit = model.config.max_positions
    return list(model.prompter.text(text, system=None, raw=False, limit=limit, strategy="error").ids)


def inside(at: int | None, ids: Sequence[int]) -> int:
    """The position asked about; the last one unless named."""
    check_index("at", at)
    if at is None:
        return len(ids) - 1
    if not -len(ids) <= at < len(ids):
        raise OptionError(f"at is {at}; the text has tokens 0 to {len(ids) - 1}")
    return at % len(ids)


def masked(ids: Sequence[int], mask: int | None) -> int:
    """Where the one mask stands."""
    places = [n for n, i in enumerate(ids) if i == mask]
    if len(places) != 1:
        found = f"masks at {', '.join(map(str, places))}" if places else "no mask"
        raise OptionError(f"the text has {found}; name one token with at")
    return places[0]


def next_logits(model: "Model", asked: Asked) -> NDArray[Any]:
    """[V] at the position asked about."""
    tokens = asked.tokens if asked.source is None else asked.source
    logits: NDArray[Any] = model.logits(tokens, None if asked.source is None else asked.tokens)[asked.at]
    return logits


def token(tokenizer: Tokenizer, i: int) -> Token:
    """One token as a page shows it."""
    piece = one_line(tokenizer.pieces([i])[0])
    return Token(token_text(tokenizer, i), piece, i, special=i in tokenizer.special_ids or not tokenizer.token_bytes(i))
