"""Every reader on small files, and every kind of bad input as an error and as a counted skip."""

import gzip
import hashlib
import itertools
import json
import os
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from clearhead.errors import DataError, MissingDependencyError
from clearhead.training.data import lines as lines_module
from clearhead.training.data.checks import Checks
from clearhead.training.data.readers.columns import iob2
from clearhead.training.data.report import Report
from clearhead.training.data.sources import DataConfig, Source, read, read_all

PAIR = {"source": "s", "target": "t"}


def write(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def source(**keys: Any) -> Any:
    """A source as a recipe has it: plain values, paths as text."""
    plain = {key: str(value) if isinstance(value, Path) else value for key, value in keys.items()}
    return TypeAdapter(Source).validate_python(plain)


def records(report: Report | None = None, checks: dict[str, Any] | None = None, **keys: Any) -> list[Any]:
    return list(read(source(**keys), report or Report(), checks=Checks.model_validate(checks or {})))


def parallel(folder: Path, en: str | bytes, de: str | bytes) -> dict[str, Any]:
    return {"kind": "parallel", "source": write(folder / "x.en", en), "target": write(folder / "x.de", de)}


def jsonl(path: Path, entries: list[Any]) -> Path:
    return write(path, "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries))


# Readers


def test_parallel_text(tmp_path: Path) -> None:
    keys = parallel(tmp_path, "A dog.\r\nLine\u2028two\nlast", "Ein Hund.\nZeile zwei \nletzte\n")
    assert records(**keys) == [
        {"source": "A dog.", "target": "Ein Hund."},
        {"source": "Line\u2028two", "target": "Zeile zwei"},  # a line ends at a newline alone
        {"source": "last", "target": "letzte"},
    ]


def test_compressed_text_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = write(tmp_path / "x.txt.gz", gzip.compress("\ufeffone\ntwo\n".encode()))
    report = Report()
    assert records(report, kind="text", path=path) == [{"text": "one"}, {"text": "two"}]
    assert report.files[str(path)].sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_table_by_number_and_by_name(tmp_path: Path) -> None:
    tsv = write(tmp_path / "x.tsv", 'Go.\tVa !\tCC\nSay "hi.\tDis "salut.\tCC\n')
    assert records(kind="table", path=tsv, fields={"source": 0, "target": 1}) == [
        {"source": "Go.", "target": "Va !"},
        {"source": 'Say "hi.', "target": 'Dis "salut.'},
    ]
    table = write(tmp_path / "x.csv", 'id,fr,en\n1,"a, ""b""\nc",d\n2,e,f\n')
    keys = {"kind": "table", "path": table, "delimiter": ",", "quotes": True}
    assert records(**keys, fields={"source": "en", "target": "fr"}) == [
        {"source": "d", "target": 'a, "b"\nc'},
        {"source": "f", "target": "e"},
    ]
    with pytest.raises(DataError, match="the header names 'de' 0 times; it names id, fr, en"):
        records(**keys, fields={"source": "de"})
    with pytest.raises(DataError, match="there are 3 columns, numbered from 0, and fields name column 3"):
        records(**keys, fields={"source": 3})


def test_json_lines_and_several_files(tmp_path: Path) -> None:
    jsonl(tmp_path / "a-2.jsonl", [{"translation": {"en": "two", "fr": "deux"}}])
    jsonl(tmp_path / "a-1.jsonl", [{"translation": {"en": "one", "fr": "un"}}])
    keys = {"kind": "jsonl", "fields": {"source": "translation.en", "target": "translation.fr"}}
    assert records(**keys, path=tmp_path / "a-*.jsonl") == [
        {"source": "one", "target": "un"},
        {"source": "two", "target": "deux"},
    ]
    with pytest.raises(DataError, match="no file has such a name"):
        records(**keys, path=tmp_path / "b-*.jsonl")
    tokens = jsonl(tmp_path / "t.jsonl", [{"words": ["a", "b"], "tags": ["O", "B-X"]}])
    assert records(kind="jsonl", path=tokens, fields={"tokens": "words", "labels": "tags"}) == [
        {"tokens": ["a", "b"], "labels": ["O", "B-X"]}
    ]


def test_parquet(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    columns = {"n": list(range(5000)), "t": [{"en": f"s{i}", "fr": f"t{i}"} for i in range(5000)]}
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=1000)
    keys = {"kind": "parquet", "path": path, "fields": {"source": "t.en", "target": "t.fr"}}
    report = Report()
    assert records(report, **keys) == [{"source": f"s{i}", "target": f"t{i}"} for i in range(5000)]
    assert report.files[str(path)].sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(DataError, match="has no column 'text'; it has n, t"):
        records(**{**keys, "fields": {"text": "text"}})
    with pytest.raises(DataError, match="'n' is int, neither a text nor a list of texts"):
        records(**{**keys, "fields": {"text": "n"}})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="is damaged"):
        records(**keys)


def test_hugging_face_data_sets(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    names = datasets.ClassLabel(names=["O", "B-PER"])
    kinds = {"tokens": datasets.List(datasets.Value("string")), "ner": datasets.List(names)}
    rows = {"tokens": [["Ann", "ran"], ["Go"]], "ner": [[1, 0], [0]]}
    saved = datasets.Dataset.from_dict(rows, features=datasets.Features(kinds))
    saved.save_to_disk(str(tmp_path / "saved"))
    datasets.DatasetDict({"dev": saved}).save_to_disk(str(tmp_path / "dict"))
    expected = [{"tokens": ["Ann", "ran"], "labels": ["B-PER", "O"]}, {"tokens": ["Go"], "labels": ["O"]}]
    keys = {"kind": "datasets", "fields": {"tokens": "tokens", "labels": "ner"}}
    assert records(**keys, dataset=str(tmp_path / "saved")) == expected
    assert records(**keys, dataset=str(tmp_path / "dict"), split="dev") == expected

    (tmp_path / "files").mkdir()
    jsonl(tmp_path / "files" / "train.jsonl", [{"text": "one"}, {"text": "two"}])
    keys = {"kind": "datasets", "fields": {"text": "text"}, "dataset": str(tmp_path / "files")}
    assert records(**keys) == [{"text": "one"}, {"text": "two"}]
    with pytest.raises(DataError, match=r"the data set .*:test cannot be read: "):
        records(**keys, split="test")


@pytest.mark.parametrize(("package", "kind"), [("datasets", "datasets"), ("pyarrow", "parquet")])
def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: Any, package: str, kind: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    place = {"path": write(tmp_path / "x", "x")} if kind == "parquet" else {"dataset": "some/data"}
    with pytest.raises(MissingDependencyError, match=f"pip install {package}"):
        records(kind=kind, fields={"text": "text"}, **place)


def test_plain_text_by_unit(tmp_path: Path) -> None:
    text = "\n one\ntwo\n\n\nthree\n=\nfour\x07"
    path = write(tmp_path / "x.txt", text)

    def of(**keys: Any) -> list[str]:
        return [record["text"] for record in records(kind="text", path=path, checks={"control": "keep"}, **keys)]

    assert of() == ["one", "two", "three", "=", "four\x07"]
    assert of(unit="paragraph") == ["one\ntwo", "three\n=\nfour\x07"]
    assert of(unit="document", separator="=") == ["one\ntwo\n\n\nthree", "four\x07"]
    pieces = of(unit="file", piece=4)
    assert pieces == ["\n one\n", "two\n\n\n", "three\n", "=\nfour\x07"]
    assert "".join(pieces) == text
    with pytest.raises(ValidationError, match="unit document needs a separator"):
        of(unit="document")


@pytest.mark.parametrize("cut", [0.1, 0.25, 0.5, 0.52, 0.9])
def test_parts_of_a_text_are_the_text(tmp_path: Path, cut: float) -> None:
    text = "\n one\ntwo\n\n\nthree\nfour\n"
    path = write(tmp_path / "x.txt", text)
    sides = [
        "".join(record["text"] for record in records(kind="text", path=path, unit="file", part=part))
        for part in ([0, cut], [cut, 1])
    ]
    assert sides == [text[: int(len(text) * cut)], text[int(len(text) * cut) :]]


def test_a_part_that_cannot_be(tmp_path: Path) -> None:
    path = write(tmp_path / "x.txt", "text")
    with pytest.raises(ValidationError, match=r"part \[0.9, 0.1\] is empty"):
        records(kind="text", path=path, unit="file", part=[0.9, 0.1])
    with pytest.raises(ValidationError, match="part is for unit file; the unit is line"):
        records(kind="text", path=path, part=[0, 0.5])


def test_columns_of_words_and_labels(tmp_path: Path) -> None:
    conll = "-DOCSTART- -X- O O\n\nU.N. NNP I-NP I-ORG\nEkeus NNP I-NP I-PER\nBonn NNP I-NP B-PER\n\nhe PRP I-NP O\n"
    path = write(tmp_path / "eng.train", conll)
    assert records(kind="conll", path=path, scheme="iob1") == [
        {"tokens": ["U.N.", "Ekeus", "Bonn"], "labels": ["B-ORG", "B-PER", "B-PER"]},
        {"tokens": ["he"], "labels": ["O"]},
    ]
    assert records(kind="conll", path=path, scheme="any", labels=1)[1] == {"tokens": ["he"], "labels": ["PRP"]}
    with pytest.raises(DataError, match="the label 'I-ORG' of word 1 continues no chunk; is the scheme iob1"):
        records(kind="conll", path=path)
    tabs = write(tmp_path / "x.tsv", "en:New York\tB-LOC\n\t\nen:x\tO\n")
    assert records(kind="conll", path=tabs, delimiter="\t", prefix="en:") == [
        {"tokens": ["New York"], "labels": ["B-LOC"]},
        {"tokens": ["x"], "labels": ["O"]},
    ]
    for case, word in (("lower", "new york"), ("upper", "NEW YORK")):
        first, _ = records(kind="conll", path=tabs, delimiter="\t", prefix="en:", case=case)
        assert first == {"tokens": [word], "labels": ["B-LOC"]}


def test_iob1_becomes_iob2_with_the_same_chunks() -> None:
    """All sequences of four labels of two types."""
    for labels in itertools.product(["O", "I-A", "B-A", "I-B", "B-B"], repeat=4):
        if any(b[:1] == "B" and a[1:] != b[1:] for a, b in zip(("O", *labels), labels, strict=False)):
            continue  # B- stands in IOB1 only after another chunk of its type
        assert chunks(iob2(list(labels))) == chunks(list(labels))


def chunks(labels: list[str]) -> list[tuple[int, int, str]]:
    """Chunks as both schemes define them: one ends where the next label is O, B- or of another type."""
    found: list[tuple[int, int, str]] = []
    for place, label in enumerate(labels):
        before = labels[place - 1] if place else "O"
        if label == "O":
            continue
        if label[0] == "I" and before[1:] == label[1:]:
            first, _, kind = found.pop()
            found.append((first, place + 1, kind))
        else:
            found.append((place, place + 1, label[2:]))
    return found


def test_spans(tmp_path: Path) -> None:
    entries = [
        {"text": "Ann Lee saw U.N.-men.", "spans": [{"start": 12, "end": 16, "label": "ORG"}, [0, 7, "PER"]]},
        {"text": "none", "spans": []},
    ]
    assert records(kind="spans", path=jsonl(tmp_path / "x.jsonl", entries)) == [
        {
            "tokens": ["Ann", "Lee", "saw", "U", ".", "N", ".", "-", "men", "."],
            "labels": ["B-PER", "I-PER", "O", "B-ORG", "I-ORG", "I-ORG", "I-ORG", "O", "O", "O"],
        },
        {"tokens": ["none"], "labels": ["O"]},
    ]
    wrong = [[[0, 9, "X"]], [[0, 2, "X"], [1, 3, "X"]], [[3, 4, "X"]], [[-1, 2, "X"]]]
    path = jsonl(tmp_path / "y.jsonl", [{"text": "Ann ran", "spans": s} for s in wrong] + entries[1:])
    report = Report()
    assert len(records(report, {"labels": "drop"}, kind="spans", path=path)) == 1
    assert report.sources[str(path)].drops["labels"].count == 4
    for bad in ({"text": "x"}, {"text": "x", "spans": [[0, 1]]}, {"text": 1, "spans": []}):
        with pytest.raises(DataError, match=r"y\.jsonl:1: .*checks\.invalid: drop"):
            records(kind="spans", path=jsonl(path, [bad]))


# Bad input: an error that names the place, or a counted skip


def bad_input(folder: Path) -> Iterator[tuple[str, dict[str, Any], dict[str, Any], str]]:
    """Reason, source (its second record is bad, the third good), limits, and what the error says."""
    text = folder / "text"
    sane = dict.fromkeys(("first", "third"))

    def lines(second: bytes) -> dict[str, Any]:
        first, third = (name.encode() for name in sane)
        return {"kind": "text", "path": write(text, b"\n".join([first, second, third]) + b"\n")}

    yield "broken_utf8", lines(b"ab\xff"), {}, "byte 3 of the line, 0xff, is not UTF-8"
    yield "endless", lines(b"x" * 50_000), {"max_bytes": 20}, "the line has more than 20 bytes"
    yield "empty", lines(b" \t"), {}, "text is empty"
    yield "control", lines(b"a\x00b"), {}, "text holds the control character U\\+0000"
    yield "too_long", lines(b"a b c"), {"max_words": 2}, "text has 3 words; max_words is 2"
    yield "too_long", lines(b"abcdefgh"), {"max_characters": 5}, "text has 8 characters; max_characters is 5"
    yield "too_short", lines(b"a"), {"min_characters": 2}, "text has 1 characters; min_characters is 2"
    yield "duplicate", lines(b"first"), {}, "the record came before"
    for row in ("a", "a\tb\tc"):
        path = write(folder / "x.tsv", f"a\tb\n{row}\nc\td\n")
        columns = "1" if row == "a" else "3"
        keys = {"kind": "table", "path": path, "fields": {"source": 0, "target": 1}}
        yield "columns", keys, {}, f"{columns} columns, where the first row has 2"
    for second, said in [
        ("{", "no JSON at character 2"),
        ("[1]", "a JSON list, where an object was expected"),
        ('{"b": 1}', "there is no 'text'"),
        ('{"text": 5}', "'text' is int"),
        ("[" * 20_000, "no JSON of sane size"),
    ]:
        path = write(folder / "x.jsonl", f'{{"text": "a"}}\n{second}\n{{"text": "b"}}\n')
        yield "invalid", {"kind": "jsonl", "path": path, "fields": {"text": "text"}}, {}, said
    half = write(folder / "h.jsonl", '{"text": "a"}\n{"text": "\\ud800"}\n{"text": "b"}\n')
    yield "broken_utf8", {"kind": "jsonl", "path": half, "fields": {"text": "text"}}, {}, "text holds .ud800, half a"
    null = write(folder / "n.jsonl", '{"text": "a"}\n{"text": null}\n{"text": "b"}\n')
    yield "empty", {"kind": "jsonl", "path": null, "fields": {"text": "text"}}, {}, "'text' is null"
    yield "ratio", parallel(folder, "a\nb\nc\n", "x\nlonger\ny\n"), {"max_ratio": 3.0}, "has 1 characters and target 6"
    yield "identical", parallel(folder, "a\nb\nc\n", "x\nb\ny\n"), {}, "source and target are the same"
    yield "empty", parallel(folder, "a\nb\nc\n", "x\n\ny\n"), {}, "target is empty"
    yield "broken_utf8", parallel(folder, "a\nb\nc\n", b"x\n\xe4\ny\n"), {}, "x.de:2: byte 1 of the line, 0xe4"
    for label in ("PER", "I-PER", "B-"):
        path = write(folder / "x.conll", f"a O\n\nb {label}\n\nc O\n")
        yield "labels", {"kind": "conll", "path": path}, {}, f"the label '{label}' of word 1"
    path = write(folder / "y.conll", "a O\n\nb\n\nc O\n")
    yield "columns", {"kind": "conll", "path": path, "labels": 1}, {}, "line 3 has 1 columns, too few for"
    path = write(folder / "x.csv", '"a",b\n"c" d,e\nf,g\n')
    keys = {"kind": "table", "path": path, "delimiter": ",", "quotes": True, "fields": {"text": 0}}
    yield "invalid", keys, {}, "no row of a table"
    path = write(folder / "p.txt", "a\n\n" + "long line\n" * 9 + "\nb\n")
    yield "endless", {"kind": "text", "path": path, "unit": "paragraph"}, {"max_bytes": 40}, "the text has more than 40"


def test_bad_input_both_ways(tmp_path: Path) -> None:
    for reason, keys, limits, said in bad_input(tmp_path):
        with pytest.raises(DataError, match=said) as caught:
            records(checks={**limits, reason: "error"}, **keys)
        assert f"checks.{reason}: drop" in str(caught.value)
        assert str(tmp_path) in str(caught.value)
        assert "\n" not in str(caught.value)

        report = Report()
        assert len(records(report, {**limits, reason: "drop"}, **keys)) == 2, reason
        (tally,) = report.sources.values()
        assert (tally.read, tally.kept) == (3, 2)
        assert {name: drops.count for name, drops in tally.drops.items()} == {reason: 1}
        assert str(tmp_path) in tally.drops[reason].examples[0]


def test_unequal_line_counts_are_always_an_error(tmp_path: Path) -> None:
    keys = parallel(tmp_path, "a\nb\nc", "x\ny\n")
    with pytest.raises(DataError, match=r"x\.en has 3 lines and .*x\.de has 2"):
        next(read(source(**keys), Report()))  # before the first record is given
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    thread = threading.Thread(target=pipe.write_text, args=("x\ny\nz\nmore\nand more\n",))
    thread.start()
    with pytest.raises(DataError, match=r"x\.en has 3 lines and .*pipe has 5"):
        records(**{**keys, "target": pipe})
    thread.join()


def test_a_digest_is_checked_before_reading(tmp_path: Path) -> None:
    path = write(tmp_path / "x.txt", "one\n")
    digest = hashlib.sha256(b"one\n").hexdigest()
    assert records(kind="text", path=path, sha256=digest) == [{"text": "one"}]
    other = "0" * 64
    with pytest.raises(DataError, match=f"has the sha256 {digest}, the recipe says {other}"):
        records(kind="text", path=path, sha256=other)
    keys = parallel(tmp_path, "a\n", "b\n")
    with pytest.raises(DataError, match=r"x\.de has the sha256"):
        records(**keys, target_sha256=other)
    for wrong in ({"path": path, "sha256": "abc"}, {"path": tmp_path / "*.txt", "sha256": digest}):
        with pytest.raises(ValidationError, match="sha256"):
            source(kind="text", **wrong)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    whole = gzip.compress(b"one line\n" * 1000)
    cases = {
        "there is no such file": tmp_path / "absent.txt",
        "cannot be read: Is a directory": tmp_path,
        "is no whole gzip file": write(tmp_path / "cut.gz", whole[:-20]),
        r"is no whole gzip file \(Not a gzipped": write(tmp_path / "not.gz", "text"),
        "holds no record": write(tmp_path / "nothing.txt", ""),
        r"all 2 records were dropped \(empty 2": write(tmp_path / "blank.txt", "\n \n"),
    }
    for said, path in cases.items():
        with pytest.raises(DataError, match=said):
            records(kind="text", path=path)


def test_a_gzip_file_that_explodes_is_refused(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(lines_module, "FREE", 2**20)
    path = write(tmp_path / "bomb.gz", gzip.compress(b"\0" * 2**23))
    for checks in ({"endless": "drop"}, {"max_bytes": 2**24, "control": "drop"}):
        with pytest.raises(DataError, match="decompress it by hand if you trust it"):
            records(checks=checks, kind="text", path=path)


def test_keys_are_strict() -> None:
    for keys in (
        {"kind": "text", "path": "x", "unkown": 1},
        {"kind": "text", "path": "x", "limit": "5"},
        {"kind": "nonsense", "path": "x"},
        {"kind": "table", "path": "x", "fields": {}},
        {"kind": "table", "path": "x", "fields": {"text": -1}},
        {"kind": "table", "path": "x", "fields": {"text": 0}, "delimiter": "\n"},
    ):
        with pytest.raises(ValidationError):
            source(**keys)
    for kind in DataConfig, Checks, *TypeAdapter(Source).json_schema()["$defs"].values():
        schema = kind if isinstance(kind, dict) else kind.model_json_schema()
        assert all("description" in key for name, key in schema["properties"].items() if name != "kind")


# Several sources, streams and the report


def test_sources_are_joined_repeated_and_limited(tmp_path: Path) -> None:
    one, two = write(tmp_path / "1.txt", "a\nb\na\nc\n"), write(tmp_path / "2.txt", "b\nd\n\n")
    keys = {
        "sources": [
            {"kind": "text", "path": str(one), "limit": 2, "repeat": 2, "name": "first"},
            {"kind": "text", "path": str(two)},
        ],
        "checks": {"duplicate": "drop"},
    }
    report = Report()
    got = [record["text"] for record in read_all(DataConfig.model_validate(keys), report)]
    assert got == ["a", "b", "a", "b", "d"]
    assert report.kept == 5
    assert report.as_dict() == {
        "sources": {
            "first": {"read": 2, "kept": 2, "repeat": 2, "dropped": {}},
            str(two): {
                "read": 3,
                "kept": 1,
                "repeat": 1,
                "dropped": {
                    "duplicate": {"count": 1, "examples": [f"{two}:1: the record came before"]},
                    "empty": {"count": 1, "examples": [f"{two}:3: text is empty"]},
                },
            },
        },
        "files": {
            str(one): {"sha256": None, "bytes": 8},  # not read to its end
            str(two): {"sha256": hashlib.sha256(two.read_bytes()).hexdigest(), "bytes": 5},
        },
    }
    assert json.loads(report.json()) == report.as_dict()


def test_the_report_keeps_the_first_examples_and_shows_them(tmp_path: Path) -> None:
    from rich.console import Console

    path = write(tmp_path / "x.txt", "[red]a\n" + "\n" * 1200)
    report = Report()
    records(report, kind="text", path=path, name="[bold]n")
    drops = report.sources["[bold]n"].drops["empty"]
    assert drops.count == 1200
    assert drops.examples == [f"{path}:{n}: text is empty" for n in (2, 3, 4)]
    console = Console(width=200, record=True, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
    console.print(report.table())
    shown = console.export_text()
    assert "1,200" in shown
    assert "[bold]n" in shown
    assert "x.txt:2: text is empty" in shown


def test_a_stream_without_end_is_read_as_it_comes(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def pour() -> None:
        with pipe.open("wb") as file:
            try:
                for n in itertools.count():
                    file.write(b"line %d\n" % n)
            except BrokenPipeError:
                file.raw.close()

    thread = threading.Thread(target=pour)
    thread.start()
    stream = read(source(kind="text", path=pipe), Report())
    assert list(itertools.islice(stream, 3)) == [{"text": f"line {n}"} for n in range(3)]
    stream.close()  # type: ignore[attr-defined]
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.parametrize("unit", ["line", "paragraph", "file"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, unit: str) -> None:
    path = tmp_path / "x.txt.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(24):
            file.write((b"x" * 8191 + b"\n\n") * 128)
    tracemalloc.start()
    size = sum(len(record["text"]) for record in read(source(kind="text", path=path, unit=unit), Report()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size >= 24 * 128 * 8191
    assert peak < size / 4


# Real files


@pytest.mark.parametrize(
    ("name", "keys", "sentences", "chunks_"),
    [
        ("conll2003/eng.train", {"scheme": "iob1"}, 14_041, 23_499),
        ("conll2003/eng.testa", {"scheme": "iob1"}, 3_250, 5_942),
        ("wnut17/wnut17train.conll", {"delimiter": "\t"}, 3_394, 1_975),
    ],
)
def test_published_counts(data: Path, name: str, keys: dict[str, Any], sentences: int, chunks_: int) -> None:
    """Sentences and entities as the papers count them (14,987 sentences of eng.train include 946 document marks)."""
    got = records(kind="conll", path=data / name, **keys)
    assert len(got) == sentences
    assert sum(label[0] == "B" for record in got for label in record["labels"]) == chunks_
