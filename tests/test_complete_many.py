"""Many prompts at once: each gets the completion it would get alone, in order, and the batch stays full."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clearhead as ch
from clearhead.config import GenerationConfig, SpecialTokens
from clearhead.engine import many
from clearhead.errors import ContextWindowError, OptionError
from clearhead.generation.continuous import run_all
from clearhead.generation.decode import start
from mock_executor import MockExecutor
from models import BY_FAMILY

PROMPTS = ["a", "The teacher taught", "b" * 60, "hello there", "x y z", "another one", "q"]


@pytest.mark.parametrize("rows", [1, 2, 16])
@pytest.mark.parametrize("options", [{}, {"temperature": 1.0, "seed": 5}, {"logprobs": 2}, {"stop": ["e"]}])
def test_each_is_the_completion_it_would_be_alone(gpt2: Any, rows: int, options: dict[str, Any]) -> None:
    alone = [gpt2.complete(prompt, max_new_tokens=9, **options) for prompt in PROMPTS]
    together = list(gpt2.complete_many(PROMPTS, max_new_tokens=9, rows=rows, **options))
    assert [c.samples[0].tokens for c in together] == [c.samples[0].tokens for c in alone]
    assert [c.text for c in together] == [c.text for c in alone]
    assert [c.finish_reason for c in together] == [c.finish_reason for c in alone]
    if "logprobs" in options:
        for mine, theirs in zip(together, alone, strict=True):
            np.testing.assert_allclose(mine.logprobs, theirs.logprobs, atol=1e-5)


WAYS: list[dict[str, Any]] = [
    {},
    {"beams": 3},
    {"beams": 3, "n": 2, "logprobs": 0},
    {"n": 2, "temperature": 1.0, "seed": 1},
    {"draft_tokens": 3},
    {"stop": ["e", "a"]},
    {"prompt_logprobs": True, "n": 2, "temperature": 1.0, "seed": 3},
]


@pytest.mark.parametrize("options", WAYS[1:5])
def test_beams_samples_and_guesses_go_through_in_groups(gpt2: Any, options: dict[str, Any]) -> None:
    check_alone_and_together(gpt2, options, rows=6)


@pytest.mark.parametrize("rows", [1, 4, 16])
@pytest.mark.parametrize("options", WAYS)
def test_an_encoder_with_a_decoder(t5: Any, options: dict[str, Any], rows: int) -> None:
    check_alone_and_together(t5, options, rows)


def check_alone_and_together(model: Any, options: dict[str, Any], rows: int) -> None:
    alone = [model.complete(prompt, max_new_tokens=6, **options) for prompt in PROMPTS]
    together = list(model.complete_many(PROMPTS, max_new_tokens=6, rows=rows, **options))
    assert [[s.tokens for s in c.samples] for c in together] == [[s.tokens for s in c.samples] for c in alone]
    assert [(c.text, c.finish_reason, c.usage) for c in together] == [(c.text, c.finish_reason, c.usage) for c in alone]


def test_a_batch_of_sources_is_read_and_written_together(t5: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven prompts in two groups, the longest together: each group is one call of the encoder."""
    calls: list[list[int]] = []
    encode = type(t5.executor).encode

    def counted(self: Any, tokens: Any, *args: Any, **options: Any) -> Any:
        calls.append([len(row) for row in tokens])
        return encode(self, tokens, *args, **options)

    monkeypatch.setattr(type(t5.executor), "encode", counted)
    list(t5.complete_many(PROMPTS, max_new_tokens=4, rows=4))
    assert [len(call) for call in calls] == [4, 3]
    lengths = [length for call in calls for length in call]
    assert sorted(lengths, reverse=True) == lengths


def test_sources_draw_by_their_own_seeds(t5: Any) -> None:
    """Without a seed each prompt draws a fresh one, and reports it: the same draw again is the same text."""
    done = list(t5.complete_many(["same"] * 4, max_new_tokens=8, temperature=1.5))
    assert len({c.seed for c in done}) == 4
    for each in done:
        assert t5.complete("same", max_new_tokens=8, temperature=1.5, seed=each.seed).tokens == each.tokens


def test_groups_end_when_cancelled(t5: Any) -> None:
    asked = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked > 20

    done = list(t5.complete_many(PROMPTS, max_new_tokens=5, rows=2, cancelled=cancelled))
    alone = [t5.complete(prompt, max_new_tokens=5).text for prompt in PROMPTS]
    assert len(done) < len(PROMPTS) and [c.text for c in done] == alone[: len(done)]


def test_conversations_and_prompts_may_be_mixed(tmp_path: Path) -> None:
    import tiny

    model = ch.load(tiny.gpt2_folder(tmp_path / "chat", chat=True), executor="native")
    talk = [{"role": "user", "content": "hi"}]
    [one, two] = model.complete_many(["hi", talk], max_new_tokens=4)
    assert one.tokens == two.tokens == model.chat(talk, max_new_tokens=4).tokens


