"""The plan of an essay: what each paragraph is about, and its share of the words.

A plan is what keeps a small model on its way: asked for 300 words it writes what it likes, asked for one paragraph
about one point it mostly does that.
"""

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from clearhead.engine.model import Model
from clearhead.engine.options import Options
from clearhead.errors import OptionError
from clearhead.generation.prefill import Cancelled
from clearhead.tasks.writing.asking import request
from clearhead.tasks.writing.repetition import words

Role = Literal["introduction", "body", "conclusion", "whole"]
WORDS = 75  # of a paragraph, about
POINT_TOKENS = 32  # a point is a few words; a longer one is cut to its first clause
POINTS = 12  # that a model is asked for; a longer essay has several paragraphs on each
TRIES = 4  # to get a point unlike those before
# a mark stands apart from what follows, unlike 3.5, 10:30 and -5
MARK = re.compile(r"^(?:[-*+•#]+(?:\s+|$|(?=[^\W\d]))|(?:\(?\d{1,3}[.):]|\(?[a-z][.)]|\(?[A-Z]\))(?:\s+|$))")
LETTERED = re.compile(r"([A-Z])\.\s+")
ENDING = re.compile(r"[\s.;:,]+$")
MOST_ITEMS = 100
HOTTEST = 1.5  # temperature that trying again is raised to
SEEDS = 2**63  # how many there are


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A paragraph to write."""

    point: str  # what it is about; empty for an introduction or a conclusion
    role: Role
    share: float  # of the words of the whole, relative to the other sections


def read_outline(text: str) -> tuple[str, ...]:
    """The points of an outline, one a line, without the marks and numbers before them.

    Raises:
        OptionError: it has none, or more than `MOST_ITEMS`.
    """
    lines = [line.strip() for line in text.splitlines()]
    bare = without_letters([line[mark.end() :] if (mark := MARK.match(line)) else line for line in lines])
    found = tuple(point for line in bare if (point := ENDING.sub("", line)))
    if not found:
        raise OptionError("the outline has no points; give one a line")
    if len(found) > MOST_ITEMS:
        raise OptionError(f"the outline has {len(found)} points; at most {MOST_ITEMS} make one essay")
    return found


def without_letters(lines: Sequence[str]) -> Sequence[str]:
    """Lines without the capitals before them where these count, A. B. C.; else they are initials, as in J. S. Bach."""
    marks = [(n, found) for n, line in enumerate(lines) if (found := LETTERED.match(line))]
    letters = "".join(found[1] for _, found in marks)
    if len(letters) < 2 or not string.ascii_uppercase.startswith(letters):
        return lines
    ends = {n: found.end() for n, found in marks}
    return [line[ends.get(n, 0) :] for n, line in enumerate(lines)]


def sections_of(points: tuple[str, ...], length: int, *, framed: bool) -> list[Section]:
    """The paragraphs on these points, several on each where the length asks for them.

    `framed` puts an introduction before them and a conclusion after.
    """
    each = max(1, round(length / WORDS / max(1, len(points) + 2 * framed)))
    body = [Section(point=point, role="body", share=1 / each) for point in points for _ in range(each)]
    if not framed:
        return body
    first, last = Section(point="", role="introduction", share=1), Section(point="", role="conclusion", share=1)
    return [first, *body, last]


def paragraphs(length: int) -> int:
    """How many paragraphs so many words make."""
    return max(1, round(length / WORDS))


def planned(model: Model, title: str, length: int, drawing: Options, cancelled: Cancelled) -> list[Section]:
    """The sections of an essay of which there is a title alone; its points are the model's own."""
    many = paragraphs(length)
    if many < 3:
        share = [Section(point="", role="whole", share=1)]
        return share if many == 1 else [replace(share[0], role="introduction"), replace(share[0], role="conclusion")]
    return sections_of(ask_points(model, title, min(POINTS, many - 2), drawing, cancelled), length, framed=True)


def ask_points(model: Model, title: str, n: int, drawing: Options, cancelled: Cancelled) -> tuple[str, ...]:
    """`n` points that a model would make, no two alike; fewer where it has no more to say.

    The numbers of the list are written for it, so that there are as many as wanted.
    """
    instruction = (
        f'Write an outline for an essay with the title "{title}": {n} different points, one a line, each of three to '
        "eight words. Write no introduction and no conclusion."
    )
    found: list[str] = []
    said = "1."
    for attempt in range(n * TRIES):
        if len(found) == n or cancelled():
            break
        options: Options = {**drawing, "max_new_tokens": POINT_TOKENS, "stop": ["\n"], "min_new_tokens": 2}
        done = request(model, instruction, said, again(options, attempt)).complete(cancelled)
        point = tidy(done.new_text)
        if point and not any(alike(point, other) for other in found):
            found.append(point)
            said += f" {point}\n{len(found) + 1}."
    return tuple(found)


def again(options: Options, attempt: int) -> Options:
    """The options of another attempt: other draws, and each more daring than the one before."""
    made: Options = {**options, "seed": next_seed(options, attempt)}
    if attempt:
        warmer = max(0.7, options.get("temperature", 0.0)) + 0.05 * min(attempt, 10)
        made["temperature"] = max(options.get("temperature", 0.0), min(warmer, HOTTEST))
    return made


def next_seed(options: Options, by: int) -> int:
    """The seed so many after the one given; after the largest comes 0."""
    return ((options.get("seed") or 0) + by) % SEEDS


def tidy(text: str) -> str:
    """A point as a few words: its first clause, without marks."""
    first = re.split(r"[.;:\n]|\s[-–—]\s", MARK.sub("", text.strip().replace("**", ""), count=1), maxsplit=1)[0]
    return ENDING.sub("", " ".join(first.split())).strip("\"'“”")


def alike(one: str, other: str) -> bool:
    """Whether two points are mostly the same words."""
    a, b = set(words(one)), set(words(other))
    return not a or not b or len(a & b) > 0.6 * min(len(a), len(b))
