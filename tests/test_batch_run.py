"""Each row once: whatever a row holds, whenever the run is killed, whatever has changed when it is gone on with."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch_steps import LOUD, failures, killed, results, shout, whys, work, write_rows
from clearhead.errors import DataError, OptionError, OutputError
from clearhead.tasks.batch import tasks
from clearhead.tasks.batch.files import UNFINISHED
from clearhead.tasks.batch.found import Failure, Fields
from clearhead.tasks.batch.tasks import Opened, Task, Wish, check
from clearhead.tasks.batch.work import computed


@pytest.fixture(autouse=True)
def shouting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The task of these tests."""
    monkeypatch.setitem(tasks.TASKS, "shout", Task(shout, LOUD))


def test_rows_come_out_in_order_with_the_result_added(tmp_path: Path) -> None:
    one, two = write_rows(tmp_path / "a.jsonl", 7), write_rows(tmp_path / "b.jsonl", 4, first=7)
    found = work([tmp_path / "*.jsonl"], tmp_path / "out")
    assert results(tmp_path / "out") == [{"id": i, "text": f"row {i}", "loud": f"ROW {i}"} for i in range(11)]
    assert [path.name for path in sorted((tmp_path / "out").glob("part-*"))] == [
        f"part-0000{i}.jsonl" for i in range(5)
    ]
    assert (found.rows, found.done, found.failures, found.before, found.complete) == (11, 11, 0, 0, True)
    assert not (tmp_path / "out" / "failed.jsonl").exists() and one != two


def test_failed_rows_are_kept_apart_with_their_error_and_their_place(tmp_path: Path) -> None:
    lines = [
        '{"text": "fine"}',
        "",
        "no json",
        '{"text": 5}',
        "[1]",
        '{"other": "x"}',
        '{"text": " "}',
        '{"text": "bad"}',
    ]
    lines += ['{"text": "x", "loud": "y"}', '{"text": "last"}']
    (tmp_path / "rows.jsonl").write_bytes("\n".join(lines).encode() + b"\n\xff{}")
    found = work([tmp_path / "rows.jsonl"], tmp_path / "out")
    assert [row["loud"] for row in results(tmp_path / "out")] == ["FINE", "LAST"]
    told = {why["at"].partition(":")[2]: why["error"] for why in whys(tmp_path / "out")}
    assert list(told) == ["3", "4", "5", "6", "7", "8", "9", "11"]
    assert told["4"] == "'text' is int, where a text was expected" and told["8"] == "this text is bad"
    assert told["3"].startswith("the line is no JSON") and "JSON list" in told["5"] and "not UTF-8" in told["11"]
    assert told["6"] == "the row has no field 'text'" and told["7"] == "'text' is empty"
    assert "already" in told["9"] and (found.rows, found.failures) == (10, 8)
    kept = failures(tmp_path / "out")
    assert kept[0]["line"] == "no json" and kept[5]["text"] == "bad"


def test_failed_rows_can_be_given_in_again(tmp_path: Path) -> None:
    work([write_rows(tmp_path / "a.jsonl", 5, bad=[1, 3])], tmp_path / "out")
    found = work([tmp_path / "out" / "failed.jsonl"], tmp_path / "again")
    assert found.failures == 2 and [row["id"] for row in failures(tmp_path / "again")] == [1, 3]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["fine", "bad", "worse", "ok"]), max_size=20))
def test_a_row_that_fails_takes_none_with_it(texts: list[str]) -> None:
    def each(some: Any) -> Any:
        for text in some:
            if text == "worse":  # fails in the middle, after results were given
                raise ValueError("worse")
            if text == "bad":
                raise OptionError("bad text")
            yield {"said": text}

    def expected(text: str) -> Fields | Failure:
        return {"bad": Failure("bad text"), "worse": Failure("ValueError: worse")}.get(text, {"said": text})

    assert list(computed(texts, each)) == [expected(text) for text in texts]


def test_a_machine_without_memory_is_no_rows_fault() -> None:
    def each(_: Any) -> Any:
        raise MemoryError
        yield {}

    with pytest.raises(MemoryError):
        list(computed(["a", "b"], each))


def test_killed_at_any_step_and_gone_on_with_each_row_is_there_once(tmp_path: Path) -> None:
    """Every step of the first run that touches the disk or computes a row is one at which it is killed, once."""
    file = write_rows(tmp_path / "a.jsonl", 8, bad=[1, 4, 5])
    at, deaths = 1, 0
    while killed([file], tmp_path / f"out{at}", at):
        deaths += 1
        work([file], tmp_path / f"out{at}")
        check_all(tmp_path / f"out{at}")
        at += 1
    assert deaths > 25
    check_all(tmp_path / f"out{at}")


