"""A run of some steps, on data written here: small enough to be broken off in every way there is."""

import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clearhead.training.recipe.recipe import Recipe, read_recipe
from clearhead.training.runs.run import Run, train
from clearhead.training.trainer import Trainer

PARTS = (["a man", "the dog", "two children", "nobody"], ["sees", "has", "paints"], ["a house", "three apples", "it"])
WORDS = (["ein Mann", "der Hund", "zwei Kinder", "niemand"], ["sieht", "hat", "malt"], ["ein Haus", "drei Äpfel", "es"])
RECIPE = """\
name: tiny
about: Captions for the tests.
task: translation
folder: data
data:
  train: {sources: [{kind: parallel, source: "{folder}/train.en", target: "{folder}/train.de"}]}
  dev: {sources: [{kind: parallel, source: "{folder}/val.en", target: "{folder}/val.de"}]}
vocabulary: {kind: character, size: 60}
model: {architecture: transformer, d_model: 8, d_ff: 16, n_heads: 2, n_layers: 1, max_positions: 64}
training:                                   # dropout and R-Drop: random numbers decide every step
  steps: 12
  max_tokens: 150
  lr: 0.02
  dropout: {residual: 0.1, embedding: 0.1, attention: 0.1}
  consistency: 1.0
  smoothing: 0.1
  average: {kind: ema, decay: 0.9}
  schedule: {warmup: 4}
evaluation: {every: 5, keep: best}
saving: {every: 1}
short: {training.steps: 3, evaluation.every: 2}
"""


def write_recipe(folder: Path) -> Path:
    """The recipe, with its data beside it."""
    pairs = [(" ".join(en), " ".join(de)) for en, de in zip(product(PARTS), product(WORDS), strict=True)]
    random.Random(1).shuffle(pairs)
    (folder / "data").mkdir(parents=True)
    for name, some in (("train", pairs[:28]), ("val", pairs[28:])):
        for i, side in enumerate(("en", "de")):
            (folder / "data" / f"{name}.{side}").write_text("".join(f"{pair[i]}\n" for pair in some), encoding="utf-8")
    path = folder / "tiny.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def product(parts: tuple[list[str], ...]) -> list[tuple[str, ...]]:
    """Each first part with each second and each third."""
    return list(itertools.product(*parts))


def recipe(path: Path, *overrides: str) -> Recipe:
    """The recipe, reading the data beside it."""
    return read_recipe(path, [f"folder={path.parent / 'data'}", *overrides])


def carry_out(path: Path, folder: Path, *overrides: str, resume: bool = False, **options: Any) -> dict[str, Any]:
    """A run of the recipe."""
    return train(recipe(path, *overrides), Run(folder=folder, threads=1, resume=resume, **options))


def learnt(folder: Path) -> dict[str, Any]:
    """Everything of a run that must not depend on how often it was broken off, to the bit."""
    newest = max((folder / "checkpoints").iterdir())
    state = json.loads((newest / "state.json").read_text())
    del state["progress"]["seconds"]
    results = json.loads((folder / "results.json").read_text())
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    timed = ("seconds", "tokens_per_second")
    for teacher in results.get("teachers", {}).values():
        del teacher["seconds"]
    return {
        "step": newest.name,
        "state": state,
        "tensors": (newest / "tensors.safetensors").read_bytes(),
        "model": (folder / "model" / "model.safetensors").read_bytes(),
        "results": {key: value for key, value in results.items() if key not in timed},
        "log": [{key: value for key, value in line.items() if key not in timed} for line in log],
    }


def after_step(monkeypatch: pytest.MonkeyPatch, step: int, act: Callable[[], None]) -> None:
    """Have something happen in the middle of a step of all runs."""
    apply = Trainer.apply

    def watched(self: Trainer, tokens: float) -> None:
        apply(self, tokens)
        if self.progress.step == step:
            act()

    monkeypatch.setattr(Trainer, "apply", watched)
