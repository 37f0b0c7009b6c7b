"""Several runs of one recipe carried out and compared: ablations, architectures, rivals.

A run that is finished is not repeated, and one that was broken off is gone on with, so that a suite can be stopped and
started again at any time.
"""

import json
import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clearhead.checkpoints.export import new_folder
from clearhead.errors import ConfigError
from clearhead.training.data.report import Report
from clearhead.training.recipe.recipe import Recipe, read_recipe
from clearhead.training.recipe.suite_file import Suite, recipes, slug
from clearhead.training.runs.curves import read_curve
from clearhead.training.runs.milestones import Milestone, milestones
from clearhead.training.runs.prepare import Sides
from clearhead.training.runs.run import Run, train
from clearhead.training.runs.run_folder import settle
from clearhead.training.tasks.tasks import KINDS

DATA = "data"  # of a run: vocabulary and rows


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A run of a suite, in the table."""

    label: str
    recipe: Recipe
    folder: Path
    results: dict[str, Any]
    figures: dict[str, float]
    bits_per_byte: float | None  # where every token of the text is said, and text can be counted in bytes


def carry_out(suite: Suite, folder: Path, run: Callable[[Path], Run], overrides: Sequence[str] = ()) -> list[Line]:
    """All runs, one after the other; `run` says how one is carried out in its folder.

    Raises:
        ConfigError: a folder holds a run of another recipe.
    """
    lines: list[Line] = []
    known: list[tuple[Recipe, Path]] = []
    for label, recipe in recipes(suite, overrides).items():
        place = folder / slug(label)
        results = finished(recipe, place)
        if results is None:
            lend(recipe, place, known)
            how = run(place)
            how.say(f"== {label}")
            results = train(recipe, how)
        known.append((recipe, place))
        lines.append(line(suite, label, recipe, place, results))
    return lines


def finished(recipe: Recipe, place: Path) -> dict[str, Any] | None:
    """What a run of this very recipe gave, if it is over."""
    done, kept = place / "results.json", place / "recipe.yaml"
    if not done.is_file() or not kept.is_file() or read_recipe(kept) != recipe:
        return None
    results: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
    return results


def lend(recipe: Recipe, place: Path, known: Sequence[tuple[Recipe, Path]]) -> None:
    """Let a run begin with the rows of an earlier one, where the same data is cut by the same vocabulary; what teachers
    say is of one run alone."""
    if recipe.teachers is not None or (place / DATA).exists():
        return
    for other, there in known:
        if other.teachers is None and rows_of(other) == rows_of(recipe) and (there / DATA).is_dir():
            place.mkdir(parents=True, exist_ok=True)
            settle(place, recipe, resume=True)
            with new_folder(place / DATA) as draft:
                shutil.copytree(there / DATA, draft, copy_function=linked, dirs_exist_ok=True)
            return


def rows_of(recipe: Recipe) -> tuple[object, ...]:
    """All that decides a run's rows: its data, what cuts it into ids, and how many of them a model reads."""
    window = None if recipe.model is None else recipe.model.max_positions
    return recipe.data, recipe.vocabulary, recipe.base, window, KINDS[recipe.task].rows


def linked(source: str, target: str) -> None:
    """The same file under another name, where the file system can."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def line(suite: Suite, label: str, recipe: Recipe, place: Path, results: dict[str, Any]) -> Line:
    """A run in the table."""
    figures = {path: figure(results, path, place) for path in suite.figures}
    bits = bits_per_byte(recipe, place, results["dev_nll"]) if recipe.task == "causal" else None
    return Line(label=label, recipe=recipe, folder=place, results=results, figures=figures, bits_per_byte=bits)


def figure(results: Mapping[str, Any], path: str, place: Path) -> float:
    """One number of a file of results.

    Raises:
        ConfigError: it is not there.
    """
    value: Any = results
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    if not isinstance(value, int | float):
        raise ConfigError(f"{place / 'results.json'} has no figure {path!r}, which the suite compares")
    return float(value)


def bits_per_byte(recipe: Recipe, place: Path, nll: float) -> float:
    """A loss in nats per token as bits per byte of the held-out text, which no longer depends on how it was cut."""
    said = sum(len(str(record["text"]).encode()) for record in Sides(recipe).dev(Report()))
    tokens = (place / "data" / "dev" / "text.ids").stat().st_size // 4
    return nll / math.log(2) * tokens / said


def table(suite: Suite, lines: Sequence[Line]) -> list[dict[str, Any]]:
    """What the runs gave, where each first was as good as the one that came least far, and whether each figure lies
    where it was expected against the first run's."""
    rows, marks = [], reached(lines)
    for found in lines:
        r = found.results
        rows.append(
            {
                "run": found.label,
                "parameters": sum(r["parameters"].values()),
                "tokens": r["tokens"],
                "seconds": r["seconds"],
                **found.figures,
                "bits_per_byte": found.bits_per_byte,
                "reached": {name: asdict(mark) for name, mark in marks[found.label].items()},
                "agrees": agreement(suite, lines[0], found),
            }
        )
    return rows


def reached(lines: Sequence[Line]) -> dict[str, dict[str, Milestone]]:
    """The milestones of each run by its label, among those that say the same text in the same tokens."""
    found: dict[str, dict[str, Milestone]] = {}
    for first in lines:
        if first.label not in found:
            alike = [line for line in lines if like(line.recipe) == like(first.recipe)]
            marks = milestones([read_curve(line.folder, line.label) for line in alike])
            found |= {line.label: each for line, each in zip(alike, marks, strict=True)}
    return found


def like(recipe: Recipe) -> tuple[object, ...]:
    """What must be equal for losses on dev to be of the same thing; how training text is cut, or tests, need not."""
    data = recipe.data.model_copy(update={"resegment": 0.0, "join": 0.0, "tests": {}})
    return recipe.task, data, recipe.vocabulary, recipe.base


def agreement(suite: Suite, first: Line, found: Line) -> dict[str, bool]:
    """By figure, whether it changed as expected."""
    held = {}
    for path, outcome in suite.expected.get(found.label, {}).items():
        lower = found.figures[path] < first.figures[path]
        better = lower == (suite.figures[path] == "lower")
        held[path] = better == (outcome == "better")
    return held