def test_killed_again_and_again_it_gets_there(tmp_path: Path) -> None:
    file, output = write_rows(tmp_path / "a.jsonl", 8, bad=[1, 4, 5]), tmp_path / "out"
    deaths = 0
    while killed([file], output, 14):
        deaths += 1
        assert deaths < 9
    assert deaths > 1
    check_all(output)


def check_all(output: Path) -> None:
    """The eight rows of the tests above, each where it belongs, and nothing half written."""
    assert [row["id"] for row in results(output)] == [0, 2, 3, 6, 7]
    assert [row["id"] for row in failures(output)] == [1, 4, 5]
    assert not list(output.rglob(f"*{UNFINISHED}"))


def test_what_is_done_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, output = write_rows(tmp_path / "a.jsonl", 9), tmp_path / "out"
    stop = iter([False] * 5 + [True] * 9)
    found = work([file], output, cancelled=lambda: next(stop))
    assert not found.complete and (found.done, found.rows) == (3, 9)
    seen: list[str] = []

    def counting(wish: Wish) -> Opened:
        opened = shout(wish)

        def each(texts: Any) -> Any:
            seen.extend(texts)
            return opened.each(texts)

        return Opened(opened.model, each)

    monkeypatch.setitem(tasks.TASKS, "shout", Task(counting, LOUD))
    told: list[tuple[int, int]] = []
    found = work([file], output, progress=lambda done, of: told.append((done, of)))
    assert seen == [f"row {i}" for i in range(3, 9)] and (found.before, found.done) == (3, 9)
    assert told[-1] == (9, 9) and min(told) >= (3, 9)
    seen.clear()
    assert work([file], output).before == 9 and seen == []


def test_a_changed_input_or_option_is_told_and_nothing_is_touched(tmp_path: Path) -> None:
    file, output = write_rows(tmp_path / "a.jsonl", 5), tmp_path / "out"
    work([file], output)
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}

    def refused(kind: type[Exception], says: str, inputs: list[Path | str], **options: Any) -> None:
        with pytest.raises(kind, match=says):
            work(inputs, output, **options)
        assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before

    refused(OptionError, "begun with part 3, not 4; give the same options, or another --output", [file], part=4)
    refused(OptionError, "begun with field 'text', not 'id'", [file], field="id")
    refused(DataError, "the input is now 2 others", [file, write_rows(tmp_path / "b.jsonl", 1)])
    text = file.read_text()
    file.write_text(text.replace("row 4", "row X"))
    refused(DataError, "has changed since", [file])
    file.write_text(text + '{"text": "more"}\n')
    refused(DataError, "has changed since", [file])
    file.write_text(text)  # another time, the same content
    assert work([file], output).before == 5
    shutil.move(file, tmp_path / "elsewhere.jsonl")
    (tmp_path / "moved").mkdir()
    shutil.move(tmp_path / "elsewhere.jsonl", tmp_path / "moved" / "a.jsonl")
    assert work([tmp_path / "moved" / "a.jsonl"], output).before == 5


def test_a_model_that_has_changed_is_told(tmp_path: Path) -> None:
    file, output, model = write_rows(tmp_path / "a.jsonl", 5), tmp_path / "out", tmp_path / "model"
    model.mkdir()
    (model / "weights").write_text("one")
    work([file], output, model=str(model))
    assert work([file], output, model=str(model)).before == 5
    (model / "weights").write_text("two")
    with pytest.raises(OptionError, match=r"begun when .*model had other files"):
        work([file], output, model=str(model))


def test_a_run_goes_on_with_the_model_it_was_begun_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, output = write_rows(tmp_path / "a.jsonl", 5), tmp_path / "out"
    pulled = ["small"]
    monkeypatch.setitem(tasks.TASKS, "shout", Task(shout, LOUD, model=lambda: pulled[-1]))
    work([file], output)
    pulled.append("large")
    assert work([file], output).before == 5
    assert json.loads((output / "manifest.json").read_text())["options"]["model"] == "small"
    with pytest.raises(OptionError, match="begun with model 'small', not 'large'"):
        work([file], output, model="large")


