"""Data that is made once: what became of its records is told whole, however often the making was broken off."""

import json
from pathlib import Path

import pytest

from clearhead.training.data import store
from clearhead.training.data.report import EXAMPLES, Report, parsed
from clearhead.training.runs.prepare import prepare
from training_runs import carry_out, recipe, write_recipe

CHECKS = "data.{}.checks={{duplicate: drop, max_words: 4}}"
KEYS = (CHECKS.format("train"), CHECKS.format("dev"), "data.max_length=22", "training.steps=2", "evaluation.every=2")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A recipe some of whose records are dropped, for several reasons."""
    path = write_recipe(tmp_path / "tiny")
    for name in ("train", "val"):
        for side in ("en", "de"):
            file = path.parent / "data" / f"{name}.{side}"
            lines = file.read_text(encoding="utf-8").splitlines()
            file.write_text("\n".join([*lines, *lines[:5], "one two three four five six"]) + "\n", encoding="utf-8")
    return path


class KilledError(BaseException):
    """What nothing catches."""


def broken_off(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run killed when train is read and dev is not."""
    write = store.write

    def until_dev(place: Path, *args: object) -> None:
        if place.name == "dev":
            raise KilledError
        write(place, *args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(store, "write", until_dev)
        carry_out(path, folder, *KEYS)
    assert (folder / "data" / "train").is_dir() and not (folder / "data" / "dev").exists()


def test_a_run_killed_between_train_and_dev_reports_both(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    carry_out(path, tmp_path / "whole", *KEYS)
    broken_off(path, tmp_path / "run", monkeypatch)
    carry_out(path, tmp_path / "run", *KEYS, resume=True)
    whole, again = ((tmp_path / name / "report.json").read_text(encoding="utf-8") for name in ("whole", "run"))
    assert whole == again
    sources = json.loads(whole)["sources"]
    assert len(sources) == 4 and {"rows of train", "rows of dev"} < set(sources)
    for name in ("train", "val"):
        (found,) = (counts for title, counts in sources.items() if f"{name}.en" in title)
        dropped = {reason: drops["count"] for reason, drops in found["dropped"].items()}
        assert len(dropped) == 2 and dropped["duplicate"] > 0
        assert sum(dropped.values()) == found["read"] - found["kept"]


def test_rows_that_an_earlier_run_made_come_with_their_report(path: Path, tmp_path: Path) -> None:
    made, found = (prepare(recipe(path, *KEYS), tmp_path / "data", None, lambda _: None) for _ in range(2))
    assert made.report is not None and found.report is not None
    assert made.report.json() == found.report.json()
    (tmp_path / "data" / "train" / store.REPORT).unlink()
    assert prepare(recipe(path, *KEYS), tmp_path / "data", None, lambda _: None).report is None


def test_a_report_of_parts_is_that_of_all() -> None:
    whole, parts = Report(), [Report(), Report()]
    for i, part in enumerate(parts):
        for report in (whole, part):
            for n in range(2):
                report.of("a file").read += 3
                report.of("a file").drop("empty", f"line {n} of part {i}")
            report.of(f"only in {i}").kept += 1
            report.of("a file").repeat = 2
            report.file(Path("file"), "0" * 64 if i else None, 7)
    together = Report()
    for part in parts:
        together.add(parsed(part.json()))
    assert together.as_dict() == whole.as_dict()
    assert len(together.sources["a file"].drops["empty"].examples) == EXAMPLES
