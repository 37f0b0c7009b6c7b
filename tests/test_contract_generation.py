"""The numerical contract of generation, over all families: the way to the text never changes the text.

beam 1 = greedy, speculative = greedy, a prompt alone = the same prompt in any batch, chunks = whole, and one seed is
one text.
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearhead.config import GenerationConfig, SpecialTokens
from clearhead.generation.beam import beam_search
from clearhead.generation.generate import generate
from clearhead.generation.prompts import encode_sources
from clearhead.model.executor import TorchExecutor
from models import BY_FAMILY, EXECUTORS, Make
from test_parity import relaxed

FAMILIES = [name for name, config in BY_FAMILY.items() if config.kind != "encoder"]
SPECIAL = SpecialTokens(bos=0, eos=(1, 29), pad=0, decoder_start=0)
ROW = st.lists(st.integers(2, 30), min_size=1, max_size=10)
PENALTIES = st.fixed_dictionaries(
    {
        "max_new_tokens": st.integers(0, 20),
        "min_new_tokens": st.just(0),
        "repetition_penalty": st.sampled_from([1.0, 1.3]),
        "presence_penalty": st.sampled_from([0.0, 0.7]),
        "ignore_eos": st.booleans(),
        "logprobs": st.just(2),
    }
)


def texts(model: TorchExecutor, rows: list[list[int]], config: GenerationConfig, **more: Any) -> list[list[Any]]:
    """Tokens of every sample of every prompt; each prompt is a source where there are two stacks."""
    prompts, memory = rows, None
    if model.config.kind == "encoder-decoder":
        prompts, memory = encode_sources(model, rows, SPECIAL)
    done = generate(model, prompts, config, SPECIAL, memory=memory, **more)
    return [[(g.tokens, g.finish_reason) for g in samples] for samples in done]


@EXECUTORS
@pytest.mark.parametrize("family", FAMILIES)
def test_speculation_and_batches_and_chunks_give_the_greedy_text(family: str, make: Make) -> None:
    model = make(BY_FAMILY[family])

    @relaxed
    @given(
        rows=st.lists(ROW, min_size=1, max_size=4), options=PENALTIES, draft=st.integers(1, 6), chunk=st.integers(1, 9)
    )
    def check(rows: list[list[int]], options: dict[str, Any], draft: int, chunk: int) -> None:
        greedy = texts(model, rows, GenerationConfig(**options))
        assert texts(model, rows, GenerationConfig(**options, draft_tokens=draft)) == greedy
        assert texts(model, rows, GenerationConfig(**options), prefill_tokens=chunk) == greedy
        assert [texts(model, [row], GenerationConfig(**options))[0] for row in rows] == greedy

    check()


@EXECUTORS
@pytest.mark.parametrize("family", FAMILIES)
def test_one_beam_is_greedy(family: str, make: Make) -> None:
    model, rows = make(BY_FAMILY[family]), [[5, 6, 7], [8, 9, 10, 11, 12]]
    prompts, memory = rows, None
    if model.config.kind == "encoder-decoder":
        prompts, memory = encode_sources(model, rows, SPECIAL)
    config = GenerationConfig(max_new_tokens=20)
    beams = beam_search(model, prompts, config, SPECIAL, memory=memory)
    assert [[(g.tokens, g.finish_reason) for g in best] for best in beams] == texts(model, rows, config)


@EXECUTORS
@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_seed_draws_the_same_text_alone_or_in_company(family: str, make: Make) -> None:
    model, rows = make(BY_FAMILY[family]), [[5, 6, 7], [8, 9, 10, 11, 12]]
    config = GenerationConfig(max_new_tokens=15, temperature=1.5, top_p=0.95, seed=11, n=3)
    drawn = texts(model, rows, config)
    assert texts(model, rows, config) == drawn
    assert texts(model, rows[:1], config) == drawn[:1]
    assert len({tokens for tokens, _ in drawn[0]}) == 3
