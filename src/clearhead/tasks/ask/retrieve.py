"""The passages that may answer a question: by words and by meaning, asked twice, and read once more side by side.

1. Words: BM25 (Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework"), over stems.
2. Meaning: the cosine of sentence embeddings (Reimers and Gurevych 2019, 1908.10084).
3. Both scores, each standardised over the passages that either found, are added (Lee 1997, "Analyses of multiple
   evidence combination"; Bruch et al. 2023, 2210.11934, find such sums ahead of reciprocal ranks, as we did).
4. The question's vector moves towards the best two passages, and both are added again: Rocchio's feedback (1971) with
   passages that nobody judged, over dense vectors (Li et al. 2021, 2108.11044).
5. Where there is a cross-encoder, it reads the best ten beside the question (Nogueira and Cho 2019, 1901.04085), and
   its score is added too.

The weights were chosen on half of Cranfield's queries, and checked on the others and on questions about Wikipedia
(docs/tasks.md). P passages that either found, N that are wanted, C the length of a vector.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from clearhead.engine.model import Model
from clearhead.errors import OptionError
from clearhead.executor import Floats
from clearhead.tasks.ask.passages import Passage
from clearhead.tasks.ask.rerank import Scorer
from clearhead.tasks.ask.store import Scored, Store
from clearhead.tasks.embed import embed

POOL = 100  # passages that each of the two searches brings
WORDS = 0.25  # share of BM25 in the sum; the rest is meaning's
FEEDBACK, MOVED = 2, 0.8  # passages that the question moves towards, and how far
READ, SIDE = 10, 0.15  # passages the cross-encoder reads, and the weight of its score, a logarithm of odds
QUERY = 254  # tokens of a question whose meaning is searched for; the rest counts by its words alone
By = Literal["all", "words", "meaning"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """A passage that was found, and why."""

    passage: Passage
    score: float  # by which it is ranked; comparable within one search only
    words: float  # BM25; 0 where words did not find it
    meaning: float  # the cosine
    side: float | None = None  # the cross-encoder's logarithm of odds that it answers; None: not read


@dataclass(frozen=True, kw_only=True, slots=True)
class Retriever:
    """A store, and the models that search it."""

    store: Store
    encoder: Model
    scorer: Scorer | None = None  # None: no cross-encoder
    by: By = "all"

    def find(self, question: str, n: int) -> list[Hit]:
        """The best `n` passages, the best first.

        Raises:
            OptionError: no question.
        """
        if not question.strip():
            raise OptionError("the question is empty; ask something")
        vector = embed(self.fitted(question), model=self.encoder)[0]
        with self.store.reading():
            found = self.searched(question, vector, n)
        return self.read(question, found)[:n] if self.by == "all" else found

    def searched(self, question: str, vector: Floats, n: int) -> list[Hit]:
        """What the store finds; of more than `n` passages where a cross-encoder will read them."""
        pool = max(POOL, n)
        words = self.store.by_words(question, pool)
        if self.by == "words":
            return self.hits(words, n, dict(words), vector)
        if self.by == "meaning":
            return self.hits(self.store.by_meaning(vector, pool), n, dict(words), vector)
        ranked = self.ranked(words, vector, pool)
        near = self.store.vectors([number for number, _, _ in self.different(ranked, FEEDBACK)])
        if len(near):
            moved = vector + MOVED * near.mean(axis=0)
            ranked = self.ranked(words, moved / np.linalg.norm(moved), pool)
        return self.hits(ranked, max(n, READ) if self.scorer else n, dict(words), vector)

    def ranked(self, words: Scored, vector: Floats, pool: int) -> Scored:
        """What either search finds, by the sum of both scores, the best first."""
        found = sorted({number for number, _ in [*words, *self.store.by_meaning(vector, pool)]})
        if not found:
            return []
        known = dict(words)
        least = min(known.values(), default=0.0)  # what words did not find has at most this much
        lexical = np.array([known.get(number, least) for number in found])
        sums = WORDS * standard(lexical) + (1 - WORDS) * standard(self.store.vectors(found) @ vector)
        return [(found[i], float(sums[i])) for i in np.argsort(-sums, kind="stable")]

    def different(self, ranked: Scored, n: int) -> list[tuple[int, float, Passage]]:
        """The first `n` that say something different: of passages with the same words, as in copies of a file, one."""
        found: dict[str, tuple[int, float, Passage]] = {}
        waiting = iter(ranked)
        while len(found) < n and (some := list(islice(waiting, n - len(found)))):
            passages = self.store.passages([number for number, _ in some])
            for (number, score), passage in zip(some, passages, strict=True):
                found.setdefault(passage.whole, (number, score, passage))
        return list(found.values())

    def hits(self, ranked: Scored, n: int, words: dict[int, float], vector: Floats) -> list[Hit]:
        """The first `n` different ones of these numbers and scores as passages."""
        chosen = self.different(ranked, n)
        numbers = [number for number, _, _ in chosen]
        cosines = self.store.vectors(numbers) @ vector if numbers else np.zeros(0, np.float32)
        return [
            Hit(passage=passage, score=score, words=words.get(number, 0.0), meaning=float(cosine))
            for (number, score, passage), cosine in zip(chosen, cosines, strict=True)
        ]

    def read(self, question: str, hits: Sequence[Hit]) -> list[Hit]:
        """The same, the first of them ranked anew with what the cross-encoder says."""
        if self.scorer is None or not hits:
            return list(hits)
        first, rest = hits[:READ], hits[READ:]
        said = self.scorer.scores(question, [hit.passage.whole for hit in first])
        scored = [
            Hit(passage=h.passage, score=h.score + SIDE * s, words=h.words, meaning=h.meaning, side=s)
            for h, s in zip(first, said, strict=True)
        ]
        return [*sorted(scored, key=lambda hit: -hit.score), *rest]

    def fitted(self, question: str) -> str:
        """As much of a question as the encoder reads."""
        tokenizer = self.encoder.tokenizer
        ids = tokenizer.encode(question, add_special_tokens=False, parse_special=False)
        return question if len(ids) <= QUERY else tokenizer.decode(ids[:QUERY])


def standard(scores: NDArray[np.floating]) -> NDArray[np.floating]:
    """Scores [P] with mean 0 and deviation 1; all 0 where they are equal."""
    spread = float(scores.std())
    return (scores - scores.mean()) / spread if spread > 1e-9 else np.zeros_like(scores)
