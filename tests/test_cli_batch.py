"""`clearhead batch`: files of rows through a real translator, killed for real, and every way to ask for it wrongly."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from batch_steps import failures, results
from clearhead.checkpoints.export import write_json
from clearhead.tasks import translators
from clearhead.tasks.batch.tasks import OWN, TASKS, Wish, open_task
from overfitted import PAIRS
from terminal import COMMAND, fails, invoke, on_terminal


@pytest.fixture
def here(translator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a few rows; the bundled translator knows their sentences."""
    folder = tmp_path / "bundled" / "en-de"
    shutil.copytree(translator, folder)
    card = {"pair": ["en", "de"], "licence": "CC0", "data": [], "parameters": 5, "scores": {}}
    write_json(folder / translators.CARD, card)
    monkeypatch.setattr(translators, "HERE", tmp_path / "bundled")
    monkeypatch.chdir(tmp_path)
    rows = [{"id": i, "text": text} for i, text in enumerate([*PAIRS, "He sleeps.\n\nTwo dogs run.", ""])]
    write(tmp_path / "rows.jsonl", rows)
    return tmp_path


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_the_example_of_the_help_works(here: Path) -> None:
    match = re.search(r"Example: clearhead (batch .*)", invoke("batch", "--help").stdout)
    assert match is not None
    result = invoke(*shlex.split(match[1]))
    assert (result.exit_code, result.stdout) == (0, "done: 7 rows, 6 results, 1 failed, 0 left\n")
    assert "1 rows failed; done/failed.jsonl has them" in result.stderr
    assert re.search(r"\nen-de · 7 rows · \d+ s \([\d,.]+ rows/s\)\n$", result.stderr)
    said = [*PAIRS.values(), "Er schläft.\n\nZwei Hunde laufen."]
    assert [row["translation"] for row in results(here / "done")] == said
    assert all(row["translation_complete"] for row in results(here / "done"))
    assert [row["failure"]["error"] for row in failures(here / "done")] == ["'text' is empty"]
    again = json.loads(invoke(*shlex.split(match[1]), "--json").stdout)
    assert (again["results"], again["failed"], again["left"], again["before"]) == (6, 1, 0, 7)


def test_where_every_row_failed_the_work_has_failed(here: Path, translator: Path) -> None:
    write(here / "bad.jsonl", [{"text": ""}, {"text": 5}])
    result = invoke("batch", "translate", "--input", "bad.jsonl", "--output", "out", "--to", "de")
    assert (result.exit_code, result.stdout) == (1, "out: 2 rows, 0 results, 2 failed, 0 left\n")


def test_a_pattern_names_many_files_and_a_field_the_text(here: Path, translator: Path) -> None:
    (here / "deep").mkdir()
    write(here / "deep" / "b.jsonl", [{"body": "He sleeps."}])
    write(here / "deep" / "a.jsonl", [{"body": "Two dogs run."}] * 3)
    command = [
        "batch",
        "translate",
        "-i",
        "deep/*.jsonl",
        "-o",
        "out",
        "--field",
        "body",
        "--to",
        "de",
        "-m",
        translator,
    ]
    result = invoke(*command, "--part", "2", "--quiet")
    assert (result.exit_code, result.stderr) == (0, ""), result.stderr
    assert [row["translation"] for row in results(here / "out")] == ["Zwei Hunde laufen."] * 3 + ["Er schläft."]
    assert len(list((here / "out").glob("part-*"))) == 3


