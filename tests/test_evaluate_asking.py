"""Searches and answers measured: by the formulas of the papers, on collections small enough to count by hand."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import clearhead as ch
from clearhead.errors import DataError
from clearhead.tasks.ask.asker import Asker
from clearhead.tasks.ask.found import Weights
from clearhead.tasks.evaluate import answers as measured
from clearhead.tasks.evaluate.asked import Asked
from clearhead.tasks.evaluate.files import read
from clearhead.tasks.evaluate.metrics.answers import squad_scores
from clearhead.tasks.evaluate.metrics.ranking import ndcg_at
from clearhead.tasks.evaluate.questions import KINDS, Question, draw, read_passages, read_squad
from clearhead.tasks.evaluate.retrieval import evaluate, read_collection
from real import find
from scripted_model import ScriptedModel

DOCS = {"1": ("the bell", "cast by petrov"), "2": ("rope", "made of hemp"), "3": ("clock", "bought in vienna")}
QUERIES = {"3": "who cast the bell", "7": "where was the clock bought"}  # numbered as Cranfield's are: by no order


def collection(folder: Path, judged: str = "1 0 1 1\n1 0 2 -1\n2 0 3 1\n") -> Path:
    """A collection in the three files of Cranfield."""
    folder.mkdir()
    docs = "".join(
        f"<doc>\n<docno>{n}</docno>\n<title>{t}</title>\n<text>{t}\n{x}</text>\n</doc>\n" for n, (t, x) in DOCS.items()
    )
    (folder / "all.xml").write_text(docs)
    tops = "".join(f"<top>\n<num> {n}</num>\n<title>\n{text} .\n</title>\n</top>\n" for n, text in QUERIES.items())
    (folder / "qry.xml").write_text(f"<xml>{tops}</xml>")
    (folder / "qrel.txt").write_text(judged)
    (folder / "notes.md").write_text("not of the collection")
    return folder


def test_ndcg_by_hand() -> None:
    gains = {"a": 3.0, "b": 2.0, "c": -1.0}
    assert ndcg_at(10, gains, ["a", "b"]) == 1.0
    best = 3 + 2 / math.log2(3)
    assert ndcg_at(10, gains, ["c", "b", "x", "a"]) == pytest.approx((2 / math.log2(3) + 3 / math.log2(5)) / best)
    assert ndcg_at(1, gains, ["b", "a"]) == pytest.approx(2 / 3)
    assert ndcg_at(10, {}, ["a"]) == ndcg_at(10, {"a": 0.0}, ["a"]) == ndcg_at(10, gains, []) == 0.0


@settings(deadline=None)  # the first draw imports scikit-learn
@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(-1, 4)), st.permutations("abcdef"), st.integers(1, 6))
def test_ndcg_is_that_of_scikit_learn(gains: dict[str, int], ranked: list[str], k: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    truth = np.array([[max(0, gains.get(name, 0)) for name in "abcdef"]])
    scores = np.array([[-ranked.index(name) for name in "abcdef"]])
    expected = metrics.ndcg_score(truth, scores, k=k) if truth.any() else 0.0
    assert ndcg_at(k, {n: float(g) for n, g in gains.items()}, ranked) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("answer", "references", "exact", "f1"),
    [
        ("The Beatles!", ["beatles"], 1.0, 1.0),
        ("a glass case", ["glass case suspended from the lid", "case"], 0.0, 2 / 3),
        ("in 1881", ["1881"], 0.0, 2 / 3),
        ("nothing", ["else"], 0.0, 0.0),
        ("", [], 1.0, 1.0),
        ("something", [], 0.0, 0.0),
        ("the", ["an"], 1.0, 1.0),
    ],
)
def test_scores_of_answers_by_hand(answer: str, references: list[str], exact: float, f1: float) -> None:
    assert squad_scores(answer, references) == (exact, pytest.approx(f1))


def test_queries_are_judged_by_their_order_where_numbers_differ(tmp_path: Path) -> None:
    found = read_collection(collection(tmp_path / "c"))
    assert found.documents["1"] == ("the bell", "the bell cast by petrov")
    assert found.queries == {"1": "who cast the bell .", "2": "where was the clock bought ."}
    assert found.judged == {"1": {"1": 1.0, "2": -1.0}, "2": {"3": 1.0}}
    assert found.in_order and [rows for _, rows in found.files] == [3, 3, 2]  # documents, judgements, queries
    by_name = read_collection(collection(tmp_path / "d", "3 0 1 1\n"))
    assert by_name.queries["3"] == "who cast the bell ."


def test_a_search_is_measured_with_its_parts(tmp_path: Path) -> None:
    encoder = ch.load(find("minilm-l6-v2"), threads=1)
    told: list[tuple[int, int]] = []
    asked = Asked(data=collection(tmp_path / "c"), model=encoder, progress=lambda *step: told.append(step))
    made = evaluate(asked)
    assert [done for done, _ in told] == list(range(1, len(told) + 1)) and set(of for _, of in told) == {len(told)}
    assert (made.counted, made.there) == ("query", 2)
    figures = {figure.name: figure.value for figure in made.figures}
    assert figures["ndcg@10"] == figures["words ndcg@10"] == figures["meaning ndcg@10"] == 1.0
    assert made.settings["documents"] == 3 and made.settings["queries"] == 2
    assert made.items[0].got.split()[0] == "1" and made.items[0].expected == "1"


def test_topics_that_are_not_there_renumber_nothing(tmp_path: Path) -> None:
    """The judgements of a whole conference, and two of its topics: 3 and 7, of which the judgements know 7."""
    found = read_collection(collection(tmp_path / "c", "1 0 1 1\n2 0 2 1\n7 0 3 1\n"))
    assert not found.in_order and found.queries["7"] == "where was the clock bought ."


def test_topics_as_trec_writes_them(tmp_path: Path) -> None:
    folder = collection(tmp_path / "c", "301 0 1 1\n302 0 3 1\n")
    topics = "".join(
        f"<top>\n\n<num> Number: {n}\n<title> Topic: {text}\n\n<desc> Description:\nMore.\n\n<narr> N:\nx\n</top>\n"
        for n, text in ((301, "who cast the bell"), (302, "the clock"))
    )
    (folder / "qry.xml").write_text(topics)
    found = read_collection(folder)
    assert found.queries == {"301": "who cast the bell", "302": "the clock"} and not found.in_order
    for number, says in (("", "query 2 has no number"), (" Number: 301", "query 2 has the number 301 a second time")):
        (folder / "qry.xml").write_text(topics.replace(" Number: 302", number))
        with pytest.raises(DataError, match=says):
            read_collection(folder)


@pytest.mark.parametrize(
    ("remove", "judged", "says"),
    [
        ("all.xml", "1 0 1 1\n", "has no documents"),
        ("qry.xml", "1 0 1 1\n", "has no queries"),
        ("qrel.txt", "1 0 1 1\n", "has no judgements"),
        (None, "1 0 1\n", "qrel.txt:1 is no judgement"),
        (None, "1 0 1 0\n", "has no query with a relevant document"),
    ],
)
def test_a_folder_that_is_no_collection_is_told(tmp_path: Path, remove: str | None, judged: str, says: str) -> None:
    folder = collection(tmp_path / "c", judged)
    if remove is not None:
        (folder / remove).unlink()
    with pytest.raises(DataError, match=says):
        evaluate(Asked(data=folder))
    with pytest.raises(DataError, match="is no folder"):
        evaluate(Asked(data=tmp_path / "nowhere"))


def squad(folder: Path, paragraphs: int = 40) -> Path:
    """Questions in SQuAD's format: of each paragraph two with an answer and one without."""
    entries = []
    for n in range(paragraphs):
        context = f"Number {n} is kept by keeper{n} in room{n}, and nobody has ever opened its door."
        qas: list[dict[str, Any]] = [
            {"id": f"{n}{kind}", "question": f"Who keeps number {n}?", "answers": [{"text": f"keeper{n}"}]}
            for kind in "ab"
        ]
        qas.append({"id": f"{n}c", "question": f"Who opened number {n}?", "answers": [], "is_impossible": True})
        entries.append({"context": context, "qas": qas})
    file = folder / "squad.json"
    file.write_text(json.dumps({"version": "v2.0", "data": [{"title": "The_rooms", "paragraphs": entries}]}))
    return file


