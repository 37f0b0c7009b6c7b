"""A recipe carried out: data, model, loop, tests, and a folder that holds all of it.

    runs/NAME/
      recipe.yaml      as it was, overrides included
      data/            vocabulary and token ids
      report.json      what was read, kept and dropped, and why
      checkpoints/     the newest states to resume from
      log.jsonl        a line for every few steps
      curves.png       the same as a picture
      model/           what was learnt: `ch.load` opens it, and transformers does
      adapter/         with lora: what was learnt alone, which peft reads
      results.json     what it scored, and how that was counted
      teachers/        with teachers: their runs, and what they made of the training text

On several processes all ranks carry it out, and rank 0 alone writes.
"""

import json
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from clearhead.checkpoints.companions import pair_file
from clearhead.errors import CheckpointError, ConfigError, DivergedError, StoppedError, TrainingError
from clearhead.model.devices import find
from clearhead.training.callbacks.evaluation import Evaluate, averaged
from clearhead.training.callbacks.saving import Save
from clearhead.training.data.sources import DataConfig
from clearhead.training.learning.averaging import using
from clearhead.training.models.adapters import save_adapter
from clearhead.training.models.bases import Base, language_of, open_base
from clearhead.training.models.learners import save_model
from clearhead.training.ranks.ranks import Ranks, join
from clearhead.training.recipe.recipe import Recipe
from clearhead.training.runs import checkpoint
from clearhead.training.runs.assembly import CHECKPOINTS, build_model, build_trainer, dev_scores, watchers, whole_model
from clearhead.training.runs.files import write_whole
from clearhead.training.runs.prepare import Prepared, Sides, prepare
from clearhead.training.runs.preview import can_score, heads, teachable
from clearhead.training.runs.results import circumstances, expectations, parameters
from clearhead.training.runs.run_folder import held, settle
from clearhead.training.runs.teachers import taught
from clearhead.training.scoring.scoring import likelihood, score
from clearhead.training.trainer import Trainer
from clearhead.trees.stored import scheme_file

REPORT, RESULTS = "report.json", "results.json"


@dataclass(kw_only=True, slots=True)
class Run:
    """How a recipe is to be carried out on this machine."""

    folder: Path
    device: str = "cpu"
    threads: int | None = None
    resume: bool = False
    tensorboard: bool = False
    offline: bool = False
    console: Any = None  # rich's, for people; None: silent
    said: list[str] = field(default_factory=list)

    def of(self, folder: Path) -> "Run":
        """The same in another folder."""
        return replace(self, folder=folder)

    def say(self, line: str) -> None:
        """Tell people what goes on."""
        self.said.append(line)
        if self.console is not None:
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)


def train(recipe: Recipe, run: Run) -> dict[str, Any]:
    """Carry out a recipe; what it scored, as results.json has it.

    Raises:
        ConfigError: the folder holds another run, or is in use.
        DataError, TrainingError: the data, or the run, cannot be gone on with; what was there before is there still.
        StoppedError: a signal came, and the run was saved.
    """
    ranks = join(run.device)
    if not ranks.first:
        run.console = None
    try:
        with ExitStack() as stack:
            with ranks.turn() as writes:
                if writes:
                    can_score(recipe)
                    teachable(recipe)
                    stack.enter_context(held(run.folder))
                    settle(run.folder, recipe, resume=run.resume or ranks.restarted)
            results = carry_out(recipe, run, ranks)
    except OSError as e:
        where = e.filename or run.folder
        raise TrainingError(f"{where} cannot be used ({e.strerror}); mend that, then go on with --resume") from None
    ranks.leave()
    return results


def carry_out(recipe: Recipe, run: Run, ranks: Ranks) -> dict[str, Any]:
    """The run, in a folder that is its own."""
    if run.threads is not None:
        torch.set_num_threads(run.threads)
    device = find(ranks.device(run.device))
    begun = taught(recipe, run, ranks, carry_out)
    recipe = begun.recipe
    base = None if recipe.base is None else open_base(recipe.base, offline=run.offline)
    prepared = prepared_by_one(recipe, run, ranks, base, begun.texts)
    model = build_model(recipe, prepared, base).to(device)
    trainer = build_trainer(recipe, model, prepared, ranks)
    if recipe.training.record and trainer.recorder is None:
        run.say("training.record: nothing is recorded, for that takes a Transformer and one process on a GPU")
    scores = dev_scores(recipe, prepared, base)
    trainer.callbacks = watchers(
        recipe, trainer, run.folder, run.say, scores=scores, tensorboard=run.tensorboard, console=run.console
    )
    if run.resume or ranks.restarted:
        go_on(trainer, run)
    learn(trainer, run)
    return finish(recipe, trainer, prepared, run, base, begun.costs)


