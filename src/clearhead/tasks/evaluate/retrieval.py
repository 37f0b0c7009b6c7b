"""A search measured: nDCG@10 over a collection with judged queries, of all its parts together and of each alone.

Data are the three files that the TREC conferences and the collections before them use: documents and queries in a
markup of theirs, and judgements, four columns a line. Cranfield lies so (Cleverdon 1967). Judgements may count queries
in their order, whatever numbers these have: so it is in Cranfield, and the settings say which it was.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clearhead.engine.model import Model
from clearhead.errors import DataError
from clearhead.tasks.ask.rerank import Scorer, open_scorer
from clearhead.tasks.ask.retrieve import By, Retriever
from clearhead.tasks.ask.sqlite import SqliteStore
from clearhead.tasks.ask.store import Store
from clearhead.tasks.embed import open_encoder
from clearhead.tasks.evaluate.asked import Asked
from clearhead.tasks.evaluate.collecting import fill
from clearhead.tasks.evaluate.files import Text, read
from clearhead.tasks.evaluate.metrics.ranking import ndcg_at
from clearhead.tasks.evaluate.report import Evaluation, Figure, Item, mean_figure

K = 10
# what may lie beside a collection
OTHER = frozenset({".json", ".jsonl", ".gz", ".zip", ".tar", ".tgz", ".pdf", ".py", ".md"})
FETCHED = 60  # passages, of which several may be of one document
HOW = "gain as judged|log2(rank + 1)"
DOCUMENT = re.compile(r"<doc>(.*?)</doc>", re.DOTALL | re.IGNORECASE)
QUERY = re.compile(r"<top>(.*?)</top>", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Collection:
    """Documents (title and text by name), queries by name, and how relevant what is for which."""

    documents: Mapping[str, tuple[str, str]]
    queries: Mapping[str, str]
    judged: Mapping[str, Mapping[str, float]]
    files: tuple[tuple[Text, int], ...]  # each with how many documents, queries or judgements it has
    in_order: bool = False  # whether judgements count queries in their order, by no number of theirs


def evaluate(asked: Asked) -> Evaluation:
    """nDCG@10 of the search as `clearhead ask` does it, of words alone, of meaning alone, and of both in one sum.

    Raises:
        DataError: a folder without documents, queries and judgements in these forms.
        UnsupportedError: a model that is no encoder.
    """
    collection = read_collection(asked.data)
    encoder = open_encoder(asked.model, asked.machine)
    scorer = open_scorer(None, asked.machine)
    every = [name for name in collection.queries if any(gain > 0 for gain in collection.judged.get(name, {}).values())]
    if not every:
        raise DataError(f"{asked.data} has no query with a relevant document")
    names = every[: asked.limit]
    with SqliteStore(Path(":memory:")) as store:
        ways = retrievers(store, encoder, scorer)
        before, of = len(collection.documents), len(collection.documents) + len(ways) * len(names)
        fill(store, encoder, asked.watched(bodies(collection), of))
        ranked: dict[str, list[list[str]]] = {}
        for how, retriever in ways.items():
            ranked[how] = [rank(retriever, collection.queries[name]) for name in asked.watched(names, of, before)]
            before += len(names)
        held = store.count()
    scores = {
        how: [ndcg_at(K, collection.judged[name], each) for name, each in zip(names, lists, strict=True)]
        for how, lists in ranked.items()
    }
    return Evaluation(
        task="retrieval",
        model=encoder.name,
        executor=encoder.executor.name,
        dtype=encoder.executor.dtype,
        figures=[figure(how, values, asked.seed) for how, values in scores.items()],
        items=[item(collection, name, i, ranked, scores) for i, name in enumerate(names)],
        files=[text.file(rows) for text, rows in collection.files],
        counted="query",
        there=len(every),
        settings={
            "documents": len(collection.documents),
            "passages": held,
            "queries": len(names),
            "numbered": "in their order" if collection.in_order else "by their own numbers",
            "reranker": scorer is not None,
        },
    )


def retrievers(store: Store, encoder: Model, scorer: Scorer | None) -> dict[str, Retriever]:
    """The ways to search that are compared; the first is what people get."""
    found = {"all": Retriever(store=store, encoder=encoder, scorer=scorer)}
    if scorer is not None:
        found["not reranked"] = Retriever(store=store, encoder=encoder)
    ways: tuple[By, ...] = ("words", "meaning")
    return found | {by: Retriever(store=store, encoder=encoder, by=by) for by in ways}


def figure(how: str, values: Sequence[float], seed: int) -> Figure:
    """The mean over queries."""
    return mean_figure(f"ndcg@{K}" if how == "all" else f"{how} ndcg@{K}", values, how=HOW, seed=seed)


def item(
    collection: Collection,
    name: str,
    place: int,
    ranked: Mapping[str, Sequence[Sequence[str]]],
    scores: Mapping[str, Sequence[float]],
) -> Item:
    """One query, and what was found for it."""
    right = [document for document, gain in collection.judged[name].items() if gain > 0]
    return Item(
        input=collection.queries[name],
        expected=" ".join(right),
        got=" ".join(ranked["all"][place][:K]),
        scores={how: values[place] for how, values in scores.items()},
    )


def bodies(collection: Collection) -> Iterator[tuple[str, str, str]]:
    """Name, title and text of every document; Cranfield's texts begin with their titles."""
    for name, (title, text) in collection.documents.items():
        yield name, title, text.removeprefix(title).strip()


