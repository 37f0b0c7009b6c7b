"""Models that learn first, and whose translations of the training text are learnt from as well: data diversification
(Nguyen et al. 2020, 1911.01986).

    runs/NAME/teachers/
      forward-1/         a run of its own, by the same recipe but for another seed and `teachers.changes`
      forward-1.jsonl    what it made of the training text
      backward-1/ ...    likewise, in the other direction

Each teacher errs in its own way, and what it says is plainer than what people wrote: a small model that reads all of it
comes closer to them together than to the text alone. A backward one's translations are read, and what people wrote is
said. Whatever is there already is not done again.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearhead.model.devices import find
from clearhead.training.data.readers.json_lines import JsonLines
from clearhead.training.data.report import Report
from clearhead.training.data.sources import DataConfig
from clearhead.training.models.bases import fine_tunable, language_of, open_base
from clearhead.training.models.learners import executor_of
from clearhead.training.ranks.ranks import Ranks
from clearhead.training.recipe.overrides import put
from clearhead.training.recipe.recipe import Recipe, checked
from clearhead.training.runs.files import write_whole
from clearhead.training.runs.prepare import Sides
from clearhead.training.runs.run_folder import RECIPE, fits, held, settle, text_of
from clearhead.training.scoring.decoding import translate

if TYPE_CHECKING:
    from clearhead.training.runs.run import Run

FOLDER = "teachers"
CarryOut = Callable[[Recipe, "Run", Ranks], dict[str, Any]]


def teacher_recipes(recipe: Recipe) -> dict[str, Recipe]:
    """The recipe of each teacher by its name; none where the recipe has none.

    Raises:
        ConfigError: changes that make no recipe.
    """
    if recipe.teachers is None:
        return {}
    counts = {"forward": recipe.teachers.forward, "backward": recipe.teachers.backward}
    names = [f"{way}-{i + 1}" for way, count in counts.items() for i in range(count)]
    return {name: teacher(recipe, name, recipe.seed + i + 1) for i, name in enumerate(names)}


def teacher(recipe: Recipe, name: str, seed: int) -> Recipe:
    """The recipe of one of them."""
    assert recipe.teachers is not None
    raw = recipe.model_dump(mode="json", exclude_unset=True, exclude={"teachers", "expect", "short", "about"})
    raw |= {"name": f"{recipe.name}.{name}", "seed": seed}
    raw["data"] |= {"tests": {}, "reverse": recipe.data.reverse ^ name.startswith("backward")}
    for path, value in recipe.teachers.changes.items():
        put(raw, path, value)
    return checked(raw, recipe.name, "teachers.changes, ")


def taught(recipe: Recipe, run: "Run", ranks: Ranks, carry_out: CarryOut) -> Recipe:
    """The recipe with what its teachers say among what it learns from, once they have learnt it. All ranks take part;
    rank 0 translates.

    Raises:
        ConfigError: another process is at work on one of them, or its folder holds the run of another recipe.
    """
    if recipe.teachers is None:
        return recipe
    recipes, place = teacher_recipes(recipe), run.folder / FOLDER
    with ranks.turn() as writes:
        if writes:
            lay_out(recipes, place)
    for i, (name, own) in enumerate(recipes.items()):
        told = place / f"{name}.jsonl"
        if ranks.told("done" if told.is_file() else "") != "done":
            run.say(f"== teacher {name}, {i + 1} of {len(recipes)}")
            learn(own, run.of(place / name), ranks, carry_out)
            with ranks.turn() as writes:
                if writes:
                    write_whole(told, "".join(f"{line}\n" for line in lines(recipe, own, place / name, run)))
    return told_recipe(recipe, place, list(recipes))


def lay_out(recipes: Mapping[str, Recipe], place: Path) -> None:
    """A folder with its recipe for each teacher that has none: other processes may carry some out meanwhile."""
    for name, own in recipes.items():
        if not fits(place / name, own, resume=True):
            (place / name).mkdir(parents=True, exist_ok=True)
            write_whole(place / name / RECIPE, text_of(own))


def learn(recipe: Recipe, run: "Run", ranks: Ranks, carry_out: CarryOut) -> None:
    """One teacher's run, from wherever it is to its end."""
    with ExitStack() as stack:
        with ranks.turn() as writes:
            if writes:
                stack.enter_context(held(run.folder))
                run.resume = fits(run.folder, recipe, resume=True)
                settle(run.folder, recipe, resume=True)
        done = (run.folder / "results.json").is_file()
        known = ranks.told("done" if done else "going on" if run.resume else "new")
        run.resume = known == "going on"
        if known != "done":
            carry_out(recipe, run, ranks)


def lines(recipe: Recipe, own: Recipe, folder: Path, run: "Run") -> Iterator[str]:
    """Each pair of the training text with one side as the teacher says it, as an object by the recipe's own fields."""
    assert recipe.teachers is not None
    records = list(Sides(own).train(Report()))
    sources = [str(record["source"]) for record in records]
    base = open_base(str(folder / "model"))
    language, device = language_of(base), find(run.device)
    with counting(run, f"{folder.name} translates", len(sources)) as watch:
        said = translate(
            executor_of(fine_tunable(own, base).to(device)),
            language.tokenizer,
            language.special,
            sources,
            beams=recipe.teachers.beams,
            extra=own.evaluation.extra,
            watch=watch,
        )
    read, made = ("target", "source") if own.data.reverse else ("source", "target")
    for source, text in zip(sources, said, strict=True):
        if text.strip():
            yield json.dumps({read: source, made: text}, ensure_ascii=False)


def told_recipe(recipe: Recipe, place: Path, names: list[str]) -> Recipe:
    """The recipe with the teachers' files, and with the best of them as its beginning if it says so."""
    assert recipe.teachers is not None
    fields = {"source": "source", "target": "target"}
    files = tuple(JsonLines(path=place / f"{name}.jsonl", fields=fields, name=name) for name in names)
    extra = recipe.data.extra
    sources = (*(extra.sources if extra is not None else ()), *files)
    more = DataConfig(sources=sources) if extra is None else extra.model_copy(update={"sources": sources})
    changes: dict[str, Any] = {"data": recipe.data.model_copy(update={"extra": more})}
    if recipe.teachers.begin:
        best = min((name for name in names if name.startswith("forward")), key=lambda name: loss(place / name))
        changes |= {"base": str(place / best / "model"), "model": None, "vocabulary": None}
    return recipe.model_copy(update=changes)


def loss(folder: Path) -> float:
    """A finished run's on dev."""
    return float(json.loads((folder / "results.json").read_text(encoding="utf-8"))["dev_nll"])


@contextmanager
def counting(run: "Run", what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Tell people how many sentences are through: a bar on a terminal, a line elsewhere."""
    if run.console is None or not run.console.is_terminal:
        run.say(f"{what} {total:,} sentences")
        yield lambda count: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=None), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=run.console, expand=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)
