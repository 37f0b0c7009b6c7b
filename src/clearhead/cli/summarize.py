"""`clearhead summarize`: a text of any length in, a summary out, with what it rests on."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clearhead.cli import arguments as a
from clearhead.cli.failures import INTERRUPTED
from clearhead.cli.on_machine import on_machine
from clearhead.cli.pictures import PICTURES
from clearhead.engine.machine import Machine

if TYPE_CHECKING:
    from clearhead.cli.sources import Given
    from clearhead.tasks.summarize.summarizer import Summarizer
    from clearhead.tasks.summarize.summary import Summary

SUMMARY = "Summary"


Text = Annotated[str | None, a.text("The text to summarize")]
Length = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="short (a sentence), medium, long, or a number of words.",
        show_default=False,
        rich_help_panel=SUMMARY,
    ),
]
Style = Annotated[
    str, typer.Option(metavar="paragraph|bullets|headline", help="The form of it.", rich_help_panel=SUMMARY)
]
Sources = Annotated[
    bool,
    typer.Option(
        "--sources", help="Number the sentences and show the passages they rest on.", rich_help_panel=a.OUTPUT
    ),
]
Links = Annotated[
    str,
    typer.Option(
        metavar="meaning|words|none",
        help="How passages are found: by a sentence encoder, by shared words, or not at all.",
        rich_help_panel=SUMMARY,
    ),
]
PartTokens = Annotated[
    int | None,
    typer.Option(
        "--part",
        metavar="N",
        parser=a.whole,
        help="Read at most N tokens at a time; 3000, or what the context window holds.",
        show_default=False,
        rich_help_panel=a.CONTEXT,
    ),
]
Html = Annotated[
    Path | None,
    typer.Option(
        "--html",
        metavar="FILE",
        help="Write a page with the text beside it: point at a sentence, and its passages light up.",
        rich_help_panel=PICTURES,
    ),
]


@on_machine
def summarize(
    text: Text = None,
    file: a.File = None,
    lines: a.Lines = False,
    part: PartTokens = None,
    length: Length = None,
    style: Style = "paragraph",
    links: Links = "meaning",
    model: a.InstructionModel = None,
    sources: Sources = False,
    html: Html = None,
    quiet: a.Quiet = False,
    json: a.Json = False,
    *,
    machine: Machine,
) -> None:
    """Summarize a text.

    A text that is longer than the context window is read in parts, all of it, and the summaries of the parts are
    summarized. Each sentence is held against the text: what rests on nothing in it is told.

    Example: clearhead summarize --length short "The bridge was closed on Monday. Engineers had found cracks in two of
    its pillars. Repairs will take six weeks."
    """
    from clearhead.cli.interrupt import interruptible
    from clearhead.cli.sources import told
    from clearhead.cli.stages import watching
    from clearhead.tasks.summarize.summarizer import check_text

    given = read(text, file, html, lines=lines)
    texts = [each.text for each in given]
    check_wish(length, style, links, part, sources=sources)
    for one in given:
        with told(one):
            check_text(one.text)
    summarizer = opened(model, machine, links, quiet=quiet, length=length, style=style, part=part)
    begun = time.perf_counter()
    made = []
    with interruptible() as interrupt, watching(quiet) as watch:
        for one, each in zip(given, summarizer.many(texts, watch, interrupt), strict=False):
            made.append(each)
            if json:
                show_json(each, one.line)
            else:
                show(each, sources=sources, one_line=lines)
    if html is not None and made:
        save(html, made[0], texts[0])
    report(made, None if quiet or json else time.perf_counter() - begun)
    if interrupt.pressed:
        raise typer.Exit(INTERRUPTED)


def read(text: str | None, file: Path | None, html: Path | None, *, lines: bool) -> "list[Given]":
    """The text, or that of each line.

    Raises:
        OptionError: none, or a page of many.
    """
    from clearhead.cli.pictures import check
    from clearhead.cli.sources import read_texts
    from clearhead.errors import OptionError

    check(html=html)
    if lines and html is not None:
        raise OptionError("--html shows one text and --lines are many; drop one")
    return read_texts(text, file, "text", lines=lines)


def check_wish(length: str | None, style: str, links: str, part: int | None, *, sources: bool) -> None:
    """Refuse what is impossible before a model is loaded; errors as `clearhead.summarize`."""
    from clearhead.errors import OptionError
    from clearhead.tasks.summarize.summarize import check
    from clearhead.tasks.summarize.wish import wish

    wish(length, style)
    check(links, part)
    if sources and links == "none":
        raise OptionError("--sources shows what sentences rest on, and with --links none nothing is looked for")


def opened(
    model: str | None,
    machine: Machine,
    links: str,
    *,
    quiet: bool,
    length: str | None,
    style: str,
    part: int | None,
) -> "Summarizer":
    """What summarizes, both models fetched with a bar; what is to be said of the larger one is said."""
    from clearhead.cli.opening import find, load_instruction_model
    from clearhead.tasks.embed import DEFAULT
    from clearhead.tasks.summarize.summarize import open_summarizer

    loaded = load_instruction_model(model, machine, "summaries", quiet=quiet)
    if links == "meaning":
        find(DEFAULT, offline=machine.offline)
    offline = Machine(offline=machine.offline)
    return open_summarizer(length=length, style=style, model=loaded, links=links, part=part, machine=offline)


def show(summary: "Summary", *, sources: bool, one_line: bool) -> None:
    """The summary; with `sources` each sentence numbered, and its passages below."""
    from clearhead.cli.screen import Writer

    writer = Writer()
    if not sources:
        writer.write((summary.text.replace("\n", " ") if one_line else summary.text) + "\n", "bold")
        return
    bullets = summary.style == "bullets"
    for number, sentence in enumerate(summary.sentences, start=1):
        writer.write(("- " if bullets else "") + sentence.text, "bold")
        writer.write(f" [{number}]", "dim")
        writer.write("\n" if bullets or number == len(summary.sentences) else " ")
    for number, sentence in enumerate(summary.sentences, start=1):
        for source in sentence.sources:
            place = f"[{number}] {source.score:.2f} {source.start}-{source.end} "
            writer.write(place + " ".join(source.text.split()) + "\n", "dim")
        if summary.links != "none" and not sentence.sources:
            writer.write(f"[{number}] rests on no passage\n", "red")


def save(file: Path, summary: "Summary", text: str) -> None:
    """The page."""
    from clearhead.cli.pictures import write
    from clearhead.tasks.summarize.page import page

    write({file: page(summary, text, f"Summary of {text[:60].strip()}").encode("utf-8", "backslashreplace")})


def report(made: list["Summary"], seconds: float | None) -> None:
    """On standard error: what became of it, if that is wanted, and in any case what cannot be relied on."""
    from clearhead.cli.quantities import plural
    from clearhead.cli.screen import note

    for said in (warning for each in made for warning in warnings(each)):
        note(said)
    if seconds is not None and made:
        parts = sum(len(each.parts) for each in made)
        tokens = sum(part.tokens for each in made for part in each.parts)
        sizes = f"{plural(len(made), 'text')} of {tokens:,} tokens read in {plural(parts, 'part')}"
        note(f"{made[0].model} · {sizes} · sources by {made[0].links} · {seconds:.2f} s")


def warnings(summary: "Summary") -> Iterator[str]:
    """What to say of a summary that is not whole, or not borne out by its text."""
    if not summary.sentences:
        yield f"{summary.model} gave no summary; try another --length or a larger model"
    if not summary.complete:
        yield f"the summary was cut, for {summary.model} did not end it; ask for a longer one with --length"
    if summary.unanswered:
        yield f"{summary.model} said nothing of {summary.unanswered} of the parts it read; try a larger model"
    for sentence in summary.unsupported:
        why = "not in the text: " + ", ".join(sentence.unknown) if sentence.unknown else "rests on no passage"
        yield f"check {sentence.text[:60]!r}: {why}"


def show_json(summary: "Summary", line: int | None) -> None:
    """Everything, as one object."""
    from clearhead.cli.json_output import plain, print_result

    body = plain(summary)
    for made, sentence in zip(body["sentences"], summary.sentences, strict=True):
        made["supported"] = sentence.supported
    print_result({"text": summary.text, "words": summary.words, **body}, line)