def test_prompts_are_taken_as_they_are_needed_and_bad_ones_raise_then(gpt2: Any) -> None:
    def prompts() -> Iterator[str]:
        yield "fine"
        yield "x" * 10_000

    with pytest.raises(ContextWindowError):
        list(gpt2.complete_many(prompts(), max_new_tokens=2))
    with pytest.raises(OptionError, match="prompt_logprobs"):
        list(gpt2.complete_many(["a"], max_new_tokens=2, prompt_logprobs=True))
    with pytest.raises(OptionError, match="at least one"):
        list(gpt2.complete_many(["a"], max_new_tokens=2, rows=0))
    assert list(gpt2.complete_many([], max_new_tokens=2)) == []


def test_it_ends_when_cancelled(gpt2: Any) -> None:
    asked = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked > 12

    done = list(gpt2.complete_many(PROMPTS, max_new_tokens=5, rows=1, cancelled=cancelled))
    alone = [gpt2.complete(prompt, max_new_tokens=5).text for prompt in PROMPTS]
    assert 0 < len(done) < len(PROMPTS) and [c.text for c in done] == alone[: len(done)]


def test_the_batch_stays_full_and_prompts_share_calls_with_writing() -> None:
    """Rows end after as many tokens as their prompt says; seats are taken again in the call after one became free."""
    config = replace(BY_FAMILY["gpt2"], vocab_size=20, max_positions=64)

    def logits(seen: tuple[int, ...], _source: tuple[int, ...]) -> Any:
        written = len(seen) - 3
        scores = np.zeros(20, np.float32)
        scores[19 if written >= seen[0] else 1] = 9
        return scores

    executor = MockExecutor(config, logits)
    prompts = [[length, 1, 1] for length in (2, 8, 2, 2, 2)]
    rows = start(executor, prompts, GenerationConfig(max_new_tokens=20), SpecialTokens(eos=(19,)))
    done = [row.index for row in run_all(executor, rows, capacity=32, seats=2)]
    assert done == [0, 2, 1, 3, 4]
    assert [len(row.tokens) for row in rows] == [3, 9, 3, 3, 3]
    busy = [call for call in executor.calls if len(call) == 2]
    assert len(busy) >= len(executor.calls) - 4
    assert any(sorted(call) == [1, 3] for call in executor.calls)  # a prompt beside a token


def test_more_prompts_than_seats_may_be_done_before_they_begin(gpt2: Any) -> None:
    """Where nothing is to be written every seat is free again at once, and those that wait must not be forgotten."""
    done = list(gpt2.complete_many(["a"] * 7, max_new_tokens=0, rows=2))
    assert [(c.text, c.new_text) for c in done] == [("a", "")] * 7


def counted(model: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of rows of each call of a decoder from here on."""
    calls: list[int] = []
    decode = type(model.executor).decode

    def watched(self: Any, tokens: Any, *args: Any, **options: Any) -> Any:
        calls.append(len(tokens))
        return decode(self, tokens, *args, **options)

    monkeypatch.setattr(type(model.executor), "decode", watched)
    return calls


def test_the_batch_stays_full_beyond_those_looked_at_together(gpt2: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One long answer does not hold up those that wait behind its window."""
    monkeypatch.setattr(many, "WINDOW", 4)
    prompts = [f"aaaa {letter}" for letter in "bcdefghijklm"]
    alone = [gpt2.complete(prompt, max_new_tokens=8).text for prompt in prompts]
    calls = counted(gpt2, monkeypatch)
    done = list(gpt2.complete_many(prompts, max_new_tokens=8, rows=4))
    assert [c.text for c in done] == alone
    assert all(call == 4 for call in calls[:-9]), calls


def test_a_longer_prompt_and_another_kind_begin_a_batch_of_their_own(
    gpt2: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many, "WINDOW", 2)
    prompts = ["a", "b", "c", "d" * 50, "e", "f" * 80, "g", "h"]
    alone = [gpt2.complete(prompt, max_new_tokens=4).text for prompt in prompts]
    assert [c.text for c in gpt2.complete_many(prompts, max_new_tokens=4, rows=3)] == alone
    counts = iter([1, 1, 2, 1, 2, 1, 1, 1])
    requests = [
        replace(request, config=replace(request.config, n=next(counts), temperature=1.0, seed=3))
        for request in (gpt2.text_request(prompt, {"max_new_tokens": 4}) for prompt in prompts)
    ]
    done = list(many.complete_all(requests, lambda: False, rows=3))
    assert [len(c.samples) for c in done] == [1, 1, 2, 1, 2, 1, 1, 1]
    assert [c.prompt for c in done] == prompts
