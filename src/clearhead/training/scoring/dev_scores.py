"""Scores of what a model writes for held-out sentences while it still learns, beside the loss on them.

One evaluation takes as long as a greedy translation of them. It draws nothing that the run draws from, so that what is
learnt does not depend on it.
"""

from collections.abc import Callable
from functools import cached_property
from itertools import islice

import torch
from torch import nn

from clearhead.training.data.report import Report
from clearhead.training.metrics.texts import SCORES
from clearhead.training.models.learners import executor_of
from clearhead.training.recipe.recipe import Recipe
from clearhead.training.runs.prepare import Prepared, Sides
from clearhead.training.scoring.decoding import translate
from clearhead.training.trainer import Trainer

Pair = tuple[str, str]


class DevScores:
    """Called after an evaluation. `whole` gives rank 0 a model with all of its weights; all ranks take part in it.

    Raises:
        MissingDependencyError: a package that a score needs is not installed.
    """

    def __init__(self, recipe: Recipe, prepared: Prepared, whole: Callable[[Trainer], nn.Module]) -> None:
        self.recipe, self.prepared, self.whole = recipe, prepared, whole
        self.names, self.language = recipe.evaluation.dev_scores, recipe.target_language
        for name in self.names:
            SCORES[name](["a"], ["a"], self.language)

    @cached_property
    def pairs(self) -> list[Pair]:
        """The first held-out sentences that the model reads whole, with their translations."""
        encode, limit = self.prepared.language.tokenizer.encode, self.recipe.data.max_length
        records = Sides(self.recipe).dev(Report())
        both = ((str(record["source"]), str(record["target"])) for record in records)
        read = (pair for pair in both if 0 < len(encode(pair[0])) <= limit)
        return list(islice(read, self.recipe.evaluation.dev_limit))

    def __call__(self, trainer: Trainer) -> dict[str, float]:
        """Each score by its name, of the weights that the model has now; nothing on ranks that do not write."""
        devices = [trainer.device] if trainer.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            model = self.whole(trainer)
            found: dict[str, float] = {}
            with trainer.ranks.turn() as writes:
                if writes:
                    found = self.scored(model)
        return found

    def scored(self, model: nn.Module) -> dict[str, float]:
        """What the model's greedy translations score."""
        language = self.prepared.language
        sources, references = zip(*self.pairs, strict=True)
        extra = self.recipe.evaluation.extra
        said = translate(executor_of(model), language.tokenizer, language.special, sources, extra=extra)
        return {name: round(SCORES[name](said, references, self.language).value, 2) for name in self.names}
