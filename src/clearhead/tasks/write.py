"""An essay from a title or an outline, of the length and in the tone that is wanted."""

from pathlib import Path

from clearhead.config import check_number
from clearhead.engine.model import Model
from clearhead.engine.options import Options, read_options
from clearhead.errors import OptionError
from clearhead.generation.prefill import Cancelled, never
from clearhead.generation.sampling import fresh_seed
from clearhead.tasks.choice import instruction_model
from clearhead.tasks.writing.essay import Essay
from clearhead.tasks.writing.plan import planned, read_outline, sections_of
from clearhead.tasks.writing.writer import Writing

LENGTH = 300  # words
SHORTEST, LONGEST = 20, 20_000
TEMPERATURE, TOP_P = 0.7, 0.9  # an essay that is drawn reads better than the likeliest one, and is new every time
TITLE, TONE, OUTLINE = 300, 60, 20_000  # characters at most
CHOOSING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed")


def write(
    title: str | None = None,
    *,
    outline: str | None = None,
    length: int = LENGTH,
    tone: str | None = None,
    model: str | Path | Model | None = None,
    temperature: float = TEMPERATURE,
    top_k: int = 0,
    top_p: float = TOP_P,
    min_p: float = 0.0,
    repetition_penalty: float = 1.0,
    seed: int | None = None,
    cancelled: Cancelled = never,
) -> Essay:
    """An essay of about `length` words; `ch.write("The value of public libraries").text`.

    `outline` is a text with one point a line, each of which gets a paragraph at least; without it the model makes its
    own plan. `tone` is a word or two, such as "formal". No sentence and no 8 words in a row occur twice, and the text
    ends where a sentence ends; `essay.complete` says whether the length was met within 20 %.

    Raises:
        OptionError: neither title nor outline, or an impossible value.
        UnsupportedError: a model that follows no instructions.
        ContextWindowError: a title or an outline that the model has no room for.
    """
    drawing = choosing(temperature, top_k, top_p, min_p, repetition_penalty, seed)
    check_wish(title, outline, length, tone)
    writing = begin(
        instruction_model(model), title, outline, length=length, tone=tone, drawing=drawing, cancelled=cancelled
    )
    for _part in writing:
        pass
    return writing.essay


def begin(
    model: Model,
    title: str | None,
    outline: str | None,
    *,
    length: int,
    tone: str | None,
    drawing: Options,
    cancelled: Cancelled,
) -> Writing:
    """An essay with a plan, of which no word is written yet; errors as `write`."""
    check_wish(title, outline, length, tone)
    drawing = {**drawing, "seed": fresh_seed() if drawing.get("seed") is None else drawing["seed"]}
    name = " ".join(title.split()) if title else ""
    if outline is None:
        sections = planned(model, name, length, drawing, cancelled)
    else:
        points = read_outline(outline)
        name = name or points[0]
        sections = sections_of(points, length, framed=False)
    points = tuple(dict.fromkeys(section.point for section in sections if section.point))
    return Writing(
        model=model,
        title=name,
        sections=sections,
        outline=points,
        length=length,
        tone=tone,
        drawing=drawing,
        cancelled=cancelled,
    )


def choosing(
    temperature: float, top_k: int, top_p: float, min_p: float, repetition_penalty: float, seed: int | None
) -> Options:
    """How tokens are to be chosen, checked; errors as `write`."""
    values = (temperature, top_k, top_p, min_p, repetition_penalty, seed)
    options: Options = dict(zip(CHOOSING, values, strict=True))  # type: ignore[assignment]
    read_options(options)
    return options


def check_wish(title: str | None, outline: str | None, length: int, tone: str | None) -> None:
    """Refuse what is no wish for an essay; errors as `write`."""
    check_number("length", length, SHORTEST, LONGEST, whole=True)
    for name, given in (("title", title), ("tone", tone), ("outline", outline)):
        if given is not None and not isinstance(given, str):
            raise OptionError(f"the {name} is {given!r:.40}; give a string")
    if not (title and title.strip()) and outline is None:
        raise OptionError("there is nothing to write about; give a title or an outline")
    for name, text, most in (("title", title, TITLE), ("tone", tone, TONE), ("outline", outline, OUTLINE)):
        if text is not None and not text.strip():
            raise OptionError(f"the {name} is empty; leave it out or give some words")
        if text is not None and len(text) > most:
            raise OptionError(f"the {name} has {len(text)} characters; at most {most} are read, so shorten it")
        if text is not None and any(ord(letter) < 32 and letter not in "\t\n\r" for letter in text):
            raise OptionError(f"the {name} holds control characters, so it is no text; give words")
