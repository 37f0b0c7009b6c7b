"""Which files a run reads: each once, under whatever name, and only while they are what they were."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from batch_steps import LOUD, results, shout, whys, work, write_rows
from clearhead.errors import ClearheadError, DataError, OptionError
from clearhead.tasks.batch import manifest as manifests
from clearhead.tasks.batch import tasks
from clearhead.tasks.batch.rows import distinct
from clearhead.tasks.batch.run import run
from clearhead.tasks.batch.tasks import Task, Wish


@pytest.fixture(autouse=True)
def shouting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The task of these tests."""
    monkeypatch.setitem(tasks.TASKS, "shout", Task(shout, LOUD))


def refused(kind: type[ClearheadError], says: str, inputs: list[Path | str], output: Path, **options: Any) -> None:
    """One line, and of this kind."""
    with pytest.raises(kind, match=says) as error:
        work(inputs, output, **options)
    assert "\n" not in str(error.value)


def stop_after(rows: int) -> Any:
    """Whoever asks to stop after so many rows."""
    asked = iter([False] * rows)
    return lambda: next(asked, True)


def test_a_file_with_several_names_comes_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d").mkdir()
    file = write_rows(tmp_path / "d" / "x.jsonl", 3)
    (tmp_path / "link").symlink_to(tmp_path / "d")
    monkeypatch.chdir(tmp_path)
    found = work(["d/x.jsonl", file, "d/../d/x.jsonl", "link/*.jsonl", "*/x.jsonl"], tmp_path / "out")
    assert found.rows == 3 and [row["id"] for row in results(tmp_path / "out")] == [0, 1, 2]


def test_files_of_one_name_are_told_apart_when_a_run_goes_on(tmp_path: Path) -> None:
    """Same name, size and time, another folder and other rows: by its name alone the wrong one would be read."""
    files = []
    for n, folder in enumerate("ab"):
        (tmp_path / folder).mkdir()
        files.append(write_rows(tmp_path / folder / "x.jsonl", 4, first=4 * n))
        os.utime(files[-1], ns=(10**18, 10**18))
    assert files[0].stat().st_size == files[1].stat().st_size
    stopped = work(files, tmp_path / "out", part=2, cancelled=stop_after(5))
    assert 0 < stopped.done < 8
    refused(DataError, "or stands where another file stood", files[::-1], tmp_path / "out", part=2)
    work(files, tmp_path / "out", part=2)
    assert [row["id"] for row in results(tmp_path / "out")] == list(range(8))
    shutil.move(tmp_path / "a", tmp_path / "c")
    assert work([tmp_path / "c" / "x.jsonl", files[1]], tmp_path / "out", part=2).before == 8


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_file_that_changes_while_it_is_read_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """As many rows, as many bytes: only its time tells; a mere touch is forgiven."""
    file = tmp_path / f"a.{kind}"

    def fill(text: str) -> None:
        if kind == "jsonl":
            file.write_text("".join(json.dumps({"id": i, "text": text}) + "\n" for i in range(8)))
        else:
            pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
            pq.write_table(pa.table({"id": list(range(8)), "text": [text] * 8}), file)

    fill("old")
    steps = iter([lambda: os.utime(file, ns=(10**18, 10**18)), *[lambda: None] * 3, lambda: fill("new")])

    def step() -> None:
        next(steps, lambda: None)()

    monkeypatch.setitem(tasks.TASKS, "shout", Task(lambda wish: shout(wish, step), LOUD))
    refused(DataError, "has changed while it was read; restore it", [file], tmp_path / "out", part=2)
    assert len(list((tmp_path / "out").glob("part-*"))) == 3


def test_a_name_is_taken_by_its_letter_first(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "x[1].jsonl", 2)
    write_rows(tmp_path / "x1.jsonl", 3)
    assert work([file], tmp_path / "out").rows == 2
    assert work([tmp_path / "x[0-9].jsonl"], tmp_path / "other").rows == 3


def test_a_pattern_does_not_find_what_the_run_wrote(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.jsonl", 4)
    for _ in range(2):
        found = work([tmp_path / "**" / "*.jsonl"], tmp_path / "done")
        assert (found.rows, found.done) == (4, 4)


def test_a_name_that_is_no_utf8_comes_through(tmp_path: Path) -> None:
    file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jsonl"))
    try:
        write_rows(file, 3, bad=[1])
    except OSError:
        pytest.skip("the file system takes no such name")
    assert work([file], tmp_path / "out").failures == 1
    assert work([file], tmp_path / "out").before == 3
    assert whys(tmp_path / "out")[0]["at"].endswith("\udcff.jsonl:2")


def test_what_is_wrong_with_a_request_is_no_defect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(OptionError, "home of a user who is not there", ["~nosuchuser/x.jsonl"], tmp_path / "out")

    def no(*_args: Any, **_options: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(FileLock, "acquire", no)
    refused(
        OptionError, "out cannot be written: Permission denied", [write_rows(tmp_path / "a.jsonl", 1)], tmp_path / "out"
    )


def test_another_version_does_not_go_on_with_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_rows(tmp_path / "a.jsonl", 4)
    work([file], tmp_path / "out")
    monkeypatch.setattr(manifests, "__version__", "99.0")
    refused(OptionError, r"was begun by Clearhead [\d.]+\w*, and this is 99\.0", [file], tmp_path / "out")


def test_one_damaged_row_at_the_beginning_is_one_failure(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "x\n' * 5 + '{"text": "fine"}\n')
    assert work([tmp_path / "a.jsonl"], tmp_path / "out", part=2).failures == 5
    (tmp_path / "b.jsonl").write_text("no\n" * 9)
    refused(DataError, "has no row that is a JSON object", [tmp_path / "b.jsonl"], tmp_path / "none")


def test_a_taken_field_is_refused_at_once_by_workers_as_well(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "x", "loud": 1}\n' * 3)

    def never(*_: Any) -> Any:
        raise AssertionError("nothing is to be computed")

    for workers in (None, never):
        with pytest.raises(DataError, match="has a field 'loud' already, which is that of the result"):
            run(Wish(task="shout"), [str(tmp_path / "a.jsonl")], tmp_path / "out", workers=workers)


def test_a_failure_says_which_of_two_files_of_one_name(tmp_path: Path) -> None:
    for folder in "ab":
        (tmp_path / folder).mkdir()
        write_rows(tmp_path / folder / "y.jsonl", 2, bad=[1])
    write_rows(tmp_path / "z.jsonl", 2, bad=[0])
    work([tmp_path / "*" / "y.jsonl", tmp_path / "z.jsonl"], tmp_path / "out")
    assert [why["at"] for why in whys(tmp_path / "out")] == ["a/y.jsonl:2", "b/y.jsonl:2", "z.jsonl:1"]


@given(st.sets(st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map("/".join), min_size=1, max_size=8))
def test_short_names_tell_files_apart(paths: set[str]) -> None:
    absolute = [f"/{path}" for path in sorted(paths)]
    names = distinct(absolute)
    assert len(set(names)) == len(names) and all(
        path.endswith(name) for path, name in zip(absolute, names, strict=True)
    )
