"""Rows joined into longer ones: nothing is lost, nothing is said twice, and no end stands in the middle."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clearhead.errors import ConfigError, OptionError
from clearhead.training.data.joining import Joined
from clearhead.training.data.store import Examples, Ragged
from clearhead.training.recipe.recipe import read_recipe
from clearhead.training.runs.prepare import prepare
from clearhead.training.tasks.tasks import KINDS
from training_runs import write_recipe

FIRST, END = 1, 2
ENDS = {"source": (FIRST, END), "target": (None, END)}


def rows(count: int = 200) -> Examples:
    """Row i says 10 + i, some times over, on both sides."""
    times = np.random.default_rng(1).integers(1, 6, size=count)
    said = [[10 + i] * int(n) for i, n in enumerate(times)]
    return {"source": Ragged.of([FIRST, *row, END] for row in said), "target": Ragged.of([*row, END] for row in said)}


def joined(share: float = 0.5, most: int = 20, seed: int = 3) -> Joined:
    plain = rows()
    return Joined(lambda _: plain, share=share, most=most, seed=seed, ends=ENDS)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_every_row_is_there_once(share: float) -> None:
    plain, made = rows(), joined(share)(0)
    source, target = (list(map(list, map(made[side].__getitem__, range(len(made[side]))))) for side in made)
    assert [row[1:] for row in source] == target, "both sides say the same rows in the same order"
    assert all(row[0] == FIRST and row.count(FIRST) == row.count(END) == 1 and row[-1] == END for row in source)
    words = sorted(id for row in target for id in row if id != END)
    assert words == sorted(id for id in plain["target"].flat.tolist() if id != END)
    assert (len(target) < 200) == (share > 0)
    for row in target:
        runs = [word for i, word in enumerate(row) if i == 0 or row[i - 1] != word]
        assert len(runs) == len(set(runs)), "a row stands whole"


def test_none_becomes_too_long() -> None:
    assert joined(0.9, most=12)(0)["source"].lengths.max() <= 12
    assert len(joined(0.9, most=3)(0)["source"]) == 200, "none that alone is longer is joined"


def test_epochs_and_seeds_differ_and_come_again() -> None:
    def flat(made: Examples) -> list[int]:
        return made["source"].flat.tolist()

    one = joined()
    first, second = flat(one(0)), flat(one(1))
    assert first != second
    assert flat(one(0)) == first == flat(joined()(0))
    assert flat(joined(seed=4)(0)) != first


def test_only_pairs_are_joined(tmp_path: Path) -> None:
    assert read_recipe(write_recipe(tmp_path / "recipe"), ["data.join=0.3"]).data.join == 0.3
    with pytest.raises(ConfigError, match=r"data\.join joins pairs of sentences, and causal has none"):
        read_recipe("gpt-shakespeare-char", ["data.join=0.3"])


@pytest.mark.parametrize(
    ("overrides", "longest"), [([], 40), (["model.max_positions=16"], 16), (["data.max_length=20"], 20)]
)
def test_what_is_joined_fits_the_model(tmp_path: Path, overrides: list[str], longest: int) -> None:
    task = objective(tmp_path, "data.join=0.9", "training.max_tokens=40", *overrides)
    assert longest / 2 < max(side.lengths.max() for side in task.examples(0).values()) <= longest


def test_a_vocabulary_without_spaces_between_sentences_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"data\.join: with this vocabulary two sentences become"):
        objective(tmp_path, "data.join=0.5", "vocabulary={kind: character, size: 60}")


def objective(folder: Path, *overrides: str) -> Any:
    """What a small recipe learns from."""
    path = write_recipe(folder / "recipe")
    recipe = read_recipe(path, [f"folder={path.parent / 'data'}", "vocabulary={kind: bpe, size: 90}", *overrides])
    prepared = prepare(recipe, folder / "data", None, lambda _: None)
    return KINDS[recipe.task].objective(recipe, prepared.train, prepared.dev, prepared.language)
