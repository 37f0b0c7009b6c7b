"""Scores of translations while a run goes on: those of its weights, in log and picture, and nothing else moves."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

import clearhead as ch
from clearhead.errors import ConfigError, StoppedError
from clearhead.training.metrics.texts import SCORES
from clearhead.training.runs.curves import figure, read_curve
from clearhead.training.scoring.decoding import translate
from training_runs import after_step, carry_out, learnt, recipe, write_recipe

SCORED = ("evaluation.dev_scores=[bleu, chrf]", "evaluation.dev_limit=5")
FEW = ("training.steps=4", "evaluation.every=2")
RNN = "model={architecture: rnn, d_model: 8, d_ff: 8, n_layers: 1, max_positions: 64}"


pytestmark = pytest.mark.usefixtures("threads_kept")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recipe(tmp_path_factory.mktemp("scores") / "tiny")


@pytest.fixture(scope="module")
def scored(path: Path) -> Path:
    """A run that nothing happened to."""
    carry_out(path, path.parent / "scored", *SCORED)
    return path.parent / "scored"


def log(folder: Path) -> list[dict[str, Any]]:
    """The evaluations in a run's log."""
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [line for line in lines if "dev_nll" in line]


def test_scores_are_those_of_what_the_weights_translate(path: Path, scored: Path) -> None:
    lines, model = log(scored), ch.load(scored / "model", dtype="float32")
    best = min(lines, key=lambda line: line["dev_nll"])  # whose weights are kept
    sides = [(path.parent / "data" / f"val.{side}").read_text().splitlines()[:5] for side in ("en", "de")]
    assert model.tokenizer is not None
    said = translate(model.executor, model.tokenizer, model.special, sides[0])
    assert any(said)
    for name in ("bleu", "chrf"):
        assert best["dev_scores"][name] == pytest.approx(SCORES[name](said, sides[1], "de").value, abs=0.006)
    assert best["dev_scores"]["chrf"] > 0 and [line["step"] for line in lines] == [5, 10, 12]


def test_nothing_of_what_is_learnt_depends_on_them(path: Path, scored: Path, tmp_path: Path) -> None:
    carry_out(path, tmp_path / "plain")
    assert unscored(scored) == learnt(tmp_path / "plain")
    carry_out(path, tmp_path / "rnn", RNN, *FEW)
    carry_out(path, tmp_path / "scored-rnn", RNN, *FEW, *SCORED)
    assert unscored(tmp_path / "scored-rnn") == learnt(tmp_path / "rnn")


def unscored(folder: Path) -> dict[str, Any]:
    """What was learnt, without the scores, of which each evaluation has some."""
    found = learnt(folder)
    assert all([line.pop("dev_scores") for line in found["log"] if "dev_nll" in line])
    return found


def test_a_run_that_goes_on_scores_the_same(
    path: Path, scored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        after_step(patch, 7, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(StoppedError):
            carry_out(path, tmp_path / "run", *SCORED)
    carry_out(path, tmp_path / "run", *SCORED, resume=True)
    assert learnt(tmp_path / "run") == learnt(scored)


def test_they_may_be_asked_for_later_and_are_drawn(path: Path, tmp_path: Path) -> None:
    carry_out(path, tmp_path / "run", "training.steps=5")
    carry_out(path, tmp_path / "run", "training.steps=12", *SCORED, resume=True)
    curve = read_curve(tmp_path / "run")
    assert [len(point.scores) for point in curve.dev] == [0, 2, 2] and curve.scores == ["bleu", "chrf"]
    drawn = figure([curve]).axes
    assert [axes.get_ylabel() for axes in drawn[::3]] == ["loss, nats per token", "bleu on dev", "chrf on dev"]
    (line,) = drawn[7].lines  # chrf against tokens
    assert line.get_xdata().tolist() == [point.tokens for point in curve.dev[1:]]
    assert line.get_ydata().tolist() == [point.scores["chrf"] for point in curve.dev[1:]]
    assert len(figure([read_curve(tmp_path / "run"), curve]).axes) == 9


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (("evaluation.dev_scores=[blue]",), "evaluation.dev_scores: there is no score 'blue' for task translation"),
        (
            ("evaluation.dev_scores=[bleu]", "task=spans"),
            "dev_scores are of translations; remove them, for the task is",
        ),
    ],
)
def test_scores_that_a_task_does_not_have(path: Path, keys: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        recipe(path, *keys)
