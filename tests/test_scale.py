"""The figures of docs/scale.md: that they are what the formulas give, and what the formulas say at their ends."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.scale import MACHINES, Work, exchange, hours, least_tokens, limits, measured, seconds, slowest, works

from clearhead.training.recipe.architectures import ModelChoice, configure

DOCUMENT = (Path(__file__).parents[1] / "docs" / "scale.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def papers() -> list[Work]:
    """Base and big."""
    return works()


def cells(line: str) -> list[str]:
    """Of a row of a table."""
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_models_and_runs_are_the_papers(papers: list[Work]) -> None:
    base, big = papers
    assert base.weights == pytest.approx(65e6, rel=0.05)  # Vaswani et al. 2017, table 3
    assert big.weights == pytest.approx(213e6, rel=0.01)
    assert [(work.steps, work.batch) for work in papers] == [(100_000, 25_000), (300_000, 25_000)]
    p100, taken = 9.5e12, (12 * 3600, 3.5 * 24 * 3600)  # section 5.2
    shares = [seconds(work, p100, 8) / time for work, time in zip(papers, taken, strict=True)]
    assert [f"{share:.0%}" for share in shares] == ["29%", "42%"]
    assert "29 % (base" in DOCUMENT
    assert "42 % (big" in DOCUMENT


def test_the_document_says_what_is_printed(papers: list[Work]) -> None:
    document = [cells(line) for line in DOCUMENT.splitlines() if line.startswith("|")]
    for printed in (cells(line) for line in hours(papers, 8)[2:]):
        times = [cell for cell in printed if cell.endswith(" h")]
        assert len(times) == 4
        assert any([cell for cell in row if cell.endswith(" h")] == times for row in document)
    for printed in (cells(line) for line in limits(papers)[2:]):
        assert any(row[4:] == printed[4:] for row in document)


def test_weights_do_not_decide_from_which_batch_on_gradients_are_hidden(papers: list[Work]) -> None:
    machine = MACHINES[0]
    needed = [least_tokens(work, machine.peak, machine.link) for work in papers]
    assert needed[0] == pytest.approx(needed[1], rel=0.01)
    for work, tokens in zip(papers, needed, strict=True):
        computing = seconds(replace(work, steps=1, batch=round(1000 * tokens)), machine.peak, 1000)
        assert computing == pytest.approx(exchange(work, machine.link, 1000), rel=0.01)


def test_one_gpu_has_nobody_to_wait_for(papers: list[Work]) -> None:
    assert exchange(papers[0], 1e9, 1) == 0
    assert slowest(0.5, 1) == 1
    assert slowest(0, 1000) == 1
    assert exchange(papers[0], 1e9, 2, sharded=True) == 1.5 * exchange(papers[0], 1e9, 2)


def test_a_rate_is_measured_and_told() -> None:
    choice = ModelChoice(architecture="transformer", d_model=8, d_ff=8, n_heads=2, n_layers=1, max_positions=64)
    work = Work(name="tiny", config=configure(choice, 30, seq2seq=True), steps=7200, batch=4000)
    rated = measured(work, "cpu", steps=4)
    assert rated.rate > 0
    assert f"{rated.rate:,.0f} tokens/s" in hours([rated], 8)[-1]
    assert hours([replace(work, rate=1000.0)], 1)[-1].endswith("| 8 h |")
