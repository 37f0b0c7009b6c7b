"""Which questions are asked over which documents: from files in SQuAD's format, drawn by a seed, of three kinds."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

from clearhead.errors import DataError
from clearhead.tasks.evaluate.files import Text, is_json_lines, objects

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

    def named(self) -> Iterator[tuple[str, str, str]]:
        """The documents with a name each, their number."""
        return ((str(number), title, text) for number, (title, text) in enumerate(self.documents))


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
