"""A recipe carried out: data, model, loop, tests, and a folder that holds all of it.

    runs/NAME/
      recipe.yaml      as it was, overrides included
      data/            vocabulary and token ids
      report.json      what was read, kept and dropped, and why
      checkpoints/     the newest states to resume from
      log.jsonl        a line for every few steps
      model/           what was learnt: `ch.load` opens it, and transformers does
      results.json     what it scored, and how that was counted
"""

import json
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from clearhead.errors import ConfigError, TrainingError
from clearhead.model.devices import find
from clearhead.model.dropout import Dropout
from clearhead.training import checkpoint, flops
from clearhead.training.architectures import configure
from clearhead.training.averaging import LastAverage, MovingAverage, using
from clearhead.training.callbacks.bar import Bar
from clearhead.training.callbacks.callback import Callback
from clearhead.training.callbacks.evaluation import Evaluate, averaged
from clearhead.training.callbacks.log import JsonLog
from clearhead.training.callbacks.saving import Save
from clearhead.training.callbacks.tensorboard import TensorBoard
from clearhead.training.learners import new_model, save_model
from clearhead.training.optimiser import Adam, build_optimiser
from clearhead.training.prepare import Prepared, Say, Sides, prepare
from clearhead.training.recipe import Recipe
from clearhead.training.recipe_keys import Average
from clearhead.training.recipe_keys import Schedule as ScheduleChoice
from clearhead.training.scoring import score
from clearhead.training.schedules import Schedule, constant, cosine, inverse_square_root, warmup_stable_decay
from clearhead.training.tasks import KINDS
from clearhead.training.trainer import Settings, Trainer

LOG_EVERY = 20  # steps


@dataclass(kw_only=True, slots=True)
class Run:
    """How a recipe is to be carried out on this machine."""

    folder: Path
    device: str = "cpu"
    threads: int | None = None
    resume: bool = False
    tensorboard: bool = False
    console: Any = None  # rich's, for people; None: silent
    said: list[str] = field(default_factory=list)

    def say(self, line: str) -> None:
        """Tell people what goes on."""
        self.said.append(line)
        if self.console is not None:
            self.console.print(line, highlight=False, markup=False)


def train(recipe: Recipe, run: Run) -> dict[str, Any]:
    """Carry out a recipe; what it scored, as results.json has it.

    Raises:
        ConfigError: the folder holds another run, or there is nothing to resume.
        DataError, TrainingError: the data, or the run, cannot be gone on with.
    """
    open_folder(recipe, run)
    if run.threads is not None:
        torch.set_num_threads(run.threads)
    prepared = prepare(recipe, run.folder / "data", None, run.say)
    if prepared.report is not None:
        (run.folder / "report.json").write_text(prepared.report.json(), encoding="utf-8")
        if run.console is not None:
            run.console.print(prepared.report.table())
    model = build(recipe, prepared, run.device)
    trainer = build_trainer(recipe, model, prepared, run)
    places = checkpoint.found(run.folder / "checkpoints")
    if run.resume and places:
        checkpoint.restore(places[-1], trainer)
        run.say(f"resumed after step {trainer.progress.step}")
    trainer.run()
    if trainer.progress.step < recipe.training.steps and not by_itself(trainer):
        raise TrainingError(f"stopped after step {trainer.progress.step}: {trainer.stopped}; go on with --resume")
    return finish(recipe, trainer, prepared, run)


def by_itself(trainer: Trainer) -> bool:
    """Whether a run that ended early had learnt enough, and was not told to stop."""
    return trainer.stopped.startswith("no better")


def open_folder(recipe: Recipe, run: Run) -> None:
    """Make the run's folder, or find it to resume.

    Raises:
        ConfigError: it holds a run and is not to be resumed, or by another recipe.
    """
    path = run.folder / "recipe.yaml"
    text = yaml.safe_dump(recipe.model_dump(mode="json", exclude_unset=True), sort_keys=False, allow_unicode=True)
    if path.is_file():
        if not run.resume:
            raise ConfigError(f"{run.folder} holds a run; go on with --resume, or name another folder with --output")
        if (before := differing(path.read_text(encoding="utf-8"), text)) is not None:
            raise ConfigError(f"{run.folder} holds a run of another recipe: {before}; name another folder with --output")
    run.folder.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def differing(before: str, now: str) -> str | None:
    """The first line in which two recipes differ, but for how long they run."""
    old, new = (
        [line for line in text.splitlines() if not line.strip().startswith(("steps:", "every:", "patience:"))]
        for text in (before, now)
    )
    if old == new:
        return None
    return next((f"it had {a.strip()!r}" for a, b in zip(old, new, strict=False) if a != b), "it has other keys")


