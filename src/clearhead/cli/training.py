"""What `clearhead train` does: recipes listed and shown, a run tried out, a run carried out."""

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from clearhead.cli.screen import columns, messages, note, show_lines
from clearhead.errors import ConfigError, MissingDependencyError, OptionError, StoppedError

if TYPE_CHECKING:
    from clearhead.training.recipe.recipe import Recipe

HEAD = 20  # records of each source that a trial reads
LONGEST = 60  # characters of a record that it shows


@dataclass(frozen=True, slots=True)
class Job:
    """A recipe as it was asked for."""

    name: str
    overrides: list[str]
    output: Path | None
    data: Path | None
    resume: bool
    short: bool

    def recipe(self) -> "Recipe":
        """The recipe, checked."""
        from clearhead.training.recipe.recipe import read_recipe

        folder = [] if self.data is None else [f"folder={self.data}"]
        return read_recipe(self.name, [*folder, *self.overrides], short=self.short)

    def folder(self, recipe: "Recipe") -> Path:
        """Where the run lies."""
        own = Path(self.name)
        return self.output or (own if (own / "recipe.yaml").is_file() else Path("runs") / recipe.name)


@dataclass(frozen=True, slots=True)
class Machine:
    """What a run computes with, and what it writes."""

    device: str
    threads: int | None
    tensorboard: bool
    offline: bool

    def check(self) -> None:
        """Refuse what no machine has.

        Raises:
            OptionError: fewer than one thread.
        """
        if self.threads is not None and self.threads < 1:
            raise OptionError(f"--threads is {self.threads}; it must be at least 1")

    def chosen(self) -> str:
        """The device; of a kind that is there where none is named."""
        from clearhead.model.devices import has_cuda

        return self.device if self.device != "auto" else "cuda" if has_cuda() else "cpu"

    def again(self, folder: Path) -> str:
        """The command that goes on with a run."""
        words = ["clearhead", "train", str(folder), "--resume"]
        words += [] if self.device == "auto" else ["--device", self.device]
        words += [] if self.threads is None else ["--threads", str(self.threads)]
        words += ["--tensorboard"] * self.tensorboard + ["--offline"] * self.offline
        return shlex.join(words)


def require(*packages: str) -> None:
    """Refuse to go on without a package.

    Raises:
        MissingDependencyError: it is not installed.
    """
    if missing := [name for name in packages if find_spec(name) is None]:
        raise MissingDependencyError(
            f"training needs {missing[0]}, which is not installed; install it with: pip install 'clearhead[train]'"
        )


def bundled_recipes() -> list[str]:
    """Names of the bundled recipes; none where they cannot be read."""
    try:
        from clearhead.training.recipe.recipe import bundled
    except ImportError:
        return []
    return bundled()


def list_recipes(*, json: bool) -> None:
    """Every bundled recipe, in a line each for a pipe, in two for people."""
    require("pydantic", "yaml")
    from clearhead.cli.json_output import print_json
    from clearhead.cli.screen import output
    from clearhead.training.recipe.recipe import bundled, read_recipe

    known = [read_recipe(name) for name in bundled()]
    if json:
        print_json([{"name": r.name, "task": r.task, "steps": r.training.steps, "about": r.about} for r in known])
    elif output().is_terminal:
        show_cards(known)
        note("clearhead train NAME --show prints one to start from")
    else:
        rows = [["name", "task", "steps", "about"]]
        rows += [[r.name, r.task, f"{r.training.steps:,}", r.about] for r in known]
        show_lines(columns(rows, right=frozenset({2})), heading=True)


def show_cards(known: "list[Recipe]") -> None:
    """Two lines a recipe, within 80 columns."""
    from rich.text import Text

    from clearhead.cli.screen import NARROW, output, wrapped

    console = output()
    for recipe in known:
        figures = f"{recipe.task}, {recipe.training.steps:,} steps"
        line = Text().append(recipe.name, "bold")
        line.append(" " * max(2, NARROW - len(recipe.name) - len(figures))).append(figures)
        console.print(line, soft_wrap=True)
        for about in wrapped(recipe.about, 2):
            console.print(Text(f"  {about}", style="dim"), soft_wrap=True)


def show(name: str) -> None:
    """A recipe to the letter."""
    require("pydantic", "yaml")
    from clearhead.cli.screen import Writer
    from clearhead.training.recipe.recipe import source_of

    Writer().write(source_of(name))


