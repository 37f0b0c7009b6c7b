"""`clearhead write`: a title or an outline in, an essay out, sentence by sentence."""

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
    from clearhead.cli.opening import load_model, working
    from clearhead.cli.screen import note
    from clearhead.cli.sources import read_text
    from clearhead.tasks.choice import advice, instruction_model, instruction_model_name
    from clearhead.tasks.write import begin, check_wish, choosing

    drawing = choosing(temperature, top_k, top_p, min_p, repetition_penalty, seed)
    name = None if outline is not None and title is None and file is None else read_text(title, file, "title")
    points = None if outline is None else read_outline_text(outline)
    titles = titles_of(name, lines=lines)
    for each in titles:
        check_wish(each, points, length, tone)
    loaded = instruction_model(load_model(model or instruction_model_name(), machine))
    if not quiet and (said := advice(loaded, "essays")) is not None:
        note(said)
    with interruptible() as interrupt:
        for number, each in enumerate(titles):
            begun = time.perf_counter()
            with working("making a plan"):
                writing = begin(loaded, each, points, length=length, tone=tone, drawing=drawing, cancelled=interrupt)
            if lines and not json:
                show_title(writing, first=number == 0)
            essay = finished(writing) if json else shown(writing)
            seconds = time.perf_counter() - begun
            if json:
                show_json(essay, seconds, one_line=lines)
            report(essay, None if quiet or json else seconds)
            if interrupt.pressed:
                raise typer.Exit(INTERRUPTED)


def titles_of(name: str | None, *, lines: bool) -> list[str | None]:
    """One title, or one of every line that is not empty."""
    return [line for line in name.splitlines() if line.strip()] if lines and name is not None else [name]


def read_outline_text(outline: str) -> str:
    """The outline in a file of that name, or the text itself."""
    from clearhead.cli.sources import read_text

    try:
        is_file = "\n" not in outline and Path(outline).is_file()
    except OSError:  # too long for a path
        is_file = False
    return read_text(None, Path(outline), "outline") if is_file else outline


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


def report(essay: "Essay", seconds: float | None) -> None:
    """On standard error: what it took, if that is wanted, and in any case that an essay is too short."""
    from clearhead.cli.quantities import plural
    from clearhead.cli.screen import note

    if not essay.complete:
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


def show_json(essay: "Essay", seconds: float, *, one_line: bool) -> None:
    """Everything, as one object."""
    from clearhead.cli.json_output import plain, print_json, print_json_line

    derived = {"text": essay.text, "words": essay.words, "complete": essay.complete, "seconds": seconds}
    (print_json_line if one_line else print_json)({**derived, **plain(essay)})
