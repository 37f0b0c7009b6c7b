"""Models that learn first, and whose translations are learnt from as well."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

pytest.importorskip("torch")

from clearhead.errors import ConfigError, StoppedError
from clearhead.training.data.report import Report
from clearhead.training.models.bases import language_of, open_base
from clearhead.training.recipe.recipe import read_recipe
from clearhead.training.runs.prepare import Sides
from clearhead.training.runs.run import Run, train
from clearhead.training.runs.run_folder import held
from clearhead.training.runs.teachers import teacher_recipes, told_recipe
from training_runs import after_step, carry_out, learnt, recipe, write_recipe

TWO = ("teachers.forward=1", "teachers.backward=1", "teachers.beams=2", "teachers.changes={training.steps: 6}")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A recipe with its data."""
    return write_recipe(tmp_path / "recipe")


def pairs(file: Path) -> list[dict[str, Any]]:
    """The records of a teacher's file."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_teachers_learn_in_both_directions_and_what_they_say_is_learnt_from(path: Path, tmp_path: Path) -> None:
    results = carry_out(path, tmp_path / "run", *TWO)
    place = tmp_path / "run" / "teachers"
    plain = list(Sides(recipe(path)).train(Report()))
    forward, backward = pairs(place / "forward-1.jsonl"), pairs(place / "backward-1.jsonl")
    assert {pair["source"] for pair in forward} <= {record["source"] for record in plain}
    assert {pair["target"] for pair in backward} <= {record["target"] for record in plain}
    assert (len(forward), len(backward)) == (28, 28)
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    kept = {name: entry["kept"] for name, entry in report["sources"].items()}
    assert kept["forward-1"] == kept["backward-1"] == 28
    assert results["steps"] == 12
    own = [json.loads((place / name / "results.json").read_text()) for name in ("forward-1", "backward-1")]
    assert [(r["recipe"], r["steps"], r["seed"]) for r in own] == [
        ("tiny.forward-1", 6, 2),
        ("tiny.backward-1", 6, 3),
    ]


def test_what_a_teacher_says_is_its_models_translation(path: Path, tmp_path: Path) -> None:
    from clearhead.training.models.bases import fine_tunable
    from clearhead.training.models.learners import executor_of
    from clearhead.training.scoring.decoding import translate

    carry_out(path, tmp_path / "run", *TWO)
    place = tmp_path / "run" / "teachers"
    base = open_base(str(place / "backward-1" / "model"))
    language = language_of(base)
    model = executor_of(fine_tunable(recipe(path), base))
    found = pairs(place / "backward-1.jsonl")
    assert [pair["source"] for pair in found] == translate(
        model, language.tokenizer, language.special, [pair["target"] for pair in found], beams=2
    )


def test_a_run_may_go_on_with_the_best_teachers_weights(path: Path, tmp_path: Path) -> None:
    place = tmp_path / "run" / "teachers"
    three = (*TWO, "teachers.forward=3", "teachers.begin=true", "teachers.changes={training.lr: 0.02}")
    carry_out(path, tmp_path / "run", *three, "training.steps=1", "training.lr=1e-12")
    forward = [f"forward-{i}" for i in (1, 2, 3)]
    best = min(forward, key=lambda name: json.loads((place / name / "results.json").read_text())["dev_nll"])
    after = load_file(tmp_path / "run" / "model" / "model.safetensors")
    for name in forward:
        before = load_file(place / name / "model" / "model.safetensors")
        assert all(abs(after[key] - before[key]).max() < 1e-6 for key in before) is (name == best)


def test_a_run_broken_off_while_a_teacher_learns_goes_on_to_the_same_bits(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    carry_out(path, tmp_path / "whole", *TWO, "teachers.begin=true")

    def interrupt() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
        after_step(broken, 4, interrupt)
        carry_out(path, tmp_path / "run", *TWO, "teachers.begin=true")
    assert not (tmp_path / "run" / "teachers" / "forward-1.jsonl").exists()
    carry_out(path, tmp_path / "run", *TWO, "teachers.begin=true", resume=True)
    assert learnt(tmp_path / "run") == learnt(tmp_path / "whole")


def test_teachers_that_are_there_are_not_taught_again(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    carry_out(path, tmp_path / "run", *TWO)
    again: list[int] = []
    for step in range(1, 7):
        after_step(monkeypatch, step, lambda: again.append(1))
    carry_out(path, tmp_path / "run", *TWO, resume=True)
    assert not again


def test_a_teacher_may_be_trained_by_itself(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "run" / "teachers"

    def interrupt() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
        after_step(broken, 2, interrupt)
        carry_out(path, tmp_path / "run", *TWO)
    alone = train(read_recipe(place / "backward-1"), Run(folder=place / "backward-1", threads=1))
    carry_out(path, tmp_path / "run", *TWO, resume=True)
    assert json.loads((place / "backward-1" / "results.json").read_text()) == alone
    with held(place / "forward-1"), pytest.raises(ConfigError, match="another process is at work in"):
        (place / "forward-1.jsonl").unlink()
        carry_out(path, tmp_path / "run", *TWO, resume=True)


def test_what_is_held_out_by_the_split_is_not_learnt_from_a_teacher(path: Path, tmp_path: Path) -> None:
    split = ("data.dev=null", "data.split={dev: 0.2, test: 0.2}")
    carry_out(path, tmp_path / "run", *TWO, *split)
    whole = recipe(path, *TWO, *split)
    with_them = told_recipe(whole, tmp_path / "run" / "teachers", list(teacher_recipes(whole)))
    sides = Sides(with_them)
    held = [*sides.dev(Report()), *sides.tests()["held-out"]]
    learnt_from = list(sides.train(Report()))
    for side in ("source", "target"):
        assert not {record[side] for record in held} & {record[side] for record in learnt_from}
    assert len(learnt_from) > len(list(Sides(whole).train(Report())))


def test_a_reversed_recipe_reads_targets_and_says_sources(path: Path, tmp_path: Path) -> None:
    there, back = (list(Sides(recipe(path, f"data.reverse={turned}")).dev(Report())) for turned in ("false", "true"))
    assert [(r["target"], r["source"]) for r in there] == [(r["source"], r["target"]) for r in back]
    carry_out(path, tmp_path / "run", "data.reverse=true", "data.languages=[en, de]", "training.steps=1")
    assert json.loads((tmp_path / "run" / "model" / "translator.json").read_text()) == {"pair": ["de", "en"]}


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("teachers.forward=0", "teachers.backward=0"), "teachers: forward and backward are both 0"),
        (("teachers.forward=0", "teachers.begin=true"), "begin goes on with a forward one"),
        (("teachers.begin=true", "base=x", "model=null"), "both say what to begin with"),
        (("teachers={}", "task=causal", "training.context=32"), "teachers is for translations"),
        (("data.reverse=true", "task=causal", "training.context=32"), "data.reverse is for translations"),
    ],
)
def test_teachers_that_cannot_be(path: Path, overrides: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        recipe(path, *overrides)


def test_wrong_changes_are_named_before_anything_is_read(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"teachers.changes, training.step: there is no such key; did you mean"):
        carry_out(path, tmp_path / "run", "teachers.changes={training.step: 6}")
    assert not (tmp_path / "run" / "data").exists()


def test_a_stopped_teacher_says_how_far_it_came(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    after_step(monkeypatch, 4, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(StoppedError, match="after step 5"):
        carry_out(path, tmp_path / "run", *TWO)
    assert (tmp_path / "run" / "teachers" / "forward-1" / "checkpoints").is_dir()
