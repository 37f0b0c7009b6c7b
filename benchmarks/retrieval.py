"""The search of `clearhead ask` beside BM25 alone, by a library, and beside MiniLM alone, by whole documents.

    python benchmarks/retrieval.py FOLDER    # with Cranfield's documents, queries and judgements

BM25 is bm25s with its defaults (Lu 2024, 2407.03618), and once more with English stems. MiniLM reads each document as
far as its window reaches, or as far as sentence-transformers lets it by default (256 tokens). Everything ranks the same
documents for the same queries; differences are held against the paired bootstrap. The weights of our search were chosen
on every other query, beginning with the first, so the figure of the others stands beside that of all.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clearhead.engine.machine import Machine
from clearhead.engine.model import Model
from clearhead.tasks.embed import open_encoder
from clearhead.tasks.evaluate.asked import Asked
from clearhead.tasks.evaluate.metrics.bootstrap import difference
from clearhead.tasks.evaluate.metrics.ranking import ndcg_at
from clearhead.tasks.evaluate.retrieval import Collection, K, evaluate, read_collection

DEFAULT_WINDOW = 256  # of sentence-transformers' all-MiniLM-L6-v2
Scores = NDArray[np.float32]  # [queries, documents]


def by_bm25(collection: Collection, *, stems: bool) -> Scores:
    """BM25 of every document for every query, by bm25s."""
    import bm25s

    stemmer = None
    if stems:
        import Stemmer

        stemmer = Stemmer.Stemmer("english")

    def cut(texts: Sequence[str], *, ids: bool) -> object:
        return bm25s.tokenize(list(texts), stopwords="en", stemmer=stemmer, return_ids=ids, show_progress=False)

    index = bm25s.BM25()
    index.index(cut([text or title for title, text in collection.documents.values()], ids=True), show_progress=False)
    return np.stack([index.get_scores(words) for words in cut(list(collection.queries.values()), ids=False)])  # type: ignore[attr-defined]


def by_meaning(collection: Collection, encoder: Model, window: int) -> Scores:
    """Cosines of whole documents, each as far as the window reaches."""
    tokenizer = encoder.tokenizer

    def vectors(texts: Sequence[str]) -> Scores:
        rows = [tokenizer.encode(text) for text in texts]
        cut = [row if len(row) <= window else [*row[: window - 1], row[-1]] for row in rows]
        means = [encoder.executor.encode([row]).states[0].mean(axis=0) for row in cut]
        return np.stack([mean / np.linalg.norm(mean) for mean in means])

    documents = vectors([text or title for title, text in collection.documents.values()])
    return vectors(list(collection.queries.values())) @ documents.T


def ndcg(collection: Collection, scores: Scores, names: Sequence[str]) -> list[float]:
    """nDCG@10 of each query."""
    documents, places = list(collection.documents), {name: i for i, name in enumerate(collection.queries)}
    found = []
    for name in names:
        order = np.argsort(-scores[places[name]], kind="stable")[:K]
        found.append(ndcg_at(K, collection.judged[name], [documents[i] for i in order]))
    return found


def main() -> None:
    """Rank in every way, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    machine = Machine(threads=options.threads)
    collection, encoder = read_collection(options.folder), open_encoder(None, machine)
    names = [name for name in collection.queries if any(gain > 0 for gain in collection.judged.get(name, {}).values())]
    others: Mapping[str, Callable[[], Scores]] = {
        "bm25s, its defaults": lambda: by_bm25(collection, stems=False),
        "bm25s, stems": lambda: by_bm25(collection, stems=True),
        "MiniLM, whole documents of 256 tokens": lambda: by_meaning(collection, encoder, DEFAULT_WINDOW),
        "MiniLM, whole documents of 512 tokens": lambda: by_meaning(collection, encoder, encoder.config.max_positions),
    }
    found = {name: ndcg(collection, score(), names) for name, score in others.items()}
    made = evaluate(Asked(data=options.folder, model=encoder, machine=machine))
    own = {f"ask, {how}": [item.scores[how] for item in made.items] for how in made.items[0].scores}
    best = own["ask, all"]
    print(f"{len(names)} queries, {len(collection.documents)} documents, reranker: {made.settings['reranker']}")
    for name, values in {**found, **own}.items():
        mean, kept = float(np.mean(values)), float(np.mean(values[1::2]))
        gains = [100 * (np.mean(best) / mean - 1), 100 * (np.mean(best[1::2]) / kept - 1)]
        ahead = f"ask is {gains[0]:+.1f} %, of the others {gains[1]:+.1f} %"
        low, high = difference(best, values)
        print(f"{name:40} {mean:.4f}  others {kept:.4f}  {ahead}  difference {low:+.4f} to {high:+.4f}")


if __name__ == "__main__":
    main()
