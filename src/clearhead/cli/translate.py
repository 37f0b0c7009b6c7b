"""`clearhead translate`: text in, its translation out, line by line."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from clearhead.cli import arguments as a
from clearhead.cli.failures import INTERRUPTED

if TYPE_CHECKING:
    from clearhead.tasks.lines import Translation, Translator


class Machine(TypedDict):
    """What is to compute, and in which numbers."""

    executor: str
    dtype: str
    device: str
    threads: int | None


Text = Annotated[
    str | None,
    typer.Argument(metavar="TEXT|-", help="The text to translate; - reads standard input.", show_default=False),
]
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
        help="The language of the text; the model's own, or en.",
        show_default=False,
        rich_help_panel="Languages",
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="A model with an encoder and a decoder: a name that `clearhead models` lists, a Hugging Face id, a folder "
        "or a file. Without it, a bundled translator.",
        autocompletion=a.model_names,
        show_default=False,
        rich_help_panel=a.MODEL,
    ),
]
Beams = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        parser=a.whole,
        help="Search over N hypotheses; 4, or as many as alternatives.",
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


def translate(
    text: Text = None,
    to: To = None,
    from_: From = None,
    file: a.File = None,
    model: Model = None,
    beams: Beams = None,
    length_penalty: LengthPenalty = 1.0,
    alternatives: Alternatives = 1,
    quiet: a.Quiet = False,
    json: a.Json = False,
    dtype: a.Dtype = "auto",
    executor: a.Executor = "auto",
    device: a.Device = "auto",
    threads: a.Threads = None,
    offline: a.Offline = False,
) -> None:
    """Translate a text.

    Lines stay lines, and each sentence is translated for itself. A bundled translator needs no download; other models
    are named with --model.

    Example: clearhead translate "A man is riding a bike." --to de
    """
    from clearhead.checkpoints.companions import language
    from clearhead.cli.interrupt import interruptible
    from clearhead.cli.opening import load_model
    from clearhead.cli.sources import read_text
    from clearhead.tasks.lines import search
    from clearhead.tasks.translate import open_translator

    lines = read_text(text, file, "text").split("\n")
    how, code = search(beams, length_penalty, alternatives), None if to is None else language(to, "to")
    machine: Machine = {"executor": executor, "dtype": dtype, "device": device, "threads": threads}
    named = None if model is None else load_model(model, **machine, offline=offline)
    translator = open_translator(code, from_=from_, model=named, **machine)
    begun = time.perf_counter()
    with interruptible() as interrupt:
        done = translator.lines(lines, how, interrupt)
        made = list(done if json else shown(done, numbered=alternatives > 1))
    if json:
        show_json(made, translator)
    else:
        report(made, translator, None if quiet else time.perf_counter() - begun)
    if interrupt.pressed:
        raise typer.Exit(INTERRUPTED)


def shown(done: Iterator["Translation"], *, numbered: bool) -> Iterator["Translation"]:
    """The same translations, each written once it is there: one a line, or several below their source."""
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
        yield each


def report(made: list["Translation"], translator: "Translator", seconds: float | None) -> None:
    """On standard error: what became of it, if that is wanted, and in any case what has no end."""
    from clearhead.cli.quantities import plural
    from clearhead.cli.screen import note
    from clearhead.tasks.translate import warnings

    for warning in (said for each in made for said in warnings(each)):
        note(warning)
    if seconds is not None:
        parts = sum(each.parts for each in made)
        sizes = f"{plural(len(made), 'line')} · {plural(parts, 'sentence')} · {seconds:.2f} s"
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
