"""What a caller allows after each prefix: every way to generate keeps to it; unasked, nothing changes."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from clearhead.config import GenerationConfig, SpecialTokens
from clearhead.errors import OptionError
from clearhead.generation.generate import generate, stream
from clearhead.generation.sampling import log_softmax
from mock_executor import MockExecutor, random_logits, tiny_config

V = 17
SPECIAL = SpecialTokens(eos=(0,))
PROMPTS = [[3], [1, 2, 3, 4, 5], [9, 9]]
MODES = {
    "greedy": GenerationConfig(max_new_tokens=12),
    "penalised": GenerationConfig(max_new_tokens=12, repetition_penalty=1.5, logit_bias={3: 2.0}),
    "sampled": GenerationConfig(max_new_tokens=12, n=3, temperature=1.2, top_p=0.9, seed=5),
    "beams": GenerationConfig(max_new_tokens=12, n=3, beams=4),
    "speculative": GenerationConfig(max_new_tokens=12, draft_tokens=3),
}


def model(dtype=np.float32):
    logits = random_logits(V)
    return MockExecutor(tiny_config(V), lambda ids, source: logits(ids, source).astype(dtype))


def alternating(prompt, ids):
    """Odd and even ids in turn, beginning with another for each prompt; 0 ends anywhere."""
    mask = np.arange(V) % 2 == (prompt + len(ids)) % 2
    mask[0] = True
    return mask


@pytest.mark.parametrize("config", MODES.values(), ids=MODES)
def test_nothing_changes_where_nothing_is_asked_or_everything_is_allowed(config):
    plain = generate(model(), PROMPTS, config, SPECIAL)
    assert generate(model(), PROMPTS, config, SPECIAL, allowed=None) == plain
    for everything in (None, np.ones(V, bool)):
        open_ended = generate(model(), PROMPTS, config, SPECIAL, allowed=lambda _prompt, _ids, all_=everything: all_)
        for before, after in zip(itertools.chain(*plain), itertools.chain(*open_ended), strict=True):
            assert replace(before, score=None) == replace(after, score=None)
            assert (before.score or 0) == pytest.approx(
                after.score or 0, rel=1e-6
            )  # beams rank in NumPy now, not in C++


@pytest.mark.parametrize("config", MODES.values(), ids=MODES)
def test_only_what_is_allowed_after_a_prefix_is_said_by_each_prompt_of_its_own(config):
    together = generate(model(), PROMPTS, config, SPECIAL, allowed=alternating)
    assert together != generate(model(), PROMPTS, config, SPECIAL)
    for prompt, group in enumerate(together):
        for done in group:
            for place, token in enumerate(done.tokens):
                assert alternating(prompt, done.tokens[:place])[token]
        [alone] = generate(
            model(), [PROMPTS[prompt]], config, SPECIAL, allowed=lambda _, ids, own=prompt: alternating(own, ids)
        )
        assert [done.tokens for done in alone] == [done.tokens for done in group]


def test_greedy_takes_the_likeliest_of_what_is_allowed():
    executor = model()
    [[done]] = generate(executor, [[3]], MODES["greedy"], SPECIAL, allowed=alternating)
    for place, token in enumerate(done.tokens):
        scores = np.where(alternating(0, done.tokens[:place]), executor.logits((3, *done.tokens[:place]), ()), -np.inf)
        assert token == np.argmax(scores)


def test_guesses_that_are_not_allowed_are_given_up():
    executor = model()
    plain = generate(executor, PROMPTS, MODES["greedy"], SPECIAL, allowed=alternating)
    guessed = generate(executor, PROMPTS, MODES["speculative"], SPECIAL, allowed=alternating)
    assert [one.tokens for [one] in guessed] == [one.tokens for [one] in plain]


def test_a_stream_is_held_to_it_as_well():
    steps = list(stream(model(), PROMPTS, MODES["greedy"], SPECIAL, allowed=alternating))
    whole = generate(model(), PROMPTS, MODES["greedy"], SPECIAL, allowed=alternating)
    for prompt, [done] in enumerate(whole):
        assert tuple(step.token for step in steps if step.prompt == prompt) == done.tokens


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("length_penalty", [0.0, 0.3, 1.0])
def test_wide_beams_find_the_best_of_all_allowed_sequences_in_order(dtype, length_penalty):
    """The ids 1 to 4 in ascending order, at most three of them, then the end: all are scored by hand. After three the
    end is no choice, and costs nothing."""

    def allowed(_prompt, ids):
        mask = np.zeros(V, bool)
        mask[[*range(max(ids, default=0) + 1, 5)] if len(ids) < 3 else []] = True
        mask[0] = bool(ids)
        return mask

    executor = model(dtype)

    def score(tokens):
        places = [i for i in range(len(tokens)) if allowed(0, tokens[:i]).sum() > 1]
        logprobs = [log_softmax(executor.logits((3, *tokens[:i]), ()))[tokens[i]] for i in places]
        return sum(logprobs) / len(tokens) ** length_penalty

    sequences = [(*chosen, 0) for size in (1, 2, 3) for chosen in itertools.combinations(range(1, 5), size)]
    best = sorted(sequences, key=score, reverse=True)
    config = GenerationConfig(max_new_tokens=8, n=len(best), beams=32, length_penalty=length_penalty)
    [found] = generate(executor, [[3]], config, SPECIAL, allowed=allowed)
    assert [done.tokens for done in found] == best
    assert [done.score for done in found] == pytest.approx([score(tokens) for tokens in best], abs=1e-5)


def test_a_token_that_must_come_costs_nothing_however_unlikely_it_is():
    """2 must be followed by 4 and 5, which the model finds absurd; 3 may end at once, and is worse by a little."""
    after = {
        (): {2: 1.0, 3: 0.5},
        (2,): {4: -9.0},
        (2, 4): {5: -9.0},
        (2, 4, 5): {0: 3.0, 6: 2.0},
        (3,): {0: 3.0, 6: 2.0},
    }

    def allowed(_prompt, ids):
        mask = np.zeros(V, bool)
        mask[list(after.get(tuple(ids), {0: 0.0}))] = True
        return mask

    def logits(ids, _source):
        row = np.zeros(V, np.float32)
        for token, value in after.get(tuple(ids[1:]), {}).items():
            row[token] = value
        return row

    executor = MockExecutor(tiny_config(V), logits)
    config = GenerationConfig(max_new_tokens=8, n=2, beams=2, length_penalty=0.0, logprobs=0)
    [[best, _]] = generate(executor, [[3]], config, SPECIAL, allowed=allowed)
    assert best.tokens == (2, 4, 5, 0)
    assert best.score == pytest.approx(best.logprobs[0] + best.logprobs[3])
    assert best.logprobs[1] < -9  # what is reported is the model's own


@pytest.mark.parametrize("mode", ["greedy", "beams", "sampled"])
def test_a_constraint_that_leaves_nothing_is_refused(mode):
    with pytest.raises(OptionError, match="every token is ruled out"):
        generate(model(), [[3]], MODES[mode], SPECIAL, allowed=lambda _prompt, _ids: np.zeros(V, bool))


def test_an_answer_of_another_size_is_refused():
    with pytest.raises(OptionError, match=r"\(16,\) for a vocabulary of 17"):
        generate(model(), [[3]], MODES["greedy"], SPECIAL, allowed=lambda _prompt, _ids: np.ones(V - 1, bool))


def test_what_the_request_rules_out_stays_ruled_out():
    config = replace(MODES["greedy"], min_new_tokens=6)
    [[done]] = generate(model(), [[3]], config, SpecialTokens(eos=(0,), suppressed=(2, 3)), allowed=alternating)
    assert 0 not in done.tokens[:6]
    assert not {2, 3} & set(done.tokens)