def dry_run(job: Job, *, json: bool) -> None:
    """Everything that can be found out at once: all keys, then as comments the data, the model's size, the plan."""
    require("pydantic", "yaml")
    from clearhead.cli.json_output import print_json
    from clearhead.training.runs.preview import can_score, heads, model_size, teachable
    from clearhead.training.runs.run_folder import fits

    recipe = job.recipe()
    folder = job.folder(recipe)
    teachers = teachable(recipe)
    try:
        goes_on, taken = fits(folder, recipe, resume=job.resume), ""
    except ConfigError as e:  # which is for the run itself to refuse
        goes_on, taken = False, f"; but {e}"
    found = list(heads(recipe, HEAD))
    can_score(recipe)
    labels = {label for head in found for record in head.records for label in record.get("labels", ())}
    size = model_size(recipe, tuple(sorted(labels)))
    if json:
        sources = [{"side": h.side, "source": h.source, "records": h.records[:1]} for h in found]
        keys = {"folder": folder, "goes_on": goes_on, "parameters": size, "sources": sources}
        own = {name: each.model_dump(mode="json") for name, each in teachers.items()}
        print_json({**keys, "recipe": recipe.model_dump(mode="json"), "teachers": own})
        return
    rows = [[head.side, head.source, said(head.records[0])] for head in found]
    rows += [[name, own.name, f"{own.training.steps:,} steps, before all else"] for name, own in teachers.items()]
    rows.append(["model", *sized(recipe, size)])
    plan = f"{recipe.training.steps:,} steps into {folder}" + (", going on" if goes_on else "") + taken
    show_lines([*resolved(recipe).splitlines(), "", *(f"# {line}" for line in columns([*rows, ["run", plan, ""]]))])


def write_tests(job: Job, folder: Path, *, json: bool) -> None:
    """What a recipe is tested on, as files; their names and sizes on standard output."""
    require("pydantic", "yaml", "torch")
    from clearhead.cli.json_output import print_json
    from clearhead.training.runs.tests_apart import write_tests as write

    written = write(job.recipe(), folder)
    if json:
        print_json([{"file": file, "examples": number} for file, number in written.items()])
    else:
        show_lines(columns([[str(file), f"{number:,}"] for file, number in written.items()], right=frozenset({1})))


def resolved(recipe: "Recipe") -> str:
    """Every key of a recipe, set or not."""
    import yaml

    return str(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100))


def said(record: Mapping[str, Any]) -> str:
    """A record in a line."""
    from clearhead.text.printable import one_line

    texts = (value if isinstance(value, str) else " ".join(value) for value in record.values())
    line = one_line(" -> ".join(text[:LONGEST] for text in texts))
    return line if len(line) <= 2 * LONGEST else line[: 2 * LONGEST - 1] + "…"


def sized(recipe: "Recipe", size: Mapping[str, int] | None) -> tuple[str, str]:
    """What learns, and how large it is."""
    if size is None or recipe.model is None:
        return str(recipe.base), "a model to start from"
    return recipe.model.architecture, f"at most {size['others']:,} parameters and {size['embeddings']:,} of embeddings"


def carry_out(job: Job, machine: Machine, *, json: bool) -> None:
    """A run, from wherever it is to its end; its results on standard output.

    Raises:
        typer.Exit: a signal stopped it; with the status that belongs to it.
    """
    require("pydantic", "yaml", "torch")
    machine.check()
    recipe = job.recipe()
    folder = job.folder(recipe)
    if recipe.base is not None:
        from clearhead.cli.opening import find

        find(recipe.base, offline=machine.offline)
    from clearhead.cli.run_results import show_results

    first = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun started
    try:
        results = trained(recipe, folder, machine, resume=job.resume)
    except (StoppedError, KeyboardInterrupt) as e:
        if first:
            note(f"{str(e) or 'interrupted'}; go on with: {machine.again(folder)}")
        if isinstance(e, StoppedError):
            raise typer.Exit(e.exit_status) from None
        raise
    if first:
        show_results(results, folder, json=json)


def trained(recipe: "Recipe", folder: Path, machine: Machine, *, resume: bool) -> dict[str, Any]:
    """What a run gave."""
    from clearhead.cli.opening import working

    with working("starting"):
        from clearhead.training.runs.run import Run, train
    return train(
        recipe,
        Run(
            folder=folder,
            device=machine.chosen(),
            threads=machine.threads,
            resume=resume,
            tensorboard=machine.tensorboard,
            offline=machine.offline,
            console=messages(),
        ),
    )
