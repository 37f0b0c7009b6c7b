"""The decode loop over a mock model: batches, samples, stops, limits, cancellation, log-probabilities, speculation."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearhead.config import GenerationConfig, SpecialTokens
from clearhead.errors import CheckpointError, ContextWindowError, OptionError, UnsupportedError
from clearhead.generation.generate import generate, stream
from clearhead.generation.prompts import encode_sources
from clearhead.generation.sampling import log_softmax
from clearhead.generation.speculative import lookup
from mock_executor import MockExecutor, fixed, random_logits, scripted, tiny_config

V = 17
SPECIAL = SpecialTokens(eos=(0,))
NO_EOS = SpecialTokens()
PROMPTS = [[3], [1, 2, 3, 4, 5, 6, 7], [9, 9], [4, 1, 16, 2]]


def model(logits=None, **config):
    return MockExecutor(tiny_config(**config), logits or random_logits(config.get("vocab_size", V)))


def by_hand(executor, prompt, config, special=NO_EOS, source=()):
    """Greedy decoding written in the plainest way."""
    tokens = []
    while len(tokens) < config.max_new_tokens and len(prompt) + len(tokens) < executor.config.max_positions:
        tokens.append(int(np.argmax(executor.logits((*prompt, *tokens), source))))
        if tokens[-1] in special.eos:
            break
    return tuple(tokens)


def test_greedy_equals_the_plainest_loop_for_unequal_prompts():
    executor, config = model(), GenerationConfig(max_new_tokens=20)
    for prompt, [done] in zip(PROMPTS, generate(executor, PROMPTS, config, SPECIAL), strict=True):
        assert done.tokens == by_hand(executor, prompt, config, SPECIAL)
        assert done.finish_reason == ("stop" if done.tokens[-1] == 0 else "length")


@pytest.mark.parametrize("budget", [1, 2, 3, 5, 1000])
def test_prompts_read_in_pieces_change_nothing_and_no_piece_exceeds_the_budget(budget):
    whole = generate(model(), PROMPTS, GenerationConfig(max_new_tokens=4, prompt_logprobs=True), SPECIAL)
    executor = model()
    pieces = generate(
        executor, PROMPTS, GenerationConfig(max_new_tokens=4, prompt_logprobs=True), SPECIAL, prefill_tokens=budget
    )
    assert pieces == whole
    assert max(map(sum, executor.calls)) <= max(budget, len(PROMPTS))


def test_an_encoder_decoder_reads_its_own_source():
    executor = model(kind="encoder-decoder")
    special = SpecialTokens(eos=(0,), decoder_start=2)
    prompts, memory = encode_sources(executor, [[5, 6], [7], [8, 9, 10]], special)
    config = GenerationConfig(max_new_tokens=12)
    done = generate(executor, prompts, config, special, memory=memory)
    for source, [one] in zip(memory.sources, done, strict=True):
        assert one.tokens == by_hand(executor, [2], config, special, source)


def test_finished_rows_leave_the_batch():
    executor = model(scripted(V, {1: 2, 2: 3, 3: 0, 4: 5, 5: 6, 6: 7, 7: 0}))
    done = generate(executor, [[1], [4], [3]], GenerationConfig(), SPECIAL)
    assert [one.tokens for [one] in done] == [(2, 3, 0), (5, 6, 7, 0), (0,)]
    assert executor.calls == [[1, 1, 1], [1, 1], [1, 1], [1]]


def test_samples_read_their_prompt_once():
    executor = model()
    config = GenerationConfig(n=5, temperature=1.0, seed=1, max_new_tokens=3)
    generate(executor, [[1, 2, 3], [4, 5]], config, NO_EOS)
    assert executor.calls == [[3, 2], [1] * 10, [1] * 10]


def test_the_same_seed_gives_the_same_tokens_alone_or_in_a_batch():
    config = GenerationConfig(n=3, temperature=1.3, top_p=0.9, seed=42, max_new_tokens=15)
    together = generate(model(), PROMPTS, config, SPECIAL)
    for prompt, group in zip(PROMPTS, together, strict=True):
        [alone] = generate(model(), [prompt], config, SPECIAL)
        assert [one.tokens for one in alone] == [one.tokens for one in group]
        [fewer] = generate(model(), [prompt], replace(config, n=1), SPECIAL)
        assert fewer[0].tokens == group[0].tokens
        assert len({one.tokens for one in group}) > 1


def test_a_seed_nobody_chose_is_reported_and_repeats_the_sequence():
    config = GenerationConfig(n=2, temperature=1.0, max_new_tokens=10)
    groups = generate(model(), [[1], [1]], config, NO_EOS)
    assert groups[0][0].seed != groups[1][0].seed
    for group in groups:
        [again] = generate(model(), [[1]], replace(config, seed=group[0].seed), NO_EOS)
        assert [one.tokens for one in again] == [one.tokens for one in group]


def test_sampled_tokens_follow_the_models_distribution():
    p = np.array([0.5, 0.25, 0.15, 0.1])
    executor = model(fixed(np.log(p)), vocab_size=4)
    [group] = generate(executor, [[1]], GenerationConfig(n=400, temperature=1.0, seed=7, max_new_tokens=20), NO_EOS)
    counts = np.bincount([t for one in group for t in one.tokens], minlength=4)
    assert ((counts - 8000 * p) ** 2 / (8000 * p)).sum() < 16.3  # 99.9 % point with 3 degrees of freedom


def test_the_ending_id_is_a_token_but_no_text():
    executor = model(scripted(V, {1: 2, 2: 0}))
    [[done]] = generate(executor, [[1]], GenerationConfig(), SPECIAL)
    assert (done.tokens, done.text_tokens, done.end_token, done.finish_reason) == ((2, 0), (2,), 0, "stop")
    steps = list(stream(executor, [[1]], GenerationConfig(), SPECIAL))
    assert [(s.token, s.is_end, s.finish_reason) for s in steps] == [(2, False, None), (0, True, "stop")]


def test_stop_ids_end_like_eos_and_an_ignored_eos_does_not():
    executor = model(scripted(V, {1: 0, 0: 2, 2: 3, 3: 1}))
    [[done]] = generate(executor, [[1]], GenerationConfig(stop_ids=(3,), ignore_eos=True), SPECIAL)
    assert (done.tokens, done.end_token) == ((0, 2, 3), 3)


def test_min_new_tokens_keeps_eos_and_the_callers_stop_away():
    executor = model(fixed([9.0, 5.0, 1.0]), vocab_size=3)
    config = GenerationConfig(min_new_tokens=3, max_new_tokens=10)
    [[done]] = generate(executor, [[1]], config, SPECIAL)
    assert done.tokens == (1, 1, 1, 0)
    [[done]] = generate(executor, [[1]], config, NO_EOS, stop=lambda *_: True)
    assert done.tokens == (0, 0, 0)


def test_the_callers_stop_sees_prompt_sample_and_new_ids():
    seen = []

    def stop(prompt, sample, ids):
        seen.append((prompt, sample, tuple(ids)))
        return ids[-2:] == [5, 6]

    executor = model(scripted(V, {1: 4, 4: 5, 5: 6, 6: 7, 7: 4}))
    [[a], [b]] = generate(executor, [[1], [6]], GenerationConfig(max_new_tokens=3), NO_EOS, stop=stop)
    assert (a.tokens, a.finish_reason, a.end_token) == ((4, 5, 6), "stop", None)
    assert (b.tokens, b.finish_reason) == ((7, 4, 5), "length")
    assert a.text_tokens == a.tokens
    assert seen[:3] == [(0, 0, (4,)), (1, 0, (7,)), (0, 0, (4, 5))]


def test_steps_arrive_while_the_model_runs():
    executor = model()
    steps = stream(executor, [[1], [2]], GenerationConfig(max_new_tokens=9), NO_EOS)
    assert executor.calls == []
    first = list(itertools.islice(steps, 3))
    assert [(s.prompt, s.sample) for s in first] == [(0, 0), (1, 0), (0, 0)]
    assert len(executor.calls) == 2
    steps.close()
    assert len(executor.calls) == 2


def test_steps_and_collected_sequences_agree():
    config = GenerationConfig(n=2, temperature=0.8, seed=3, max_new_tokens=8, logprobs=2)
    steps = list(stream(model(), PROMPTS, config, SPECIAL))
    for one in itertools.chain(*generate(model(), PROMPTS, config, SPECIAL)):
        mine = [s for s in steps if (s.prompt, s.sample) == (one.prompt, one.sample)]
        assert tuple(s.token for s in mine) == one.tokens
        assert tuple(s.logprob for s in mine) == one.logprobs
        assert tuple(s.alternatives for s in mine) == one.alternatives
        assert [s.finish_reason for s in mine] == [None] * (len(mine) - 1) + [one.finish_reason]


@pytest.mark.parametrize("calls", range(1, 6))
def test_cancellation_is_honoured_before_every_call(calls):
    executor = model()
    config = GenerationConfig(max_new_tokens=50)
    done = generate(
        executor, [[1, 2], [3, 4]], config, NO_EOS, cancelled=lambda: len(executor.calls) >= calls, prefill_tokens=2
    )
    assert len(executor.calls) == calls
    assert [one.finish_reason for [one] in done] == ["cancelled"] * 2
    assert [len(one.tokens) for [one] in done] == [max(0, calls - 1)] * 2  # two calls read the prompts


def test_log_probabilities_are_the_models_own_whatever_the_processors():
    config = GenerationConfig(
        max_new_tokens=6, temperature=0.5, seed=1, top_k=3, repetition_penalty=1.5, logit_bias={3: 4.0}, logprobs=3
    )
    executor = model()
    [[done]] = generate(executor, [[1, 2]], config, NO_EOS)
    for i, token in enumerate(done.tokens):
        expected = log_softmax(executor.logits((1, 2, *done.tokens[:i]), ()))
        assert done.logprobs[i] == pytest.approx(expected[token], abs=1e-6)
        best = sorted(range(V), key=lambda t: -expected[t])[:3]
        assert [t for t, _ in done.alternatives[i]] == best
        np.testing.assert_allclose([p for _, p in done.alternatives[i]], expected[best], atol=1e-6)
    assert done.cumulative_logprob == pytest.approx(sum(done.logprobs))


def test_log_probabilities_nobody_asked_for_are_not_computed():
    [[done]] = generate(model(), [[1]], GenerationConfig(max_new_tokens=3), NO_EOS)
    assert (done.logprobs, done.alternatives, done.cumulative_logprob, done.prompt_logprobs) == (None,) * 4
    [[done]] = generate(model(), [[1]], GenerationConfig(max_new_tokens=3, logprobs=0), NO_EOS)
    assert done.alternatives == ((), (), ())
    assert len(done.logprobs) == 3


@pytest.mark.parametrize("new", [0, 3])
def test_prompt_log_probabilities_begin_with_none(new):
    executor = model()
    config = GenerationConfig(max_new_tokens=new, prompt_logprobs=True)
    for prompt, [done] in zip(PROMPTS, generate(executor, PROMPTS, config, NO_EOS), strict=True):
        assert done.prompt_logprobs[0] is None
        assert len(done.prompt_logprobs) == len(prompt)
        for i in range(1, len(prompt)):
            expected = log_softmax(executor.logits(tuple(prompt[:i]), ()))[prompt[i]]
            assert done.prompt_logprobs[i] == pytest.approx(expected, abs=1e-6)
        assert (len(done.tokens), done.finish_reason) == (new, "length")


def test_no_new_tokens_needs_no_model():
    executor = model()
    [[done]] = generate(executor, [[1]], GenerationConfig(max_new_tokens=0), NO_EOS)
    assert (done.tokens, done.finish_reason, executor.calls) == ((), "length", [])


def test_the_window_ends_each_row_at_its_own_length():
    executor = model(max_positions=8)
    done = generate(executor, [[1], [1] * 5, [1] * 8], GenerationConfig(), NO_EOS)
    assert [(len(one.tokens), one.finish_reason) for [one] in done] == [(7, "length"), (3, "length"), (0, "length")]


def test_a_prompt_longer_than_the_window_is_an_error_with_both_numbers():
    with pytest.raises(ContextWindowError, match="prompt 1 has 9 tokens and the context window holds 8"):
        generate(model(max_positions=8), [[1], [1] * 9], GenerationConfig(), NO_EOS)


@pytest.mark.parametrize("bad", [-1, V, 2**63, True, 1.0, "3", None, [1]])
def test_ids_outside_the_vocabulary_are_refused_by_name(bad):
    with pytest.raises(OptionError, match=r"prompt has id .* at position 1; this vocabulary has ids 0 to 16"):
        generate(model(), [[2, bad]], GenerationConfig(), NO_EOS)


def test_numpy_ids_are_ids():
    [[done]] = generate(model(), np.array([[1, 2]]), GenerationConfig(max_new_tokens=2), NO_EOS)
    assert done.tokens == by_hand(model(), [1, 2], GenerationConfig(max_new_tokens=2))


def test_empty_requests_and_the_wrong_kind_of_model_are_refused_at_once():
    with pytest.raises(OptionError, match="prompt is empty"):
        stream(model(), [[]], GenerationConfig(), NO_EOS)
    with pytest.raises(OptionError, match="no prompt"):
        stream(model(), [], GenerationConfig(), NO_EOS)
    with pytest.raises(UnsupportedError, match="fill masks"):
        stream(model(kind="encoder", head="mlm"), [[1]], GenerationConfig(), NO_EOS)
    with pytest.raises(OptionError, match="lacks an encoder's memory"):
        stream(model(kind="encoder-decoder"), [[1]], GenerationConfig(), NO_EOS)
    with pytest.raises(OptionError, match="names no decoder_start"):
        encode_sources(model(kind="encoder-decoder"), [[1]], NO_EOS)
    with pytest.raises(UnsupportedError, match="reads no source"):
        encode_sources(model(), [[1]], NO_EOS)
    with pytest.raises(OptionError, match="beams is 4"):
        stream(model(), [[1]], GenerationConfig(beams=4), NO_EOS)
    with pytest.raises(OptionError, match="at least 1"):
        generate(model(), [[1]], GenerationConfig(), NO_EOS, prefill_tokens=0)


def test_logits_that_are_no_numbers_are_an_error_in_every_mode():
    executor = model(fixed([np.nan] * V))
    for config in (
        GenerationConfig(),
        GenerationConfig(temperature=1.0),
        GenerationConfig(temperature=0.7, top_k=3, top_p=0.5, min_p=0.1),
        GenerationConfig(beams=2),
        GenerationConfig(max_new_tokens=0, prompt_logprobs=True),
    ):
        with pytest.raises(CheckpointError, match="nan"):
            generate(executor, [[1, 2]], config, NO_EOS)


def test_a_request_that_leaves_no_token_is_an_error_in_every_mode():
    special = SpecialTokens(suppressed=tuple(range(V)))
    for config in (GenerationConfig(), GenerationConfig(temperature=1.0), GenerationConfig(beams=2)):
        with pytest.raises(OptionError, match="every token is ruled out"):
            generate(model(), [[1, 2]], config, special)


requests = st.builds(
    GenerationConfig,
    max_new_tokens=st.integers(3, 40),
    min_new_tokens=st.sampled_from([0, 3]),
    repetition_penalty=st.sampled_from([1.0, 1.2]),
    presence_penalty=st.sampled_from([0.0, 0.5]),
    frequency_penalty=st.sampled_from([0.0, 0.3]),
    logprobs=st.sampled_from([None, 0, 2]),
    prompt_logprobs=st.booleans(),
    stop_ids=st.sampled_from([(), (3,)]),
)


@settings(max_examples=150, deadline=None)
@given(
    requests,
    st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=12), min_size=1, max_size=3),
    st.integers(1, 10),
    st.integers(0, 1000),
    st.sampled_from([1, 2, 50]),
    st.sampled_from([0, 3, 6]),
)
def test_speculation_equals_greedy(config, prompts, draft, seed, order, stop_at):
    def stop(_prompt, _sample, ids):
        return stop_at > 0 and sum(ids) % 7 == stop_at

    executor = model(random_logits(6, seed, order), vocab_size=6)
    plain = generate(executor, prompts, config, SPECIAL, stop=stop)
    plain_calls = len(executor.calls)
    guessed = generate(executor, prompts, replace(config, draft_tokens=draft), SPECIAL, stop=stop)
    assert [[replace(one, drafted=0, accepted=0) for one in group] for group in guessed] == plain
    assert len(executor.calls) - plain_calls <= plain_calls
    for one in itertools.chain(*guessed):
        assert 0 <= one.accepted <= min(one.drafted, len(one.tokens))


def test_speculation_saves_calls_on_a_loop_and_counts_them():
    executor = model(scripted(V, {1: 2, 2: 3, 3: 4, 4: 1}))
    config = GenerationConfig(max_new_tokens=40, draft_tokens=7)
    [[done]] = generate(executor, [[1, 2, 3, 4, 1]], config, NO_EOS)
    assert done.tokens == (2, 3, 4, 1) * 10
    assert len(executor.calls) == 6  # the prompt, and 39 tokens in steps of up to 8
    assert (done.drafted, done.accepted) == (34, 34)


def test_lookup_prefers_the_longest_then_the_latest_match_and_goes_round_in_loops():
    ids = np.array([1, 2, 3, 9, 7, 2, 3, 8, 1, 2, 3])
    assert lookup(ids, 3) == [9, 7, 2]  # the match of three wins over the later match of two
    assert lookup(np.array([5, 6, 5, 7, 5]), 4) == [7, 5, 7, 5]
    assert lookup(np.array([4, 4]), 5) == [4] * 5
    assert lookup(np.array([1, 2, 3]), 5) == []
    assert lookup(np.array([1]), 5) == []
    assert lookup(np.array([4, 4]), 0) == []
