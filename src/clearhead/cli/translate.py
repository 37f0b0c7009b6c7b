"""`clearhead translate`: text in, its translation out, line by line."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clearhead.cli import arguments as a
from clearhead.cli import pictures as p
from clearhead.cli.failures import INTERRUPTED
from clearhead.cli.on_machine import on_machine
from clearhead.engine.machine import Machine

if TYPE_CHECKING:
    from clearhead.tasks.lines import Translator
    from clearhead.tasks.translation.records import Translation


Text = Annotated[str | None, a.text("The text to translate")]
To = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="CODE",
        help="The language to translate into, such as de; may be left out where --model names its languages.",
        show_default=False,
        rich_help_panel="Languages",
    ),
]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="CODE",
        help="The language of the text; without it, it is detected, and a text the model does not read is refused.",
        show_default=False,
        rich_help_panel="Languages",
    ),
]
Model = Annotated[
    str | None,
    a.model(
        f"A model with an encoder and a decoder, or one that follows instructions: {a.NAMES} Without it, a bundled "
        "translator."
    ),
]
Prefix = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help='What the model was trained to find before a text, such as "translate English to German: ", where it '
        "does not say so itself.",
        show_default=False,
        rich_help_panel=a.MODEL,
    ),
]
Glossary = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="What terms are called in the translation: two columns, with a tab or a comma between them.",
        rich_help_panel="Languages",
    ),
]
Beams = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        parser=a.whole,
        help="Search over N hypotheses; 4 (1 by instruction), or as many as alternatives.",
        show_default=False,
        rich_help_panel=a.SEARCH,
    ),
]
LengthPenalty = Annotated[
    float,
    typer.Option(
        metavar="X", parser=a.number, help="Above 1 favours long translations, below 1 short.", rich_help_panel=a.SEARCH
    ),
]
Alternatives = Annotated[
    int,
    typer.Option(
        metavar="N",
        parser=a.whole,
        help="Show up to N translations of each line, the best first, with their scores.",
        rich_help_panel=a.OUTPUT,
    ),
]
Alignment = Annotated[
    bool,
    typer.Option("--alignment", help="Say which words of the source each word comes from.", rich_help_panel=a.OUTPUT),
]


@on_machine
def translate(
    text: Text = None,
    to: To = None,
    from_: From = None,
    file: a.File = None,
    glossary: Glossary = None,
    model: Model = None,
    prefix: Prefix = None,
    beams: Beams = None,
    length_penalty: LengthPenalty = 1.0,
    alternatives: Alternatives = 1,
    alignment: Alignment = False,
    html: p.Html = None,
    open: p.Open = False,
    quiet: a.Quiet = False,
    json: a.Json = False,
    *,
    machine: Machine,
) -> None:
    """Translate a text.

    Lines stay lines, and each sentence is translated for itself. A bundled translator needs no download; other models
    are named with --model. The page of --html shows which words come from which.

    Example: clearhead translate "A man is riding a bike." --to de
    """
    from clearhead.checkpoints.companions import language
    from clearhead.cli.alignments import write_page
    from clearhead.cli.interrupt import interruptible
    from clearhead.cli.opening import load_model
    from clearhead.cli.sources import read_text
    from clearhead.tasks.lines import search
    from clearhead.tasks.translate import glossary_from, open_translator

    p.check(html=html, open=open)
    whole = read_text(text, file, "text")
    terms, code = glossary_from(glossary), None if to is None else language(to, "to")
    search(beams, length_penalty, alternatives)  # what cannot be is refused before a model is looked for
    named = None if model is None else load_model(model, machine)
    translator = open_translator(code, from_=from_, model=named, prefix=prefix, text=whole, machine=machine)
    aligned = alignment or html is not None
    how = search(beams, length_penalty, alternatives, aligned=aligned, glossary=terms, usual=translator.beams)
    translator.check(how)
    warn(translator, quiet=quiet)
    begun = time.perf_counter()
    with interruptible() as interrupt:
        done = translator.lines(whole.split("\n"), how, interrupt)
        made = list(done if json else shown(done, numbered=alternatives > 1, alignment=alignment))
    if json:
        show_json(made, translator)
    if html is not None:
        write_page(html, made, translator, open=open)
    if not json:
        report(made, translator, None if quiet else time.perf_counter() - begun)
    if interrupt.pressed:
        raise typer.Exit(INTERRUPTED)


def warn(translator: "Translator", *, quiet: bool) -> None:
    """On standard error: that the model is no good at this."""
    from clearhead.cli.screen import note

    said = translator.advice()
    if said is not None and not quiet:
        note(said)


def shown(done: Iterator["Translation"], *, numbered: bool, alignment: bool) -> Iterator["Translation"]:
    """The same translations, each written once it is there: one a line, or several below their source."""
    from clearhead.cli.alignments import show
    from clearhead.cli.screen import Writer

    writer = Writer()
    for each in done:
        if numbered and each.parts:
            writer.write(each.source + "\n", "dim")
            for number, way in enumerate(each.alternatives, start=1):
                writer.write(f"[{number}] {way.score:.3f} ", "dim")
                writer.write(way.text + "\n", "bold")
        else:
            writer.write(each.text + "\n", "bold")
        if alignment:
            show(each, writer)
        yield each


def report(made: list["Translation"], translator: "Translator", seconds: float | None) -> None:
    """On standard error: what became of it, if that is wanted, and in any case what has no end."""
    from clearhead.cli.quantities import plural
    from clearhead.cli.screen import note
    from clearhead.tasks.translate import warnings

    for warning in (said for each in made for said in warnings(each)):
        note(warning)
    if seconds is not None:
        sentences, parts = sum(each.sentences for each in made), sum(each.parts for each in made)
        cut = f" in {parts} parts" if parts > sentences else ""
        sizes = f"{plural(len(made), 'line')} · {plural(sentences, 'sentence')}{cut} · {seconds:.2f} s"
        note(f"{translator.model.name} · {translator.from_ or '?'} to {translator.to} · {sizes}")


def show_json(made: list["Translation"], translator: "Translator") -> None:
    """Everything, as one object."""
    from clearhead.cli.json_output import plain, print_json

    model = translator.model
    print_json(
        {
            "model": model.name,
            "executor": model.executor.name,
            "dtype": model.executor.dtype,
            "from": translator.from_,
            "to": translator.to,
            "card": translator.card,
            "text": "\n".join(each.text for each in made),
            "lines": [{"text": each.text, **plain(each)} for each in made],
        }
    )
