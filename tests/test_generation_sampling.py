"""Tokens are drawn from the distribution asked for, and log-probabilities are exact."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clearhead.errors import CheckpointError, OptionError
from clearhead.generation.sampling import (
    fresh_seed,
    generator_for,
    greedy,
    kth_largest,
    largest,
    log_softmax,
    logprob_and_alternatives,
    logprobs_of,
    sample,
)

wide = arrays(np.float32, (3, 11), elements=st.floats(-1e4, 1e4, width=32))


def test_samples_follow_the_softmax():
    p = np.array([0.4, 0.3, 0.15, 0.1, 0.04, 0.01])
    logits = np.log(p).astype(np.float32) + 7
    generator = generator_for(0, 0)
    draws = 20_000
    counts = np.bincount([sample(logits, generator) for _ in range(draws)], minlength=6)
    chi_square = ((counts - draws * p) ** 2 / (draws * p)).sum()
    assert chi_square < 20.5  # 99.9 % point with 5 degrees of freedom; the seed is fixed


def test_samples_never_touch_what_is_ruled_out():
    logits = np.full(9, -np.inf, np.float32)
    logits[[2, 8]] = 0.0
    generator = generator_for(1, 0)
    assert {sample(logits, generator) for _ in range(200)} == {2, 8}


class Edge:
    """A generator at the end of its range."""

    def random(self):
        return np.nextafter(1.0, 0.0)


def test_the_last_uniform_number_draws_a_token_of_positive_probability():
    assert sample(np.array([0.0, 0.0, -200.0], np.float32), Edge()) == 1


def test_samples_of_a_prompt_differ_and_are_repeatable():
    assert generator_for(5, 0).random(4).tolist() == generator_for(5, 0).random(4).tolist()
    assert generator_for(5, 0).random(4).tolist() != generator_for(5, 1).random(4).tolist()
    assert generator_for(5, 0).random(4).tolist() != generator_for(6, 0).random(4).tolist()
    assert fresh_seed() != fresh_seed()


def test_greedy_takes_the_lowest_of_equals():
    assert greedy(np.array([1.0, 3.0, 3.0])) == 1


@pytest.mark.parametrize("choose", [greedy, lambda s: sample(s, generator_for(0, 0))])
def test_no_token_left_and_damaged_logits_are_errors(choose):
    with pytest.raises(OptionError, match="every token is ruled out"):
        choose(np.full(4, -np.inf))
    for bad in (np.nan, np.inf):
        with pytest.raises(CheckpointError, match="largest logit"):
            choose(np.array([0.0, bad, 1.0]))


@settings(deadline=None)
@given(wide)
def test_log_softmax_equals_torch_in_float64(logits):
    expected = torch.tensor(logits.astype(np.float64)).log_softmax(-1).numpy()
    np.testing.assert_allclose(log_softmax(logits), expected, atol=1e-6, rtol=1e-6)
    targets = [0, 10, 5]
    np.testing.assert_allclose(logprobs_of(logits, targets), expected[range(3), targets], atol=1e-6, rtol=1e-6)
    assert max(logprobs_of(logits, targets)) <= 0


@settings(deadline=None)
@given(wide, st.integers(0, 20))
def test_alternatives_are_the_likeliest_in_order(logits, count):
    row = logits[0]
    logprob, alternatives = logprob_and_alternatives(row, 4, count)
    assert logprob == pytest.approx(log_softmax(row)[4], abs=1e-9)
    order = sorted(range(11), key=lambda i: (-row[i], i))[:count]
    assert [token for token, _ in alternatives] == order
    np.testing.assert_allclose([p for _, p in alternatives], log_softmax(row)[order], atol=1e-9)


@settings(deadline=None)
@given(arrays(np.float64, st.integers(1, 30), elements=st.integers(-3, 3)), st.integers(1, 40))
def test_largest_breaks_ties_by_index(values, count):
    assert largest(values, count).tolist() == sorted(range(len(values)), key=lambda i: (-values[i], i))[:count]


def test_damaged_logits_have_no_log_probability():
    with pytest.raises(CheckpointError, match="nan"):
        logprobs_of(np.array([[0.0, np.nan]]), [0])


@settings(deadline=None)
@given(st.integers(1, 700), st.integers(1, 900), st.integers(0, 99))
def test_the_kth_largest_is_exact_for_any_size(size, k, seed):
    values = np.random.default_rng(seed).integers(-50, 50, size).astype(np.float32)
    assert kth_largest(values, k) == sorted(values.tolist(), reverse=True)[min(k, size) - 1]


@settings(deadline=None)
@given(st.integers(1, 700), st.floats(0, 1, exclude_max=True), st.integers(0, 99))
def test_a_sample_inverts_the_cumulative_distribution_for_any_size(size, uniform, seed):
    values = np.random.default_rng(seed).normal(0, 3, size).astype(np.float32)
    values[1::3] = -np.inf
    mass = np.cumsum(np.exp(values.astype(np.float64)))
    assume(np.abs(mass / mass[-1] - uniform).min() > 1e-6 or size == 1)
    chance = type("Chance", (), {"random": lambda self: uniform})()
    assert sample(values, chance) == int(np.searchsorted(mass / mass[-1], uniform, side="right"))
