"""`clearhead curves`: the losses of runs, side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clearhead.cli import arguments as a
from clearhead.cli import pictures as p

if TYPE_CHECKING:
    from clearhead.training.runs.curves import Curve

Runs = Annotated[list[Path], typer.Argument(metavar="RUN", help="The folder of a run that `clearhead train` made.")]


def curves(runs: Runs, png: p.Png = None, svg: p.Svg = None, open: p.Open = False, json: a.Json = False) -> None:
    """Compare the losses of runs.

    A table with a line of blocks for each run; with --png or --svg, one drawing of all of them against steps, tokens
    and time. Runs may still be going on.

    Example: clearhead curves runs/transformer runs/rnn --png losses.png
    """
    from clearhead.cli.json_output import print_json

    p.check(png=png, svg=svg, open=open)
    from clearhead.training.runs.curves import picture, read_curves

    found = read_curves(runs)
    drawn = {path: picture(found, path_kind) for path, path_kind in ((png, "png"), (svg, "svg")) if path is not None}
    p.write(drawn)
    if open:
        p.show(next(iter(drawn)))
    if json:
        print_json([curve_json(curve, folder) for curve, folder in zip(found, runs, strict=True)])
    else:
        show(found)


def curve_json(curve: "Curve", folder: Path) -> dict[str, Any]:
    """A run's points as lists of step, tokens, seconds and loss."""
    from clearhead.cli.json_output import plain

    return {"run": curve.label, "folder": str(folder), "train": plain(curve.train), "dev": plain(curve.dev)}


def show(found: "list[Curve]") -> None:
    """A line a run."""
    from clearhead.cli.screen import columns, show_lines
    from clearhead.text.printable import one_line
    from clearhead.training.runs.curves import sparkline

    rows = [["run", "steps", "tokens", "seconds", "loss", "dev", "at step", ""]]
    for curve in found:
        last, best = (curve.train or curve.dev)[-1], curve.best
        figures = [f"{last.step:,}", f"{last.tokens:,}", f"{last.seconds:,.0f}"]
        loss = f"{curve.train[-1].nll:.3f}" if curve.train else "-"
        least = [f"{best.nll:.3f}", f"{best.step:,}"] if best else ["-", "-"]
        blocks = sparkline([point.nll for point in curve.dev or curve.train], 16)
        rows.append([one_line(curve.label), *figures, loss, *least, blocks])
    show_lines(columns(rows, right=frozenset(range(1, 7))), heading=True)
