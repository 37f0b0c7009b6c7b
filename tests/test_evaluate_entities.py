"""Entities as `clearhead evaluate` counts them: held against seqeval, over files as people have them."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import f1_score, precision_score, recall_score

import clearhead as ch
import labeller
from clearhead.errors import DataError
from clearhead.tasks.evaluate.asked import Asked
from clearhead.tasks.evaluate.entities import evaluate, figures, iob2, read_columns, renamed
from clearhead.training.metrics.chunks import chunks

IOB1 = """-DOCSTART- -X- O O

Anna NNP I-NP I-PER
Karenina NNP I-NP I-PER
saw VBD O O
Sofia NNP I-NP I-LOC

the DT O O
"""
LABELS = st.lists(st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return ch.load(labeller.write(tmp_path_factory.mktemp("labeller") / "model"), executor="native")


@given(st.lists(LABELS, min_size=1, max_size=6), st.data())
def test_figures_are_those_of_seqeval(gold: list[list[str]], data: st.DataObject) -> None:
    gold = [iob2(labels) for labels in gold]
    said = [iob2(data.draw(st.lists(st.sampled_from(labeller.LABELS), min_size=len(g), max_size=len(g)))) for g in gold]
    found = {figure.name: figure.value for figure in figures(gold, said, [], 0)}
    assert found["f1"] == pytest.approx(100 * f1_score(gold, said, zero_division=0))
    assert found["precision"] == pytest.approx(100 * precision_score(gold, said, zero_division=0))
    assert found["recall"] == pytest.approx(100 * recall_score(gold, said, zero_division=0))


@given(LABELS)
def test_iob1_and_iob2_name_the_same_entities(labels: list[str]) -> None:
    assert chunks(iob2(labels)) == chunks(labels)


def test_a_file_is_read_whatever_its_columns() -> None:
    [first, second] = read_columns(IOB1, "conll")
    assert first.words == ["Anna", "Karenina", "saw", "Sofia"]
    assert first.labels == ["B-PER", "I-PER", "O", "B-LOC"] and second.labels == ["O"]
    [marked] = read_columns("en:Sofia\tB-LOC\nen::\tO\n", "wikiann")
    assert marked.words == ["Sofia", ":"]
    [plain] = read_columns("en:Sofia\tB-LOC\nis\tO\n", "other")
    assert plain.words == ["en:Sofia", "is"]
    [spaced] = read_columns("10\u00a0km\tO\r\n\u00a0 O\n\u2003\tB-LOC\n", "spaces")
    assert spaced.words == ["10\u00a0km", "\u00a0", "\u2003"]
    for wrong in ("", "\n\n", "word\n", "word I\n", "a B-\n"):
        with pytest.raises(DataError):
            read_columns(wrong, "wrong")


def test_types_are_called_by_the_models_names() -> None:
    labels = ["B-person", "I-person", "O", "B-product", "B-LOC"]
    assert renamed(labels, {"PER", "LOC"}) == ["B-PER", "I-PER", "O", "O", "B-LOC"]


def test_an_evaluation_has_figures_items_and_what_decided_them(model: Any, tmp_path: Path) -> None:
    (tmp_path / "test.conll").write_text(IOB1 + "\nNew I-LOC\nYork I-LOC\nto O\nSofia B-ORG\n")
    made = evaluate(Asked(data=tmp_path / "test.conll", model=model))
    found = {figure.name: figure.value for figure in made.figures}
    assert found["recall"] == 100 and found["precision"] == 75  # Sofia was an ORG there, which the model does not know
    assert made.files[0].rows == 3 and made.settings["types"] == ["LOC", "PER"]
    assert made.settings["only_data"] == ["ORG"] and made.settings["only_model"] == []
    [worst] = made.failures(1)
    assert (worst.expected, worst.got) == ("LOC New York", "LOC New York; LOC Sofia")
    assert len(evaluate(Asked(data=tmp_path / "test.conll", model=model, limit=1)).items) == 1
    (tmp_path / "other.conll").write_text("a B-X\n")
    with pytest.raises(DataError, match="no type that"):
        evaluate(Asked(data=tmp_path / "other.conll", model=model))
