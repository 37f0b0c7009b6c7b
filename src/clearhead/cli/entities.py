"""`clearhead entities`: the people, places and organisations in a text, as exact spans."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clearhead.cli import arguments as a
from clearhead.cli import pictures as p
from clearhead.cli.failures import INTERRUPTED
from clearhead.cli.on_machine import on_machine
from clearhead.engine.machine import Machine

if TYPE_CHECKING:
    from clearhead.cli.sources import Given
    from clearhead.tasks.entities.tagger import Entity, Tagger

COLOURS = ("cyan", "green", "yellow", "magenta", "red", "blue")  # of types, in the model's order

Text = Annotated[str | None, a.text("The text to look through")]
Model = Annotated[
    str, a.model("A model that labels words: a name that `clearhead models` lists, a Hugging Face id, or a folder.")
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--type", metavar="TYPE", help="Only this type, such as PER; may be repeated.", rich_help_panel=a.OUTPUT
    ),
]
MinScore = Annotated[
    float,
    typer.Option(metavar="P", parser=a.number, help="Leave out what is less sure than P.", rich_help_panel=a.OUTPUT),
]


@on_machine
def entities(
    text: Text = None,
    file: a.File = None,
    lines: a.Lines = False,
    model: Model = "entities-en",
    type: Only = None,
    min_score: MinScore = 0.0,
    html: p.Html = None,
    open: p.Open = False,
    quiet: a.Quiet = False,
    json: a.Json = False,
    *,
    machine: Machine,
) -> None:
    """Find the people, places and organisations in a text.

    A text may be of any length. On a terminal the text comes back with its entities in colour; in a pipe each entity is
    a line: type, first character, the one after the last, score, name.

    Example: clearhead entities "Marie Curie was born in Warsaw."
    """
    from clearhead.cli.interrupt import interruptible
    from clearhead.cli.json_output import print_result
    from clearhead.cli.opening import load_model
    from clearhead.cli.sources import read_texts
    from clearhead.config import check_number
    from clearhead.tasks.entities.find import on_processor
    from clearhead.tasks.entities.tagger import Tagger

    check_number("min_score", min_score, 0, 1, whole=False)
    p.check(html=html, open=open)
    given = read_texts(text, file, "text", lines=lines)
    texts = [each.text for each in given]
    tagger = Tagger(load_model(model, on_processor(model, machine)))
    wanted = chosen(tagger, type)
    begun = time.perf_counter()
    found: list[list[Entity]] = []
    with interruptible() as interrupt:
        for one, all_of_it in zip(given, tagger.find(texts, interrupt), strict=False):
            own = [entity for entity in all_of_it if entity.type in wanted and entity.score >= min_score]
            found.append(own)
            if not json:
                show(one, own, tagger)
            elif one.line is not None:
                print_result({"text": one.text, "entities": own}, one.line)
    if json and not lines and found:
        show_json(texts[0], found[0], tagger)
    if html is not None:
        write_page(html, texts[: len(found)], found, tagger, open=open)
    if not quiet:
        report(found, tagger, time.perf_counter() - begun)
    if interrupt.pressed:
        raise typer.Exit(INTERRUPTED)


def chosen(tagger: "Tagger", types: list[str] | None) -> tuple[str, ...]:
    """The types asked for.

    Raises:
        OptionError: one that the model does not find.
    """
    from clearhead.errors import OptionError

    known = {name.casefold(): name for name in tagger.types}
    if unknown := [name for name in types or () if name.casefold() not in known]:
        raise OptionError(f"{tagger.model.name} finds {', '.join(tagger.types)}, no {unknown[0]!r}")
    return tuple(known[name.casefold()] for name in types) if types else tagger.types


def show(given: "Given", found: "list[Entity]", tagger: "Tagger") -> None:
    """One text: in colour for a person, a line for each entity otherwise, behind the number of its text."""
    from clearhead.cli.screen import Writer
    from clearhead.text.printable import one_line

    writer, text = Writer(), given.text
    if not writer.console.is_terminal:
        before = "" if given.line is None else f"{given.line}\t"
        for e in found:
            writer.write(f"{before}{e.type}\t{e.start}\t{e.end}\t{e.score:.4f}\t{one_line(e.text)}\n")
        return
    at = 0
    for e in found:
        writer.write(text[at : e.start])
        writer.write(text[e.start : e.end], f"bold {COLOURS[tagger.types.index(e.type) % len(COLOURS)]}")
        writer.write(f" {e.type}", "dim")
        at = e.end
    writer.write(text[at:] + "\n")


def show_json(text: str, found: "list[Entity]", tagger: "Tagger") -> None:
    """Everything, as one object."""
    from clearhead.cli.json_output import print_json

    model = tagger.model
    print_json(
        {
            "model": model.name,
            "executor": model.executor.name,
            "dtype": model.executor.dtype,
            "types": tagger.types,
            "text": text,
            "entities": found,
        }
    )


def write_page(path: Path, texts: list[str], found: "list[list[Entity]]", tagger: "Tagger", *, open: bool) -> None:
    """The page, whole or not at all."""
    from clearhead.tasks.entities.page import page

    p.write({path: page(texts, found, tagger.types, tagger.model.name).encode("utf-8")})
    if open:
        p.show(path)


def report(found: "list[list[Entity]]", tagger: "Tagger", seconds: float) -> None:
    """On standard error: what became of it."""
    from clearhead.cli.quantities import plural
    from clearhead.cli.screen import note

    every = [entity for own in found for entity in own]
    counts = ", ".join(f"{sum(e.type == kind for e in every)} {kind}" for kind in tagger.types)
    note(f"{tagger.model.name} · {plural(len(found), 'text')} · {counts} · {seconds:.2f} s")