def build(recipe: Recipe, prepared: Prepared, device: str) -> nn.Module:
    """The model to learn."""
    assert recipe.model is not None
    language, kind = prepared.language, KINDS[recipe.task]
    config = configure(
        recipe.model, language.tokenizer.vocab_size, seq2seq=kind.seq2seq, labels=language.labels
    )
    return new_model(config, recipe.seed).to(find(device))


def build_trainer(recipe: Recipe, model: nn.Module, prepared: Prepared, run: Run) -> Trainer:
    """The loop with everything around it."""
    t = recipe.training
    log = JsonLog(run.folder / "log.jsonl", LOG_EVERY)
    evaluate = Evaluate(recipe.evaluation.every, recipe.evaluation.patience, log)
    callbacks: list[Callback] = [evaluate, log]
    if run.tensorboard:
        callbacks.append(TensorBoard(run.folder / "tensorboard", LOG_EVERY))
    if run.console is not None:
        peak = flops.peak(next(model.parameters()).device, t.precision)
        cost = flops.per_token(model, t.context, passes=2 if t.consistency else 1)
        callbacks.append(Bar(run.console, evaluate, cost, peak))
    callbacks.append(Save(run.folder / "checkpoints", recipe.saving.every, recipe.saving.keep, run.say))
    adam = Adam(lr=t.lr, betas=t.betas, eps=t.eps, weight_decay=t.weight_decay)
    return Trainer(
        model,
        KINDS[recipe.task].objective(recipe, prepared.train, prepared.dev, prepared.language),
        build_optimiser(model, adam),
        build_schedule(t.schedule, t.steps),
        settings(recipe),
        average=build_average(t.average, model),
        callbacks=callbacks,
    )


def settings(recipe: Recipe) -> Settings:
    """What the loop reads of a recipe."""
    t = recipe.training
    return Settings(
        steps=t.steps,
        accumulate=t.accumulate,
        precision=t.precision,
        dropout=Dropout(**t.dropout.model_dump()),
        smoothing=t.smoothing,
        consistency=t.consistency,
        clip=t.clip,
    )


def build_schedule(choice: ScheduleChoice, steps: int) -> Schedule:
    """The learning rate's factor by step."""
    if choice.kind == "cosine":
        return cosine(choice.warmup, steps, choice.floor)
    if choice.kind == "warmup_stable_decay":
        return warmup_stable_decay(choice.warmup, steps, choice.decay, choice.floor)
    return inverse_square_root(choice.warmup) if choice.kind == "inverse_square_root" else constant(choice.warmup)


def build_average(choice: Average, model: nn.Module) -> MovingAverage | LastAverage | None:
    """What follows the weights."""
    if choice.kind == "ema":
        return MovingAverage(model, choice.decay)
    return LastAverage(choice.count, choice.every) if choice.kind == "last" else None


def finish(recipe: Recipe, trainer: Trainer, prepared: Prepared, run: Run) -> dict[str, Any]:
    """Test and export what was learnt."""
    evaluate = next(c for c in trainer.callbacks if isinstance(c, Evaluate))
    with chosen(recipe, trainer, evaluate):
        results = {
            "recipe": recipe.name,
            "steps": trainer.progress.step,
            "seconds": round(trainer.progress.seconds, 1),
            "tokens": trainer.progress.tokens,
            "parameters": parameters(trainer.model),
            "dev_nll": round(evaluate.best if recipe.evaluation.keep == "best" else evaluate.last, 5),
            "threads": torch.get_num_threads(),
            "device": str(trainer.device),
            "scores": score(recipe, trainer, prepared, Sides(recipe).tests(), run.say),
        }
        export(run, trainer.model, prepared)
    (run.folder / "results.json").write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return results


def chosen(recipe: Recipe, trainer: Trainer, evaluate: Evaluate) -> AbstractContextManager[None]:
    """The model with the weights that the recipe keeps."""
    weights = evaluate.weights if recipe.evaluation.keep == "best" and evaluate.weights else averaged(trainer)
    return using(trainer.model, weights) if weights else nullcontext()


def export(run: Run, model: nn.Module, prepared: Prepared) -> None:
    """Write the model, where its family has a file for it."""
    folder = run.folder / "model"
    try:
        save_model(folder, model, prepared.language.special, prepared.language.tokenizer)
    except ConfigError as e:
        run.say(f"no model is exported: {e}")


def parameters(model: nn.Module) -> dict[str, int]:
    """How many numbers are learnt, in the tables of tokens and positions and elsewhere."""
    counts = {"embeddings": 0, "others": 0}
    for name, p in model.named_parameters():
        counts["embeddings" if name.startswith("embed.") or name == "embed.weight" else "others"] += p.numel()
    return counts


