"""Answers from documents measured: exact match and F1 over questions in SQuAD's format, and how often there is none.

The documents are the paragraphs of the questions that are asked, mixed with others: the rest of the file's, and those
of a second file (`references`, JSON Lines with a `passage`). Questions without an answer are of two kinds. Of some the
paragraph was left out, though others of its article are there: that is what a person meets who asks what the documents
do not hold. Others were written to look as if a paragraph answered them, where it does not (Rajpurkar, Jia and Liang
2018, 1806.03822): they are counted by themselves, for only a trained reader tells them apart.

Half of a file's questions, by their names, served to choose when nothing is found (`benchmarks/not_found.py`); only the
others are asked here. The same model answers the same questions without any documents, to show what it knows by itself.
"""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

from clearhead.engine.model import Model
from clearhead.errors import DataError
from clearhead.tasks.ask.ask import open_asker
from clearhead.tasks.ask.asker import Answer, Asker
from clearhead.tasks.ask.index import meanings, tokens
from clearhead.tasks.ask.ingest import Block
from clearhead.tasks.ask.passages import SIZE, Passage, passages
from clearhead.tasks.ask.prompt import NEW_TOKENS, alone
from clearhead.tasks.ask.rerank import open_scorer
from clearhead.tasks.ask.retrieve import Retriever
from clearhead.tasks.ask.sqlite import SqliteStore
from clearhead.tasks.ask.store import File, Kind, Store
from clearhead.tasks.choice import instruction_model
from clearhead.tasks.embed import open_encoder
from clearhead.tasks.evaluate.asked import Asked
from clearhead.tasks.evaluate.files import Text, is_json_lines, objects, read
from clearhead.tasks.evaluate.metrics.answers import SIGNATURE, squad_scores
from clearhead.tasks.evaluate.report import Evaluation, Figure, Item, mean_figure

QUESTIONS = 200  # that are asked and have an answer; a quarter of them of each kind that has none
OTHERS = 2000  # paragraphs that are mixed among theirs
KINDS = ("answerable", "left out", "impossible")


@dataclass(frozen=True, slots=True)
class Question:
    """A question over a paragraph; without answers it has none there."""

    text: str
    paragraph: int
    answers: tuple[str, ...]
    name: str = ""

    @property
    def is_kept(self) -> bool:
        """Whether it is for evaluation; those of the other half were seen when the product was made."""
        return not self.name or crc32(self.name.encode()) % 2 == 1


@dataclass(frozen=True, slots=True)
class Drawn:
    """What is asked, by kind, and the paragraphs (title and text) that are the documents."""

    asked: Mapping[str, list[Question]]
    documents: list[tuple[str, str]]


def evaluate(asked: Asked) -> Evaluation:
    """Exact match and F1 of short answers, shares of *not found*, and the scores of the model by itself.

    `limit` is the number of answerable questions (200), drawn by `seed`.

    Raises:
        DataError: data in another form, or too few questions.
        UnsupportedError: a model that follows no instructions.
    """
    text = read(asked.data)
    paragraphs, questions = read_squad(text)
    files, more = [text.file(len(questions))], list[tuple[str, str]]()
    if asked.references is not None:
        other = read(asked.references)
        more = read_passages(other)
        files.append(other.file(len(more)))
    kept = [question for question in questions if question.is_kept]
    drawn = draw(paragraphs, kept, more, asked.limit or QUESTIONS, asked.seed, text.path)
    model = instruction_model(asked.model, asked.machine)
    encoder, scorer = open_encoder(None, asked.machine), open_scorer(None, asked.machine)
    with SqliteStore(Path(":memory:")) as store:
        fill(store, encoder, drawn.documents)
        asker = open_asker(Retriever(store=store, encoder=encoder, scorer=scorer), model=model, length="short")
        answers = answered(asker, drawn, asked)
    bare = by_itself(model, drawn.asked["answerable"])
    return Evaluation(
        task="answers",
        model=model.name,
        executor=model.executor.name,
        dtype=model.executor.dtype,
        figures=figures(drawn, answers, bare, asked.seed),
        items=[
            item(kind, question, answer)
            for kind in KINDS
            for question, answer in zip(drawn.asked[kind], answers[kind], strict=True)
        ],
        files=files,
        settings={
            "documents": len(drawn.documents),
            "questions": {kind: len(drawn.asked[kind]) for kind in KINDS},
            "passages": asker.passages,
            "least": asker.least,
            "reranker": scorer is not None,
            "encoder": encoder.name,
            "seed": asked.seed,
            "prompt": [dict(message) for message in alone("QUESTION", "short")],
        },
    )