def test_killed_in_the_middle_the_same_command_goes_on(here: Path, translator: Path) -> None:
    """kill -9 as soon as a part is there; the rest comes with the second run, and nothing twice."""
    texts = list(PAIRS)
    write(here / "many.jsonl", [{"id": i, "text": texts[i % 5] if i != 70 else " "} for i in range(400)])
    command = [
        "batch",
        "translate",
        "-i",
        "many.jsonl",
        "-o",
        "out",
        "--to",
        "de",
        "-m",
        str(translator),
        "--part",
        "20",
    ]
    process = subprocess.Popen([*COMMAND, *command], env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not list((here / "out").glob("part-*.jsonl")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = {path.name: path.stat().st_mtime_ns for path in (here / "out").glob("part-*.jsonl")}
    assert 1 <= len(before) < 20
    found = json.loads(invoke(*command, "--json").stdout)
    assert (found["rows"], found["results"], found["failed"], found["left"]) == (400, 399, 1, 0)
    assert found["before"] == 20 * len(before)
    assert [row["id"] for row in results(here / "out")] == [i for i in range(400) if i != 70]
    assert [row["translation"] for row in results(here / "out")] == [PAIRS[texts[i % 5]] for i in range(400) if i != 70]
    assert all((here / "out" / name).stat().st_mtime_ns == when for name, when in before.items())


def test_an_interrupt_says_what_is_left(here: Path, translator: Path) -> None:
    write(here / "many.jsonl", [{"text": "He sleeps."}] * 60_000)  # more than any machine does while a key is pressed
    arguments = ["batch", "translate", "-i", here / "many.jsonl", "-o", here / "out", "--to", "de", "-m", translator]
    shown, status = on_terminal([*arguments, "--part", "100"], [("rows/s", "\x03")])
    assert status == 130 and "rows left; the same command goes on with them" in shown
    assert re.search(r"60,000 rows, [\d,]+ results, 0 failed, [\d,]+ left", shown)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("dance", "-i", "rows.jsonl", "-o", "out"), "there is no batch task 'dance'; choose from translate, "),
        (("translate", "-i", "none*.jsonl", "-o", "out", "--to", "de"), "'none*.jsonl' names no file"),
        (("translate", "-i", "rows.jsonl", "-o", "out"), "into which language?"),
        (("translate", "-i", "rows.jsonl", "-o", "out", "--to", "de", "--field", "body"), "no field 'body'"),
        (("translate", "-i", "rows.jsonl", "-o", ".", "--to", "de"), "and no run; choose an empty folder"),
        (("translate", "-i", "rows.jsonl", "-o", "out", "--to", "de", "--part", "0"), "part is 0"),
        (("translate", "-i", "rows.jsonl", "-o", "out", "--to", "de", "--labels", "a,b"), "--labels is no option of"),
        (("embed", "-i", "rows.jsonl", "-o", "out", "--model", "no-such-model"), "no model is called"),
        (("classify", "-i", "rows.jsonl", "-o", "out", "--labels", "a"), "give two or more"),
        (("translate", "-i", "rows.jsonl", "-o", "out", "--to", "de", "--dtype", "int3"), "'int3'"),
        (("translate", "-o", "out", "--to", "de"), "Missing option '--input'"),
    ],
)
def test_a_request_that_cannot_be_met_is_one_line(arguments: tuple[str, ...], says: str) -> None:
    assert says in fails("batch", *arguments)


def test_ray_that_is_not_installed_is_named_with_its_remedy(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    message = fails("batch", "translate", "-i", "rows.jsonl", "-o", "out", "--to", "de", "--ray", "auto")
    assert "pip install 'clearhead[scale]'" in message and not (here / "out").exists()


def test_each_task_gives_the_fields_it_says(translator: Path, folders: dict[str, Path], tmp_path: Path) -> None:
    import tiny

    chat = str(tiny.gpt2_folder(tmp_path / "chat", chat=True))
    wishes = {
        "translate": Wish(task="translate", model=str(translator), to="de"),
        "embed": Wish(task="embed", model=str(folders["bert_folder"])),
        "complete": Wish(task="complete", model=str(folders["gpt2_folder"]), max_new_tokens=3),
        "classify": Wish(task="classify", model=chat, labels=("a", "b"), about="?"),
    }
    for wish in wishes.values():
        opened = open_task(wish)
        made, expected = list(opened.each(["ab", "cd"])), TASKS[wish.task].example
        assert len(made) == 2
        for fields in made:
            assert [shape(value) for value in fields.items()] == [shape(value) for value in expected.items()]
    assert set(TASKS) == {*wishes, "entities", "summarize"}


def shape(value: Any) -> Any:
    """What types a result has; of a list, those of its first."""
    if isinstance(value, dict):
        return {key: shape(part) for key, part in value.items()}
    if isinstance(value, tuple):
        return tuple(map(shape, value))
    return [shape(value[0])] if isinstance(value, list) else type(value) if not isinstance(value, str) else str


def test_every_own_option_of_a_task_is_one_of_its_wish() -> None:
    assert {name for task in TASKS.values() for name in task.options} == set(OWN) <= set(Wish.__dataclass_fields__)
    shown = " ".join(invoke("batch", "--help").stdout.split())
    assert all(name in shown for name in TASKS)