def prepared_by_one(recipe: Recipe, run: Run, ranks: Ranks, base: Base | None, texts: DataConfig | None) -> Prepared:
    """The data, made by rank 0 where it is not there yet and found by the others."""
    language, folder = None if base is None else language_of(base), run.folder / "data"
    with ranks.turn() as writes:
        if writes:
            known = (folder / "dev").is_dir()
            if not known:
                for _ in heads(recipe, 1):  # a file of a test that is missing is no surprise for the end
                    pass
            made = prepare(recipe, folder, language, run.say, texts)
            if made.report is not None:
                write_whole(run.folder / REPORT, made.report.json())
                if run.console is not None and not known:
                    run.console.print(made.report.table())
    if ranks.first:
        return made
    if not (folder / "dev").is_dir():
        raise ConfigError(
            f"{folder} is not there for rank {ranks.rank}; give --output a folder that all machines share"
        )
    return prepare(recipe, folder, language, run.say, texts)


def go_on(trainer: Trainer, run: Run) -> None:
    """Be where the newest checkpoint that can be read was written; a damaged one is passed over with a warning.

    Raises:
        CheckpointError: there are some, and none can be read.
    """
    places = checkpoint.seen(run.folder / CHECKPOINTS, trainer.ranks)
    if not places:
        run.say(f"there is no checkpoint in {run.folder} yet; beginning")
        return
    for place in reversed(places):
        try:
            checkpoint.restore(place, trainer)
        except CheckpointError as e:
            failed = e
            if place != places[0]:
                run.say(f"warning: {e}; trying the one before")
        else:
            run.say(f"going on after step {trainer.progress.step}")
            return
    remedy = f"remove {run.folder / CHECKPOINTS} to begin anew"
    raise CheckpointError(f"{failed}, and no other can be read; {remedy}") from None


def learn(trainer: Trainer, run: Run) -> None:
    """The loop, to its end.

    Raises:
        TrainingError: the loss is no number any more.
        StoppedError: a signal came.
    """
    try:
        trainer.run()
    except DivergedError as e:
        remedy = "begin anew in another folder, with a lower training.lr or training.clip"
        raise TrainingError(f"{e}, after step {trainer.progress.step}; {remedy} ({kept(run.folder)})") from None
    save = next(c for c in trainer.callbacks if isinstance(c, Save))
    if save.asked:
        raise StoppedError(f"stopped after step {trainer.progress.step}, and saved", save.asked)


def kept(folder: Path) -> str:
    """Which checkpoints are there."""
    steps = [str(checkpoint.step_of(place)) for place in checkpoint.found(folder / CHECKPOINTS)]
    return f"the weights of step {' and '.join(steps)} are kept" if steps else "there is no checkpoint yet"


def finish(
    recipe: Recipe,
    trainer: Trainer,
    prepared: Prepared,
    run: Run,
    base: Base | None,
    teachers: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    """Test and export what was learnt. All ranks take part; those that do not write know only the loss."""
    evaluate = next(c for c in trainer.callbacks if isinstance(c, Evaluate))
    with chosen(recipe, trainer, evaluate):
        scores = {"dev": likelihood(trainer)}
        results = summary(recipe, trainer, evaluate.best_step, scores["dev"]["nll"])
        trainer.model = whole_model(trainer, lambda: build_model(recipe, prepared, base))
        with trainer.ranks.turn() as writes:
            if writes:
                scores |= score(recipe, trainer, prepared, Sides(recipe).tests(), run.say)
                export(recipe, trainer, prepared, run)
    if teachers:
        results["teachers"] = teachers
    results["scores"] = scores
    results["expected"] = expectations(results, recipe.expect)
    if trainer.ranks.first:
        write_whole(run.folder / RESULTS, json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    return results


def summary(recipe: Recipe, trainer: Trainer, best_step: int, dev_nll: float) -> dict[str, Any]:
    """What is known of a run before it is tested."""
    p = trainer.progress
    return {
        "recipe": recipe.name,
        "steps": p.step,
        "seconds": round(p.seconds, 1),
        "tokens": p.tokens,
        "tokens_per_second": round(p.tokens / p.seconds, 1),
        "parameters": parameters(trainer.model),
        "dev_nll": dev_nll,
        "best_step": best_step,
        **circumstances(recipe.seed, trainer.device, trainer.ranks.world),
    }


def chosen(recipe: Recipe, trainer: Trainer, evaluate: Evaluate) -> AbstractContextManager[None]:
    """The model with the weights that the recipe keeps."""
    weights = evaluate.weights if recipe.evaluation.keep == "best" and evaluate.weights else averaged(trainer)
    return using(trainer.model, weights) if weights else nullcontext()


def export(recipe: Recipe, trainer: Trainer, prepared: Prepared, run: Run) -> None:
    """Write the model, in the place of one that an earlier end of this run left; not where its family has no file for
    it."""
    language = prepared.language
    beside = {} if language.scheme is None else scheme_file(language.scheme)
    if recipe.data.pair:
        beside |= pair_file(*recipe.data.pair)
    for name in ("model", "adapter"):
        shutil.rmtree(run.folder / name, ignore_errors=True)
    try:
        save_model(run.folder / "model", trainer.model, language.special, language.tokenizer, language.template, beside)
        if recipe.lora is not None and recipe.base is not None:
            save_adapter(run.folder / "adapter", trainer.model, recipe.base)
    except ConfigError as e:
        run.say(f"no model is exported: {e}")
