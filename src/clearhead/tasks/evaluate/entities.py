"""Entities measured: F1 of whole spans over annotated sentences, by the conventions of CoNLL.

Data are columns, a word a line, as the shared task wrote them (Tjong Kim Sang and De Meulder 2003, cs/0306050); words
are taken as they are cut there. Types that only the model or only the data have are counted as no entity, and named in
the settings.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clearhead.errors import DataError
from clearhead.tasks.entities.find import open_tagger
from clearhead.tasks.evaluate.asked import Asked
from clearhead.tasks.evaluate.files import read
from clearhead.tasks.evaluate.metrics.bootstrap import Rows, interval_of
from clearhead.tasks.evaluate.report import Evaluation, Figure, Item
from clearhead.training.metrics.chunks import COUNTED, chunks

BLANK, COLUMN = " \t\r", re.compile("[ \t\r]+")  # other spaces, such as one that breaks no line, are part of a word
# What other annotations call the three types that every one of them has.
SAME: Mapping[str, str] = {
    "person": "PER", "location": "LOC", "geo-loc": "LOC", "corporation": "ORG", "group": "ORG", "company": "ORG",
    "organization": "ORG", "PERSON": "PER", "GPE": "LOC", "LOCATION": "LOC", "ORGANIZATION": "ORG",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sentence:
    """Words and their labels, in IOB2."""

    words: list[str]
    labels: list[str]


def evaluate(asked: Asked) -> Evaluation:
    """F1, precision and recall of entities, of all types together and F1 of each.

    Raises:
        DataError: data in another form.
        UnsupportedError: a model without labels for words.
    """
    text = read(asked.data)
    sentences = read_columns(text.text, asked.data.name)
    used = sentences[: asked.limit]
    tagger = open_tagger(asked.model, asked.machine)
    known = set(tagger.types)
    gold = [renamed(sentence.labels, known) for sentence in used]
    shared = {label[2:] for labels in gold for label in labels if label != "O"} & known
    if not shared:
        raise DataError(f"{asked.data.name} has no type that {tagger.model.name} finds ({', '.join(tagger.types)})")
    said = list(asked.watched(tagger.label([sentence.words for sentence in used]), len(used)))
    found = [[label if label[2:] in shared else "O" for label in labels] for labels in said]
    return Evaluation(
        task="entities",
        model=tagger.model.name,
        executor=tagger.model.executor.name,
        dtype=tagger.model.executor.dtype,
        figures=figures(gold, found, sorted(shared), asked.seed),
        items=[item(s, right, got) for s, right, got in zip(used, gold, found, strict=True)],
        files=[text.file(len(sentences))],
        counted="sentence",
        there=len(sentences),
        settings={
            "types": sorted(shared),
            "only_model": sorted(known - shared),
            "only_data": strange(used, known),
        },
    )


def figures(gold: Sequence[list[str]], found: Sequence[list[str]], types: Sequence[str], seed: int) -> list[Figure]:
    """Percentages with the interval that drawing sentences gives."""
    counts = np.array([counted(a, b, None) for a, b in zip(gold, found, strict=True)])  # [R, (right, gold, found)]

    def f1(rows: Rows | slice) -> float:
        right, there, said = counts[rows].sum(axis=0)
        return 200.0 * float(right) / max(1.0, float(there + said))

    low, high = interval_of(f1, len(counts), seed=seed)
    right, there, said = (float(n) for n in counts.sum(axis=0))
    made = [
        Figure(name="f1", value=f1(slice(None)), low=low, high=high, unit="%", how=COUNTED),
        Figure(name="precision", value=100 * right / max(1.0, said), unit="%", how=COUNTED),
        Figure(name="recall", value=100 * right / max(1.0, there), unit="%", how=COUNTED),
    ]
    for kind in types:
        own = np.sum([counted(a, b, kind) for a, b in zip(gold, found, strict=True)], axis=0)
        value = 200.0 * float(own[0]) / max(1.0, float(own[1] + own[2]))
        made.append(Figure(name=f"f1 {kind}", value=value, unit="%", how=f"{COUNTED}; {int(own[1])} in the data"))
    return made


def counted(gold: list[str], found: list[str], kind: str | None) -> tuple[int, int, int]:
    """Entities that are right, that there are, and that were found; of one type, or of all."""
    there, said = ({c for c in chunks(labels) if kind in (None, c[0])} for labels in (gold, found))
    return len(there & said), len(there), len(said)


def item(sentence: Sentence, gold: list[str], found: list[str]) -> Item:
    """A sentence by its own F1; one without entities on either side is right."""
    right, there, said = counted(gold, found, None)
    score = 2 * right / (there + said) if there + said else 1.0
    return Item(
        input=" ".join(sentence.words),
        expected=spelled(sentence.words, gold),
        got=spelled(sentence.words, found),
        scores={"f1": score},
    )


def spelled(words: Sequence[str], labels: list[str]) -> str:
    """Entities as people read them."""
    return "; ".join(f"{kind} {' '.join(words[start:end])}" for kind, start, end in chunks(labels))


def renamed(labels: Sequence[str], known: set[str]) -> list[str]:
    """Labels by the model's own names for their types; O for what it does not know."""
    types = [label[2:] if label[2:] in known else SAME.get(label[2:], "") for label in labels]
    return [f"{label[:2]}{kind}" if kind in known else "O" for label, kind in zip(labels, types, strict=True)]


def strange(sentences: Sequence[Sentence], known: set[str]) -> list[str]:
    """The types of the data that the model does not find, by the data's own names."""
    there = {label[2:] for sentence in sentences for label in sentence.labels if label != "O"}
    return sorted(name for name in there if name not in known and SAME.get(name) not in known)


def read_columns(text: str, name: str) -> list[Sentence]:
    """Sentences of a file in CoNLL's columns, IOB1 or IOB2.

    Raises:
        DataError: a line without a label, or no sentence at all.
    """
    found: list[Sentence] = []
    words: list[str] = []
    labels: list[str] = []
    for number, line in enumerate([*text.split("\n"), ""], start=1):
        if not line.strip(BLANK) or line.startswith("-DOCSTART-"):
            if words:
                found.append(Sentence(words, iob2(labels)))
            words, labels = [], []
            continue
        cells = [cell for cell in COLUMN.split(line) if cell]
        label = cells[-1]
        if len(cells) < 2 or (label != "O" and (label[:2] not in ("B-", "I-") or len(label) < 3)):
            raise DataError(f"{name}, line {number}: {line.strip()[:40]!r} has no label such as O or B-PER at its end")
        words.append(cells[0])
        labels.append(label)
    if not found:
        raise DataError(f"{name} has no sentence; give a word and its label on each line, an empty line between")
    if all(is_marked(word) for sentence in found for word in sentence.words):
        return [Sentence([word[3:] for word in sentence.words], sentence.labels) for sentence in found]
    return found


def is_marked(word: str) -> bool:
    """Whether a word has its language before it, as in WikiANN (en:London)."""
    return len(word) > 3 and word[2] == ":" and word[:2].isalpha() and word[:2].islower()


def iob2(labels: list[str]) -> list[str]:
    """Labels of IOB1 or IOB2 as IOB2: what goes on with nothing begins."""
    before, made = "O", list[str]()
    for label in labels:
        begins = label.startswith("I-") and before[2:] != label[2:]
        made.append(f"B-{label[2:]}" if begins else label)
        before = label
    return made
