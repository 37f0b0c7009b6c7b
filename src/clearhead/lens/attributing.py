"""Attribution made: how much each token of a text spoke for what a model says, by the gradients of its output.

"integrated" follows the gradient along `steps` points from token vectors of zeros to the text (Sundararajan et al.
2017), so that the scores add up to what the text changed in the output; the more steps, the closer, and the view's note
says how close. A decoder's first token and an encoder's last stay as they are, and score 0. "gradient" is the gradient
times the input. `of` "logprob" asks what made the token likelier than others; "logit" what raised its score, even if it
raised all.
"""

from collections.abc import Mapping
from numbers import Integral
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from clearhead.errors import OptionError
from clearhead.generation.sampling import log_softmax
from clearhead.lens.attribution import AttributionView, Target
from clearhead.lens.likely import token_text
from clearhead.lens.reading import Asked, differentiable, next_logits, read, token
from clearhead.text.printable import one_line

if TYPE_CHECKING:
    from clearhead.engine.model import Model

Method = Literal["integrated", "gradient"]
Of = Literal["logit", "logprob"]
NAMES = {"integrated": "integrated gradients", "gradient": "gradient x input"}
WIDE = 0.1  # of a sum of scores: how far it may miss what it stands for without a word
OUTPUTS = {"logit": "logit", "logprob": "log-probability"}


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
    far. `chat` puts the chat template around the text. What `method`, `steps` and `of` are stands above.

    Raises:
        UnsupportedError: another executor than torch, or no head over the vocabulary's tokens.
        OptionError: a target of several tokens, no mask, or an option out of range.
        ContextWindowError: the text does not fit.
    """
    executor = differentiable(model)
    check_choice("method", method, NAMES)
    check_choice("of", of, OUTPUTS)
    asked = read(model, text, said=said, at=at, chat=chat)
    logprobs = log_softmax(next_logits(model, asked))
    chosen = int(logprobs.argmax()) if target is None else chosen_token(model, target, logprobs)
    found, whole = executor.attribute(
        asked.tokens, chosen, source=asked.source, at=asked.at, method=method, steps=steps, of=of
    )
    scores = np.concatenate(list(found.values()))
    return AttributionView(
        scores=scores,
        tokens=[token(model.tokenizer, i) for i in (*(asked.source or []), *asked.tokens)],
        target=Target(text=token_text(model.tokenizer, chosen), id=chosen, probability=float(np.exp(logprobs[chosen]))),
        method=NAMES[method],
        note=noted(asked, method, of, float(scores.sum(dtype=np.float64)), whole),
    )


def check_choice(name: str, value: str, choices: Mapping[str, str]) -> None:
    """Refuse an option that is none of its choices."""
    if value not in choices:
        raise OptionError(f"{name} is {value!r:.60}; choose from {', '.join(choices)}")


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


def chosen_token(model: "Model", target: str | int, logprobs: NDArray[np.float64]) -> int:
    """The id of the token that is meant; with or without a space before it, whichever is likelier.

    Raises:
        OptionError: none, or several.
    """
    if not isinstance(target, str):
        if isinstance(target, bool) or not isinstance(target, Integral) or not 0 <= target < len(logprobs):
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
        pieces = ", ".join(one_line(token_text(model.tokenizer, i)) for i in tokens[-1])
        raise OptionError(f"target is {target!r}, which is not one token but {len(tokens[-1])} ({pieces}); choose one")
    return max(single, key=lambda i: float(logprobs[i]))