def rank(retriever: Retriever, query: str) -> list[str]:
    """The documents that a search finds, each once, by its best passage."""
    return list(dict.fromkeys(hit.passage.file for hit in retriever.find(query, FETCHED)))


def read_collection(folder: Path) -> Collection:
    """The collection of a folder; its files are told apart by what they hold.

    Raises:
        DataError: one of the three is missing, or a judgement is damaged.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; give one with documents, queries and judgements (Cranfield's files)")
    documents: dict[str, tuple[str, str]] = {}
    queries: dict[str, str] = {}
    judged: dict[str, dict[str, float]] = {}
    files = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in OTHER or not path.is_file() or path.name.startswith("."):
            continue
        text = read(path)
        if found := read_documents(text.text):
            documents |= found
            rows = len(found)
        elif topics := read_queries(text):
            queries |= topics
            rows = len(topics)
        elif "qrel" in path.name.lower():
            judged = read_judgements(text)
            rows = sum(map(len, judged.values()))
        else:
            continue
        files.append((text, rows))
    missing = [
        what
        for what, there in (("documents", documents), ("queries", queries), ("judgements (qrel in the name)", judged))
        if not there
    ]
    if missing:
        raise DataError(f"{folder} has no {' and no '.join(missing)}")
    if in_order := are_in_order(judged, queries):
        queries = {str(place): text for place, text in enumerate(queries.values(), start=1)}
    return Collection(documents, queries, judged, tuple(files), in_order)


def are_in_order(judged: Mapping[str, object], queries: Mapping[str, str]) -> bool:
    """Whether judgements count the queries from 1 on, though these have other numbers, as in Cranfield.

    They do where some judgement names no query and none a place beyond the last. That some number is on both sides says
    nothing: Cranfield's queries are 1, 2, 4, 8, ..., its judgements 1, 2, 3, 4, ...
    """
    places = {str(place) for place in range(1, len(queries) + 1)}
    return not judged.keys() <= queries.keys() and judged.keys() <= places


def read_documents(text: str) -> dict[str, tuple[str, str]]:
    """Title and text of every document, by its name."""
    return {
        name: (inner(found[1], "title"), inner(found[1], "text"))
        for found in DOCUMENT.finditer(text)
        if (name := inner(found[1], "docno"))
    }


def read_queries(text: Text) -> dict[str, str]:
    """Every query, by the number it has there; TREC's own topics name their fields once more ("Number: 301").

    Raises:
        DataError: one without a number, or two of one.
    """
    queries: dict[str, str] = {}
    for place, found in enumerate(QUERY.finditer(text.text), start=1):
        number = inner(found[1], "num").removeprefix("Number:").strip()
        if not number or number in queries:
            what = f"has the number {number} a second time" if number else "has no number"
            raise DataError(f"{text.path}: query {place} {what}; give each a <num> of its own")
        queries[number] = inner(found[1], "title").removeprefix("Topic:").strip()
    return queries


def read_judgements(text: Text) -> dict[str, dict[str, float]]:
    """For each query the gains of documents: query, a column without use, document, gain."""
    judged: dict[str, dict[str, float]] = {}
    for number, line in enumerate(text.lines(), start=1):
        cells = line.split()
        if not cells:
            continue
        try:
            query, _, document, gain = cells
            judged.setdefault(query, {})[document] = float(gain)
        except ValueError:
            raise DataError(f"{text.path}:{number} is no judgement: {line[:40]!r}; four columns are") from None
    return judged


def inner(text: str, tag: str) -> str:
    """What stands in an element, on one line; one that is not closed ends where the next begins."""
    found = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL | re.IGNORECASE)
    if found is None:
        found = re.search(rf"<{tag}>(.*?)(?=</?[a-z]|\Z)", text, re.DOTALL | re.IGNORECASE)
    return " ".join(found[1].split()) if found else ""
