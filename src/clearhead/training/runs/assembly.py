"""The loop of a recipe put together: a model, its optimiser, schedule and average, and everything that watches."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from clearhead.model.dropout import Dropout
from clearhead.model.transformer import Transformer
from clearhead.training.callbacks.bar import Bar
from clearhead.training.callbacks.callback import Callback
from clearhead.training.callbacks.evaluation import Evaluate
from clearhead.training.callbacks.log import JsonLog
from clearhead.training.callbacks.plot import Plot
from clearhead.training.callbacks.saving import Save
from clearhead.training.callbacks.tensorboard import TensorBoard
from clearhead.training.learning.averaging import LastAverage, MovingAverage
from clearhead.training.learning.optimiser import Adam, build_optimiser
from clearhead.training.learning.recorder import Recorder
from clearhead.training.learning.schedules import Schedule, constant, cosine, inverse_square_root, warmup_stable_decay
from clearhead.training.models import flops
from clearhead.training.models.bases import Base, fine_tunable
from clearhead.training.models.blocks import adapt_blocks
from clearhead.training.models.learners import new_model
from clearhead.training.objectives.batch import Objective
from clearhead.training.ranks.parallel import spread
from clearhead.training.ranks.ranks import Ranks
from clearhead.training.recipe.architectures import configure
from clearhead.training.recipe.keys import Average
from clearhead.training.recipe.keys import Schedule as ScheduleChoice
from clearhead.training.recipe.recipe import Recipe
from clearhead.training.runs.curves import LOG
from clearhead.training.runs.prepare import Prepared
from clearhead.training.scoring.dev_scores import DevScores
from clearhead.training.tasks.tasks import KINDS
from clearhead.training.trainer import Settings, Trainer

LOG_EVERY = 20  # steps
CHECKPOINTS = "checkpoints"


def build_model(recipe: Recipe, prepared: Prepared, base: Base | None) -> nn.Module:
    """The model to learn, on the processor; the same each time it is built."""
    language = prepared.language
    torch.manual_seed(recipe.seed)
    if base is not None:
        return fine_tunable(recipe, base, language.labels)
    assert recipe.model is not None
    seq2seq = KINDS[recipe.task].seq2seq
    config = configure(recipe.model, language.tokenizer.vocab_size, seq2seq=seq2seq, labels=language.labels)
    return new_model(config, recipe.seed)


def build_trainer(recipe: Recipe, model: nn.Module, prepared: Prepared, ranks: Ranks) -> Trainer:
    """The loop, on all ranks, with nobody watching yet."""
    t = recipe.training
    adapt_blocks(model, next(model.parameters()).device, compiled=t.compile, recompute=t.recompute)
    parallel = spread(model, t.parallel, ranks)
    learning = [p for p in model.parameters() if p.requires_grad]
    return Trainer(
        model,
        KINDS[recipe.task].objective(recipe, prepared.train, prepared.dev, prepared.language),
        build_optimiser(model, Adam(lr=t.lr, betas=t.betas, eps=t.eps, weight_decay=t.weight_decay)),
        build_schedule(t.schedule, t.steps),
        settings(recipe),
        average=build_average(t.average, model),
        parallel=parallel,
        recorder=Recorder(learning) if can_record(recipe, model, ranks) else None,
    )


def can_record(recipe: Recipe, model: nn.Module, ranks: Ranks) -> bool:
    """Whether a model's passes are to be recorded, and can be: a Transformer's, by one process on its GPU."""
    device = next(model.parameters()).device
    return recipe.training.record and isinstance(model, Transformer) and device.type == "cuda" and ranks.world == 1


def dev_scores(recipe: Recipe, prepared: Prepared, base: Base | None) -> DevScores | None:
    """What translates dev at each evaluation, where the recipe asks for it."""
    if not recipe.evaluation.dev_scores:
        return None
    return DevScores(
        recipe, prepared, lambda trainer: whole_model(trainer, lambda: build_model(recipe, prepared, base))
    )


def watchers(
    recipe: Recipe,
    trainer: Trainer,
    folder: Path,
    say: Callable[[str], None],
    *,
    scores: DevScores | None = None,
    tensorboard: bool,
    console: Any,
) -> list[Callback]:
    """Who looks on, in the order in which they are told of a step. Rank 0 tells people; all evaluate and save."""
    e, save = recipe.evaluation, recipe.saving
    last = Save(folder / CHECKPOINTS, save.every, save.keep, say)
    if not trainer.ranks.first:
        return [Evaluate(e.every, e.patience, scores=scores), last]
    log = JsonLog(folder / LOG, LOG_EVERY, say)
    evaluate = Evaluate(e.every, e.patience, log, scores)
    found: list[Callback] = [evaluate, log, Plot(folder, recipe.name, evaluate, say)]
    if tensorboard:
        found.append(TensorBoard(folder / "tensorboard", LOG_EVERY, evaluate, say))
    if console is not None:
        found.append(build_bar(recipe, trainer, evaluate, console))
    return [*found, last]


def build_bar(recipe: Recipe, trainer: Trainer, evaluate: Evaluate, console: Any) -> Bar:
    """A bar that knows what the model's arithmetic is of what all processes could do."""
    t = recipe.training
    cost = flops.per_token(trainer.model, typical_length(trainer.objective, t.context))
    return Bar(console, evaluate, cost, flops.peak(trainer.device, t.precision) * trainer.ranks.world)


def typical_length(objective: Objective, context: int) -> float:
    """Tokens of a row: the mean of all rows, or a window of one long text."""
    rows = getattr(objective, "train", None)
    if not isinstance(rows, Mapping):
        return context
    return float(np.mean([field.lengths.mean() for field in rows.values()]))


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
        consistency_from=t.consistency_from,
        clip=t.clip,
        seed=recipe.seed,
    )


def build_schedule(choice: ScheduleChoice, steps: int) -> Schedule:
    """The learning rate's factor by step."""
    if choice.kind == "cosine":
        return cosine(choice.warmup, steps, choice.floor, choice.restarts, choice.again)
    if choice.kind == "warmup_stable_decay":
        return warmup_stable_decay(choice.warmup, steps, choice.decay, choice.floor)
    return inverse_square_root(choice.warmup) if choice.kind == "inverse_square_root" else constant(choice.warmup)


def build_average(choice: Average, model: nn.Module) -> MovingAverage | LastAverage | None:
    """What follows the weights."""
    if choice.kind == "ema":
        return MovingAverage(model, choice.decay)
    return LastAverage(choice.count, choice.every) if choice.kind == "last" else None


def whole_model(trainer: Trainer, build: Callable[[], nn.Module]) -> nn.Module:
    """The model with all of its weights, for rank 0; all ranks take part. `build` makes one like it."""
    return trainer.parallel.whole(lambda: build().to(trainer.device), trainer.model)
