"""`clearhead evaluate`: a task, a file of examples, and how good a model is at it."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clearhead.cli import arguments as a
from clearhead.cli.on_machine import on_machine
from clearhead.engine.machine import Machine

if TYPE_CHECKING:
    from clearhead.tasks.evaluate.asked import Asked
    from clearhead.tasks.evaluate.report import Evaluation, Figure

DATA = "Data"
SHOWN = 500  # characters of a text that is shown among the failures; the file of results has all

Task = Annotated[
    str,
    typer.Argument(
        metavar="TASK",
        help="What is measured: translate, summarize, entities, code, retrieval, answers or perplexity.",
        show_default=False,
    ),
]
Data = Annotated[
    Path,
    typer.Option(
        "--data",
        metavar="FILE|FOLDER",
        help="The examples: two files line by line, a table with tabs, JSON Lines, or the task's own format.",
        show_default=False,
        rich_help_panel=DATA,
    ),
]
References = Annotated[
    Path | None,
    typer.Option(
        "--references",
        metavar="FILE",
        help="What is expected, line by line; test.de beside test.en is found with --to de.",
        show_default=False,
        rich_help_panel=DATA,
    ),
]
Fields = Annotated[
    str | None,
    typer.Option(
        metavar="A,B",
        help="JSON Lines: the keys of the input and of what is expected, such as source,target.",
        show_default=False,
        rich_help_panel=DATA,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(metavar="N", parser=a.whole, help="Only the first N rows.", show_default=False, rich_help_panel=DATA),
]
To = Annotated[
    str | None,
    typer.Option(
        "--to", metavar="CODE", help="translate: the language, such as de.", show_default=False, rich_help_panel=DATA
    ),
]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="CODE",
        help="translate: the language of the input; the model's own, or en.",
        show_default=False,
        rich_help_panel=DATA,
    ),
]

Samples = Annotated[
    int,
    typer.Option(metavar="N", parser=a.whole, help="code: answers to each problem, for pass@k.", rich_help_panel=DATA),
]
Seed = Annotated[
    int,
    typer.Option(metavar="S", parser=a.whole, help="Of the intervals, and of whatever is drawn.", rich_help_panel=DATA),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write everything as JSON: figures, what decided them, every item.",
        show_default=False,
        rich_help_panel=a.OUTPUT,
    ),
]
Failures = Annotated[
    int,
    typer.Option(metavar="N", parser=a.whole, help="Show the N worst items.", rich_help_panel=a.OUTPUT),
]


@on_machine
def evaluate(
    task: Task,
    data: Data,
    references: References = None,
    fields: Fields = None,
    limit: Limit = None,
    to: To = None,
    from_: From = None,
    samples: Samples = 1,
    seed: Seed = 0,
    output: Output = None,
    failures: Failures = 0,
    quiet: a.Quiet = False,
    json: a.Json = False,
    model: a.TaskModel = None,
    *,
    machine: Machine,
) -> None:
    """Measure a model at a task.

    Figures come with the interval of 95 % that drawing the items again gives (bootstrap), and with all that two of them
    must share to be compared. --failures shows the worst items; --output keeps everything.

    Example: clearhead evaluate translate --data test.en --to de
    """
    from clearhead.cli import pictures as p
    from clearhead.cli.opening import load_model
    from clearhead.cli.rows import counting
    from clearhead.errors import OptionError
    from clearhead.tasks.evaluate.asked import Asked
    from clearhead.tasks.evaluate.tasks import check_options
    from clearhead.tasks.evaluate.tasks import task as known

    if failures < 0:
        raise OptionError(f"--failures is {failures}; give how many of the worst items to show, from 0 on")
    chosen = known(task)
    own = {"references": references, "fields": fields, "from_": from_, "to": to, "samples": samples}
    check_options(task, own)  # before a model is loaded
    machine.check()
    if output is not None:
        p.check(html=output)
    named = None if model is None else load_model(model, machine)
    begun = time.perf_counter()
    with counting(task, quiet=quiet) as progress:
        asked = Asked(
            data=data,
            model=named,
            machine=machine,
            references=references,
            fields=None if fields is None else fields.split(","),
            from_=from_,
            to=to,
            limit=limit,
            samples=samples,
            seed=seed,
            progress=progress,
        )
        found = chosen.run(asked)
    seconds = time.perf_counter() - begun
    whole = everything(found, asked, seconds, model)
    if json:
        show_json(whole, found, failures)
    else:
        show(found, failures)
    if output is not None:
        save(whole, output)
    if not quiet and not json:
        report(found, asked, seconds)


def everything(found: "Evaluation", asked: "Asked", seconds: float, model: str | None) -> dict[str, Any]:
    """All about an evaluation, with the files of a model that was named."""
    from clearhead.cli.opening import find
    from clearhead.tasks.evaluate.results import results

    return results(
        found,
        seed=asked.seed,
        limit=asked.limit,
        seconds=seconds,
        command=["clearhead", *sys.argv[1:]],
        model=None if model is None else find(model, offline=True),
    )


def save(whole: dict[str, Any], output: Path) -> None:
    """Everything as a file."""
    from json import dumps

    from clearhead.cli import pictures as p
    from clearhead.cli.json_output import plain

    text = dumps(plain(whole), ensure_ascii=False, indent=1) + "\n"
    p.write({output: text.encode("utf-8", "backslashreplace")})


def show(found: "Evaluation", failures: int) -> None:
    """The figures as a table, what they were counted by, and the worst items."""
    from clearhead.cli.screen import columns, show_lines

    rows = [("figure", "value", "", "95 % interval")]
    rows += [(figure.name, f"{figure.value:.2f}", figure.unit, interval(figure)) for figure in found.figures]
    show_lines(columns(rows, right=frozenset({1})), heading=True)
    for how in dict.fromkeys(figure.how for figure in found.figures if figure.how):
        names = ", ".join(figure.name for figure in found.figures if figure.how == how)
        show_lines([f"{names}: {how}"])
    for number, item in enumerate(found.failures(failures), start=1):
        scores = ", ".join(f"{name} {score:.2f}" for name, score in item.scores.items())
        show_lines(["", f"[{number}] {scores}{f' ({item.note})' if item.note else ''}"])
        for name, text in (("input", item.input), ("expected", item.expected), ("got", item.got)):
            show_lines([f"  {name + ':':<10}{line}" for line in shown(text)])


def interval(figure: "Figure") -> str:
    """From where to where, if that is known."""
    return "" if figure.low is None or figure.high is None else f"{figure.low:.2f} to {figure.high:.2f}"


def shown(text: str) -> list[str]:
    """A text on one line; what a long one lost is said."""
    from clearhead.text.printable import one_line

    if len(text) <= SHOWN:
        return [one_line(text)]
    return [f"{one_line(text[:SHOWN])} … ({len(text) - SHOWN:,} characters more)"]


def show_json(whole: dict[str, Any], found: "Evaluation", failures: int) -> None:
    """Everything but the items, of which the worst come where they were asked for."""
    from clearhead.cli.json_output import print_json

    head = {key: part for key, part in whole.items() if key != "items"}
    print_json(head | ({"failures": found.failures(failures)} if failures else {}))


def report(found: "Evaluation", asked: "Asked", seconds: float) -> None:
    """On standard error: what was measured on what, and how long it took."""
    from clearhead.cli.quantities import plural
    from clearhead.cli.screen import note

    names = " + ".join(file.name for file in found.files)
    rows = len(found.items)
    some = "" if found.there in (None, rows) else f" of {found.there:,}"
    pace = f"{seconds:.2f} s ({rows / max(1e-9, seconds):,.1f} a second)"
    note(f"{found.model} · {found.executor} {found.dtype} · {names} · {plural(rows, found.counted)}{some} · {pace}")
