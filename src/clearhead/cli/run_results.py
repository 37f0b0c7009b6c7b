"""The results of a run: all of them as JSON, or those that people look for in lines."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearhead.cli.screen import columns, show_lines
from clearhead.errors import ConfigError

if TYPE_CHECKING:
    from clearhead.training.runs.curves import Curve


def show_results(results: dict[str, Any], folder: Path, *, json: bool) -> None:
    """On standard output."""
    from clearhead.cli.json_output import print_json

    if json:
        print_json({**results, "folder": folder})
        return
    from clearhead.training.runs.curves import read_curve
    from clearhead.training.runs.results import verdict

    curves: list[list[str]] = []
    with suppress(ConfigError):  # a log that had no room
        curves = losses(read_curve(folder))
    counts, speed = results["parameters"], f"{results['tokens_per_second']:,.0f} per second"
    rows = [
        ["steps", f"{results['steps']:,} in {results['seconds']:,.1f} s, {results['tokens']:,} tokens, {speed}"],
        ["parameters", f"{counts['others']:,}, and {counts['embeddings']:,} of embeddings"],
        *curves,
        *([test, score] for test, found in results["scores"].items() for score in scores(found)),
        *(["expected", verdict(found)] for found in results["expected"]),
        ["folder", str(folder)],
    ]
    show_lines(columns(rows))


def losses(curve: "Curve") -> list[list[str]]:
    """Both curves as a row each."""
    from clearhead.training.runs.curves import sparkline

    rows = []
    for name, points in (("loss", curve.train), ("dev loss", curve.dev)):
        if points:
            values = [point.nll for point in points]
            best = min(points, key=lambda point: point.nll)
            least = f"; least {best.nll:.3f} at step {best.step:,}" if name == "dev loss" else ""
            rows.append([name, f"{values[0]:.3f} {sparkline(values)} {values[-1]:.3f}{least}"])
    return rows


def scores(found: Mapping[str, Any]) -> list[str]:
    """The scores of one test, each with what decides it."""
    counted = [name for name in found if f"{name}_counted" in found]
    if not counted:
        return [", ".join(f"{name} {value:g}" for name, value in found.items() if isinstance(value, int | float))]
    search = f"beam {found['beams']}, length penalty {found['length_penalty']:g}; " if "beams" in found else ""
    return [f"{name} {found[name]:.2f} ({search}{found[f'{name}_counted']})" for name in counted]
