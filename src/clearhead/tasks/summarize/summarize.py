"""`ch.summarize`: a text, or several, in few words, with what each sentence rests on."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args, overload

from clearhead.config import check_number
from clearhead.engine.machine import ANY, Machine
from clearhead.engine.model import Model
from clearhead.errors import OptionError, TemplateError
from clearhead.tasks.choice import instruction_model
from clearhead.tasks.embed import open_encoder
from clearhead.tasks.summarize.summarizer import LEAST, Links, Summarizer, check_text
from clearhead.tasks.summarize.summary import Summary
from clearhead.tasks.summarize.wish import conversation, wish
from clearhead.tasks.texts import texts_of


@overload
def summarize(  # type: ignore[overload-overlap]  # a string is a sequence of strings too; the first fit counts
    text: str,
    *,
    length: str | int | None = None,
    style: str = "paragraph",
    model: str | Path | Model | None = None,
    links: str = "meaning",
    encoder: str | Path | Model | None = None,
    part: int | None = None,
) -> Summary: ...


@overload
def summarize(
    text: Sequence[str],
    *,
    length: str | int | None = None,
    style: str = "paragraph",
    model: str | Path | Model | None = None,
    links: str = "meaning",
    encoder: str | Path | Model | None = None,
    part: int | None = None,
) -> list[Summary]: ...


def summarize(
    text: str | Sequence[str],
    *,
    length: str | int | None = None,
    style: str = "paragraph",
    model: str | Path | Model | None = None,
    links: str = "meaning",
    encoder: str | Path | Model | None = None,
    part: int | None = None,
) -> Summary | list[Summary]:
    """A text, or several, in few words; `ch.summarize(text, length="short").text`.

    `length` is "short", "medium", "long" or a number of words; `style` "paragraph", "bullets" or "headline". A text
    longer than `part` tokens, or than the context window, is read in parts: all of it, as `summary.parts` says.
    `links` says how the passages are found that each sentence rests on: by "meaning", with the sentence encoder
    `encoder` (all-MiniLM-L6-v2), by "words", or not at all ("none").

    Raises:
        OptionError: no text, or an impossible value.
        UnsupportedError: a model that follows no instructions, or an encoder that is none.
        ContextWindowError: a context window without room for a summary of this length.
    """
    texts = texts_of(text)
    for each in texts:
        check_text(each)
    summarizer = open_summarizer(length=length, style=style, model=model, links=links, encoder=encoder, part=part)
    found = list(summarizer.many(texts))
    return found[0] if isinstance(text, str) else found


def open_summarizer(
    *,
    length: str | int | None = None,
    style: str = "paragraph",
    model: str | Path | Model | None = None,
    links: str = "meaning",
    encoder: str | Path | Model | None = None,
    part: int | None = None,
    machine: Machine = ANY,
) -> Summarizer:
    """What summarizes; names and errors as `summarize`, `machine` as `clearhead.load`."""
    wanted = wish(length, style)
    check(links, part)
    read = instruction_model(model, machine)
    return Summarizer(
        model=read,
        encoder=open_encoder(encoder, Machine(offline=machine.offline)) if links == "meaning" else None,
        links=links,  # type: ignore[arg-type]
        wish=wanted,
        system=takes_system(read),
        part=part,
    )


def takes_system(model: Model) -> bool:
    """Whether a model's template has a place for a system message; some refuse one."""
    try:
        model.prompter.encode_chat(conversation("a", wish()))
    except TemplateError:
        return False
    return True


def check(links: str, part: int | None) -> None:
    """Refuse an unknown way to find sources, and parts without room for a sentence; errors as `summarize`."""
    if links not in get_args(Links):
        raise OptionError(f"links is {links!r}; choose one of {', '.join(get_args(Links))}")
    if part is not None:
        check_number("part", part, LEAST, 2**24, whole=True)
