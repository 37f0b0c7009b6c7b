"""`clearhead train` and `clearhead curves`, as people and programs meet them."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from clearhead.errors import ConfigError
from clearhead.training.recipe.recipe import Recipe, bundled, read_recipe, source_of
from clearhead.training.runs.curves import compare, figure, read_curve, sparkline
from terminal import COMMAND, fails, invoke, on_terminal
from training_runs import carry_out, write_recipe

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recipe(tmp_path_factory.mktemp("cli") / "tiny")


@pytest.fixture(scope="module")
def run(path: Path) -> Path:
    carry_out(path, path.parent / "run")
    return path.parent / "run"


@pytest.fixture
def ask(path: Path) -> list[str | Path]:
    """The recipe, with its data."""
    return ["train", path, "--data", path.parent / "data", "--threads", "1"]


# Recipes


def test_recipes_are_listed() -> None:
    result = invoke("train", "--list")
    assert result.exit_code == 0 and result.stderr == ""
    heading, *lines = result.stdout.splitlines()
    assert heading.split() == ["name", "task", "steps", "about"]
    assert [line.split()[0] for line in lines] == bundled()
    found = json.loads(invoke("train", "--list", "--json").stdout)
    assert [(r["name"], r["about"]) for r in found] == [(name, read_recipe(name).about) for name in bundled()]


def test_recipes_are_listed_within_a_terminal() -> None:
    shown, status = on_terminal(["train", "--list"], env={"NO_COLOR": "1"})
    assert status == 0
    assert max(map(len, shown.splitlines())) <= 80
    assert "a recipe" not in shown and all(name in shown for name in bundled())


def test_a_recipe_is_shown_to_the_letter(path: Path) -> None:
    for name in (bundled()[0], path):
        result = invoke("train", name, "--show")
        assert (result.stdout, result.stderr) == (source_of(name), "")


def test_a_trial_shows_every_key_as_a_recipe_and_touches_nothing(ask: list[str | Path], tmp_path: Path) -> None:
    result = invoke(*ask, "--dry-run", "training.steps=9", "--output", tmp_path / "out")
    assert result.exit_code == 0 and result.stderr == ""
    keys = yaml.safe_load(result.stdout)
    assert keys["training"]["steps"] == 9 and keys["evaluation"]["beams"] == 5
    again = tmp_path / "again.yaml"
    again.write_text(result.stdout, encoding="utf-8")
    assert read_recipe(again) == Recipe.model_validate(keys)
    comments = [line for line in result.stdout.splitlines() if line.startswith("# ")]
    assert re.search(r"^# train .*train.en \+ .*train.de +.* -> ", comments[0])
    assert re.search(r"^# model +transformer +at most [\d,]+ parameters and [\d,]+ of embeddings$", comments[2])
    assert comments[3].endswith(f"9 steps into {tmp_path / 'out'}")
    assert list(tmp_path.iterdir()) == [again]


def test_a_trial_as_data(ask: list[str | Path], run: Path) -> None:
    found = json.loads(invoke(*ask, "--dry-run", "--json", "--resume", "--output", run).stdout)
    assert found["goes_on"] and found["folder"] == str(run)
    results = json.loads((run / "results.json").read_text())
    assert found["parameters"]["embeddings"] >= results["parameters"]["embeddings"] > 0
    assert [source["side"] for source in found["sources"]] == ["train", "dev"]
    assert set(found["sources"][0]["records"][0]) == {"source", "target"}


def test_the_size_of_a_trial_is_that_of_the_run(ask: list[str | Path], run: Path) -> None:
    """But for the vocabulary, of which a recipe says only how large it may become."""
    results = json.loads((run / "results.json").read_text())
    rows = results["parameters"]["embeddings"] // 8
    found = json.loads(invoke(*ask, "--dry-run", "--json", f"vocabulary.size={rows}").stdout)
    assert found["parameters"] == results["parameters"]


def test_what_a_recipe_is_tested_on_can_be_had_as_files(ask: list[str | Path], path: Path, tmp_path: Path) -> None:
    half = ["data.split={test: 0.5, dev: 0.2}", "data.languages=[en, de]"]
    result = invoke(*ask, *half, "--write-tests", tmp_path / "tests")
    assert result.exit_code == 0, result.stderr
    files = [line.split()[0] for line in result.stdout.splitlines()]
    assert files == [str(tmp_path / "tests" / name) for name in ("held-out.en", "held-out.de")]
    data = path.parent / "data"
    all_of = {
        (source.rstrip("\n"), target.rstrip("\n"))
        for source, target in zip((data / "train.en").open(), (data / "train.de").open(), strict=True)
    }
    held = list(zip(*((tmp_path / "tests" / name).read_text().splitlines() for name in files), strict=True))
    assert held and set(held) < all_of
    again = invoke(*ask, *half, "data.reverse=true", "--write-tests", tmp_path / "other", "--json")
    assert json.loads(again.stdout) == [
        {"file": str(tmp_path / "other" / name), "examples": len(held)} for name in ("held-out.de", "held-out.en")
    ]
    assert (tmp_path / "other/held-out.en").read_text().splitlines() == [en for en, _de in held]


def test_tests_that_cannot_be_written(ask: list[str | Path], tmp_path: Path) -> None:
    assert "has no tests; give it data.tests" in fails(*ask, "--write-tests", tmp_path / "tests")
    assert not (tmp_path / "tests").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").touch()
    assert "is there already" in fails(*ask, "--write-tests", tmp_path / "full")


# Runs


def test_a_run_prints_its_results_alone(ask: list[str | Path], tmp_path: Path) -> None:
    result = invoke(*ask, "--short", "--output", tmp_path / "run")
    assert result.exit_code == 0
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines() if not line.startswith("dev loss"))
    assert lines["steps"].startswith("3 in ") and lines["folder"] == str(tmp_path / "run")
    assert re.search(r"^dev loss +\d\.\d{3} [▁-█]+ \d\.\d{3}; least \d\.\d{3} at step \d$", result.stdout, re.MULTILINE)
    assert re.search(r"^dev +nll \d\.\d+, perplexity [\d.]+$", result.stdout, re.MULTILINE)
    assert "step 3/3 · loss" in result.stderr and "learning the vocabulary" in result.stderr
    assert (tmp_path / "run" / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_results_as_data(ask: list[str | Path], tmp_path: Path) -> None:
    result = invoke(*ask, "--short", "--json", "--output", tmp_path / "run", "expect=[{what: steps, low: 4}]")
    found = json.loads(result.stdout)
    assert found.pop("folder") == str(tmp_path / "run")
    assert found == json.loads((tmp_path / "run" / "results.json").read_text())
    assert result.exit_code == 0 and found["expected"][0]["met"] is False


def test_what_was_expected_is_said(ask: list[str | Path], tmp_path: Path) -> None:
    bands = "expect=[{what: steps, low: 4}, {what: steps, low: 1, high: 3}, {what: dev_bleu, high: 3}]"
    result = invoke(*ask, "--short", "--output", tmp_path / "run", bands)
    assert result.exit_code == 0
    assert [line for line in result.stdout.splitlines() if line.startswith("expected")] == [
        "expected    steps 3: NOT as expected, at least 4",
        "expected    steps 3: as expected, 1 to 3",
        "expected    dev_bleu was not measured; expected at most 3",
    ]


def test_a_run_is_gone_on_with_by_its_folder(ask: list[str | Path], tmp_path: Path, run: Path) -> None:
    folder = Path(shutil.copytree(run, tmp_path / "run"))
    assert "holds a run; go on with --resume" in fails("train", folder)
    result = invoke("train", folder, "--resume", "training.steps=13")
    assert result.exit_code == 0 and "going on after step 12" in result.stderr
    assert result.stdout.startswith("steps       13 in ")
    assert "training.lr was 0.02, and is 0.5" in fails("train", folder, "--resume", "training.lr=0.5")


def test_ctrl_c_on_a_terminal_saves_and_says_how_to_go_on(ask: list[str | Path], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    steps = "training.steps=100000"
    shown, status = on_terminal([*ask, "--output", folder, steps], [("tokens/s", "\x03")], env={"COLUMNS": "80"})
    assert status == 128 + signal.SIGINT
    said = " ".join(ESCAPES.sub("", shown).split())
    step = int(re.search(r"stopped after step (\d+), and saved; go on with: ", said)[1])  # type: ignore[index]
    assert said.endswith(f"clearhead train {folder} --resume --threads 1")
    assert (folder / "checkpoints" / f"step-{step:08d}").is_dir()
    bars = [line.removesuffix("^C") for line in re.split(r"[\r\n]", ESCAPES.sub("", shown)) if "tokens/s" in line]
    assert bars and all(len(line) <= 80 for line in bars)
    assert re.search(r"━ \d+/100000 · loss \d\.\d{3}( · dev \d\.\d{3})? · \S+ tokens/s · MFU \d+% · \S+", bars[-1])


def test_sigterm_saves_and_a_second_process_goes_on(ask: list[str | Path], tmp_path: Path, run: Path) -> None:
    folder = tmp_path / "run"
    command = [*COMMAND, *map(str, ask), "--output", str(folder), "training.steps=100000"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as work:
        until = time.monotonic() + 60
        while not list(folder.glob("checkpoints/step-*[3-9]")) and time.monotonic() < until:
            time.sleep(0.01)
        assert "another process is at work in" in fails(*ask, "--output", folder, "training.steps=100000", "--resume")
        work.send_signal(signal.SIGTERM)
        out, err = work.communicate(timeout=60)
    assert (work.returncode, out) == (128 + signal.SIGTERM, "")
    assert re.search(r"^stopped after step \d+, and saved; go on with: clearhead train ", err.splitlines()[-1])
    done = invoke("train", folder, "--resume", "training.steps=1")  # fewer than there were: it tests and exports
    assert done.exit_code == 0 and (folder / "model" / "config.json").is_file()


def test_two_processes_learn_what_one_does_and_the_first_tells(ask: list[str | Path], tmp_path: Path) -> None:
    still = ("training.consistency=0", "training.dropout={}", "training.average.kind=none")
    one = invoke(*ask, "--output", tmp_path / "one", "--json", *still)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    command = [*COMMAND, *map(str, ask), "--output", str(tmp_path / "two"), "--json", *still]
    ranks = [
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in (0, 1)
    ]
    (told, _), (silent, warned) = (rank.communicate(timeout=120) for rank in ranks)
    assert [rank.returncode for rank in ranks] == [0, 0], warned
    alone, both = json.loads(one.stdout), json.loads(told)
    assert (silent, warned) == ("", "")
    assert (alone["processes"], both["processes"]) == (1, 2)
    assert both["dev_nll"] == pytest.approx(alone["dev_nll"], abs=1e-4) and both["tokens"] == alone["tokens"]
    assert len(read_curve(tmp_path / "two").dev) == len(read_curve(tmp_path / "one").dev)
    assert (tmp_path / "two" / "model" / "model.safetensors").is_file()


def test_without_torch_the_remedy_is_named(ask: list[str | Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    remedy = "training needs torch, which is not installed; install it with: pip install 'clearhead[train]'"
    assert remedy in fails(*ask) and remedy in fails(*ask, "--write-tests", "tests")
    assert invoke("train", "--list").exit_code == 0
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert "training needs yaml" in fails("train", "--list")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--list", "--show"], "--list, --show, --dry-run and --write-tests are four things; ask for one"),
        ([], "no recipe is named; clearhead train --list shows those that are bundled"),
        (["nope"], "there is no recipe 'nope'; name a file, or one of "),
        (["nope", "--show"], "there is no recipe 'nope'"),
        (["gpt-shakespeare-char", "training.steps=x"], "training.steps: must be a valid integer, not 'x'"),
        (["gpt-shakespeare-char", "training.steps"], "'training.steps' is no override; write key.sub=value"),
        (["gpt-shakespeare-char", "--threads", "0"], "--threads is 0; it must be at least 1"),
        (["gpt-shakespeare-char", "--dry-run", "--data", "/nowhere"], "/nowhere/"),
        (["gpt-shakespeare-char", "--data", "/nowhere", "--output", "/proc/x"], "/proc/x cannot be written to"),
    ],
)
def test_a_wrong_request_is_one_line(arguments: list[str], said: str) -> None:
    assert said in fails("train", *arguments)


def test_a_device_that_is_not_there(ask: list[str | Path], tmp_path: Path) -> None:
    assert "device 'tpu' cannot be used; this machine has cpu" in fails(
        *ask, "--device", "tpu", "--output", tmp_path / "r"
    )


def test_work_that_fails_is_status_1(ask: list[str | Path], tmp_path: Path) -> None:
    wild = ("training.lr=1e30", "training.clip=null", "training.schedule={kind: constant, warmup: 0}")
    result = invoke(*ask, "--output", tmp_path / "run", *wild)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1].startswith("clearhead: error: the ")
    assert "Traceback" not in result.stderr


# Curves


def test_curves_of_runs_are_compared(run: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run, tmp_path / "$other$_"))
    result = invoke("curves", run, other, "--png", tmp_path / "c.png", "--svg", tmp_path / "c.svg")
    assert result.exit_code == 0 and "wrote " in result.stderr
    heading, *lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["run", "$other$_"]
    assert heading.split()[:6] == ["run", "steps", "tokens", "seconds", "loss", "dev"]
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "c.svg").read_text().count("<path") > 20


def test_many_curves_are_told_apart(run: Path) -> None:
    drawn = figure([read_curve(run)] * 23).axes[0]
    looks = [(line.get_color(), line.get_linestyle()) for line in drawn.lines[1::2]]
    assert len(looks) == 23 == len(set(looks))


def test_curves_as_data(run: Path) -> None:
    [found] = json.loads(invoke("curves", run, "--json").stdout)
    results = json.loads((run / "results.json").read_text())
    assert found["train"][-1]["tokens"] == found["dev"][-1]["tokens"] == results["tokens"]
    assert min(point["nll"] for point in found["dev"]) == results["dev_nll"]
    assert [point["step"] for point in found["dev"]] == [5, 10, 12]


def test_curves_of_what_is_no_run(tmp_path: Path, run: Path) -> None:
    assert "holds no run that has logged anything" in fails("curves", tmp_path)
    (tmp_path / "log.jsonl").write_text("")
    assert "holds no losses yet" in fails("curves", tmp_path)
    (tmp_path / "log.jsonl").write_text('{"nll": 3}\n')
    assert "is no log of a run" in fails("curves", tmp_path)
    with pytest.raises(ConfigError, match=r"must end in .png or .svg"):
        compare([run], tmp_path / "c.pdf")


def test_a_cut_off_log_still_has_a_curve(run: Path, tmp_path: Path) -> None:
    text = (run / "log.jsonl").read_text()
    (tmp_path / "log.jsonl").write_text(text[:-20])
    assert len(read_curve(tmp_path).train) + len(read_curve(tmp_path).dev) == len(text.splitlines()) - 1


def test_a_line_of_blocks() -> None:
    assert sparkline([8, 7, 6, 5, 4, 3, 2, 1]) == "█▇▆▅▄▃▂▁"
    assert sparkline([1, 1, 1]) == "▁▁▁" and sparkline([]) == ""
    assert sparkline(list(range(1000)), 8) == "▁▂▃▄▅▆▇█"
