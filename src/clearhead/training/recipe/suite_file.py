"""A suite: a recipe, and several runs of it that differ in a few keys.

name: ...
about: ...
recipe: the recipe they share
overrides: {key.sub: value, ...}        # of all of them
runs: {label: {key.sub: value, ...}, ...}
"""

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError
from yaml import YAMLError

from clearhead.errors import ConfigError
from clearhead.training.data.schema import Strict
from clearhead.training.recipe.complaints import choice, explained
from clearhead.training.recipe.recipe import Recipe, read_recipe
from clearhead.training.recipe.teaching import teacher_recipes
from clearhead.training.recipe.yaml12 import explain, parse

Changes = dict[str, Any]
Direction = Literal["lower", "higher"]
Outcome = Literal["better", "worse"]


class Suite(Strict):
    """Runs to be compared."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9.-]*$", description="What the suite is called; its folder is runs/NAME."
    )
    about: str = Field(description="What is compared, in a sentence.")
    recipe: str = Field(description="The recipe that the runs share: a file, or a bundled one.")
    overrides: Changes = Field(default_factory=dict, description="Keys that all runs have otherwise than the recipe.")
    runs: dict[str, Changes] = Field(min_length=1, description="By label, the keys in which a run differs.")
    figures: dict[str, Direction] = Field(
        default={"dev_nll": "lower"},
        description="What is compared, by its path in results.json, and whether lower or higher is better.",
    )
    expected: dict[str, dict[str, Outcome]] = Field(
        default_factory=dict, description="By label and figure, what should come of it against the first run."
    )


def bundled_suites() -> list[str]:
    """Names of the bundled suites."""
    names = (f.name for f in files("clearhead.training.suites").iterdir())
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def read_suite(suite: str | Path) -> Suite:
    """A suite by file, or by the name of a bundled one.

    Raises:
        ConfigError: there is none, or it is not one.
    """
    path = Path(suite)
    if not path.is_file():
        if str(suite) not in bundled_suites():
            raise ConfigError(f"there is no suite {str(suite)!r}; {choice(str(suite), bundled_suites())}")
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
        teacher_recipes(made[label])
    return made


def slug(label: str) -> str:
    """A label as the name of a folder."""
    return "-".join("".join(c if c.isalnum() else " " for c in label.lower()).split())
