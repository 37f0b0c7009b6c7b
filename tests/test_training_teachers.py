"""Models that learn first, and whose translations are learnt from as well."""

import json
import os
import shutil
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

pytest.importorskip("torch")

from clearhead.errors import ClearheadError, ConfigError, StoppedError, TrainingError
from clearhead.training.data.report import Report
from clearhead.training.data.sources import read_all
from clearhead.training.models.bases import fine_tunable, language_of, open_base
from clearhead.training.models.learners import executor_of
from clearhead.training.recipe.recipe import read_recipe
from clearhead.training.recipe.suite_file import Suite
from clearhead.training.recipe.teaching import teacher_recipes
from clearhead.training.runs import suite, teachers
from clearhead.training.runs.prepare import Sides
from clearhead.training.runs.preview import heads
from clearhead.training.runs.run import Run, train
from clearhead.training.runs.run_folder import held
from clearhead.training.runs.teachers import texts_of
from clearhead.training.scoring.decoding import translate
from training_runs import after_step, carry_out, learnt, recipe, write_recipe

TWO = ("teachers.forward=1", "teachers.backward=1", "teachers.beams=2", "teachers.changes={training.steps: 6}")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A recipe with its data."""
    return write_recipe(tmp_path / "recipe")


def no_translation(*args: Any, **options: Any) -> Any:
    """Stands for `translate` where it must not be called."""
    raise AssertionError("what was translated already is translated again")


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
    monkeypatch.setattr(teachers, "translate", no_translation)
    carry_out(path, tmp_path / "run", *TWO, resume=True)
    assert not again


def test_a_run_broken_off_before_a_translation_translates_and_goes_on(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    carry_out(path, tmp_path / "whole", *TWO)
    with monkeypatch.context() as broken, pytest.raises(AssertionError):
        broken.setattr(teachers, "translate", no_translation)
        carry_out(path, tmp_path / "run", *TWO)
    assert (tmp_path / "run" / "teachers" / "forward-1" / "results.json").is_file()
    assert not (tmp_path / "run" / "teachers" / "forward-1.jsonl").exists()
    carry_out(path, tmp_path / "run", *TWO, resume=True)
    assert learnt(tmp_path / "run") == learnt(tmp_path / "whole")


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


def test_a_teacher_that_another_process_trains_is_waited_for(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "run" / "teachers" / "backward-1"
    with ExitStack() as other:
        lay_out = teachers.lay_out

        def laid_out_and_taken(recipes: Any, folder: Path) -> None:
            lay_out(recipes, folder)
            other.enter_context(held(place))

        monkeypatch.setattr(teachers, "lay_out", laid_out_and_taken)
        monkeypatch.setattr(teachers, "sleep", lambda seconds: other.close())
        run = Run(folder=tmp_path / "run", threads=1)
        train(recipe(path, *TWO), run)
    assert f"another process is at work in {place}; waiting for it" in run.said
    assert (place / "results.json").is_file()


def test_what_is_held_out_by_the_split_is_not_learnt_from_a_teacher(path: Path, tmp_path: Path) -> None:
    whole = recipe(path, *TWO, "data.dev=null", "data.split={dev: 0.2, test: 0.2}")
    plain = Sides(whole)
    known = next(iter(plain.train(Report())))
    hidden = next(iter(plain.dev(Report())))
    place = tmp_path / "teachers"
    place.mkdir()
    says = {
        "forward-1": [{"source": known["source"], "target": hidden["target"]}, known],
        "backward-1": [{"source": hidden["source"], "target": known["target"]}, known],
    }
    for name, some in says.items():
        (place / f"{name}.jsonl").write_text("".join(f"{json.dumps(pair)}\n" for pair in some), encoding="utf-8")
    sides = Sides(whole, texts_of(whole, place, list(says)))
    assert len(list(sides.train(Report()))) == len(list(plain.train(Report()))) + 2
    assert list(sides.dev(Report())) == list(plain.dev(Report()))
    assert sides.tests() == plain.tests()


def test_what_teachers_say_is_dropped_where_the_text_would_be_an_error(path: Path, tmp_path: Path) -> None:
    place = tmp_path / "teachers"
    place.mkdir()
    pair = {"source": "a man", "target": "ein Mann"}
    some = [
        pair,
        {"source": "a man", "target": ""},
        {"source": "a", "target": "a"},
        {"source": "b", "target": "c" * 99},
    ]
    (place / "forward-1.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in some), encoding="utf-8")
    strict = recipe(
        path, *TWO, "data.train.checks={identical: error, too_long: error, empty: error, max_characters: 60}"
    )
    assert list(read_all(texts_of(strict, place, ["forward-1"]), Report())) == [pair]


def test_sources_longer_than_the_teacher_reads_are_left_out(path: Path, tmp_path: Path) -> None:
    for side in ("en", "de"):
        with (path.parent / "data" / f"train.{side}").open("a", encoding="utf-8") as file:
            file.write("no end of it " * 9 + "\n")
    carry_out(path, tmp_path / "run", *TWO)
    assert len(pairs(tmp_path / "run" / "teachers" / "forward-1.jsonl")) == 28


def test_a_teacher_that_says_nothing_is_told_and_leaves_no_file(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teachers, "translate", lambda *args, **options: [" "] * 28)
    with pytest.raises(TrainingError, match="forward-1 says nothing; remove"):
        carry_out(path, tmp_path / "run", *TWO)
    assert not (tmp_path / "run" / "teachers" / "forward-1.jsonl").exists()


def test_a_reversed_recipe_reads_targets_and_says_sources(path: Path, tmp_path: Path) -> None:
    tests = "data.tests={some: {sources: [{kind: parallel, source: '{folder}/val.en', target: '{folder}/val.de'}]}}"
    there, back = (Sides(recipe(path, tests, f"data.reverse={turned}")) for turned in ("false", "true"))
    for one, other in (
        (there.train(Report()), back.train(Report())),
        (there.dev(Report()), back.dev(Report())),
        (there.tests()["some"], back.tests()["some"]),
    ):
        assert [(r["target"], r["source"]) for r in one] == [(r["source"], r["target"]) for r in other]
    turned = ("data.reverse=true", "data.languages=[en, de]")
    assert recipe(path, *turned).target_language == "en"
    assert next(heads(recipe(path, *turned), 1)).records[0]["source"] == next(iter(back.train(Report())))["source"]
    carry_out(path, tmp_path / "run", *turned, *TWO, "training.steps=1")
    pair = [
        json.loads((tmp_path / "run" / place / "model" / "translator.json").read_text())["pair"]
        for place in (".", "teachers/forward-1", "teachers/backward-1")
    ]
    assert pair == [["de", "en"], ["de", "en"], ["en", "de"]]
    said = [pairs(tmp_path / "run" / "teachers" / f"{name}-1.jsonl") for name in ("forward", "backward")]
    plain = list(there.train(Report()))
    assert [r["target"] for r in said[0]] == [r["target"] for r in plain]
    assert [r["source"] for r in said[1]] == [r["source"] for r in plain]


def test_runs_of_a_suite_do_not_share_what_teachers_say(path: Path, tmp_path: Path) -> None:
    both = Suite(
        name="both",
        about="With and without.",
        recipe=str(path),
        overrides={"folder": str(path.parent / "data")},
        runs={"plain": {}, "taught": {"teachers": {"forward": 1, "backward": 0, "changes": {"training.steps": 2}}}},
    )
    suite.carry_out(both, tmp_path, lambda place: Run(folder=place, threads=1))
    sources = [json.loads((tmp_path / run / "report.json").read_text())["sources"] for run in ("plain", "taught")]
    assert ["forward-1" in each for each in sources] == [False, True]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("teachers.forward=0", "teachers.backward=0"), "teachers: forward and backward are both 0"),
        (("teachers.forward=0", "teachers.begin=true"), "begin goes on with a forward one"),
        (("teachers.begin=true", "base=x", "model=null"), "both say what to begin with"),
        (("teachers={}", "task=causal", "training.context=32"), "teachers is for translations"),
        (
            ("teachers.changes={seed: 7}",),
            "changes has seed; teachers may be otherwise in training, ",
        ),
        (("teachers.changes={model.d_model: 16}", "teachers.begin=true"), "changes has model.d_model"),
        (("data.reverse=true", "task=causal", "training.context=32"), "data.reverse is for translations"),
    ],
)
def test_teachers_that_cannot_be(path: Path, overrides: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        recipe(path, *overrides)


def test_a_change_by_an_override_leaves_the_others(path: Path) -> None:
    own = teacher_recipes(recipe(path, *TWO, "teachers.changes.training.lr=0.5"))["forward-1"]
    assert (own.training.steps, own.training.lr, own.training.max_tokens) == (6, 0.5, 150)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("teachers.changes={training.step: 6}",), "teachers.changes, training.step: there is no such key; did you"),
        (("teachers.changes={training.steps.x: 6}",), "tiny: teachers.changes, training.steps.x: training.steps is 12"),
        (("data.tests={mine: {sources: [{kind: text, path: nowhere}]}}",), "nowhere: there is no such file"),
        (("model.changes={position: learned}",), "teacher forward-1 translates with the model that it leaves, and"),
    ],
)
def test_what_cannot_be_is_said_before_a_teacher_learns(
    path: Path, tmp_path: Path, overrides: tuple[str, ...], said: str
) -> None:
    with pytest.raises(ClearheadError, match=said):
        carry_out(path, tmp_path / "run", *TWO, *overrides)
    assert not (tmp_path / "run" / "teachers").exists()


def test_a_longer_run_keeps_the_teachers_that_it_has(path: Path, tmp_path: Path) -> None:
    carry_out(path, tmp_path / "run", *TWO[:3], "training.steps=3")
    before = (tmp_path / "run" / "teachers" / "forward-1" / "recipe.yaml").read_text()
    results = carry_out(path, tmp_path / "run", *TWO[:3], "training.steps=5", resume=True)
    assert results["steps"] == 5
    assert {name: each["steps"] for name, each in results["teachers"].items()} == {"forward-1": 3, "backward-1": 3}
    assert (tmp_path / "run" / "teachers" / "forward-1" / "recipe.yaml").read_text() == before


def test_a_teacher_that_was_removed_is_taught_again(path: Path, tmp_path: Path) -> None:
    carry_out(path, tmp_path / "run", *TWO)
    shutil.rmtree(tmp_path / "run" / "teachers" / "backward-1")
    carry_out(path, tmp_path / "run", *TWO, resume=True)
    assert (tmp_path / "run" / "teachers" / "backward-1" / "results.json").is_file()


def test_a_stopped_teacher_says_how_far_it_came(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    after_step(monkeypatch, 4, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(StoppedError, match=r"^teacher forward-1 stopped after step 5"):
        carry_out(path, tmp_path / "run", *TWO)
    assert (tmp_path / "run" / "teachers" / "forward-1" / "checkpoints").is_dir()
