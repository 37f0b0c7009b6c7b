"""Parquet in, Parquet out: every value of every column as it was, whatever Python makes of it."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from batch_steps import LOUD, failures, shout, whys, work
from clearhead.errors import DataError
from clearhead.tasks.batch import tasks
from clearhead.tasks.batch.tasks import Task

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(autouse=True)
def shouting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The task of these tests."""
    monkeypatch.setitem(tasks.TASKS, "shout", Task(shout, LOUD))


def whole(values: list[int | None], kind: Any) -> Any:
    """Times of a type by their numbers."""
    return pa.array(values, pa.int64()).cast(kind)


def table() -> Any:
    """Columns whose values Python's own types change or refuse, and a row that fails."""
    far = whole([300_000_000_000, None, 0, 1], pa.timestamp("ms")).cast(pa.timestamp("ms"))
    return pa.table(
        {
            "text": pa.array(["a", "bad", "b", "c"], pa.large_string()),
            "clock": whole([1, 2, 3, None], pa.time64("ns")),
            "far": whole([300_000_000_000_000, 300_000_000_000_001, None, 0], pa.timestamp("ms")),
            "late": pa.array([[5_000_000], [5_000_001], None, []], pa.list_(pa.int32())).cast(pa.list_(pa.date32())),
            "deep": pa.StructArray.from_arrays([far], ["when"]),
            "fine": whole([1, 2, 3, 4], pa.timestamp("ns", "UTC")),
            "span": whole([1, 2, 3, 4], pa.duration("ns")),
            "price": pa.array([Decimal("1.20"), Decimal("2"), Decimal("3"), None], pa.decimal128(12, 2)),
            "kind": pa.array(["p", "q", "p", None]).dictionary_encode(),
            "half": pa.array([1.5, float("nan"), float("inf"), None], pa.float32()),
            "raw": pa.array([b"\xff", b"\xfe", b"", None]),
        },
        metadata={"made": "by hand"},
    )


def test_every_value_is_what_it_was(tmp_path: Path) -> None:
    given = table()
    pq.write_table(given, tmp_path / "a.parquet", row_group_size=3)
    given = pq.read_table(tmp_path / "a.parquet")
    found = work([tmp_path / "a.parquet"], tmp_path / "out", part=4)
    [path] = (tmp_path / "out").glob("part-*.parquet")
    made = pq.read_table(path)
    assert (found.rows, found.failures) == (4, 1) and made.column("loud").to_pylist() == ["A", "B", "C"]
    assert made.schema.remove(made.num_columns - 1).equals(given.schema) and made.schema.metadata[b"made"] == b"by hand"
    kept = pa.concat_tables([given.slice(0, 1), given.slice(2)])
    for name in given.column_names:
        assert str(made.column(name).combine_chunks()) == str(kept.column(name).combine_chunks()), name


def test_a_failed_row_says_its_values_in_json(tmp_path: Path) -> None:
    pq.write_table(table(), tmp_path / "a.parquet")
    work([tmp_path / "a.parquet"], tmp_path / "out")
    [line] = (tmp_path / "out" / "failed.jsonl").read_text().splitlines()
    row = json.loads(line, parse_constant=pytest.fail)
    assert row["clock"] == "00:00:00.000000002" and row["far"].startswith("11476-08-15") and row["half"] is None
    assert row["late"] == ["15659-07-16"] and row["fine"].startswith("1970-01-01 00:00:00.000000002")
    assert whys(tmp_path / "out") == [{"error": "this text is bad", "at": "a.parquet:2"}]


def test_columns_that_cannot_be_told_apart_are_refused(tmp_path: Path) -> None:
    twice = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    pq.write_table(twice, tmp_path / "a.parquet")
    with pytest.raises(DataError, match="has two columns 'text'; rename one"):
        work([tmp_path / "a.parquet"], tmp_path / "out")
    pq.write_table(pa.table({"text": ["a"], "failure": [1]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match="has a column 'failure'"):
        work([tmp_path / "b.parquet"], tmp_path / "out")


def test_a_column_of_numbers_is_no_text(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": [1, 2]}), tmp_path / "a.parquet")
    assert work([tmp_path / "a.parquet"], tmp_path / "out").failures == 2
    assert {why["error"] for why in whys(tmp_path / "out")} == {"'text' is int64, where a text was expected"}
    assert [row["text"] for row in failures(tmp_path / "out")] == [1, 2]


def test_a_damaged_page_is_told(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"text": [f"row {i} of many" for i in range(500)]}), tmp_path / "a.parquet", compression="none"
    )
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    data[4:40] = b"\xff" * 36
    (tmp_path / "a.parquet").write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"no whole Parquet file|cannot be read"):
        work([tmp_path / "a.parquet"], tmp_path / "out")
