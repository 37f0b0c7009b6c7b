"""`clearhead write`: a title or an outline in, an essay out, sentence by sentence."""

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clearhead.cli import arguments as a
from clearhead.cli.failures import INTERRUPTED
from clearhead.cli.on_machine import on_machine
from clearhead.config import GenerationConfig
from clearhead.engine.machine import Machine

if TYPE_CHECKING:
    from clearhead.tasks.writing.essay import Essay
    from clearhead.tasks.writing.writer import Writing

DEFAULT = GenerationConfig()
PATHLIKE = re.compile(r"(?:[^\s/]*/)*[^\s/]+\.(?:txt|md|rst|text)|/[^\s]*")  # of an outline: it means a file
Title = Annotated[
    str | None,
    typer.Argument(metavar="TITLE|-", help="What the essay is about; - reads standard input.", show_default=False),
]
Outline = Annotated[
    str | None,
    typer.Option(
        "--outline",
        metavar="FILE|TEXT",
        help="The points to write about, one a line: a file, or the text itself.",
        show_default=False,
        rich_help_panel=a.CONTEXT,
    ),
]
Length = Annotated[
    int, typer.Option(metavar="WORDS", parser=a.whole, help="About how many words.", rich_help_panel=a.LENGTH)
]
Tone = Annotated[
    str | None,
    typer.Option(
        metavar="WORD", help="Such as formal, friendly or humorous.", show_default=False, rich_help_panel=a.LENGTH
    ),
]


@on_machine
def write(
    title: Title = None,
    outline: Outline = None,
    file: a.File = None,
    lines: a.Lines = False,
    length: Length = 300,
    tone: Tone = None,
    model: a.InstructionModel = None,
    temperature: a.Temperature = 0.7,
    top_k: a.TopK = DEFAULT.top_k,
    top_p: a.TopP = 0.9,
    min_p: a.MinP = DEFAULT.min_p,
    repetition_penalty: a.RepetitionPenalty = DEFAULT.repetition_penalty,
    seed: a.Seed = DEFAULT.seed,
    quiet: a.Quiet = False,
    json: a.Json = False,
    *,
    machine: Machine,
) -> None:
    """Write an essay.

    The model makes a plan, or follows --outline, and writes paragraph by paragraph. Sentences that repeat what was
    said are drawn anew, and the text ends where a sentence ends.

    Example: clearhead write "The value of public libraries" --length 150
    """
    from clearhead.cli.interrupt import interruptible
    from clearhead.cli.opening import load_instruction_model, working
    from clearhead.tasks.write import begin, check_wish, choosing

    drawing = choosing(temperature, top_k, top_p, min_p, repetition_penalty, seed)
    points = None if outline is None else read_outline_text(outline)
    titles = read_titles(title, file, points, lines=lines)
    for each, _line in titles:
        check_wish(each, points, length, tone)
    loaded = load_instruction_model(model, machine, "essays", quiet=quiet)
    with interruptible() as interrupt:
        for number, (each, line) in enumerate(titles):
            begun = time.perf_counter()
            with working("making a plan"):
                writing = begin(loaded, each, points, length=length, tone=tone, drawing=drawing, cancelled=interrupt)
            if lines and not json:
                show_title(writing, first=number == 0)
            essay = finished(writing) if json else shown(writing)
            seconds = time.perf_counter() - begun
            if json:
                show_json(essay, seconds, line)
            report(essay, None if quiet or json else seconds, stopped=interrupt.pressed)
            if interrupt.pressed:
                raise typer.Exit(INTERRUPTED)


def read_titles(
    title: str | None, file: Path | None, points: str | None, *, lines: bool
) -> list[tuple[str | None, int | None]]:
    """The title, or that of each line, with its number; an outline can do without."""
    from clearhead.cli.sources import read_texts

    if points is not None and title is None and file is None:
        return [(None, None)]
    return [(each.text, each.line) for each in read_texts(title, file, "title", lines=lines)]


def read_outline_text(outline: str) -> str:
    """The outline in a file of that name, or the text itself."""
    from clearhead.cli.sources import read_text
    from clearhead.errors import OptionError

    try:
        is_file = "\n" not in outline and Path(outline).is_file()
    except OSError:  # too long for a path
        is_file = False
    if is_file:
        return read_text(None, Path(outline), "outline")
    if "\n" not in outline and PATHLIKE.fullmatch(outline.strip()):
        raise OptionError(f"there is no file {outline.strip()}; give the points themselves, one a line, or a file")
    return outline


def finished(writing: "Writing") -> "Essay":
    """The whole, nothing shown."""
    for _part in writing:
        pass
    return writing.essay


def show_title(writing: "Writing", *, first: bool) -> None:
    """A heading, where there are several essays."""
    from clearhead.cli.screen import Writer

    Writer().write(("" if first else "\n") + f"# {writing.title}\n\n", "dim")


def shown(writing: "Writing") -> "Essay":
    """The whole, each part shown once it is there."""
    from clearhead.cli.screen import Writer

    writer = Writer()
    for part in writing:
        writer.write(part, "bold")
    writer.write("\n")
    return writing.essay


def report(essay: "Essay", seconds: float | None, *, stopped: bool) -> None:
    """On standard error: what it took, if that is wanted, and in any case that the length is not what was asked for."""
    from clearhead.cli.quantities import plural
    from clearhead.cli.screen import note

    if stopped:
        note(f"stopped after {plural(essay.words, 'word')}")
    elif not essay.complete and essay.words > essay.length:
        note(f"the essay has {essay.words} words for {essay.length}; its plan has too many points for so few")
    elif not essay.complete:
        note(
            f"the essay has {essay.words} of {essay.length} words, for {essay.model} had no more to say that it had "
            "not said; try another --seed, an --outline or a larger model"
        )
    if seconds is not None:
        sizes = f"{plural(essay.words, 'word')} · {plural(len(essay.paragraphs), 'paragraph')}"
        note(
            f"{essay.model} · {sizes} · {plural(essay.refused, 'sentence')} refused · seed {essay.seed} · "
            f"{seconds:.2f} s"
        )


def show_json(essay: "Essay", seconds: float, line: int | None) -> None:
    """Everything, as one object."""
    from clearhead.cli.json_output import plain, print_result

    derived = {"text": essay.text, "words": essay.words, "complete": essay.complete, "seconds": seconds}
    print_result({**derived, **plain(essay)}, line)
