"""Which tokens of the input a model's output depends on, by its gradients: attribution and influence.

Gradients are the torch executor's. T tokens, S source tokens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from clearhead.errors import OptionError, UnsupportedError
from clearhead.executor import Differentiable
from clearhead.generation.prompts import check_ids, decoder_start
from clearhead.generation.sampling import log_softmax
from clearhead.lens.attribution import AttributionView, Target
from clearhead.lens.influence import InfluenceView
from clearhead.lens.likely import text_of
from clearhead.lens.payload import Token
from clearhead.text.printable import one_line
from clearhead.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from clearhead.engine.model import Model

Method = Literal["integrated", "gradient"]
Of = Literal["logit", "logprob"]
NAMES = {"integrated": "integrated gradients", "gradient": "gradient x input"}
WIDE = 0.1  # of a sum of scores: how far it may miss what it stands for without a word
OUTPUTS = {"logit": "logit", "logprob": "log-probability"}


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


def attribution(
    model: "Model",
    text: str,
    target: str | int | None = None,
    *,
    said: str | None = None,
    at: int | None = None,
    method: Method = "integrated",
    steps: int = 64,
    of: Of = "logprob",
    chat: bool = False,
) -> AttributionView:
    """How much each token of the text spoke for the one that the model says next.

    `target` is that token, as text or id; None takes the likeliest. Of a masked language model it is what stands for
    the mask; where the text has several, `at` says which. Beside an encoder, `said` is what the decoder has said so
    far. `chat` puts the chat template around the text.

    "integrated" follows the gradient along `steps` points from token vectors of zeros to the text (Sundararajan et al.
    2017), so that the scores add up to what the text changed in the output; the more steps, the closer, and the view's
    note says how close. A decoder's first token and an encoder's last stay as they are, and score 0. "gradient" is the
    gradient times the input. `of` "logprob" asks what made the token likelier than others; "logit" what raised its
    score, even if it raised all.

    Raises:
        UnsupportedError: another executor than torch, or no head over the vocabulary's tokens.
        OptionError: a target of several tokens, no mask, or an option out of range.
        ContextWindowError: the text does not fit.
    """
    executor = differentiable(model)
    asked = read(model, text, said=said, at=at, chat=chat)
    logprobs = log_softmax(next_logits(model, asked))
    chosen = int(logprobs.argmax()) if target is None else chosen_token(model, target, logprobs)
    scores, whole = executor.attribute(
        asked.tokens, chosen, source=asked.source, at=asked.at, method=method, steps=steps, of=of
    )
    every = np.concatenate(list(scores.values()))
    ids = [*(asked.source or []), *asked.tokens]
    return AttributionView(
        scores=every,
        tokens=[token(model.tokenizer, i) for i in ids],
        target=Target(text=text_of(model.tokenizer, chosen), id=chosen, probability=float(np.exp(logprobs[chosen]))),
        method=NAMES[method],
        note=noted(asked, method, of, float(every.sum(dtype=np.float64)), whole),
    )


def noted(asked: Asked, method: Method, of: Of, total: float, whole: float) -> str:
    """What the scores are of, and how well they add up."""
    text = f"Scores are of the {OUTPUTS[of]}."
    if method == "integrated":
        text += f" They add up to {total:.3f}; without the text it differs by {whole:.3f}. A token that frames the text"
        text += " (a decoder's first, an encoder's last) stays as it is, and scores 0."
        if abs(total - whole) > WIDE * max(1.0, abs(whole)):
            text += " The two sums lie apart: take more steps."
    if asked.source is not None:
        text += f" The first {len(asked.source)} tokens are the source, the others what was said so far."
    return text


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
    """The text's ids, in the chat template where asked."""
    if not chat:
        return model.tokenizer.encode(text)
    limit = model.config.max_positions
    return list(model.prompter.text(text, system=None, raw=False, limit=limit, strategy="error").ids)


def inside(at: int | None, ids: Sequence[int]) -> int:
    """The position asked about; the last one unless named."""
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


def chosen_token(model: "Model", target: str | int, logprobs: NDArray[np.float64]) -> int:
    """The id of the token that is meant; with or without a space before it, whichever is likelier.

    Raises:
        OptionError: none, or several.
    """
    if not isinstance(target, str):
        if isinstance(target, bool) or not 0 <= target < len(logprobs):
            raise OptionError(f"target is {target!r}; ids are 0 to {len(logprobs) - 1}")
        return int(target)
    both = model.config.kind == "encoder-decoder"
    spellings = [target, f" {target}"] if not target.startswith(" ") else [target]
    tokens = [
        model.tokenizer.encode_target(s) if both else model.tokenizer.encode(s, add_special_tokens=False)
        for s in spellings
    ]
    single = [ids[0] for ids in tokens if len(ids) == 1]
    # A vocabulary may have words that its own rules cut in pieces, and a model that says them whole.
    known = [model.tokenizer.token_id(piece) for piece in (target, f"▁{target.strip()}")]
    single += [i for i in known if i is not None and 0 <= i < len(logprobs)]
    if not single:
        pieces = ", ".join(one_line(text_of(model.tokenizer, i)) for i in tokens[-1])
        raise OptionError(f"target is {target!r}, which is not one token but {len(tokens[-1])} ({pieces}); choose one")
    return max(single, key=lambda i: float(logprobs[i]))


def influence(
    model: "Model",
    text: str,
    *,
    others: Mapping[str, NDArray[Any]] | None = None,
    probes: int | None = 2,
    chat: bool = False,
) -> InfluenceView:
    """How much the state at each token, after the last layer, depends on the vector of each other: the norm of the
    gradient. Where there is an encoder, in the encoder.

    The norm is that of the whole Jacobian, estimated from `probes` random directions for each token: with SmolLM2, 1
    is 30 % off in a cell on average, 2 are 24 %, 4 are 14 %. None is exact and takes d_model times as long as 1.
    `others` are matrices [T, T] of other models on the same tokens, by name, to be shown beside it.

    Raises:
        UnsupportedError: another executor than torch.
        OptionError: matrices of other sizes, or `probes` below 1.
        ContextWindowError: the text does not fit.
    """
    executor = differentiable(model)
    ids = check_ids(encoded(model, text, chat=chat), model.config, "text")
    return InfluenceView(
        matrices={model.name: executor.influence(ids, probes=probes), **(others or {})},
        tokens=[token(model.tokenizer, i) for i in ids],
    )


def token(tokenizer: Tokenizer, i: int) -> Token:
    """One token as a page shows it."""
    piece = one_line(tokenizer.pieces([i])[0])
    return Token(text_of(tokenizer, i), piece, i, special=i in tokenizer.special_ids or not tokenizer.token_bytes(i))
