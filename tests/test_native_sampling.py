"""Sampling in C++ draws what the NumPy definition draws: the same token for the same number, cut by cut."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearhead.config import GenerationConfig
from clearhead.errors import CheckpointError, OptionError
from clearhead.generation import drawing
from clearhead.generation.drawing import NO_IDS, choose, rank, rank_exactly
from clearhead.generation.processors import compose, warpers
from clearhead.generation.sampling import sample
from clearhead.native import _native


def draw(scores: np.ndarray, config: GenerationConfig, generator: np.random.Generator) -> int:
    """The token of one row."""
    return choose([scores], [(config, generator)])[0]


def defined(scores: np.ndarray, config: GenerationConfig, seed: int) -> int:
    """The definition's token."""
    return sample(compose(warpers(config))(scores, NO_IDS, 0), np.random.default_rng(seed))


@given(
    size=st.sampled_from([1, 2, 5, 127, 128, 129, 1000, 5000]),
    spread=st.sampled_from([0.01, 0.3, 1.0, 4.0, 20.0]),
    temperature=st.sampled_from([0.05, 0.7, 1.0, 1.6]),
    top_k=st.sampled_from([0, 1, 3, 40, 300, 10_000]),
    top_p=st.sampled_from([1.0, 0.999, 0.9, 0.5, 0.01]),
    min_p=st.sampled_from([0.0, 0.01, 0.3, 1.0]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=400, deadline=None)
def test_the_same_token(
    size: int, spread: float, temperature: float, top_k: int, top_p: float, min_p: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    scores = (random.normal(size=size) * spread).astype(np.float32)
    scores[random.random(size) < 0.1] = -np.inf  # ruled out by something before
    scores[0] = 1.0
    config = GenerationConfig(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    assert draw(scores, config, np.random.default_rng(seed)) == defined(scores, config, seed)


def test_equals_are_kept_or_cut_alike() -> None:
    scores = np.array([1, 3, 3, 3, 2, 3], np.float32)
    for top_k, top_p, allowed in ((2, 1.0, {1, 2, 3, 5}), (0, 0.3, {1, 2}), (0, 1e-9, {1})):
        config = GenerationConfig(temperature=1.0, top_k=top_k, top_p=top_p)
        drawn = {draw(scores, config, np.random.default_rng(seed)) for seed in range(200)}
        assert drawn == allowed
        assert drawn == {defined(scores, config, seed) for seed in range(200)}


def test_shares_are_those_of_the_distribution() -> None:
    scores = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))
    random = np.random.default_rng(0)
    drawn = np.bincount([draw(scores, GenerationConfig(temperature=1.0), random) for _ in range(20_000)], minlength=4)
    assert np.abs(drawn / 20_000 - [0.5, 0.3, 0.15, 0.05]).max() < 0.015


@pytest.mark.parametrize("at", [0, 63, 200])
def test_what_is_no_number_is_refused(at: int) -> None:
    scores = np.zeros(201, np.float32)
    config, random = GenerationConfig(temperature=1.0, top_p=0.9), np.random.default_rng(0)
    for value in (np.nan, np.inf):
        scores[at] = value
        with pytest.raises(CheckpointError, match="weights are damaged"):
            draw(scores, config, random)
    with pytest.raises(OptionError, match="every token is ruled out"):
        draw(np.full(9, -np.inf, np.float32), config, random)


@given(
    size=st.sampled_from([1, 3, 127, 128, 129, 1000, 5000]),
    spread=st.sampled_from([0.0, 0.01, 1.0, 20.0]),
    count=st.integers(1, 30),
    excluded=st.lists(st.integers(0, 126), max_size=5, unique=True),
    threads=st.integers(1, 3),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=200, deadline=None)
def test_ranking_in_cpp_is_the_definitions(
    size: int, spread: float, count: int, excluded: list[int], threads: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    rows = [
        np.round(random.normal(size=size) * spread, 2).astype(np.float32) for _ in range(4)
    ]  # with equals among them
    rows[1][random.random(size) < 0.3] = -np.inf
    rows[1][0] = 0.0
    ids = [np.array([i for i in excluded if i < size], dtype=np.int64)] * 4
    ours, defined = rank(rows, count, ids, threads), rank_exactly(rows, count, ids)
    kept = defined.scores > -np.inf
    np.testing.assert_array_equal(ours.scores > -np.inf, kept)
    np.testing.assert_array_equal(ours.tokens[kept], defined.tokens[kept])
    np.testing.assert_allclose(ours.scores[kept], defined.scores[kept], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(ours.normalisers, defined.normalisers, rtol=1e-6, atol=1e-6)


def test_a_batch_draws_what_each_row_draws_alone() -> None:
    random = np.random.default_rng(3)
    rows = [(random.normal(size=700) * spread).astype(np.float32) for spread in (0.1, 1.0, 3.0, 9.0)]
    configs = [
        GenerationConfig(temperature=1.0, top_p=0.9),
        GenerationConfig(temperature=0.3, top_k=5),
        GenerationConfig(temperature=1.5, min_p=0.1),
        GenerationConfig(),
    ]

    def choosers(seed: int) -> list:
        chance = [np.random.default_rng([seed, i]) for i in range(3)]
        return list(zip(configs, [*chance, None], strict=True))

    for seed in range(50):
        alone = [choose([row], [chooser])[0] for row, chooser in zip(rows, choosers(seed), strict=True)]
        assert choose(rows, choosers(seed), threads=2) == alone
    with pytest.raises(CheckpointError, match="weights are damaged"):
        rank([np.array([1.0, np.nan], np.float32)], 1, [NO_IDS])


@pytest.fixture(params=_native.instruction_sets())
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Choosing by the kernels of one instruction set."""
    by_set = {name: partial(getattr(_native, name), instruction_set=request.param) for name in ("sample", "best")}
    monkeypatch.setattr(drawing, "_native", SimpleNamespace(**by_set))


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("size", [40_001, 262_144])
@pytest.mark.parametrize("spread", [0.0, 0.5, 3.0])
def test_large_vocabularies_draw_what_the_definition_draws(size: int, spread: float) -> None:
    random = np.random.default_rng(size)
    scores = (random.normal(size=size) * spread).astype(np.float32)
    for top_k, top_p, min_p in ((0, 0.95, 0.0), (0, 0.5, 0.0), (0, 0.9999, 0.2), (5000, 0.9, 0.0), (0, 1e-9, 0.0)):
        config = GenerationConfig(temperature=1.0, top_k=top_k, top_p=top_p, min_p=min_p)
        for seed in range(4):
            assert draw(scores, config, np.random.default_rng(seed)) == defined(scores, config, seed)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("top_p", [0.3, 0.5, 0.8, 0.999])
def test_a_nucleus_may_end_among_thousands_of_equals(top_p: float) -> None:
    scores = np.repeat(np.array([-2.0, 0.5, 0.0], np.float32), 15_000)
    np.random.default_rng(0).shuffle(scores)
    config = GenerationConfig(temperature=1.0, top_p=top_p)
    for seed in range(8):
        assert draw(scores, config, np.random.default_rng(seed)) == defined(scores, config, seed)


@pytest.mark.usefixtures("kernels")
def test_every_set_ranks_alike() -> None:
    scores = np.random.default_rng(1).normal(size=5000).astype(np.float32)
    ranked, exact = rank([scores], 8, [np.array([int(scores.argmax())])]), rank_exactly([scores], 8, [NO_IDS])
    assert ranked.tokens[0, :7].tolist() == exact.tokens[0, 1:].tolist()
    np.testing.assert_allclose(ranked.scores[0, :7], exact.scores[0, 1:], atol=2e-6)


def test_rows_of_several_vocabularies_in_one_call() -> None:
    random = np.random.default_rng(5)
    rows = [random.normal(size=size).astype(np.float32) for size in (5, 4000, 130)]
    config = GenerationConfig(temperature=1.0, top_p=0.9)
    choosers = [(config, np.random.default_rng(i)) for i in range(3)]
    alone = [draw(row, config, np.random.default_rng(i)) for i, row in enumerate(rows)]
    assert choose(rows, choosers, threads=3) == alone


def test_where_few_tokens_are_left_the_other_places_are_empty() -> None:
    row = np.full(1000, -np.inf, np.float32)
    row[[3, 500]] = 1.0, 2.0
    ranked = rank([row, row], 5, [np.array([3]), NO_IDS], threads=2)
    assert ranked.tokens.tolist() == [[500, -1, -1, -1, -1], [500, 3, -1, -1, -1]]
    assert np.isneginf(ranked.scores[0, 1:]).all() and np.isneginf(ranked.scores[1, 2:]).all()
