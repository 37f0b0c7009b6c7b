"""The benchmarks' own arithmetic, their tables, and one engine run as a process; no peer is needed."""

import json
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.contest import Contest, Cost, Entry, Held
from benchmarks.machine import parse
from benchmarks.process import EngineError, Worker, command
from benchmarks.recipes.making import make
from benchmarks.report import record, table, write
from benchmarks.run import Result, hold, likeness
from benchmarks.works import WORKS

CONTESTS = [contest for work in WORKS.values() for contest in work()]
WHERE = {"date": "today", "machine": "here", "threads": 2, "peaks": "none"}


class Scripted:
    """A worker whose answers are given."""

    def __init__(self, label: str, answers: list[Any], order: list[str]) -> None:
        self.label, self.facts, self.order = label, {"version": f"{label} 1"}, order
        self.answers: Iterator[Any] = iter(answers)

    def ask(self, question: dict[str, Any]) -> Any:
        self.order.append(self.label)
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


def contest(*labels: str, unit: str = "tokens/s", **fields: Any) -> Contest:
    entries = tuple(Entry(label=label, engine="clearhead", model="none") for label in labels)
    return Contest(work="try", title="A try", unit=unit, ask={"ask": "decode"}, entries=entries, **fields)


def held(one: Contest, rounds: int, **answers: list[Any]) -> tuple[list[Result], list[str], list[str]]:
    order: list[str] = []
    said: list[str] = []
    workers = [Scripted(label, given, order) for label, given in answers.items()]
    return hold(one, workers, rounds, dict, said.append), order, said


def test_ratios_are_of_the_same_round_and_the_warm_up_counts_for_nothing() -> None:
    rows, order, _ = held(contest("ours", "peer"), 3, ours=[1, 40, 20, 90], peer=[999, 20, 10, 30])
    assert [row.values for row in rows] == [[40, 20, 90], [20, 10, 30]]
    assert [row.median for row in rows] == [40, 20]
    assert rows[1].ratio == 2  # of 2, 2 and 3; the ratio of the best would be 3
    assert order == ["ours", "peer", "peer", "ours"] * 2  # another one first each time


def test_of_times_the_smaller_is_better() -> None:
    rows, _, _ = held(contest("ours", "peer", unit="s"), 1, ours=[0, 2.0], peer=[0, 5.0])
    assert rows[1].ratio == 2.5


def test_who_fails_is_left_out_with_a_line_and_the_others_go_on() -> None:
    answers = {"ours": [1, 2, 3], "peer": [1, EngineError("peer: no")], "other": [1, 2, 3]}
    rows, _, said = held(contest("ours", "peer", "other"), 2, **answers)
    assert [row.label for row in rows] == ["ours", "other"]
    assert said == ["peer: no"]


def test_without_ours_nothing_is_compared() -> None:
    rows, _, _ = held(contest("ours", "peer", "other"), 1, peer=[1, 2], other=[1, 2])
    assert [row.ratio for row in rows] == [None, None]


def test_the_same_question_is_asked_once_and_told() -> None:
    rows, _, _ = held(
        contest("ours", "peer", same={"ask": "greedy"}), 1, ours=[[5, 6, 7], 0, 1], peer=[[5, 6, 9], 0, 1]
    )
    assert rows[1].likeness == "the first 2 of 3 tokens are ours"
    assert likeness([3.0, 4.0], [3.0, 4.0]) == "cosine with ours 1.0000"
    assert likeness([0.5, 0.0], [0.0, 2.0]) == "cosine with ours 0.0000"


def test_shares_of_what_the_machine_can_do() -> None:
    facts = {"weight_bytes": 100, "layer_parameters": 50, "arithmetic": "int8", "bytes_before": 10, "position_bytes": 2}
    assert Cost(fact="weight_bytes", times=0.5).share(8, facts, {"read": 1000}) == 0.4
    peaks = {"int8": 1e3, "int8 on tiles": 1e4}
    assert Cost(fact="layer_parameters").share(20, facts, peaks) == 0.2  # two operations; the faster of the units
    assert Cost(fact="layer_parameters").share(20, facts, {"float32": 1}) is None
    assert Cost(fact="layer_parameters").share(20, {}, peaks) is None  # a peer, of which nothing is known
    assert Held(positions=5).share(230e-6, facts, {}) == 2
    assert parse("int8 on tiles 1.5e13 1.4e13") == ("int8 on tiles", 1.5e13)