def test_a_row_comes_out_to_the_letter(tmp_path: Path) -> None:
    rows = ['{"n": 123456789.123456789123, "z": -0,"text":"a"}', '{ "text": "b", "n": [ 1e2 ] }', '{"text":"\\ud800"}']
    rows += ['{"text": "bad", "n": 1.50}']
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(rows).encode())
    work([tmp_path / "a.jsonl"], tmp_path / "out", part=9)
    [found] = (tmp_path / "out").glob("part-*")
    assert found.read_text().splitlines()[:2] == [rows[0][:-1] + ', "loud": "A"}', rows[1][:-2] + ', "loud": "B"}']
    assert (tmp_path / "out" / "failed.jsonl").read_text().startswith(rows[3][:-1] + ', "failure": {"error": ')


def test_what_cannot_be_begun_is_told(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "a.jsonl", 2)

    def refused(says: str, inputs: list[Path | str], output: Path = tmp_path / "out", **options: Any) -> None:
        with pytest.raises((OptionError, DataError), match=says) as error:
            work(inputs, output, **options)
        assert "\n" not in str(error.value)

    refused("names no file", [tmp_path / "*.none"])
    (tmp_path / "a.csv").write_text("x")
    refused("neither JSON Lines", [tmp_path / "a.csv"])
    (tmp_path / "p.parquet").write_bytes(b"PAR1")
    refused("JSON Lines and Parquet together", [file, tmp_path / "p.parquet"])
    refused("no whole Parquet file", [tmp_path / "p.parquet"])
    (tmp_path / "empty.jsonl").write_text("\n\n")
    refused("has no row", [tmp_path / "empty.jsonl"])
    refused("no field 'body', only id, text; say with --field", [file], field="body")
    refused("holds a.csv and no run|holds .* and no run", [file], tmp_path)
    refused("part is 0", [file], part=0)
    (tmp_path / "out" / "manifest.json").write_text("{")
    refused("is damaged", [file])
    with FileLock(tmp_path / "out" / ".lock"):
        refused("another run works in", [file])
    with pytest.raises(OptionError, match="no batch task 'dance'"):
        check(Wish(task="dance"))
    with pytest.raises(OptionError, match="--from is no option of embed"):
        check(Wish(task="embed", from_="de"))
    with pytest.raises(OptionError, match="--max-new-tokens is no option of translate"):
        check(Wish(task="translate", max_new_tokens=3))


def test_a_full_disk_is_told_and_the_run_can_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, output = write_rows(tmp_path / "a.jsonl", 5), tmp_path / "out"

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        replace = Path.replace
        patched.setattr(Path, "replace", lambda self, to: (full if "part-00001" in to.name else replace)(self, to))
        with pytest.raises(OutputError, match="No space left on device; make room and run the same command again"):
            work([file], output)
    assert work([file], output).before == 3
    assert [row["id"] for row in results(output)] == list(range(5))


def test_parquet_in_parquet_out(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    table = pa.table({"id": list(range(10)), "text": [None if i == 4 else f"row {i}" for i in range(10)]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=4)
    pq.write_table(table.slice(0, 0), tmp_path / "b.parquet")
    found = work([tmp_path / "*.parquet"], tmp_path / "out")
    rows = [row for p in sorted((tmp_path / "out").glob("part-*.parquet")) for row in pq.read_table(p).to_pylist()]
    assert rows == [{"id": i, "text": f"row {i}", "loud": f"ROW {i}"} for i in range(10) if i != 4]
    schemas = {str(pq.read_schema(path)) for path in (tmp_path / "out").glob("part-*.parquet")}
    assert len(schemas) == 1 and (found.rows, found.failures) == (10, 1)
    [bad] = failures(tmp_path / "out")
    assert (bad["id"], bad["failure"]["at"]) == (4, "a.parquet:5")


def test_the_manifest_names_what_the_run_is(tmp_path: Path) -> None:
    work([write_rows(tmp_path / "a.jsonl", 5)], tmp_path / "out")
    found = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert found["options"]["task"] == "shout" and found["options"]["field"] == "text"
    assert found["sources"][0]["rows"] == 5 and len(found["sources"][0]["sha256"]) == 64


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12), min_size=1, max_size=12),
    st.integers(1, 5),
)
def test_any_texts_in_parts_of_any_size_come_back(tmp_path: Path, texts: list[str], part: int) -> None:
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    lines = [json.dumps({"text": text}, ensure_ascii=i % 2 == 0) for i, text in enumerate(texts)]
    (tmp_path / "a.jsonl").write_bytes("\n\n".join(lines).encode())
    found = work([tmp_path / "a.jsonl"], tmp_path / "out", part=part)
    good = [text for text in texts if text.strip() and text != "bad"]
    assert [row["loud"] for row in results(tmp_path / "out")] == [text.upper() for text in good]
    assert found.failures == len(texts) - len(good) and found.complete
