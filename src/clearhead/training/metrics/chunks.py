"""Entities found in labelled words, and how many of them are right, by the conventions of CoNLL.

Tjong Kim Sang and De Meulder 2003 (cs/0306050), section 2.3: an entity is right where its first word, its last word and
its type are all those of the annotation; precision, recall and F1 count entities of all types together.

Labels are IOB2: B-TYPE begins an entity, I-TYPE goes on with it, O is none. What a model writes may break that. It is
read as the shared task's scorer reads it: I-TYPE after O, or after another type, begins an entity.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from clearhead.errors import DataError

Chunk = tuple[str, int, int]  # type, first word, the one after the last
COUNTED = "CoNLL: exact spans and types of IOB2 labels, all types together; I- that goes on with nothing begins a span"


@dataclass(slots=True)
class Counts:
    """Entities of the annotation, those found, and those found that are right; the three scores are percentages."""

    gold: int = 0
    found: int = 0
    right: int = 0

    @property
    def precision(self) -> float:
        """Of what was found, how much is right; 0 where nothing was."""
        return 100 * self.right / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        """Of what there is, how much was found; 0 where there is nothing."""
        return 100 * self.right / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        return 200 * self.right / (self.found + self.gold) if self.found + self.gold else 0.0

    def add(self, gold: set[Chunk], found: set[Chunk]) -> None:
        """One more sentence."""
        self.gold += len(gold)
        self.found += len(found)
        self.right += len(gold & found)


@dataclass(frozen=True, slots=True)
class ChunkScore:
    """Of all types together, and of each."""

    all: Counts = field(default_factory=Counts)
    by_type: dict[str, Counts] = field(default_factory=dict)


def chunks(labels: Sequence[str]) -> list[Chunk]:
    """The entities of a sentence, in their order.

    Raises:
        DataError: a label that is neither O, nor B- or I- with a type.
    """
    found: list[Chunk] = []
    before = "O"
    for place, label in enumerate(labels):
        if label != "O":
            kind = type_of(label)
            if label.startswith("I-") and before != "O" and type_of(before) == kind:
                found[-1] = kind, found[-1][1], place + 1
            else:
                found.append((kind, place, place + 1))
        before = label
    return found


def type_of(label: str) -> str:
    """The type in a label."""
    if label[:2] not in ("B-", "I-") or len(label) < 3:
        raise DataError(f"the label {label[:40]!r} is neither O, nor B- or I- with a type; score accuracy, not f1")
    return label[2:]


def chunk_score(gold: Iterable[Sequence[str]], predicted: Iterable[Sequence[str]]) -> ChunkScore:
    """Scores of predicted labels, sentence by sentence.

    Raises:
        DataError: a label that is not IOB2's.
    """
    score = ChunkScore()
    for right, said in zip(gold, predicted, strict=True):
        there, found = set(chunks(right)), set(chunks(said))
        score.all.add(there, found)
        for kind in {chunk[0] for chunk in there | found}:
            of_kind = {c for c in there if c[0] == kind}, {c for c in found if c[0] == kind}
            score.by_type.setdefault(kind, Counts()).add(*of_kind)
    return score
