"""Several runs of one recipe that differ in a few keys, in one table and one plot: ablations, architectures, rivals.

    name: ...
    about: ...
    recipe: the recipe they share
    overrides: {key.sub: value, ...}        # of all of them
    runs: {label: {key.sub: value, ...}, ...}

A run that is finished is not repeated, and one that was broken off is gone on with, so that a suite can be stopped and
started again at any time.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError
from yaml import YAMLError

from clearhead.errors import ConfigError
from clearhead.training.complaints import explained
from clearhead.training.data.report import Report
from clearhead.training.data.schema import Strict
from clearhead.training.prepare import Sides
from clearhead.training.recipe import Recipe, read_recipe
from clearhead.training.run import Run, train
from clearhead.training.yaml12 import explain, parse

Changes = dict[str, Any]
Direction = Literal["lower", "higher"]
Outcome = Literal["better", "worse"]


class Suite(Strict):
    """Runs to be compared."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9.-]*$", description="What the suite is called; its folder is runs/NAME."
    )
    about: str = Field(description="What is compared, in a sentence.")
    recipe: str = Field(description="The recipe that the runs share: a file, or one that comes along.")
    overrides: Changes = Field(default_factory=dict, description="Keys that all runs have otherwise than the recipe.")
    runs: dict[str, Changes] = Field(min_length=1, description="By label, the keys in which a run differs.")
    figures: dict[str, Direction] = Field(
        default_factory=lambda: {"dev_nll": "lower"},
        description="What is compared, by its path in results.json, and whether lower or higher is better.",
    )
    expected: dict[str, dict[str, Outcome]] = Field(
        default_factory=dict, description="By label and figure, what should come of it against the first run."
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A run of a suite, in the table."""

    label: str
    folder: Path
    results: dict[str, Any]
    figures: dict[str, float]
    bits_per_byte: float | None  # where every token of the text is said, and text can be counted in bytes


def bundled_suites() -> list[str]:
    """Names of the suites that come along."""
    names = (f.name for f in files("clearhead.training.suites").iterdir())
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def read_suite(suite: str | Path) -> Suite:
    """A suite by file, or by the name of one that comes along.

    Raises:
        ConfigError: there is none, or it is not one.
    """
    path = Path(suite)
    if not path.is_file():
        if str(suite) not in bundled_suites():
            raise ConfigError(f"there is no suite {str(suite)!r}; name a file, or one of {', '.join(bundled_suites())}")
        text = files("clearhead.training.suites").joinpath(f"{suite}.yaml").read_text(encoding="utf-8")
    else:
        text = path.read_text(encoding="utf-8")
    try:
        raw = parse(text)
        return Suite.model_validate(raw)
    except ValidationError as e:
        raise ConfigError(f"{suite}: {explained(e, raw, Suite)}") from None
    except YAMLError as e:
        raise ConfigError(f"{suite} is no YAML: {explain(e)}") from None


def recipes(suite: Suite, overrides: Sequence[str] = ()) -> dict[str, Recipe]:
    """The recipe of each run, all of them checked before the first begins."""
    made = {}
    for label, changes in suite.runs.items():
        keys = [f"{key}={json.dumps(value)}" for key, value in {**suite.overrides, **changes}.items()]
        made[label] = read_recipe(suite.recipe, [*keys, f"name={suite.name}.{slug(label)}", *overrides])
    return made


def slug(label: str) -> str:
    """A label as the name of a folder."""
    return "-".join("".join(c if c.isalnum() else " " for c in label.lower()).split())


def carry_out(suite: Suite, folder: Path, run: Callable[[Path], Run], overrides: Sequence[str] = ()) -> list[Line]:
    """All runs, one after the other; `run` says how one is carried out in its folder."""
    lines = []
    for label, recipe in recipes(suite, overrides).items():
        place = folder / slug(label)
        done = place / "results.json"
        if done.is_file():
            results = json.loads(done.read_text(encoding="utf-8"))
        else:
            how = run(place)
            how.say(f"== {label}")
            results = train(recipe, how)
        lines.append(line(suite, label, recipe, place, results))
    return lines


def line(suite: Suite, label: str, recipe: Recipe, place: Path, results: dict[str, Any]) -> Line:
    """A run in the table."""
    figures = {path: figure(results, path, place) for path in suite.figures}
    bits = bits_per_byte(recipe, place, results["dev_nll"]) if recipe.task == "causal" else None
    return Line(label=label, folder=place, results=results, figures=figures, bits_per_byte=bits)


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
    """What the runs gave, and whether each figure lies where it was expected against the first run's."""
    rows = []
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
                "agrees": agreement(suite, lines[0], found),
            }
        )
    return rows


def agreement(suite: Suite, first: Line, found: Line) -> dict[str, bool]:
    """By figure, whether it changed as expected."""
    held = {}
    for path, outcome in suite.expected.get(found.label, {}).items():
        lower = found.figures[path] < first.figures[path]
        better = lower == (suite.figures[path] == "lower")
        held[path] = better == (outcome == "better")
    return held
