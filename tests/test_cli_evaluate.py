"""`clearhead evaluate`: a table for people, JSON for programs, and a file that says all that decided a figure."""

import hashlib
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from clearhead import __version__
from clearhead.checkpoints.export import write_json
from clearhead.cli.evaluate import SHOWN
from clearhead.tasks import translators
from clearhead.tasks.evaluate.tasks import TASKS
from overfitted import PAIRS
from terminal import fails, invoke, on_terminal


@pytest.fixture
def here(translator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a set of sentences; the bundled translator knows them, but for the last."""
    (tmp_path / "bundled").mkdir()
    folder = tmp_path / "bundled" / "en-de"
    shutil.copytree(translator, folder)
    card = {"pair": ["en", "de"], "licence": "CC0", "data": [], "parameters": 5, "scores": {}}
    write_json(folder / translators.CARD, card)
    monkeypatch.setattr(translators, "HERE", tmp_path / "bundled")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test.en").write_text("\n".join([*PAIRS, "He sleeps."]) + "\n", encoding="utf-8")
    (tmp_path / "test.de").write_text("\n".join([*PAIRS.values(), "Sie schläft."]) + "\n", encoding="utf-8")
    return tmp_path


@pytest.mark.usefixtures("here")
def test_the_example_of_the_help_works() -> None:
    match = re.search(r"Example: clearhead (evaluate .*)", invoke("evaluate", "--help").stdout)
    assert match is not None
    result = invoke(*shlex.split(match[1]))
    assert result.exit_code == 0, result.stderr
    heading, bleu, chrf, *signatures = result.stdout.splitlines()
    assert heading.split() == ["figure", "value", "95", "%", "interval"]
    assert re.fullmatch(r"bleu +\d\d\.\d\d +\d\d\.\d\d to 100\.00", bleu) and chrf.startswith("chrf ")
    assert signatures[0].startswith("bleu: nrefs:1|case:mixed|") and len(signatures) == 2
    said = r"en-de · native \w+ · test\.en \+ test\.de · 6 lines · \d+\.\d\d s \(.* a second\)\n"
    assert re.fullmatch(said, result.stderr)


def test_the_file_of_results_says_all_that_decided_the_figures(here: Path) -> None:
    command = ["evaluate", "translate", "--data", "test.en", "--references", "test.de", "--to", "de", "--seed", "7"]
    result = invoke(*command, "--limit", "5", "--model", here / "bundled" / "en-de", "--output", "results.json", "-q")
    assert result.exit_code == 0, result.stderr
    found = json.loads((here / "results.json").read_text(encoding="utf-8"))
    assert (found["task"], found["executor"], found["dtype"], found["seed"]) == ("translate", "native", "float32", 7)
    assert [figure["name"] for figure in found["figures"]] == ["bleu", "chrf"]
    assert found["figures"][0]["value"] == pytest.approx(100) and found["figures"][0]["how"].startswith("nrefs:1")
    digest = hashlib.sha256((here / "test.en").read_bytes()).hexdigest()
    assert found["data"][0] == {"name": "test.en", "sha256": digest, "rows": 6}
    assert (found["limit"], found["rows"]) == (5, 5)
    assert [item["got"] for item in found["items"]] == list(PAIRS.values())
    assert found["settings"] == {"from": "en", "to": "de", "beams": 4, "length_penalty": 1.0}
    assert found["versions"]["clearhead"] == __version__ and "sacrebleu" in found["versions"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", found["date"])
    weights = {file["name"]: file["sha256"] for file in found["model_files"]}
    folder = here / "bundled" / "en-de"
    assert weights == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    assert found["interval"]["confidence"] == 0.95 and found["command"][0] == "clearhead"


def test_figures_and_intervals_repeat(here: Path) -> None:
    command = ["evaluate", "translate", "--data", here, "--to", "de", "--from", "en", "--json"]
    shutil.rmtree(here / ".cache", ignore_errors=True)
    one, two = (json.loads(invoke(*command).stdout) for _ in range(2))
    other = json.loads(invoke(*command, "--seed", "1").stdout)
    assert one["figures"] == two["figures"] != other["figures"]
    assert [f["value"] for f in one["figures"]] == [f["value"] for f in other["figures"]]
    assert "items" not in one and "failures" not in one


@pytest.mark.usefixtures("here")
def test_failures_are_there_to_read() -> None:
    command = ["evaluate", "translate", "--data", "test.en", "--to", "de"]
    shown = invoke(*command, "--failures", "1").stdout
    assert "\n[1] chrf " in shown
    assert "\n  input:    He sleeps.\n  expected: Sie schläft.\n  got:      Er schläft.\n" in shown
    found = json.loads(invoke(*command, "--failures", "2", "--json").stdout)
    assert [item["input"] for item in found["failures"]] == ["He sleeps.", "A man is riding a bike."]


def test_a_long_text_among_the_failures_says_what_is_not_shown(here: Path, folders: dict[str, Path]) -> None:
    (here / "text.txt").write_text("word " * 300, encoding="utf-8")
    result = invoke(
        "evaluate", "perplexity", "--data", "text.txt", "-m", folders["gpt2_folder"], "--failures", "1", "--limit", "3"
    )
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[1].startswith("perplexity ") and "bits_per_byte" in result.stdout
    assert re.search(r"3 windows of \d+ ", result.stderr) and SHOWN > 0


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("poetry", "--data", "test.en"), "there is no evaluation of 'poetry'; choose from translate, "),
        (("translate", "--data", "test.en", "--references", "test.de"), "into which language?"),
        (("translate", "--data", "none.en", "--to", "de"), "none.en: there is no such file"),
        (("translate", "--data", "test.de", "--to", "de"), "has no second column after a tab"),
        (("translate", "--data", "test.en", "--to", "de", "--limit", "0"), "limit is 0"),
        (("translate", "--data", "test.en", "--to", "de", "--failures", "-1"), "--failures is -1"),
        (("translate", "--data", "test.en", "--to", "de", "--output", "no/such/file"), "there is no folder"),
        (("translate", "--data", "test.en", "--to", "de", "--model", "no-such-model"), "no model is called"),
        (("translate", "--data", "test.en", "--to", "de", "--dtype", "int3"), "'int3'"),
        (("translate", "--to", "de"), "Missing option '--data'"),
        (("entities", "--data", "test.en", "--to", "de"), "--to is no option of entities; drop it"),
        (("perplexity", "--data", "test.en", "--references", "none"), "--references is no option of perplexity"),
        (("translate", "--data", "test.en", "--to", "de", "--samples", "7"), "--samples is no option of translate"),
    ],
)
def test_a_request_that_cannot_be_met_is_one_line(arguments: tuple[str, ...], says: str) -> None:
    assert says in fails("evaluate", *arguments)


def test_every_task_has_a_page_and_is_named_in_the_help() -> None:
    shown = " ".join(invoke("evaluate", "--help").stdout.split())
    named = re.search(r"What is measured: ([a-z, ]+)\.", shown)
    assert named is not None and set(re.split(", | or ", named[1])) == set(TASKS)
    assert all(task.data and task.figures for task in TASKS.values())


def test_on_a_terminal_a_bar_counts_and_goes_away(here: Path, translator: Path) -> None:
    data = str(here / "test.en")
    shown, status = on_terminal(["evaluate", "translate", "--data", data, "--to", "de", "-m", translator])
    assert status == 0 and "rows/s" in shown and shown.rstrip().endswith("\x1b[0m")
    assert "95 % interval" in shown
