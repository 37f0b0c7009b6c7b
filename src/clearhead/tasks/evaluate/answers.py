"""Answers from documents measured: exact match and F1 over questions in SQuAD's format, and how often there is none.

The documents are the paragraphs of the questions that are asked, mixed with others: the rest of the file's, and those
of a second file (`references`, JSON Lines with a `passage`). Questions without an answer are of two kinds. Of some the
paragraph was left out, though others of its article are there: that is what a person meets who asks what the documents
do not hold. Others were written to look as if a paragraph answered them, where it does not (Rajpurkar, Jia and Liang
2018, 1806.03822): they are counted by themselves, for only a trained reader tells them apart.

Half of a file's questions, by their names, served to choose when nothing is found (`benchmarks/not_found.py`); only the
others are asked here. The same model answers the same questions without any documents, to show what it knows by itself.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from clearhead.engine.model import Model
from clearhead.tasks.ask.ask import open_asker
from clearhead.tasks.ask.asker import Answer, Asker, Draft
from clearhead.tasks.ask.passages import Passage
from clearhead.tasks.ask.prompt import NEW_TOKENS, alone
from clearhead.tasks.ask.rerank import open_scorer
from clearhead.tasks.ask.retrieve import Hit, Retriever
from clearhead.tasks.ask.sqlite import SqliteStore
from clearhead.tasks.ask.watch import Watch
from clearhead.tasks.choice import instruction_model
from clearhead.tasks.embed import open_encoder
from clearhead.tasks.evaluate.asked import Asked, Progress, Row
from clearhead.tasks.evaluate.collecting import fill
from clearhead.tasks.evaluate.files import read
from clearhead.tasks.evaluate.metrics.answers import SIGNATURE, squad_scores
from clearhead.tasks.evaluate.questions import KINDS, Drawn, Question, draw, read_passages, read_squad
from clearhead.tasks.evaluate.report import Evaluation, Figure, Item, mean_figure

QUESTIONS = 200  # that are asked and have an answer; a quarter of them of each kind that has none


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
    watch = Steps(drawn, asked.progress)
    with SqliteStore(Path(":memory:")) as store:
        fill(store, encoder, watch.each(drawn.named()))
        asker = open_asker(Retriever(store=store, encoder=encoder, scorer=scorer), model=model, length="short")
        answers = answered(asker, drawn, watch)
    bare = list(watch.each(by_itself(model, drawn.asked["answerable"])))
    return Evaluation(
        task="answers",
        model=model.name,
        executor=model.executor.name,
        dtype=model.executor.dtype,
        figures=figures(drawn, answers, bare, asked.seed),
        items=items(drawn, answers),
        files=files,
        counted="question",
        settings=settings(drawn, asker, asked.seed),
    )


def settings(drawn: Drawn, asker: Asker, seed: int) -> dict[str, Any]:
    """What else decided the figures; prompts as they are with one passage, and without any."""
    passage = Passage(file="FILE", text="PASSAGE", headings=("TITLE",))
    hit = Hit(passage=passage, score=0.0, words=0.0, meaning=0.0)
    shown = asker.messages(Draft(question="QUESTION", hits=[hit], left_out=0), may_refuse=True)
    return {
        "documents": len(drawn.documents),
        "questions": {kind: len(drawn.asked[kind]) for kind in KINDS},
        "passages": asker.passages,
        "least": asker.least,
        "reranker": asker.retriever.scorer is not None,
        "encoder": asker.retriever.encoder.name,
        "seed": seed,
        "prompt": [dict(message) for message in shown],
        "prompt_without_documents": [dict(message) for message in alone("QUESTION", "short")],
    }


class Steps:
    """Counts what an evaluation does: documents that are read, questions searched for, answered, and asked alone.

    Whoever answers nothing is asked again, which nobody knows before: that many steps more are there then.
    """

    def __init__(self, drawn: Drawn, progress: Progress) -> None:
        self.progress, self.done = progress, 0
        self.questions = sum(map(len, drawn.asked.values()))
        self.of = len(drawn.documents) + 2 * self.questions + len(drawn.asked["answerable"])
        self.answering = 0

    def begin(self, description: str, total: int) -> None:
        """A stage of the asker's, see `ask.watch.Watch`."""
        if description == "answering":
            more = max(0, self.answering + total - self.questions)
            self.answering, self.of = min(self.questions, self.answering + total), self.of + more

    def advance(self, amount: int) -> None:
        """So many steps are done."""
        self.done += amount
        self.progress(self.done, max(self.of, self.done))

    def each(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The same rows, a step each."""
        for row in rows:
            yield row
            self.advance(1)


def answered(asker: Asker, drawn: Drawn, watch: Watch) -> dict[str, list[Answer]]:
    """The answers to all questions, by kind."""
    texts = [question.text for kind in KINDS for question in drawn.asked[kind]]
    made = iter(list(asker.many(texts, watch)))
    return {kind: [next(made) for _ in drawn.asked[kind]] for kind in KINDS}


def by_itself(model: Model, questions: Sequence[Question]) -> Iterator[str]:
    """What the model answers without documents."""
    prompts = [alone(question.text, "short") for question in questions]
    done = model.complete_many(prompts, max_new_tokens=NEW_TOKENS["short"], temperature=0)
    yield from (completion.new_text for completion in done)


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


def items(drawn: Drawn, answers: Mapping[str, Sequence[Answer]]) -> list[Item]:
    """All questions, kind by kind."""
    return [
        item(kind, question, answer)
        for kind in KINDS
        for question, answer in zip(drawn.asked[kind], answers[kind], strict=True)
    ]


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
