"""Runs that go on: by the same recipe and no other, in a folder of their own, to results that say what decides them."""

import json
import os
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console

import clearhead as ch
from clearhead.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    MissingDependencyError,
    OptionError,
    StoppedError,
)
from clearhead.tasks.translate import open_translator
from clearhead.training.callbacks.saving import Save
from clearhead.training.models import blocks
from clearhead.training.recipe.recipe import read_recipe
from clearhead.training.runs.run import Run, train
from clearhead.training.runs.run_folder import held
from training_runs import after_step, carry_out, learnt, recipe, write_recipe

pytestmark = pytest.mark.usefixtures("threads_kept")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recipe(tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture(scope="module")
def whole(path: Path) -> Path:
    """A run that nothing happened to."""
    carry_out(path, path.parent / "whole")
    return path.parent / "whole"


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """Another one, to be spoilt."""
    return Path(shutil.copytree(whole, tmp_path / "copy"))


FEW = ("training.steps=3", "evaluation.every=2")


# Going on


def test_a_run_that_is_finished_can_be_finished_again(path: Path, whole: Path, copy: Path) -> None:
    (copy / "model" / "model.safetensors").write_bytes(b"")
    (copy / "results.json").unlink()
    carry_out(path, copy, resume=True)
    assert learnt(copy) == learnt(whole)


def test_without_a_checkpoint_to_go_on_from_a_run_begins(path: Path, whole: Path, tmp_path: Path) -> None:
    run = Run(folder=tmp_path / "run", threads=1, resume=True)
    train(recipe(path), run)
    assert f"there is no checkpoint in {tmp_path / 'run'} yet; beginning" in run.said
    assert learnt(tmp_path / "run") == learnt(whole)


def test_the_best_weights_are_kept_over_a_stop(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worse = ("training.lr=1", "training.schedule.kind=constant", "training.average.kind=none", "evaluation.every=1")
    results = carry_out(path, tmp_path / "whole", *worse)
    best = results["best_step"]
    assert 0 < best < 10 and results["dev_nll"] == results["scores"]["dev"]["nll"]
    with monkeypatch.context() as patch:
        after_step(patch, 10, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(StoppedError):
            carry_out(path, tmp_path / "run", *worse)
    again = carry_out(path, tmp_path / "run", *worse, resume=True)
    assert again["best_step"] == best
    assert learnt(tmp_path / "run") == learnt(tmp_path / "whole")


def test_a_run_that_had_learnt_enough_learns_no_more_when_it_goes_on(path: Path, tmp_path: Path) -> None:
    enough = ("training.lr=0.3", "training.schedule.kind=constant", "training.steps=40", "training.average.kind=none")
    enough = (*enough, "evaluation.every=1", "evaluation.patience=3")
    results = carry_out(path, tmp_path / "run", *enough)
    assert results["steps"] == results["best_step"] + 3 < 40
    before = learnt(tmp_path / "run")
    assert carry_out(path, tmp_path / "run", *enough, resume=True)["steps"] == results["steps"]
    assert learnt(tmp_path / "run") == before


def test_more_steps_may_be_asked_for_and_data_may_have_moved(
    path: Path, whole: Path, copy: Path, tmp_path: Path
) -> None:
    moved = shutil.copytree(path.parent / "data", tmp_path / "moved")
    longer = read_recipe(path, [f"folder={moved}", "training.steps=14", "saving.keep=1", "evaluation.every=7"])
    results = train(longer, Run(folder=copy, threads=1, resume=True))
    assert results["steps"] == 14
    assert [p.name for p in (copy / "checkpoints").iterdir()] == ["step-00000014"]
    assert read_recipe(copy).training.steps == 14  # and the next one needs not be told again


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("training.lr=0.03", "training.lr was 0.02, and is 0.03"),
        ("seed=2", "seed was 1, and is 2"),
        ("training.average.kind=none", "training.average.kind was 'ema', and is 'none'"),
        ("model.changes.position=learned", "model.changes was {}, and is not set"),
        ("data.train.sources.0.limit=20", "data.train.sources.0.limit was None, and is 20"),
        (
            "data.dev.sources.0.source=elsewhere/val.en",
            "data.dev.sources.0.source was '{folder}/val.en', and is 'elsewhere",
        ),
    ],
)
def test_another_recipe_is_refused_with_the_key_that_differs(path: Path, whole: Path, override: str, said: str) -> None:
    before = (whole / "recipe.yaml").read_bytes()
    with pytest.raises(ConfigError) as caught:
        carry_out(path, whole, override, resume=True)
    assert f"{whole} holds a run of another recipe: {said}" in str(caught.value)
    assert (whole / "recipe.yaml").read_bytes() == before


def test_blocks_that_are_computed_again_learn_the_same(
    path: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[bool] = []
    afresh = blocks.afresh
    monkeypatch.setattr(blocks, "afresh", lambda *args: calls.append(torch.is_grad_enabled()) or afresh(*args))
    carry_out(path, tmp_path / "run", "training.recompute=true")
    assert learnt(tmp_path / "run") == learnt(whole)
    assert sum(calls) == 12 * 2 * 2  # steps, blocks, and each twice
    rnn = ("model.architecture=rnn", "model.n_heads=1", "training.recompute=true")
    with pytest.raises(ConfigError, match="an RNN has none"):
        carry_out(path, tmp_path / "rnn", *rnn)


# Folders


def test_a_run_is_not_written_over(path: Path, whole: Path) -> None:
    with pytest.raises(ConfigError, match="holds a run; go on with --resume, or name another folder with --output"):
        carry_out(path, whole)


def test_a_folder_of_other_things_is_left_alone(path: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match=r"holds no run, but thesis.tex; name a new folder with --output"):
        carry_out(path, tmp_path)
    with pytest.raises(ConfigError, match="cannot be written to"):
        carry_out(path, tmp_path / "thesis.tex")
    with pytest.raises(ConfigError, match="cannot be written to"):
        carry_out(path, Path("/proc/run"))
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_an_empty_folder_is_taken(path: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert carry_out(path, tmp_path / "run", *FEW)["steps"] == 3


def test_a_second_process_is_told_that_the_folder_is_in_use(path: Path, copy: Path) -> None:
    before = learnt(copy)
    with (
        held(copy),
        pytest.raises(ConfigError, match="another process is at work in"),
    ):
        carry_out(path, copy, resume=True)
    assert learnt(copy) == before


def test_what_a_test_needs_is_missed_before_the_run(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tests = "data.tests={t: {sources: [{kind: parallel, source: '{folder}/no.en', target: '{folder}/no.de'}]}}"
    with pytest.raises(DataError, match=r"no\.en"):
        carry_out(path, tmp_path / "run", tests)
    assert not (tmp_path / "run" / "data").exists()
    monkeypatch.setitem(sys.modules, "sacremoses", None)
    scored = "evaluation.scores=[tokenised_bleu]", "data.languages=[en, de]"
    with pytest.raises(MissingDependencyError, match="needs sacremoses"):
        carry_out(path, tmp_path / "other", tests.replace("no.", "val."), *scored)
    assert not (tmp_path / "other").exists()


# What there is at the end


@pytest.mark.parametrize(
    "model", [(), ("model={architecture: rnn, d_model: 8, d_ff: 8, n_layers: 1}",)], ids=["", "rnn"]
)
def test_a_translator_knows_its_languages(path: Path, tmp_path: Path, model: tuple[str, ...]) -> None:
    carry_out(path, tmp_path / "run", "data.languages=[en, de]", "training.steps=1", *model)
    folder = tmp_path / "run" / "model"
    assert open_translator("de", model=folder).from_ == "en"
    with pytest.raises(OptionError, match="model translates en to de, not en to fr"):
        open_translator("fr", model=folder)
    if not model:
        ch.load(folder).save(tmp_path / "copy")
        with pytest.raises(OptionError, match="copy translates en to de, not en to fr"):
            open_translator("fr", model=tmp_path / "copy")
    (folder / "translator.json").write_text('{"pair": ["en"]}')
    with pytest.raises(CheckpointError, match=r"model/translator\.json is damaged; it should say"):
        open_translator("de", model=folder)


def test_results_say_what_decides_them_and_whether_they_are_as_expected(path: Path, tmp_path: Path) -> None:
    bands = "[{what: dev_nll, low: 1, high: 9}, {what: scores.val.bleu, low: 99}, {what: scores.no.bleu, high: 1}]"
    tests = "data.tests={val: {sources: [{kind: parallel, source: '{folder}/val.en', target: '{folder}/val.de'}]}}"
    keys = (tests, f"expect={bands}", "evaluation.scores=[bleu]", "evaluation.beams=2", "seed=7")
    results = carry_out(path, tmp_path / "run", *FEW, *keys)
    assert json.loads((tmp_path / "run" / "results.json").read_text()) == results
    assert [band["met"] for band in results["expected"]] == [True, False, None]
    assert (results["seed"], results["threads"], results["processes"], results["device"]) == (7, 1, 1, "cpu")
    assert results["versions"] == {
        "clearhead": ch.__version__,
        "torch": str(torch.__version__),
        "python": ".".join(map(str, sys.version_info[:3])),
    }
    assert results["processor"]
    model = ch.load(tmp_path / "run" / "model", executor="torch")
    assert results["parameters"]["embeddings"] == model.config.vocab_size * 8
    assert "tok:13a" in results["scores"]["val"]["bleu_counted"]


def test_tensorboard_reads_what_was_written(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    event_file_loader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    keys = ("training.steps=25", "evaluation.every=10")
    with monkeypatch.context() as patch:
        after_step(patch, 21, lambda: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(StoppedError):
            carry_out(path, tmp_path / "run", *keys, tensorboard=True)
    carry_out(path, tmp_path / "run", *keys, tensorboard=True, resume=True)
    found = event_file_loader.EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    found.Reload()
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    for tag, key in (("train/nll", "nll"), ("dev/nll", "dev_nll")):
        points = {event.step: event.value for event in found.Scalars(tag)}
        assert points == pytest.approx({line["step"]: line[key] for line in log if key in line}, abs=1e-4)
    assert {"train/lr", "train/tokens_per_second"} <= set(found.Tags()["scalars"])


def test_lines_about_the_run_do_not_wrap_in_a_pipe(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "said"
    with file.open("w") as pipe:
        carry_out(path, tmp_path / ("long" * 30), *FEW, resume=True, console=Console(file=pipe))
    lines = file.read_text().splitlines()
    assert sum("there is no checkpoint in" in line and line.endswith("yet; beginning") for line in lines) == 1
    line = next(line for line in lines if line.startswith("step 3/3"))
    assert re.fullmatch(r"step 3/3 · loss \d\.\d{3} · dev \d\.\d{3} · \S+ tokens/s · MFU \d+% · 0:00 left", line), line


def test_a_save_without_anyone_to_tell_is_no_failure(tmp_path: Path) -> None:
    assert Save(tmp_path, 1, 1).warn("something") is None


def test_a_folder_is_free_while_no_data_was_read(path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(DataError, match="there is no such file"):
        carry_out(path, folder, "folder=nowhere")
    carry_out(path, folder, "training.steps=2")
    assert (folder / "results.json").is_file()
