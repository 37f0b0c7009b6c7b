"""Whose fault it is: a row's, which fails by itself and may be given in again, or the machine's, which ends the run."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from batch_steps import LOUD, failures, results, shout, whys, work, write_rows
from clearhead.errors import DownloadError, OptionError
from clearhead.tasks.batch import tasks
from clearhead.tasks.batch.tasks import Fields, Opened, Task


@pytest.fixture(autouse=True)
def shouting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The task of these tests."""
    monkeypatch.setitem(tasks.TASKS, "shout", Task(shout, LOUD))


def raising(monkeypatch: pytest.MonkeyPatch, error: Exception, on: str = "") -> None:
    """A task that fails at every text that has `on` in it."""

    def each(texts: Sequence[str]) -> Iterator[Fields]:
        for text in texts:
            if on in text:
                raise error
            yield {"loud": text.upper()}

    monkeypatch.setitem(tasks.TASKS, "shout", Task(lambda _: Opened("raiser", each), LOUD))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("[enforce fail] can't allocate memory: you tried to allocate 8 bytes"),
        MemoryError(),
        OSError(5, "Input/output error"),
        DownloadError("every source failed"),
    ],
)
def test_what_the_machine_does_wrong_fails_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    file = write_rows(tmp_path / "a.jsonl", 5)
    with monkeypatch.context() as patched:
        raising(patched, error, on="row 4")
        with pytest.raises(type(error)):
            work([file], tmp_path / "out")
    assert work([file], tmp_path / "out").failures == 0
    assert [row["id"] for row in results(tmp_path / "out")] == list(range(5))


def test_what_nobody_foresaw_and_every_row_meets_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_rows(tmp_path / "a.jsonl", 5)
    with monkeypatch.context() as patched:
        raising(patched, RuntimeError("CUDA error: device-side assert triggered"))
        with pytest.raises(RuntimeError, match="device-side assert"):
            work([file], tmp_path / "out")
    assert work([file], tmp_path / "out").failures == 0


def test_what_was_foreseen_or_meets_one_row_fails_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_rows(tmp_path / "a.jsonl", 5)
    raising(monkeypatch, OptionError("too long"))
    assert work([file], tmp_path / "foreseen").failures == 5
    raising(monkeypatch, ZeroDivisionError("by zero"), on="row 1")
    assert work([file], tmp_path / "one").failures == 1
    assert whys(tmp_path / "one") == [{"error": "ZeroDivisionError: by zero", "at": "a.jsonl:2"}]


def test_a_rows_own_fields_stay_what_they_were(tmp_path: Path) -> None:
    row = {"text": "bad", "error": "mine", "at": [1, 2], "line": "too"}
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n" + json.dumps({**row, "text": "good"}) + "\n")
    work([tmp_path / "a.jsonl"], tmp_path / "out")
    [kept] = failures(tmp_path / "out")
    assert kept.pop("failure") == {"error": "this text is bad", "at": "a.jsonl:1"} and kept == row
    assert results(tmp_path / "out") == [{**row, "text": "good", "loud": "GOOD"}]


def test_a_row_given_in_again_comes_out_without_its_failure(tmp_path: Path) -> None:
    work([write_rows(tmp_path / "a.jsonl", 3, bad=[1])], tmp_path / "out")
    failed = tmp_path / "out" / "failed.jsonl"
    (tmp_path / "mended.jsonl").write_text(failed.read_text().replace('"bad"', '"good"'))
    assert work([tmp_path / "mended.jsonl"], tmp_path / "again").failures == 0
    assert results(tmp_path / "again") == [{"id": 1, "text": "good", "loud": "GOOD"}]


def test_a_field_of_that_name_and_another_form_is_not_lost(tmp_path: Path) -> None:
    lines = ['{"text": "x", "failure": "of the engine"}', '{"text": "y", "failure": {"error": 1, "at": "z"}}']
    (tmp_path / "a.jsonl").write_text("\n".join([*lines, '{"text": "fine"}']))
    assert work([tmp_path / "a.jsonl"], tmp_path / "out").failures == 2
    assert [row["line"] for row in failures(tmp_path / "out")] == lines
    assert all("has a field 'failure'" in why["error"] for why in whys(tmp_path / "out"))


@pytest.mark.parametrize("number", ["1e400", "-1e400", "NaN", "Infinity"])
def test_what_json_cannot_say_is_not_written(tmp_path: Path, number: str) -> None:
    line = f'{{"text": "x", "n": {number}}}'
    (tmp_path / "a.jsonl").write_text(f'{line}\n{{"text": "fine", "n": 1e40}}\n')
    assert work([tmp_path / "a.jsonl"], tmp_path / "out").failures == 1

    def strict(text: str) -> Any:
        return json.loads(text, parse_constant=pytest.fail)

    [bad] = map(strict, (tmp_path / "out" / "failed.jsonl").read_text().splitlines())
    assert bad["line"] == line and number in bad["failure"]["error"]
    assert results(tmp_path / "out") == [{"text": "fine", "n": 1e40, "loud": "FINE"}]