def draw(
    paragraphs: Sequence[tuple[str, str]],
    questions: Sequence[Question],
    more: Sequence[tuple[str, str]],
    count: int,
    seed: int,
    path: Path,
) -> Drawn:
    """At most one question of each paragraph, and the documents.

    Raises:
        DataError: too few paragraphs with such questions.
    """
    generator = random.Random(seed)
    order = list(range(len(paragraphs)))
    generator.shuffle(order)
    few = max(1, count // 4)
    wanted = {"answerable": count, "left out": few, "impossible": few}
    asked: dict[str, list[Question]] = {kind: [] for kind in KINDS}
    own: dict[int, list[Question]] = {}
    for question in questions:
        own.setdefault(question.paragraph, []).append(question)
    for place in order:
        for kind in KINDS:
            fitting = [each for each in own.get(place, []) if bool(each.answers) != (kind == "impossible")]
            if fitting and len(asked[kind]) < wanted[kind]:
                asked[kind].append(generator.choice(fitting))
                break
    for kind in KINDS:
        if len(asked[kind]) < wanted[kind]:
            raise DataError(
                f"{path} has {len(asked[kind])} paragraphs for questions that are {kind}, not {wanted[kind]}"
            )
    away = {paragraphs[question.paragraph][1] for question in asked["left out"]}
    held = list(dict.fromkeys(paragraphs[each.paragraph] for kind in KINDS for each in asked[kind]))
    rest = [each for each in dict.fromkeys([*(paragraphs[place] for place in order), *more]) if each not in held]
    documents = [each for each in [*held, *rest[: OTHERS + len(away)]] if each[1] not in away]
    return Drawn(asked, documents[: count + few + OTHERS])


def fill(store: Store, encoder: Model, documents: Sequence[tuple[str, str]]) -> None:
    """Each paragraph as a document under its title."""
    store.begin(Kind(encoder=encoder.name, width=encoder.config.d_model, size=SIZE))
    for number, (title, text) in enumerate(documents):
        block = Block(text=text, headings=(title,) if title else ())
        cut: list[Passage] = list(passages(str(number), [block], lambda part: tokens(encoder, part)))
        store.replace(File(path=str(number), size=0, mtime_ns=0, sha256=""), cut, meanings(encoder, cut))


def answered(asker: Asker, drawn: Drawn, asked: Asked) -> dict[str, list[Answer]]:
    """The answers to all questions, by kind."""
    texts = [question.text for kind in KINDS for question in drawn.asked[kind]]
    made = iter(list(asked.watched(asker.many(texts), len(texts))))
    return {kind: [next(made) for _ in drawn.asked[kind]] for kind in KINDS}


def by_itself(model: Model, questions: Sequence[Question]) -> list[str]:
    """What the model answers without documents."""
    prompts = [alone(question.text, "short") for question in questions]
    done = model.complete_many(prompts, max_new_tokens=NEW_TOKENS["short"], temperature=0)
    return [completion.new_text for completion in done]


def figures(drawn: Drawn, answers: Mapping[str, Sequence[Answer]], bare: Sequence[str], seed: int) -> list[Figure]:
    """Percentages with their intervals, and how many times the F1 without documents it is."""
    questions = drawn.asked["answerable"]
    scores = [scored(answer, q) for answer, q in zip(answers["answerable"], questions, strict=True)]
    alone_scores = [squad_scores(text, q.answers) for text, q in zip(bare, questions, strict=True)]
    made = []
    for name, values in (("", scores), ("no documents ", alone_scores)):
        for place, metric in enumerate(("exact", "f1")):
            column = [each[place] for each in values]
            made.append(mean_figure(name + metric, column, unit="%", how=SIGNATURE, scale=100.0, seed=seed))
    for kind in KINDS:
        none = [float(not answer.found) for answer in answers[kind]]
        made.append(mean_figure(f"not found, {kind}", none, unit="%", scale=100.0, seed=seed))
    ratio = made[1].value / made[3].value if made[3].value else float("inf")
    return [*made, Figure(name="times f1 without documents", value=ratio)]


def scored(answer: Answer, question: Question) -> tuple[float, float]:
    """Exact match and F1; an answer that was not found has neither."""
    return squad_scores(answer.text if answer.found else "", question.answers)


def item(kind: str, question: Question, answer: Answer) -> Item:
    """One question, and what became of it."""
    if kind == "answerable":
        exact, f1 = scored(answer, question)
        scores = {"f1": f1, "exact": exact, "confidence": answer.confidence}
    else:
        scores = {"f1": float(not answer.found), "exact": float(not answer.found), "confidence": answer.confidence}
    return Item(
        input=question.text,
        expected=" | ".join(question.answers) or "not found",
        got=answer.text,
        scores=scores,
        note=kind,
    )


def read_squad(text: Text) -> tuple[list[tuple[str, str]], list[Question]]:
    """The paragraphs, each with the title of its article, and the questions over them.

    Raises:
        DataError: it is not in SQuAD's format.
    """
    paragraphs: list[tuple[str, str]] = []
    questions: list[Question] = []
    try:
        articles: list[Any] = json.loads(text.text)["data"]
        for article in articles:
            title = " ".join(str(article.get("title", "")).replace("_", " ").split())
            for paragraph in article["paragraphs"]:
                for entry in paragraph["qas"]:
                    answers = tuple(dict.fromkeys(str(answer["text"]) for answer in entry.get("answers", [])))
                    asked = " ".join(entry["question"].split())
                    questions.append(Question(asked, len(paragraphs), answers, str(entry.get("id", ""))))
                paragraphs.append((title, " ".join(paragraph["context"].split())))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{text.path} is not in SQuAD's format: {type(error).__name__} {str(error)[:60]}") from None
    return paragraphs, questions


def read_passages(text: Text) -> list[tuple[str, str]]:
    """Other paragraphs: of a file in SQuAD's format, or JSON Lines with a passage.

    Raises:
        DataError: another form.
    """
    if not is_json_lines(text) or '"paragraphs"' in text.text[:100_000]:
        return read_squad(text)[0]
    found = []
    for number, row in objects(text):
        if not isinstance(passage := row.get("passage"), str):
            raise DataError(f"{text.path}:{number} has no passage")
        found.append((str(row.get("title", "")), " ".join(passage.split())))
    return found
