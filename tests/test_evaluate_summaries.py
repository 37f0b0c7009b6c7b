"""ROUGE against its definition, baselines, and an evaluation of summaries as a whole."""

import json
from pathlib import Path

import pytest

from clearhead.errors import DataError, OptionError
from clearhead.tasks.evaluate import summaries
from clearhead.tasks.evaluate.asked import Asked
from clearhead.tasks.evaluate.metrics.rouge import rouge, signature
from clearhead.tasks.evaluate.summaries import lead
from real import find


def f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall)


def test_rouge_is_f1_of_shared_words_pairs_and_subsequence() -> None:
    [made] = rouge(["the cat sat on a mat"], ["the cat was on the mat"], stem=False)
    assert made["rouge1"] == pytest.approx(f1(4 / 6, 4 / 6))  # the, cat, on, mat
    assert made["rouge2"] == pytest.approx(f1(1 / 5, 1 / 5))  # the cat
    assert made["rougeL"] == pytest.approx(f1(4 / 6, 4 / 6))
    [swapped] = rouge(["on the mat the cat"], ["the cat on the mat"], stem=False)
    assert swapped["rouge1"] == 1 and swapped["rougeL"] == pytest.approx(f1(3 / 5, 3 / 5))


def test_words_are_stemmed_only_where_asked_and_the_signature_says_so() -> None:
    one, other = ["He was walking."], ["He was walked."]
    assert rouge(one, other)[0]["rouge1"] == 1 > rouge(one, other, stem=False)[0]["rouge1"]
    assert "stem:porter" in signature() and "stem:no" in signature(stem=False)
    assert rouge([""], ["Some words."])[0]["rougeL"] == 0
    with pytest.raises(OptionError, match="2 summaries"):
        rouge(["a", "b"], ["a"])


def test_the_lead_is_the_first_sentences() -> None:
    assert lead("One here. Two there.\nThree. Four.", 3) == "One here. Two there. Three."


def test_a_text_without_words_is_named_before_a_model_is_loaded(tmp_path: Path) -> None:
    rows = [{"document": "It rained.", "summary": "Rain."}, {"document": "---", "summary": "Nothing."}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(DataError, match=r"rows\.jsonl, example 2: the text has no words"):
        summaries.evaluate(Asked(data=tmp_path / "rows.jsonl", model="no-such-model"))


@pytest.mark.weights
def test_an_evaluation_has_figures_baselines_and_items(tmp_path: Path) -> None:
    rows = [
        {"document": "The bridge was closed on Monday. Cracks were found.", "summary": "The bridge was closed."},
        {"document": "Two dogs ran through the park. They barked.", "summary": "Dogs ran through a park."},
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    done: list[tuple[int, int]] = []
    asked = Asked(
        data=tmp_path / "rows.jsonl",
        model=find("smollm2-135m-instruct"),
        progress=lambda row, of: done.append((row, of)),
    )
    made = summaries.evaluate(asked)
    names = [figure.name for figure in made.figures]
    assert names == [before + kind for before in ("", "lead1 ", "lead3 ") for kind in ("rouge1", "rouge2", "rougeL")]
    for figure in made.figures:
        assert figure.low is not None and figure.high is not None and figure.low <= figure.value <= figure.high
    mean = 100 * sum(item.scores["rouge1"] for item in made.items) / 2
    assert made.figures[0].value == pytest.approx(mean) and made.figures[0].value > 20
    assert [item.expected for item in made.items] == [row["summary"] for row in rows]
    assert done == [(1, 2), (2, 2)] and made.settings["decoding"] == "greedy" and made.files[0].rows == 2