def test_of_what_was_left_out_no_paragraph_is_there(tmp_path: Path) -> None:
    paragraphs, questions = read_squad(read(squad(tmp_path)))
    assert paragraphs[0][0] == "The rooms" and len(questions) == 120
    drawn = draw(paragraphs, questions, [("More", "text")], 8, 3, tmp_path)
    held = {text for _, text in drawn.documents}
    places = [question.paragraph for kind in drawn.asked.values() for question in kind]
    assert [len(drawn.asked[kind]) for kind in KINDS] == [8, 2, 2] and len(set(places)) == 12
    for kind in ("answerable", "impossible"):
        assert all(paragraphs[question.paragraph][1] in held for question in drawn.asked[kind])
    assert not any(paragraphs[question.paragraph][1] in held for question in drawn.asked["left out"])
    assert all(bool(q.answers) for q in drawn.asked["left out"]) and not any(
        q.answers for q in drawn.asked["impossible"]
    )
    assert drawn == draw(paragraphs, questions, [("More", "text")], 8, 3, tmp_path)
    with pytest.raises(DataError, match="questions that are"):
        draw(paragraphs, questions, [], 100, 3, tmp_path)


def test_questions_that_chose_the_weights_are_not_asked() -> None:
    kept = [Question("", 0, (), name).is_kept for name in map(str, range(1000))]
    assert 400 < sum(kept) < 600 and Question("", 0, ()).is_kept