def test_tables_and_plots_of_earlier_runs_stay(tmp_path: Path) -> None:
    rows, _, _ = held(contest("ours", "peer & co"), 2, **{"ours": [1, 1234, 1236], "peer & co": [1, 0.5, 0.5]})
    one = record(contest("ours"), rows, ["other: is not installed"], WHERE)
    assert table(one)[2:] == ["| ours | 1,235 | 1,234 .. 1,236 |  |", "| peer & co | 0.5 | 0.5 .. 0.5 | 2470.00 x |"]
    write(tmp_path, "try", {"First": one})
    page = write(tmp_path, "try", {"Second": one}).read_text()
    assert page.index("## First") < page.index("## Second")
    assert "Left out: other: is not installed" in page
    assert set(json.loads((tmp_path / "try.json").read_text())) == {"First", "Second"}
    plot = ElementTree.parse(tmp_path / "try.svg")
    assert "peer & co" in [text.text for text in plot.iter("{http://www.w3.org/2000/svg}text")]


def test_every_contest_can_be_told_apart_and_asks_what_engines_know() -> None:
    assert len({contest.title for contest in CONTESTS}) == len(CONTESTS)
    for one in CONTESTS:
        labels = [entry.label for entry in one.entries]
        assert len(set(labels)) == len(labels)
        assert one.entries[0].engine.startswith("clearhead")
        module, _, kind = one.entries[0].engine.partition(":")
        engine = getattr(import_module(f"benchmarks.engines.{module}"), kind or "Engine")
        for question in [] if one.cold else [one.ask | one.entries[0].asked, one.same, one.warm]:
            assert question is None or hasattr(engine, question["ask"])


@pytest.fixture
def tiny() -> Iterator[Worker]:
    entry = Entry(label="tiny", engine="clearhead", model="random:tiny", settings={"dtype": "int8"})
    worker = Worker("tiny", command(sys.executable, entry, entry.model, 1))
    yield worker
    worker.close()


def test_an_engine_answers_from_its_process(tiny: Worker) -> None:
    assert tiny.facts["version"].startswith("clearhead ")
    assert tiny.facts["step_parameters"] - tiny.facts["layer_parameters"] == 32000 * 64
    assert tiny.ask({"ask": "decode", "batch": 2, "prompt": 4, "new": 2}) > 0
    assert tiny.ask({"ask": "prefill", "tokens": 8}) > 0
    assert len(tiny.ask({"ask": "greedy", "prompt": [1, 2, 3], "new": 3})) == 3
    with pytest.raises(EngineError, match="tiny: UnsupportedError"):
        tiny.ask({"ask": "encode"})
    assert tiny.ask({"ask": "peak"}) * 1e6 > tiny.facts["weight_bytes"]  # it lives on after an error


def test_an_engine_that_dies_costs_itself_only(tiny: Worker) -> None:
    tiny.process.kill()
    with pytest.raises(EngineError, match="tiny ended with status -9: no message"):
        tiny.ask({"ask": "prefill", "tokens": 8})


def test_who_is_not_asked_is_stopped(tiny: Worker) -> None:
    status = Path(f"/proc/{tiny.process.pid}/stat")
    if not status.exists():
        pytest.skip("no /proc here")
    deadline = time.monotonic() + 10  # a signal takes its time
    while (state := status.read_text().rpartition(")")[2].split()[0]) != "T" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert state == "T"


def test_an_engine_that_is_not_installed_says_so_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "openvino.py").write_text("raise ModuleNotFoundError(\"No module named 'openvino'\")")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    entry = Entry(label="OpenVINO", engine="openvino", model="none")
    with pytest.raises(EngineError, match="OpenVINO: No module named 'openvino'; install it, or name its interpreter"):
        Worker(entry.label, command(sys.executable, entry, entry.model, 1))


def test_what_is_made_is_whole_or_absent(tmp_path: Path) -> None:
    target = tmp_path / "models" / "one.xml"

    def half(path: Path) -> None:
        path.write_text("half")
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        make(target, half)
    assert list(target.parent.iterdir()) == []

    def whole(path: Path) -> None:
        path.write_text("whole")
        path.with_suffix(".bin").write_text("beside")

    make(target, whole)
    make(target, half)  # it is there already
    assert {path.name: path.read_text() for path in target.parent.iterdir()} == {
        "one.xml": "whole",
        "one.bin": "beside",
    }
