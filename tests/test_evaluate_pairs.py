"""Pairs from files: every form is known by what it says, and what is none is refused in one line."""

import json
from pathlib import Path
from typing import Any

import pytest

from clearhead.errors import ClearheadError, DataError, OptionError
from clearhead.tasks.evaluate.pairs import Pairs, read_pairs

ENGLISH, GERMAN = ["A man.", "Two dogs.\u2028", ""], ["Ein Mann.", "Zwei Hunde.", ""]


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def objects(path: Path, rows: list[Any]) -> Path:
    return write(path, "".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def parallel(tmp_path: Path) -> Path:
    """Two files that are named by their language."""
    write(tmp_path / "test.de", "\n".join(GERMAN) + "\n")
    return write(tmp_path / "test.en", "\r\n".join(ENGLISH) + "\r\n")


def test_two_files_line_by_line(parallel: Path) -> None:
    found = read_pairs(parallel, references=parallel.with_suffix(".de"))
    assert (found.inputs, found.expected) == (ENGLISH, GERMAN)
    assert [(file.name, file.rows, len(file.sha256)) for file in found.files] == [
        ("test.en", 3, 64),
        ("test.de", 3, 64),
    ]
    assert read_pairs(parallel, to="de") == found == read_pairs(parallel.parent, to="de", from_="en")
    assert found.first(1) == Pairs(ENGLISH[:1], GERMAN[:1], found.files)


def test_a_table_with_tabs(tmp_path: Path) -> None:
    file = write(tmp_path / "fra.txt", "\ufeffGo.\tVa !\tCC-BY\nHi.\tSalut !\tCC-BY\n")
    found = read_pairs(file, to="fr")
    assert (found.inputs, found.expected) == (["Go.", "Hi."], ["Va !", "Salut !"])


@pytest.mark.parametrize(
    ("row", "options"),
    [
        ({"source": "a", "target": "b"}, {}),
        ({"id": 1, "document": "a", "summary": "b"}, {}),
        ({"fname": "x", "dialogue": "a", "summary": "b", "topic": "t"}, {}),
        ({"translation": {"de": "b", "en": "a"}}, {"to": "de"}),
        ({"translation": {"de": "b", "en": "a", "fr": "c"}}, {"to": "de", "from_": "en"}),
        ({"x": "a", "y": {"z": "b"}}, {"fields": ["x", "y.z"]}),
        ({"x": "a", "y.z": "b"}, {"fields": ["x", "y.z"]}),
    ],
)
def test_json_lines_by_their_fields(tmp_path: Path, row: dict[str, Any], options: dict[str, Any]) -> None:
    found = read_pairs(objects(tmp_path / "rows.jsonl", [row, row]), **options)
    assert (found.inputs, found.expected) == (["a", "a"], ["b", "b"])


def test_what_cannot_be_read_is_told(tmp_path: Path, parallel: Path) -> None:
    def refused(path: Path, kind: type[ClearheadError] = DataError, **options: Any) -> str:
        with pytest.raises(kind) as error:
            read_pairs(path, **options)
        assert "\n" not in str(error.value)
        return str(error.value)

    longer = write(tmp_path / "longer.de", "one\ntwo\n")
    assert "has 3 lines and" in refused(parallel, references=longer)
    assert "there is no such file" in refused(tmp_path / "none.jsonl")
    assert "is empty" in refused(write(tmp_path / "empty", "\n\n"))
    assert "not UTF-8 text (byte 1)" in refused(write(tmp_path / "latin", "für".encode("latin-1")))
    assert "is no text" in refused(write(tmp_path / "binary", b"a\0b"))
    assert ":2 has no second column" in refused(write(tmp_path / "table", "a\tb\nc\n"))
    assert "say with --fields" in refused(objects(tmp_path / "a.jsonl", [{"p": "a", "q": "b"}]))
    assert ":2: 'target' is NoneType" in refused(
        objects(tmp_path / "b.jsonl", [{"source": "a", "target": "b"}, {"source": "a"}])
    )
    assert ":2 is no JSON" in refused(write(tmp_path / "c.jsonl", '{"source": "a", "target": "b"}\n{"source\n'))
    assert ":2 is a JSON list" in refused(objects(tmp_path / "d.jsonl", [{"source": "a", "target": "b"}, []]))
    assert "'a/b' is no language" in refused(parallel, OptionError, to="a/b")
    assert "drop --fields" in refused(parallel, OptionError, fields=["a", "b"])
    assert "give two names" in refused(parallel, OptionError, fields=["a"])


def test_a_folder_with_several_sets_is_not_guessed_at(tmp_path: Path, parallel: Path) -> None:
    write(tmp_path / "val.en", "a\n")
    write(tmp_path / "val.de", "b\n")
    with pytest.raises(DataError, match=r"holds test\.en, val\.en; name one"):
        read_pairs(tmp_path, to="de")
    with pytest.raises(OptionError, match="is a folder"):
        read_pairs(tmp_path, to="de", references=parallel)
