"""BPE-dropout: without dropout the tokenizer's own ids, with it other pieces of the same text, as often as due."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from clearhead.errors import OptionError, TokenizerError
from clearhead.text.tokenizer import Tokenizer
from clearhead.training.data.sampling import Segmentations
from clearhead.training.vocabulary.vocabulary import VocabularyConfig, train_vocabulary
from training_sentences import SENTENCES

TEXTS = [*SENTENCES, "", " two  spaces ", "北京 naïve", "x\ny", "¡¿¡", "</s> <pad>", "a" * 50]
KINDS: dict[str, dict[str, Any]] = {
    "bpe": {},
    "byte-level": {"kind": "byte_bpe"},
    "bytes": {"byte_fallback": True, "limit_alphabet": 20, "split_punctuation": False},
    "unknown": {"limit_alphabet": 20, "lowercase": True},
    "characters": {"kind": "character"},
}


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return train_vocabulary(SENTENCES, VocabularyConfig.model_validate({"size": 700, **KINDS[request.param]}))


@pytest.fixture(scope="module")
def bpe() -> Tokenizer:
    return train_vocabulary(SENTENCES, VocabularyConfig(size=700))


def test_without_dropout_it_is_the_tokenizer(tokenizer: Tokenizer) -> None:
    rows = Segmentations(tokenizer, TEXTS, p=0).epoch(3)
    assert len(rows) == len(TEXTS)
    for row, text in zip(rows, TEXTS, strict=True):
        assert row.tolist() == tokenizer.encode(text, add_special_tokens=False, parse_special=False)


@pytest.mark.parametrize("p", [0.1, 0.5, 1.0])
def test_pieces_always_join_to_the_same_text(tokenizer: Tokenizer, p: float) -> None:
    made = Segmentations(tokenizer, TEXTS, p=p, samples=8)
    for epoch in range(3):
        for row, text in zip(made.epoch(epoch), TEXTS, strict=True):
            whole = tokenizer.pieces(tokenizer.encode(text, add_special_tokens=False, parse_special=False))
            pieces = tokenizer.pieces(row.tolist())
            assert "".join(pieces) == "".join(whole)
            assert len(pieces) >= len(whole)
            if p == 1:
                assert all(len(piece) == 1 or piece == "<unk>" or piece.startswith("<0x") for piece in pieces)


def test_an_epoch_is_a_function_of_seed_and_epoch(bpe: Tokenizer) -> None:
    made = Segmentations(bpe, SENTENCES, p=0.2, seed=5)
    first = made.epoch(0).flat.tolist()
    assert made.epoch(1).flat.tolist() != first
    assert made.epoch(0).flat.tolist() == first
    again = Segmentations(bpe, iter(SENTENCES), p=0.2, seed=5)
    assert again.epoch(0).flat.tolist() == first
    assert Segmentations(bpe, SENTENCES, p=0.2, seed=6).epoch(0).flat.tolist() != first
    assert made.epoch(0).flat.dtype == np.int32


def test_ends_are_put_around_every_text(bpe: Tokenizer) -> None:
    plain, framed = (Segmentations(bpe, TEXTS, p=0.3, **ends) for ends in ({}, {"first": 7, "last": 1}))
    assert len(framed) == len(TEXTS)
    for row, text in zip(framed.epoch(2), TEXTS, strict=True):
        assert (row[0], row[-1]) == (7, 1)
        assert bpe.decode(row[1:-1].tolist()) == bpe.decode(bpe.encode(text, parse_special=False))
    assert framed.epoch(2).lengths.sum() > plain.epoch(2).lengths.sum()


def test_segmentations_are_as_frequent_as_those_of_the_library(bpe: Tokenizer) -> None:
    """`tokenizers` drops merges as well, by a generator that cannot be seeded: its frequencies are the oracle."""
    from tokenizers import models

    word, p, n = "▁picture", 0.3, 20_000
    backend = bpe._backend  # type: ignore[attr-defined]
    assert isinstance(backend.model, models.BPE)
    ours = Segmentations(bpe, [word[1:]], p=p, samples=10_000, seed=1).table
    mine = Counter(tuple(bpe.pieces(ours[20_000 + k].tolist())) for k in range(10_000))
    try:
        backend.model.dropout = p
        theirs = Counter(tuple(t.value for t in backend.model.tokenize(word)) for _ in range(n))
    finally:
        backend.model.dropout = None
    assert len(mine) > 5
    for pieces in {*mine, *theirs}:
        a, b = mine[pieces] / 10_000, theirs[pieces] / n
        mean = (mine[pieces] + theirs[pieces]) / (10_000 + n)
        assert abs(a - b) <= 5 * np.sqrt(mean * (1 - mean) * (1 / 10_000 + 1 / n)), pieces


def test_what_cannot_be_sampled(bpe: Tokenizer) -> None:
    unigram = train_vocabulary(SENTENCES, VocabularyConfig(kind="unigram", size=300))
    with pytest.raises(TokenizerError, match="a Unigram vocabulary has none; train one of kind bpe"):
        Segmentations(unigram, ["a"])
    for keys in ({"p": -0.1}, {"p": 1.1}, {"samples": 0}):
        with pytest.raises(OptionError):
            Segmentations(bpe, ["a"], **keys)  # type: ignore[arg-type]
    assert len(Segmentations(bpe, []).epoch(0)) == 0