def test_answers_are_measured_against_the_model_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that copies from the first passage: right with documents, wrong without."""

    def says(messages: Any) -> str:
        asked = messages[-1]["content"]
        return asked.split("kept by ")[1].split()[0] if "kept by " in asked else "nobody"

    model = ScriptedModel(says, refusal=lambda messages: -9.0)
    monkeypatch.setattr(measured, "instruction_model", lambda *_a: model)
    model.executor = type("E", (), {"name": "mock", "dtype": "float32"})()  # type: ignore[attr-defined]
    weights = Weights(constant=9.0, refusal=-0.001, closeness=0.0)
    monkeypatch.setattr(measured, "open_asker", lambda r, **_o: Asker(retriever=r, model=model, weights=weights))  # type: ignore[arg-type]
    find("minilm-l6-v2")
    told: list[tuple[int, int]] = []
    made = measured.evaluate(Asked(data=squad(tmp_path), limit=8, seed=1, progress=lambda *step: told.append(step)))
    documents = made.settings["documents"]
    assert [done for done, _ in told] == list(range(1, documents + 2 * 12 + 8 + 1)), "a step for all that takes time"
    assert told[-1][0] == told[-1][1] and all(done <= of for done, of in told)
    assert "PASSAGE" in str(made.settings["prompt"]) and "QUESTION" in str(made.settings["prompt"])
    assert "QUESTION" in str(made.settings["prompt_without_documents"])
    assert "PASSAGE" not in str(made.settings["prompt_without_documents"])
    figures = {figure.name: figure.value for figure in made.figures}
    assert figures["no documents f1"] == 0.0 and figures["times f1 without documents"] == math.inf
    assert figures["exact"] == figures["f1"] > 50
    assert made.settings["questions"] == {"answerable": 8, "left out": 2, "impossible": 2}
    assert [item.note for item in made.items] == ["answerable"] * 8 + ["left out"] * 2 + ["impossible"] * 2


def test_other_paragraphs_come_from_either_form(tmp_path: Path) -> None:
    lines = tmp_path / "more.jsonl"
    lines.write_text('{"title": "T", "passage": "one  two"}\n{"passage": "three"}\n')
    assert read_passages(read(lines)) == [("T", "one two"), ("", "three")]
    assert len(read_passages(read(squad(tmp_path)))) == 40
    lines.write_text('{"text": "x"}\n')
    with pytest.raises(DataError, match=r"more\.jsonl:1 has no passage"):
        read_passages(read(lines))
    (tmp_path / "other.json").write_text("[1]")
    with pytest.raises(DataError, match="not in SQuAD's format"):
        read_squad(read(tmp_path / "other.json"))
