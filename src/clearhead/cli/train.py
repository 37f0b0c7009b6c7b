"""`clearhead train`: a recipe carried out, gone on with, looked at, or tried out."""

from pathlib import Path
from typing import Annotated

import typer

from clearhead.cli import arguments as a
from clearhead.errors import OptionError

RUN, RECIPES = "Run", "Recipes"


def recipe_names(incomplete: str) -> list[str]:
    """Names of the bundled recipes, for shell completion."""
    from clearhead.cli.training import bundled_recipes

    return [name for name in bundled_recipes() if name.startswith(incomplete)]


RecipeArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="RECIPE",
        help="A name that --list shows, a YAML file, or the folder of a run.",
        autocompletion=recipe_names,
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Keys of the recipe with other values, such as training.steps=100."),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", metavar="FOLDER", help="Where the run lies; runs/NAME if not said.", rich_help_panel=RUN),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Go on after the newest checkpoint; begin where there is none.", rich_help_panel=RUN),
]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="FOLDER", help="Where data lies: the recipe's `folder`.", rich_help_panel=RUN),
]
Short = Annotated[
    bool, typer.Option("--short", help="The recipe's short form, which tries everything out.", rich_help_panel=RUN)
]
TensorBoard = Annotated[
    bool, typer.Option("--tensorboard", help="Write event files for TensorBoard too.", rich_help_panel=RUN)
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Check recipe and data; show all keys, the model's size and what would be done.",
        rich_help_panel=RECIPES,
    ),
]
WriteTests = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Write what the recipe is tested on into a new folder, to measure other models on it; train nothing.",
        rich_help_panel=RECIPES,
    ),
]
List = Annotated[bool, typer.Option("--list", help="Show the bundled recipes.", rich_help_panel=RECIPES)]
Show = Annotated[bool, typer.Option("--show", help="Print a recipe, to start from.", rich_help_panel=RECIPES)]


def train(
    recipe: RecipeArgument = None,
    overrides: Overrides = None,
    output: Output = None,
    resume: Resume = False,
    data: Data = None,
    short: Short = False,
    tensorboard: TensorBoard = False,
    dry_run: DryRun = False,
    write_tests: WriteTests = None,
    list_recipes: List = False,
    show: Show = False,
    json: a.Json = False,
    device: a.Device = "auto",
    threads: a.Threads = None,
    offline: a.Offline = False,
) -> None:
    """Train a model by a recipe.

    The run's folder holds everything: data, checkpoints, log, curves, results, and the model, which every verb takes.
    A run that was stopped or killed at any moment goes on with --resume as if it had not been; Ctrl-C finishes the
    step and saves. With torchrun in front, several processes train one model.

    Example: clearhead train gpt-shakespeare-char --data data training.steps=500
    """
    from clearhead.cli import training as t

    if list_recipes + show + dry_run + (write_tests is not None) > 1:
        raise OptionError("--list, --show, --dry-run and --write-tests are four things; ask for one")
    if list_recipes:
        t.list_recipes(json=json)
        return
    if recipe is None:
        raise OptionError("no recipe is named; clearhead train --list shows those that are bundled")
    if show:
        t.show(recipe)
        return
    job = t.Job(recipe, overrides or [], output, data, resume=resume, short=short)
    machine = t.Machine(device, threads, tensorboard=tensorboard, offline=offline)
    if dry_run:
        t.dry_run(job, json=json)
    elif write_tests is not None:
        t.write_tests(job, write_tests, json=json)
    else:
        t.carry_out(job, machine, json=json)
