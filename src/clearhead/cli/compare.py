"""`clearhead compare`: runs of one recipe that differ in a few keys, side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clearhead.cli import arguments as a
from clearhead.cli import pictures as p
from clearhead.cli.train import RUN, Data
from clearhead.errors import OptionError

if TYPE_CHECKING:
    from clearhead.training.recipe.suite_file import Suite
    from clearhead.training.runs.suite import Line

SuiteArgument = Annotated[
    str | None, typer.Argument(metavar="SUITE", help="A name that --list shows, or a YAML file that names the runs.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Keys of all recipes with other values, such as training.steps=100."),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", metavar="FOLDER", help="Where the runs lie; runs/SUITE if not said.", rich_help_panel=RUN),
]
List = Annotated[bool, typer.Option("--list", help="Show the bundled suites.", rich_help_panel=RUN)]


def compare(
    suite: SuiteArgument = None,
    overrides: Overrides = None,
    output: Output = None,
    data: Data = None,
    list_suites: List = False,
    png: p.Png = None,
    svg: p.Svg = None,
    json: a.Json = False,
    device: a.Device = "auto",
    threads: a.Threads = None,
    offline: a.Offline = False,
) -> None:
    """Train several models that differ in a few keys, and compare them.

    Seven architectures on one text, or the ablations of a paper: a suite names a recipe and its variations. Runs that
    are finished are not repeated, and one that was stopped goes on, so the same command may be given again. Ends with a
    table, and one plot of all losses against steps, tokens and time. "Reached" is the best figure of the run that came
    least far, and the seconds of steps after which each run first had it.

    Example: clearhead compare architectures --data data --png architectures.png
    """
    from clearhead.cli.json_output import print_json
    from clearhead.cli.screen import columns, show_lines
    from clearhead.cli.training import Machine, require

    require("pydantic", "yaml")
    from clearhead.training.recipe.suite_file import bundled_suites, read_suite

    if list_suites:
        known = [read_suite(name) for name in bundled_suites()]
        if json:
            print_json([{"name": s.name, "recipe": s.recipe, "runs": list(s.runs), "about": s.about} for s in known])
        else:
            rows = [["name", "runs", "about"], *([s.name, str(len(s.runs)), s.about] for s in known)]
            show_lines(columns(rows, right=frozenset({1})), heading=True)
        return
    if suite is None:
        raise OptionError("no suite is named; clearhead compare --list shows those that are bundled")
    p.check(png=png, svg=svg)
    found = read_suite(suite)
    folder = [] if data is None else [f"folder={data}"]
    machine = Machine(device, threads, tensorboard=False, offline=offline)
    lines = carried_out(found, output, machine, [*folder, *(overrides or [])])
    if png is not None or svg is not None:
        p.write({path: drawn(found, lines, kind) for path, kind in ((png, "png"), (svg, "svg")) if path is not None})
    from clearhead.training.runs.suite import table

    rows_found = table(found, lines)
    if json:
        print_json({"suite": found.name, "runs": rows_found})
    else:
        show(rows_found)


def carried_out(suite: "Suite", output: Path | None, machine: Any, overrides: list[str]) -> "list[Line]":
    """All runs of a suite.

    Raises:
        typer.Exit: a signal stopped one; what it had is saved.
    """
    from clearhead.cli.screen import messages, note
    from clearhead.cli.training import require
    from clearhead.errors import StoppedError

    require("torch")
    machine.check()
    from clearhead.training.runs.run import Run
    from clearhead.training.runs.suite import carry_out

    def run(folder: Path) -> Run:
        return Run(
            folder=folder,
            device=machine.chosen(),
            threads=machine.threads,
            resume=True,
            offline=machine.offline,
            console=messages(),
        )

    try:
        return carry_out(suite, output or Path("runs") / suite.name, run, overrides)
    except StoppedError as e:
        note(f"{e}; give the same command again to go on")
        raise typer.Exit(e.exit_status) from None


def drawn(suite: "Suite", lines: "list[Line]", kind: str) -> bytes:
    """One plot of all runs."""
    from clearhead.training.runs.curves import picture, read_curves

    return picture(read_curves({line.label: line.folder for line in lines}), kind, suite.about)


def show(rows: list[dict[str, Any]]) -> None:
    """A line a run."""
    from clearhead.cli.screen import columns, show_lines

    rows = [with_milestones(row) for row in rows]
    every = dict.fromkeys(name for row in rows for name in row)
    names = [name for name in every if any(row.get(name) not in (None, {}) for row in rows)]
    heading = [name.replace("_", " ").removeprefix("scores.") for name in names]
    body = [[said(row.get(name)) for name in names] for row in rows]
    show_lines(columns([heading, *body], right=frozenset(range(1, len(names)))), heading=True)


def with_milestones(row: dict[str, Any]) -> dict[str, Any]:
    """A row with a column for each figure that all runs reached: which, and when this one did."""
    marks = row["reached"].items()
    reached = {f"reached {name}": f"{mark['value']:.3f} in {mark['seconds']:,.0f} s" for name, mark in marks}
    return {name: value for name, value in row.items() if name != "reached"} | reached


def said(value: Any) -> str:
    """A cell."""
    if isinstance(value, dict):
        return ", ".join(f"{name.rpartition('.')[2]} {'yes' if held else 'NO'}" for name, held in value.items()) or "-"
    if isinstance(value, float):
        return f"{value:,.3f}" if abs(value) < 100 else f"{value:,.0f}"
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
