"""`clearhead batch`: a task over files of rows, each row once, whatever happens on the way."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clearhead.cli import arguments as a
from clearhead.cli.failures import FAILED, INTERRUPTED
from clearhead.cli.on_machine import on_machine
from clearhead.engine.machine import Machine

if TYPE_CHECKING:
    from clearhead.tasks.batch.run import Outcome

ROWS, TASK = "Rows", "Task"
PART = 1024

Task = Annotated[
    str,
    typer.Argument(
        metavar="TASK",
        help="What is done: translate, summarize, entities, embed, classify or complete.",
        show_default=False,
    ),
]
Input = Annotated[
    list[str],
    typer.Option(
        "--input",
        "-i",
        metavar="'FILES'",
        help="JSON Lines or Parquet; a pattern in quotes, such as 'data/*.jsonl'. May be repeated.",
        show_default=False,
        rich_help_panel=ROWS,
    ),
]
Folder = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        help="Where results go, and what failed; a folder that was begun is gone on with.",
        show_default=False,
        rich_help_panel=ROWS,
    ),
]
Field = Annotated[str, typer.Option(metavar="NAME", help="Which field of a row holds the text.", rich_help_panel=ROWS)]
Part = Annotated[
    int,
    typer.Option(
        metavar="N", parser=a.whole, help="Rows that are written together; a kill loses no more.", rich_help_panel=ROWS
    ),
]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Compute on the Ray cluster there: host:port, ray://host:port, or auto.",
        show_default=False,
        rich_help_panel=ROWS,
    ),
]
To = Annotated[
    str | None,
    typer.Option(
        "--to", metavar="CODE", help="translate: into which language.", show_default=False, rich_help_panel=TASK
    ),
]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="CODE",
        help="translate: from which; the model's own, or en.",
        show_default=False,
        rich_help_panel=TASK,
    ),
]
Labels = Annotated[
    str | None,
    typer.Option(
        metavar="A,B,...", help="classify: the labels to choose from.", show_default=False, rich_help_panel=TASK
    ),
]
About = Annotated[
    str | None,
    typer.Option(
        metavar="QUESTION",
        help="classify: the question that the labels answer.",
        show_default=False,
        rich_help_panel=TASK,
    ),
]
Length = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="summarize: short, medium, long, or a number of words.",
        show_default=False,
        rich_help_panel=TASK,
    ),
]
System = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="complete: a system message before every prompt.",
        show_default=False,
        rich_help_panel=TASK,
    ),
]
MaxNewTokens = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        parser=a.whole,
        help="complete: write at most N tokens; 256.",
        show_default=False,
        rich_help_panel=TASK,
    ),
]


@on_machine
def batch(
    task: Task,
    input: Input,
    output: Folder,
    field: Field = "text",
    part: Part = PART,
    ray: Ray = None,
    to: To = None,
    from_: From = None,
    labels: Labels = None,
    about: About = None,
    length: Length = None,
    system: System = None,
    max_new_tokens: MaxNewTokens = None,
    quiet: a.Quiet = False,
    json: a.Json = False,
    model: a.TaskModel = None,
    *,
    machine: Machine,
) -> None:
    """Do a task to every row of files.

    A row comes out with the result's fields added, in DIR/part-00000.jsonl and so on, in the order of the input; rows
    that fail are in DIR/failed.jsonl with their error. After a kill or a power cut the same command goes on, and each
    row comes out once.

    Example: clearhead batch translate --input rows.jsonl --output done --to de
    """
    from clearhead.cli.interrupt import interruptible
    from clearhead.cli.opening import find
    from clearhead.cli.rows import counting
    from clearhead.tasks.batch.cluster import on_cluster
    from clearhead.tasks.batch.run import run
    from clearhead.tasks.batch.tasks import Wish, check

    machine.check()
    wish = Wish(
        task=task,
        model=model,
        to=to,
        from_=from_,
        labels=() if labels is None else tuple(label.strip() for label in labels.split(",")),
        about=about,
        length=length,
        system=system,
        max_new_tokens=max_new_tokens,
        machine=machine,
    )
    check(wish)
    workers = None if ray is None else on_cluster(ray)
    if model is not None and workers is None:
        find(model, offline=machine.offline)
    begun = time.perf_counter()
    with counting(task, quiet=quiet) as progress, interruptible() as interrupt:
        found = run(
            wish, input, output, field=field, part=part, workers=workers, progress=progress, cancelled=interrupt
        )
    seconds = time.perf_counter() - begun
    show(found, seconds, json=json)
    if not quiet and not json:
        report(found, seconds, ray)
    if not found.complete:
        raise typer.Exit(INTERRUPTED)
    if found.rows and found.failures == found.rows:
        raise typer.Exit(FAILED)


def show(found: "Outcome", seconds: float, *, json: bool) -> None:
    """What the folder holds now."""
    from clearhead.cli.json_output import print_json
    from clearhead.cli.screen import show_lines

    counts = {
        "rows": found.rows,
        "results": found.done - found.failures,
        "failed": found.failures,
        "left": found.rows - found.done,
    }
    if json:
        new = found.done - found.before
        pace = {"seconds": round(seconds, 3), "rows_per_second": round(new / max(1e-9, seconds), 3)}
        print_json({"output": found.folder, "model": found.model, **counts, "before": found.before, **pace})
    else:
        show_lines([f"{found.folder}: " + ", ".join(f"{n:,} {name}" for name, n in counts.items())])


def report(found: "Outcome", seconds: float, ray: str | None) -> None:
    """On standard error: what computed, how fast, and what to do about rows that are missing."""
    from clearhead.cli.quantities import duration
    from clearhead.cli.screen import note

    if not found.complete:
        note(f"stopped with {found.rows - found.done:,} rows left; the same command goes on with them")
    elif found.failures:
        note(f"{found.failures:,} rows failed; {found.folder / 'failed.jsonl'} has them, each with its error")
    new = found.done - found.before
    who = found.model or (f"Ray at {ray}" if ray else "nothing to do")
    note(f"{who} · {new:,} rows · {duration(seconds)} ({new / max(1e-9, seconds):,.1f} rows/s)")
