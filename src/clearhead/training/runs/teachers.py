"""Models that learn first, and whose translations of the training text are learnt from as well: data diversification
(Nguyen et al. 2020, 1911.01986).

    runs/NAME/teachers/
      forward-1/         a run of its own, by the same recipe but for another seed and `teachers.changes`
      forward-1.jsonl    what it made of the training text
      backward-1/ ...    likewise, in the other direction

Each teacher errs in its own way, and what it says is plainer than what people wrote: a small model that reads all of it
learns what they agree on sooner than from the text alone. Of a backward one, its translations are read, and what people
wrote is said. Whatever is there already is not done again; a translation that was broken off begins anew.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any

from clearhead.errors import StoppedError, TrainingError
from clearhead.model.devices import find
from clearhead.training.data.checks import Checks
from clearhead.training.data.readers.json_lines import JsonLines
from clearhead.training.data.report import Report
from clearhead.training.data.sources import DataConfig
from clearhead.training.models.bases import fine_tunable, language_of, open_base
from clearhead.training.models.learners import executor_of
from clearhead.training.ranks.ranks import Ranks
from clearhead.training.recipe.recipe import Recipe
from clearhead.training.recipe.teaching import teacher_recipes
from clearhead.training.runs.files import write_whole
from clearhead.training.runs.prepare import Sides
from clearhead.training.runs.preview import heads
from clearhead.training.runs.run_folder import RECIPE, BusyError, fits, held, settle, text_of
from clearhead.training.scoring.decoding import translate

if TYPE_CHECKING:
    from clearhead.training.runs.run import Run

FOLDER, RESULTS = "teachers", "results.json"
PATIENCE = 1.0  # seconds between looks at a folder that another process has
CarryOut = Callable[[Recipe, "Run", Ranks], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Taught:
    """A recipe whose teachers have learnt."""

    recipe: Recipe  # with the best of them as its base, where it begins with that
    texts: DataConfig | None = None  # what they say
    costs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # of each teacher, by its name


def taught(recipe: Recipe, run: "Run", ranks: Ranks, carry_out: CarryOut) -> Taught:
    """What there is to go on with once a recipe's teachers have learnt and translated. All ranks take part; rank 0
    translates.

    Raises:
        ConfigError: a teacher's folder holds the run of another recipe.
        DataError: data of the recipe itself that cannot be read: better now than when they have learnt.
        TrainingError: a teacher says nothing.
    """
    if recipe.teachers is None:
        return Taught(recipe)
    recipes, place = teacher_recipes(recipe), run.folder / FOLDER
    with ranks.turn() as writes:
        if writes:
            for _ in heads(recipe, 1):
                pass
            lay_out(recipes, place)
    for i, (name, own) in enumerate(recipes.items()):
        told = place / f"{name}.jsonl"
        if ranks.told("done" if told.is_file() and (place / name / RESULTS).is_file() else "") != "done":
            run.say(f"== teacher {name}, {i + 1} of {len(recipes)}")
            try:
                learn(own, run.of(place / name), ranks, carry_out)
            except StoppedError as e:
                raise StoppedError(f"teacher {name} {e}", e.signal) from None
            with ranks.turn() as writes:
                if writes:
                    write_whole(told, "".join(lines(recipe, own, place / name, run)))
    return gone_on(recipe, place, list(recipes))


def lay_out(recipes: Mapping[str, Recipe], place: Path) -> None:
    """A folder with its recipe for each teacher that has none: other processes may carry some out meanwhile.

    Raises:
        ConfigError: one holds the run of another recipe.
    """
    for name, own in recipes.items():
        if not fits(place / name, own, resume=True):
            (place / name).mkdir(parents=True, exist_ok=True)
            write_whole(place / name / RECIPE, text_of(own))


def learn(recipe: Recipe, run: "Run", ranks: Ranks, carry_out: CarryOut) -> None:
    """One teacher's run, from wherever it is to its end; nothing where it is there, whoever carried it out."""
    with ExitStack() as stack:
        known = ""
        with ranks.turn() as writes:
            if writes:
                take(run, stack)
                known = "done" if (run.folder / RESULTS).is_file() else "new"
                if known == "new" and fits(run.folder, recipe, resume=True):
                    known = "going on"
                if known != "done":
                    settle(run.folder, recipe, resume=True)
        known = ranks.told(known)
        run.resume = known == "going on"
        if known != "done":
            carry_out(recipe, run, ranks)


def take(run: "Run", stack: ExitStack) -> None:
    """Hold a run's folder, once no other process is at work in it."""
    told = False
    while True:
        try:
            stack.enter_context(held(run.folder))
        except BusyError as e:
            if not told:
                run.say(f"{e.what}; waiting for it")
            told = True
            sleep(PATIENCE)
        else:
            return


def lines(recipe: Recipe, own: Recipe, folder: Path, run: "Run") -> Iterator[str]:
    """A line for each pair of the training text with one side as the teacher says it; sources that the teacher cannot
    read whole are left out, as where it learnt.

    Raises:
        TrainingError: it says nothing.
    """
    assert recipe.teachers is not None
    base = open_base(str(folder / "model"))
    language, device = language_of(base), find(run.device)
    encode, limit = language.tokenizer.encode, min(own.data.max_length, language.window or own.data.max_length)
    records = Sides(own).train(Report())
    sources = [text for text in (str(r["source"]) for r in records) if 0 < len(encode(text)) <= limit]
    with counting(run, f"{folder.name} translates", len(sources)) as watch:
        said = translate(
            executor_of(fine_tunable(own, base).to(device)),
            language.tokenizer,
            language.special,
            sources,
            beams=recipe.teachers.beams,
            length_penalty=own.evaluation.length_penalty,
            extra=own.evaluation.extra,
            watch=watch,
        )
    if not any(text.strip() for text in said):
        raise TrainingError(f"{folder.name} says nothing; remove {folder}, and let it learn longer (teachers.changes)")
    read, made = ("target", "source") if own.data.reverse else ("source", "target")
    pairs = ({read: source, made: text} for source, text in zip(sources, said, strict=True))
    return (json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs)


def gone_on(recipe: Recipe, place: Path, names: list[str]) -> Taught:
    """The recipe with the best teacher as its beginning if it says so, and what all of them say."""
    assert recipe.teachers is not None
    texts = texts_of(recipe, place, names)
    costs = {name: cost(place / name) for name in names}
    if not recipe.teachers.begin:
        return Taught(recipe, texts, costs)
    best = min((name for name in names if name.startswith("forward")), key=lambda name: costs[name]["dev_nll"])
    begun = {"base": str(place / best / "model"), "model": None, "vocabulary": None}
    return Taught(recipe.model_copy(update=begun), texts, costs)


def texts_of(recipe: Recipe, place: Path, names: list[str]) -> DataConfig:
    """What teachers say: by the checks of the training text, and dropped where those refuse it."""
    fields = {"source": "source", "target": "target"}
    files = tuple(JsonLines(path=place / f"{name}.jsonl", fields=fields, name=name) for name in names)
    return DataConfig(sources=files, checks=dropping(recipe.data.train.checks))


def dropping(checks: Checks) -> Checks:
    """The same, but that what would be an error is dropped."""
    return checks.model_copy(update={name: "drop" for name, action in checks if action == "error"})


def cost(folder: Path) -> dict[str, float]:
    """What a finished run took, and its loss on dev."""
    results = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
    return {key: results[key] for key in ("steps", "tokens", "seconds", "dev_nll")}


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
