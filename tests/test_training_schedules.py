"""The learning rate's factor over the steps."""

import math

import pytest

pytest.importorskip("torch")

from clearhead.training.learning.schedules import cosine, inverse_square_root, warmup_stable_decay


def test_the_papers_schedule_is_its_equation_scaled_to_a_peak_of_one() -> None:
    factor, d_model = inverse_square_root(40), 512
    paper = [d_model**-0.5 * min(step**-0.5, step * 40**-1.5) for step in range(1, 400)]
    assert [factor(step) for step in range(399)] == pytest.approx([rate / max(paper) for rate in paper])


def test_a_cosine_goes_up_straight_and_down_in_half_a_wave() -> None:
    factor = cosine(4, 104, 0.1)
    assert [factor(step) for step in range(4)] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert factor(4) == 1.0
    assert factor(54) == pytest.approx(0.55)
    assert factor(104) == factor(200) == pytest.approx(0.1)


def test_restarts_begin_the_same_once_more() -> None:
    factor = cosine(4, 150, 0.1, restarts=(100, 120), again=0.5)
    first, second, third = cosine(4, 100, 0.1), cosine(4, 20, 0.1), cosine(4, 30, 0.1)
    assert [factor(step) for step in range(100)] == [first(step) for step in range(100)]
    assert [factor(100 + step) for step in range(20)] == pytest.approx([second(step) / 2 for step in range(20)])
    assert [factor(120 + step) for step in range(30)] == pytest.approx([third(step) / 2 for step in range(30)])


def test_a_stable_rate_decays_at_the_end() -> None:
    factor = warmup_stable_decay(4, 100, 20, 0.0)
    assert [factor(step) for step in (4, 50, 80)] == [1.0, 1.0, 1.0]
    assert factor(90) == pytest.approx(1 - math.sqrt(0.5))
    assert factor(100) == 0.0
