"""Each processor equals transformers' class of the same name, and a request composes only what it asks for."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from transformers.generation import logits_process as oracle

from clearhead.config import GenerationConfig, SpecialTokens
from clearhead.errors import CheckpointError, OptionError
from clearhead.generation import processors

torch.set_num_threads(1)
NONE = np.zeros(0, dtype=np.int64)
finite = st.floats(-30, 30, width=32)
scores = st.integers(1, 40).flatmap(lambda n: arrays(np.float64, n, elements=finite))
distinct = st.integers(2, 40).flatmap(lambda n: arrays(np.float64, n, elements=finite, unique=True))


def theirs(warper, values, ids=()):
    return warper(torch.tensor([list(ids)], dtype=torch.long), torch.tensor(values)[None])[0].numpy()


def kept(values):
    return np.flatnonzero(values > -np.inf).tolist()


@settings(deadline=None)
@given(scores, st.floats(0.01, 50))
def test_temperature_gives_transformers_probabilities(values, t):
    mine = torch.tensor(processors.temperature(values, t)).softmax(-1)
    other = torch.tensor(theirs(oracle.TemperatureLogitsWarper(t), values)).softmax(-1)
    np.testing.assert_allclose(mine.numpy(), other.numpy(), rtol=1e-9, atol=1e-12)


@settings(deadline=None)
@given(scores, st.integers(1, 50))
def test_top_k_equals_transformers(values, k):
    np.testing.assert_array_equal(processors.top_k(values, k), theirs(oracle.TopKLogitsWarper(k), values))


@settings(max_examples=300, deadline=None)
@given(distinct, st.floats(0.001, 0.999))
def test_top_p_equals_transformers(values, p):
    ascending = np.sort(np.exp(values - values.max()) / np.exp(values - values.max()).sum())
    assume(np.abs(np.cumsum(ascending) - (1 - p)).min() > 1e-9)  # where rounding decides, either answer is right
    np.testing.assert_array_equal(processors.top_p(values, p), theirs(oracle.TopPLogitsWarper(p), values))


@settings(deadline=None)
@given(st.integers(1, 30), st.floats(0.001, 0.999))
def test_top_p_of_equals_keeps_the_lowest_ids_that_reach_p(n, p):
    assume(abs(p * n - round(p * n)) > 1e-6)
    assert kept(processors.top_p(np.zeros(n), p)) == list(range(int(np.ceil(p * n))))


def test_top_p_is_exact_on_a_large_vocabulary():
    values = np.random.default_rng(3).normal(0, 3, 50_000).astype(np.float32)
    order = np.argsort(-values)
    mass = np.cumsum(np.exp(values[order].astype(np.float64)))
    mass /= mass[-1]
    for p in (0.05, 0.5, 0.9, 0.999):
        assert set(kept(processors.top_p(values, p))) == set(order[: np.searchsorted(mass, p) + 1].tolist())


@settings(max_examples=300, deadline=None)
@given(scores, st.floats(0.0001, 1))
def test_min_p_equals_transformers(values, p):
    assume(np.abs(values - values.max() - np.log(p)).min() > 1e-9 or p == 1)
    assume(p < 1 or np.diff(np.sort(values)[-2:]).sum() > 1e-9)
    np.testing.assert_array_equal(processors.min_p(values, p), theirs(oracle.MinPLogitsWarper(p), values))


@settings(deadline=None)
@given(scores, st.floats(0.01, 10), st.data())
def test_repetition_penalty_equals_transformers(values, penalty, data):
    ids = data.draw(st.lists(st.integers(0, len(values) - 1), min_size=1, max_size=60))
    mine = processors.repetition_penalty(values, np.array(ids), penalty)
    other = theirs(oracle.RepetitionPenaltyLogitsProcessor(penalty), values, ids)
    np.testing.assert_allclose(mine, other, rtol=1e-12)


@settings(deadline=None)
@given(scores, st.floats(-2, 2), st.floats(-2, 2), st.data())
def test_presence_and_frequency_follow_the_definition(values, presence, frequency, data):
    new = data.draw(st.lists(st.integers(0, len(values) - 1), max_size=30))
    expected = [v - (presence + frequency * new.count(i) if i in new else 0) for i, v in enumerate(values)]
    mine = processors.presence_and_frequency(values, np.array(new, dtype=np.int64), presence, frequency)
    np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-12)


@settings(deadline=None)
@given(scores, st.data())
def test_logit_bias_and_suppression_equal_transformers(values, data):
    bias = data.draw(st.dictionaries(st.integers(0, len(values) - 1), st.floats(-5, 5, width=32), min_size=1))
    ids, amounts = np.array([*bias]), np.array([*bias.values()])
    other = theirs(oracle.SequenceBiasLogitsProcessor([[[i], float(b)] for i, b in bias.items()]), values)
    np.testing.assert_allclose(processors.add_bias(values, ids, amounts), other, rtol=1e-6, atol=1e-6)
    other = theirs(oracle.SuppressTokensLogitsProcessor([*bias]), values)
    np.testing.assert_array_equal(processors.suppress(values, ids), other)


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, 20, elements=finite, unique=True), st.data())
def test_a_whole_request_equals_transformers_processors_in_their_order(values, data):
    prompt = data.draw(st.lists(st.integers(0, 19), min_size=1, max_size=6))
    new = data.draw(st.lists(st.integers(0, 19), max_size=6))
    config = GenerationConfig(
        logit_bias={2: 1.5, 7: -2.0},
        repetition_penalty=1.3,
        min_new_tokens=3,
        temperature=0.7,
        top_k=9,
        top_p=0.8,
        min_p=0.02,
    )
    chain = oracle.LogitsProcessorList(
        [
            oracle.SequenceBiasLogitsProcessor([[[2], 1.5], [[7], -2.0]]),
            oracle.RepetitionPenaltyLogitsProcessor(1.3),
            oracle.SuppressTokensLogitsProcessor([5]),
            oracle.MinNewTokensLengthLogitsProcessor(len(prompt), 3, [0, 1]),
            oracle.TemperatureLogitsWarper(0.7),
            oracle.TopKLogitsWarper(9),
            oracle.TopPLogitsWarper(0.8),
            oracle.MinPLogitsWarper(0.02),
        ]
    )
    process = processors.build(config, SpecialTokens(eos=(0, 1), suppressed=(5,)), 20)
    mine = process(values, np.array(prompt + new), len(prompt))
    other = torch.tensor(theirs(chain, values, prompt + new)).softmax(-1).numpy()
    mine = torch.tensor(mine).softmax(-1).numpy()
    np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-6)


def test_a_plain_request_leaves_logits_untouched_and_processors_never_write_into_them():
    values = np.arange(6, dtype=np.float32)
    assert processors.build(GenerationConfig(), SpecialTokens(eos=(0,)), 6)(values, NONE, 0) is values
    everything = GenerationConfig(
        logit_bias={1: 3.0},
        repetition_penalty=2.0,
        presence_penalty=1.0,
        frequency_penalty=1.0,
        min_new_tokens=9,
        temperature=0.5,
        top_k=3,
        top_p=0.5,
        min_p=0.1,
    )
    values.flags.writeable = False  # writing would raise
    processors.build(everything, SpecialTokens(eos=(0,), suppressed=(4,)), 6)(values, np.array([1, 2]), 1)


def test_penalties_over_new_tokens_ignore_the_prompt():
    process = processors.build(GenerationConfig(presence_penalty=1.0), SpecialTokens(), 4)
    assert process(np.zeros(4, np.float32), np.array([1, 2, 3]), 2).tolist() == [0, 0, 0, -1]


def test_min_new_tokens_rules_out_stop_ids_too_but_not_an_ignored_eos():
    config = GenerationConfig(min_new_tokens=2, stop_ids=(1,), ignore_eos=True)
    process = processors.build(config, SpecialTokens(eos=(0,)), 3)
    assert kept(process(np.zeros(3), np.array([2, 2]), 1)) == [0, 2]
    assert kept(process(np.zeros(3), np.array([2, 2, 2]), 1)) == [0, 1, 2]


@pytest.mark.parametrize("t", [5e-324, 1e-300, 1e-38, 1e-6])
def test_a_temperature_next_to_nothing_is_greedy_without_nan(t):
    values = np.array([1.0, 3.0, 2.9], np.float32)
    out = processors.temperature(values, t)
    assert not np.isnan(out).any()
    assert int(np.argmax(out)) == 1
    assert np.exp(out).tolist()[1] == 1.0


def test_ids_outside_the_vocabulary_are_refused_by_name():
    with pytest.raises(OptionError, match=r"logit_bias names id 20; .* ids 0 to 19"):
        processors.build(GenerationConfig(logit_bias={20: 1.0}), SpecialTokens(), 20)
    with pytest.raises(OptionError, match="stop_ids names id 99"):
        processors.build(GenerationConfig(stop_ids=(99,)), SpecialTokens(), 20)


def test_special_ids_beyond_the_vocabulary_do_no_harm():
    special = SpecialTokens(eos=(50,), suppressed=(70, -3))
    process = processors.build(GenerationConfig(min_new_tokens=1), special, 20)
    assert kept(process(np.zeros(20), NONE, 0)) == list(range(20))


def test_nothing_left_and_nan_are_told_apart():
    config = GenerationConfig(temperature=1.0)
    process = processors.build(config, SpecialTokens(suppressed=(0, 1)), 2)
    with pytest.raises(OptionError, match="every token is ruled out"):
        process(np.zeros(2, np.float32), NONE, 0)
    with pytest.raises(CheckpointError, match="nan"):
        processors.build(config, SpecialTokens(), 2)(np.array([np.nan, 0], np.float32), NONE, 0)
