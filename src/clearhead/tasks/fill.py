"""What could stand where a text has a blank, by a masked language model, or by any model that writes.

A masked language model (Devlin et al. 2018, 1810.04805) reads both sides of the blank at once. A decoder reads from
left to right, so each word is judged by how likely the whole text is with it (Bayes' rule over the words that are
judged). Which words those are, the decoder says itself: those that may follow what is before the blank. An instruction
model is shown the text and asked, for the word and for the whole text, which is judged as its answer.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clearhead.engine.machine import ANY
from clearhead.engine.model import Model
from clearhead.errors import OptionError, UnsupportedError
from clearhead.generation.prompts import check_ids
from clearhead.generation.sampling import log_softmax
from clearhead.generation.score import score_continuations

Doubles = NDArray[np.float64]
DEFAULT = "smollm2-135m-instruct"
BLANK = "[MASK]"
JUDGED = 100  # words from either way of finding them
TOGETHER = 32  # that are judged at a time
BEAMS = 8  # answers that may be longer than one token
LONGEST = 6  # tokens of such an answer
WORD = re.compile(r"[^\W_]+(?:[-'][^\W_]+)*")
QUESTION = "One word of this text is missing, where it says ____. Which word is it? Answer with that word alone."
REPEAT = "One word of this text is missing, where it says ____. Write the whole text with the word in its place."


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One way to fill a blank."""

    word: str
    probability: float
    text: str  # with this word in the blank; other blanks stay


def fill_mask(text: str, *, model: str | Path | Model | None = None, top: int = 5) -> list[list[Candidate]]:
    """The `top` likeliest words for every `[MASK]` of a text, each blank by itself.

    A masked language model may spell its mask in its own way as well. Without `model` the default decoder is used,
    which fills one blank.

    Raises:
        OptionError: no text, one without a blank, or with several for a decoder; `top` below 1.
        UnsupportedError: a model that neither fills masks nor writes from left to right.
    """
    if isinstance(top, bool) or not isinstance(top, int) or not 1 <= top <= JUDGED:
        raise OptionError(f"top is {top!r}; it must be a whole number from 1 to {JUDGED}")
    if not isinstance(text, str):
        raise OptionError(f"text is {text!r:.40}; give a string")
    loaded = model if isinstance(model, Model) else ANY.load(DEFAULT if model is None else model)
    if loaded.config.head == "mlm":
        return by_mask(loaded, text, top)
    if loaded.config.kind != "decoder":
        raise UnsupportedError(
            f"{loaded.name} is an {loaded.config.kind} with head {loaded.config.head!r}; blanks are filled by a masked "
            "language model or by a decoder"
        )
    return [by_reading_on(loaded, text, top)]


def by_mask(model: Model, text: str, top: int) -> list[list[Candidate]]:
    """What a masked language model says."""
    mask = model.special.mask
    own = BLANK if mask is None else model.tokenizer.pieces([mask])[0]
    spelled = text.replace(BLANK, own)
    if own not in spelled:
        raise OptionError(f"the text has no blank; write {own} where a word is wanted")
    parts = spelled.split(own)
    found = []
    for i, filling in enumerate(model.fill(spelled, top=top)):
        before, after = own.join(parts[: i + 1]), own.join(parts[i + 1 :])
        words = [(model.tokenizer.decode([token]).strip(), p) for token, p in filling.candidates]
        found.append([Candidate(word=word, probability=p, text=f"{before}{word}{after}") for word, p in words])
    return found


def by_reading_on(model: Model, text: str, top: int) -> list[Candidate]:
    """What a decoder says of one blank."""
    if text.count(BLANK) != 1:
        raise OptionError(
            f"the text has {text.count(BLANK)} blanks; {model.name} reads from left to right and fills one {BLANK}"
        )
    before, after = text.split(BLANK)
    ids = check_ids(opening(model, before, after), model.config, "text")
    words = dict.fromkeys([*following(model, ids, spaced=before.endswith(" ")), *answers(model, before, after)])
    if not words:
        raise OptionError(f"{model.name} knows no word that could stand between {before[-20:]!r} and {after[:20]!r}")
    gap = " " if before.endswith(" ") else ""
    scores = judged(model, ids, [gap + word + after for word in words])
    shares = np.exp(log_softmax(scores))
    order = np.argsort(-scores, kind="stable")[:top]
    named = list(words)
    return [
        Candidate(word=named[i], probability=float(shares[i]), text=f"{before}{named[i]}{after}")
        for i in order.tolist()
    ]


def opening(model: Model, before: str, after: str) -> list[int]:
    """What the model reads before the blank: the text so far, for an instruction model as the beginning of its answer
    when it is shown the text and asked to write it whole; and what begins a text where nothing is.

    Raises:
        OptionError: the model has no such token.
    """
    ids = model.tokenizer.encode(
        before.rstrip(" "), add_special_tokens=model.chat_template is None, parse_special=False
    )
    if model.chat_template is not None:
        return [*model.prompter.encode_chat([{"role": "user", "content": shown(REPEAT, before, after)}]), *ids]
    start = model.special.bos if model.special.bos is not None else next(iter(model.special.eos), None)
    if not ids and start is None:
        raise OptionError(f"nothing stands before {BLANK}, and {model.name} has no token that begins a text")
    return ids or [int(start or 0)]


def shown(question: str, before: str, after: str) -> str:
    """A question about the text, which is quoted."""
    return f'{question}\n\nText: """{before}____{after}"""'


def following(model: Model, prompt: list[int], *, spaced: bool) -> list[str]:
    """The likeliest words of one token after a prompt."""
    logits = model.executor.decode([prompt])[0][-1]
    return words_among(model, np.argsort(-logits, kind="stable").tolist(), spaced=spaced)


def answers(model: Model, before: str, after: str) -> list[str]:
    """What an instruction model would answer, asked for the word; nothing of any other model."""
    if model.chat_template is None:
        return []
    prompt = [{"role": "user", "content": shown(QUESTION, before, after)}]
    said = model.chat(prompt, beams=BEAMS, n=BEAMS, max_new_tokens=LONGEST).samples
    ids = check_ids(model.prompter.encode_chat(prompt), model.config, "text")
    logits = model.executor.decode([ids])[0][-1]
    first = words_among(model, np.argsort(-logits, kind="stable").tolist(), spaced=False)
    found = [*(match[0] for one in said if (match := WORD.search(one.new_text))), *first]
    opens = not before.strip() or before.rstrip()[-1] in ".!?"
    return found if opens else [word for each in found for word in dict.fromkeys((each, each.lower()))]


def words_among(model: Model, tokens: list[int], *, spaced: bool) -> list[str]:
    """The first whole words among tokens."""
    found: list[str] = []
    for token in tokens:
        raw = model.tokenizer.token_bytes(token).decode("utf-8", errors="replace")
        if raw.startswith(" ") == spaced and WORD.fullmatch(raw.removeprefix(" ")):
            found.append(raw.removeprefix(" "))
        if len(found) == JUDGED:
            break
    return found


def judged(model: Model, prompt: list[int], texts: Sequence[str]) -> Doubles:
    """How likely each text is after a prompt, as the sum of its tokens' log-probabilities [texts]."""
    rows = [model.tokenizer.encode(text, add_special_tokens=False, parse_special=False) for text in texts]
    found: list[float] = []
    for at in range(0, len(rows), TOGETHER):
        [scored] = score_continuations(model.executor, [prompt], [rows[at : at + TOGETHER]])
        found += [sum(own) for own in scored]
    return np.array(found, dtype=np.float64)
