"""Figures of an evaluation, held against those who defined them: sacreBLEU's scores, and a loss counted by hand."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

import clearhead as ch
from clearhead.engine.perplexity import perplexity, windows
from clearhead.errors import UnsupportedError
from clearhead.generation.score import score_sequences
from clearhead.tasks.evaluate import perplexities, translations
from clearhead.tasks.evaluate.asked import Asked
from clearhead.tasks.evaluate.metrics.translation import bleu, chrf, counted, sentence_chrf
from clearhead.tasks.evaluate.report import Evaluation, Item, mean_figure
from overfitted import PAIRS

WORDS = ["the", "a", "man", "dog", "rides", "runs", "bike", "red", "two", "and", "on", "in", "with", "of", "street"]


def corpus(rows: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Sentences, and noisy copies of them."""
    generator = np.random.default_rng(seed)
    right = [" ".join(generator.choice(WORDS, generator.integers(1, 12))) + "." for _ in range(rows)]
    said = [" ".join(w if generator.random() > 0.25 else "x" for w in text.split()) for text in right]
    return said, right


def test_corpus_scores_are_sacrebleus() -> None:
    said, right = corpus(60)
    for figure, metric in ((bleu(said, right), BLEU()), (chrf(said, right), CHRF())):
        assert figure.value == pytest.approx(metric.corpus_score(said, [right]).score, abs=1e-9)
        assert figure.how == str(metric.get_signature())
        assert figure.low is not None and figure.high is not None and figure.low < figure.value < figure.high


def test_a_draw_of_sentences_is_the_corpus_of_those_sentences() -> None:
    said, right = corpus(30)
    both = counted(BLEU(), said, right)
    rows = np.array([3, 3, 7, 29, 0, 11])
    expected = BLEU().corpus_score([said[i] for i in rows], [[right[i] for i in rows]]).score
    assert both.score(rows) == pytest.approx(expected, abs=1e-9)


def test_the_interval_is_about_sacrebleus_own() -> None:
    said, right = corpus(200)
    found = bleu(said, right)
    theirs = BLEU().corpus_score(said, [right], n_bootstrap=1000)
    assert found.high is not None and found.low is not None
    assert (found.high - found.low) / 2 == pytest.approx(theirs._ci, rel=0.15)


def test_sentences_are_ranked_by_their_own_chrf() -> None:
    said, right = corpus(20)
    expected = [CHRF().sentence_score(a, [b]).score for a, b in zip(said, right, strict=True)]
    assert sentence_chrf(said, right) == pytest.approx(expected, abs=1e-9)


def test_chinese_is_cut_into_characters() -> None:
    assert "tok:zh" in bleu(["你好 世界"], ["你好 世界"], "zh").how


def test_a_translator_that_knows_its_sentences_has_full_marks(translator: Path, tmp_path: Path) -> None:
    lines = [*PAIRS, "He sleeps. Two dogs run."]
    right = [*PAIRS.values(), "Er schläft. Zwei Katzen laufen."]
    (tmp_path / "t.en").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "t.de").write_text("\n".join(right), encoding="utf-8")
    seen: list[tuple[int, int]] = []
    asked = Asked(
        data=tmp_path / "t.en", to="de", model=translator, progress=lambda done, of: seen.append((done, of)), seed=3
    )
    found = translations.evaluate(asked)
    assert [item.got for item in found.items[:-1]] == right[:-1]
    assert [item.scores["chrf"] for item in found.items[:-1]] == [100.0] * len(PAIRS)
    [worst] = found.failures(1)
    assert (worst.input, worst.expected) == (lines[-1], right[-1]) and worst.scores["chrf"] < 100
    assert seen == [(i, 6) for i in range(1, 7)]
    assert (found.executor, found.dtype, found.settings["beams"]) == ("native", "float32", 4)
    some = translations.evaluate(Asked(data=tmp_path / "t.en", to="de", model=translator, limit=2))
    assert len(some.items) == 2 and some.files[0].rows == 6 and some.figures[0].value == pytest.approx(100)


def test_perplexity_is_the_engines_and_bits_per_byte_spread_it_over_the_bytes(gpt2: Any, tmp_path: Path) -> None:
    """A vocabulary of bytes: a token is a byte, so bits per byte are bits per token."""
    text = "Ein Mann fährt Fahrrad. " * 30
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    found = perplexities.evaluate(Asked(data=tmp_path / "text.txt", model=gpt2))
    of_text, bits = found.figures
    assert of_text.value == pytest.approx(perplexity(gpt2, text).value, rel=1e-9)
    assert bits.value == pytest.approx(math.log2(of_text.value), rel=1e-9)
    assert of_text.low is not None and of_text.high is not None and of_text.low <= of_text.value <= of_text.high
    assert len(found.items) == math.ceil(len(text.encode()) / 128)
    short = perplexities.evaluate(Asked(data=tmp_path / "text.txt", model=gpt2, limit=2))
    assert len(short.items) == 2 and short.settings["bytes"] == 256
    assert short.figures[1].value == pytest.approx(math.log2(short.figures[0].value), rel=1e-9)


def test_windows_are_scored_as_texts_of_their_own(gpt2: Any) -> None:
    ids = gpt2.tokenizer.encode("some text that is longer than a window of ten", add_special_tokens=False)
    for i, window in enumerate(windows(gpt2, ids, 10)):
        [row] = score_sequences(gpt2.executor, [ids[10 * i : 10 * i + 10]])
        assert [None, *window.logprobs] == list(row)


def test_perplexity_is_for_decoders(t5: Any, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("text", encoding="utf-8")
    with pytest.raises(UnsupportedError, match="measured on a decoder"):
        perplexities.evaluate(Asked(data=tmp_path / "text.txt", model=t5))


def test_failures_are_the_least_by_the_score_that_ranks() -> None:
    items = [
        Item(input=str(i), expected="", got="", scores={"a": a, "b": b})
        for i, (a, b) in enumerate([(1, 9), (3, 2), (2, 5)])
    ]
    found = Evaluation(
        task="t", model="m", figures=[mean_figure("a", [1.0, 3.0, 2.0], scale=100, unit="%")], items=items
    )
    assert [item.input for item in found.failures(2)] == ["0", "2"]
    by = Evaluation(task="t", model="m", figures=[], items=items, by="b")
    assert [item.input for item in by.failures(9)] == ["1", "2", "0"]
    [figure] = found.figures
    assert figure.value == 200 and figure.low is not None and 100 <= figure.low <= 200


def test_a_loaded_model_is_taken_as_it_is(gpt2: ch.Model, tmp_path: Path) -> None:
    asked = Asked(data=tmp_path, model=gpt2)
    assert asked.loaded("no-such-model") is gpt2
