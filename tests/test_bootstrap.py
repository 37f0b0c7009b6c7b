"""Intervals: repeatable, around the figure, as wide as theory says, and covering the truth as often as they claim."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearhead.errors import OptionError
from clearhead.tasks.evaluate.metrics.bootstrap import difference, draws, interval, interval_of

numbers = st.lists(st.floats(-100, 100), min_size=1, max_size=30)


@settings(max_examples=30, deadline=None)
@given(numbers)
def test_an_interval_lies_within_the_values_and_repeats(values: list[float]) -> None:
    low, high = interval(values, samples=50)
    slack = 1e-9 * max(1.0, *map(abs, values))
    assert min(values) - slack <= low <= high <= max(values) + slack
    assert (low, high) == interval(values, samples=50)


def test_it_is_as_wide_as_the_normal_approximation_of_many_values() -> None:
    values = np.random.default_rng(1).normal(3, 2, 2000)
    low, high = interval(values.tolist())
    half = 1.96 * values.std(ddof=1) / math.sqrt(len(values))
    assert (high - low) / 2 == pytest.approx(half, rel=0.1)
    assert (high + low) / 2 == pytest.approx(values.mean(), abs=half / 5)
    narrow = interval(values.tolist(), confidence=0.5)
    assert low < narrow[0] < narrow[1] < high


def test_it_covers_the_truth_about_as_often_as_it_claims() -> None:
    generator = np.random.default_rng(2)
    covered = 0
    for _ in range(300):
        low, high = interval(generator.exponential(1.0, 60).tolist(), samples=200)
        covered += low <= 1.0 <= high
    assert 0.87 <= covered / 300 <= 0.98


def test_other_seeds_draw_otherwise_and_one_value_is_certain() -> None:
    values = [1.0, 2.0, 5.0, 9.0, 4.0]
    assert interval(values, seed=1) != interval(values, seed=2)
    assert interval([4.0]) == (4.0, 4.0)
    assert [d.tolist() for d in draws(5, samples=3)] == [d.tolist() for d in draws(5, samples=3)]


def test_any_figure_of_rows_has_one() -> None:
    values = np.arange(101.0)
    low, high = interval_of(lambda rows: float(np.median(values[rows])), 101)
    assert low < 50 < high and high - low < 50


def test_a_difference_is_paired() -> None:
    """Two systems that differ by a little on every item differ, though their own intervals overlap."""
    generator = np.random.default_rng(3)
    one = generator.normal(0, 10, 200)
    other = one - generator.uniform(0.1, 0.5, 200)
    low, high = difference(one.tolist(), other.tolist())
    assert 0 < low < high < 0.5
    assert interval(one.tolist())[0] < interval(other.tolist())[1]


@pytest.mark.parametrize(
    ("values", "options", "says"),
    [
        ([], {}, "1000 samples of 0 rows"),
        ([1.0], {"samples": 0}, "0 samples of 1 rows"),
        ([1.0], {"confidence": 1.0}, "confidence is 1.0"),
        ([1.0], {"confidence": float("nan")}, "confidence is nan"),
    ],
)
def test_what_has_no_interval_is_refused(values: list[float], options: dict[str, float], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        interval(values, **options)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="2 values are compared with 1"):
        difference([1.0, 2.0], [1.0])
