"""Held-out sentences stay held out, in both languages, whatever the order of the data."""

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from clearhead.errors import DataError
from clearhead.training.data.readers.parallel import Parallel
from clearhead.training.data.readers.table import Table
from clearhead.training.data.records import Record
from clearhead.training.data.report import Report
from clearhead.training.data.sources import read
from clearhead.training.data.split import SIDES, SplitConfig, normal, plan

pairs = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=40, max_size=120)


def parts(records: list[Record], **keys: Any) -> dict[str, list[Record]]:
    split = plan(lambda: records, SplitConfig(**keys))
    return {side: list(split.part(records, side)) for side in SIDES}


def assert_no_leak(sides: dict[str, list[Record]], fields: tuple[str, ...] = ("source", "target")) -> None:
    for field in fields:
        texts = {side: {normal(str(record[field])) for record in kept} for side, kept in sides.items()}
        for a, b in itertools.combinations(SIDES, 2):
            assert not texts[a] & texts[b]


def sentences(n: int) -> list[Record]:
    """Sentences with one to three translations, of which some are shared."""
    rng = random.Random(0)
    return [
        {"source": f"Sentence {i}{rng.choice('.!')}", "target": f"Satz {rng.randrange(n)}."}
        for i in range(n)
        for _ in range(rng.randint(1, 3))
    ]


@settings(max_examples=30, deadline=None)
@given(pairs)
def test_no_sentence_is_on_two_sides(drawn: list[tuple[int, int]]) -> None:
    records: list[Record] = [{"source": f"s {a}", "target": f"t {b}"} for a, b in drawn]
    sides = parts(records, test=0.2, dev=0.2)
    assert_no_leak(sides)
    for side in SIDES:  # nothing is invented, nothing reordered
        rest = iter(records)
        assert all(record in rest for record in sides[side])


def test_what_is_left_out_is_shared_and_nothing_else() -> None:
    records = sentences(400)
    report = Report()
    split = plan(lambda: records, SplitConfig(test=0.1, dev=0.1))
    sides = {side: list(split.part(records, side, report)) for side in SIDES}
    kept = [record for side in SIDES for record in sides[side]]
    held = {normal(str(r["target"])) for side in ("test", "dev") for r in sides[side]}
    left = [record for record in records if record not in kept]
    assert left
    assert all(normal(str(record["target"])) in held for record in left)
    drops = [tally.drops["shared_target"].count for tally in report.sources.values() if tally.drops]
    assert sum(drops) == len(left)
    assert "shared_target" not in report.sources["test of the split"].drops
    for record in kept:
        assert record in sides[split.side(record) or ""]
    assert all(split.side(record) is None for record in left)


def test_fractions_and_counts() -> None:
    records = sentences(3000)
    sources = {normal(str(r["source"])) for r in records}
    counted = parts(records, test=200, dev=100, guard=None)
    assert len({normal(str(r["source"])) for r in counted["test"]}) == 200
    assert len({normal(str(r["source"])) for r in counted["dev"]}) == 100
    assert sum(map(len, counted.values())) == len(records)
    share = len({normal(str(r["source"])) for r in parts(records, test=0.1)["test"]}) / len(sources)
    assert 0.08 < share < 0.12  # four standard deviations
    single = parts(records, test=200, first_only=True)["test"]
    assert len(single) == 200
    firsts = {normal(str(r["source"])): r for r in reversed(records)}
    assert all(firsts[normal(str(r["source"]))] == r for r in single)
    assert parts(records)["train"] == records


def test_a_side_depends_on_the_sentence_alone() -> None:
    records = sentences(500)
    before = parts(records, test=0.1)["test"]
    shuffled = random.Random(1).sample(records, len(records))
    more = [*shuffled, *({"source": f"new {i}", "target": f"neu {i}"} for i in range(500))]
    after = parts(more, test=0.1)["test"]
    assert sorted(map(repr, before)) == sorted(repr(r) for r in after if "new" not in str(r["source"]))
    other = parts(records, test=0.1, salt="2")["test"]
    assert other != before


def test_normal_form() -> None:
    same = ["Don't go!", "don't  GO", "DON\u2019T GO\u2026", " don't go \u202f!"]
    assert len({normal(sentence) for sentence in same}) == 1
    assert len({normal(sentence) for sentence in ("go", "goes", "ça va", "ca va", "?", "!")}) == 6


def test_a_stream_is_split_as_it_comes() -> None:
    def endless() -> Iterator[Record]:
        return ({"text": f"text {n}"} for n in itertools.count())

    split = plan(endless, SplitConfig(test=0.5, field="text", guard=None))
    assert len(list(itertools.islice(split.part(endless(), "test"), 10))) == 10


def test_what_cannot_be_split() -> None:
    with pytest.raises(DataError, match="of 3 sentences, test 2 and dev 1 leave none to train on"):
        parts([{"source": str(n), "target": "x"} for n in range(3)], test=2, dev=1)
    with pytest.raises(DataError, match="the split looks at the field 'source'; records have text"):
        parts([{"text": "x"}], test=1)
    for keys in ({"test": 0.6, "dev": 0.4}, {"test": -1}, {"test": 1.5}, {"unknown": 1}):
        with pytest.raises(ValidationError):
            SplitConfig(**keys)  # type: ignore[arg-type]


def test_tatoeba_without_leakage(data: Path) -> None:
    french = Table(path=data / "tatoeba-en-fr" / "fra.txt", fields={"source": 0, "target": 1}, limit=20_000)
    german = Parallel(source=data / "tatoeba-en-de" / "all.en", target=data / "tatoeba-en-de" / "all.de")
    for source in french, german:
        records = list(read(source, Report()))
        sides = parts(records, test=1000, dev=500, first_only=True)
        assert_no_leak(sides)
        assert len(sides["test"]) == 1000
        assert 450 < len(sides["dev"]) <= 500
        assert len(sides["train"]) > 0.85 * len(records)
