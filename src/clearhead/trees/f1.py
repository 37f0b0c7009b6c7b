"""Bracketing precision, recall and F1 by the conventions of evalb (Sekine and Collins 1997) with its COLLINS.prm.

Two trees over the same words are compared as bags of labelled spans (Black et al. 1991, "PARSEVAL"):

- Words with punctuation tags are taken out before spans are counted, and so are traces; a constituent left without
  words does not count. The root (TOP) does not count either; everything else above the tags does.
- ADVP and PRT are one label. Function tags and indices are cut off.
- A span that occurs twice must be found twice. Counts are summed over a corpus before they are divided.
- A pair of trees over different words is an error: it is counted, and left out of all sums.
- Complete match: all brackets of both trees agree. Crossing: predicted brackets that overlap some gold one without
  either holding the other. Tagging accuracy is over the words that are left.

evalb takes out punctuation by each tree's own tags, so that a wrong tag on a comma makes the pair an error. Here the
gold tree's tags decide for both, as if the predicted tree had been given them; where punctuation is tagged right, there
is no difference.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import accumulate

from clearhead.errors import DataError
from clearhead.trees.cleaning import ROOTS, TRACE
from clearhead.trees.tree import Span, Tree, spans

FUNCTION = re.compile(r"(?<=.)[-=].*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Conventions:
    """What is left out and what is taken for the same; the defaults are COLLINS.prm's."""

    roots: frozenset[str] = frozenset(ROOTS)
    punctuation: frozenset[str] = frozenset({",", ":", "``", "''", "."})  # tags
    same: tuple[tuple[str, str], ...] = (("PRT", "ADVP"),)  # the first counts as the second

    def label(self, label: str) -> str:
        """A label as it is compared."""
        bare = FUNCTION.sub("", label)
        return dict(self.same).get(bare, bare)


COLLINS = Conventions()
EVERYTHING = Conventions(roots=frozenset(), punctuation=frozenset(), same=())


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """What one pair of trees, or a whole corpus, adds up to."""

    sentences: int = 0
    errors: int = 0  # pairs over different words; in none of the sums below
    gold: int = 0  # brackets
    predicted: int = 0
    matched: int = 0
    crossing: int = 0
    complete: int = 0  # sentences whose brackets all agree
    without_crossing: int = 0  # sentences
    words: int = 0  # without punctuation
    tags: int = 0  # right ones

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(Counts)})

    @property
    def scored(self) -> int:
        """Sentences that are in the sums."""
        return self.sentences - self.errors

    @property
    def precision(self) -> float:
        """Share of predicted brackets that are right; 0 where there are none."""
        return ratio(self.matched, self.predicted)

    @property
    def recall(self) -> float:
        """Share of gold brackets that were found; 0 where there are none."""
        return ratio(self.matched, self.gold)

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        return ratio(2 * self.matched, self.gold + self.predicted)

    @property
    def complete_match(self) -> float:
        """Share of sentences whose brackets all agree."""
        return ratio(self.complete, self.scored)

    @property
    def crossing_brackets(self) -> float:
        """Crossing brackets in a sentence, on average."""
        return ratio(self.crossing, self.scored)

    @property
    def no_crossing(self) -> float:
        """Share of sentences without a crossing bracket."""
        return ratio(self.without_crossing, self.scored)

    @property
    def tagging_accuracy(self) -> float:
        """Share of words, without punctuation, whose tag is right."""
        return ratio(self.tags, self.words)


def ratio(part: int, whole: int) -> float:
    """part / whole; 0 of nothing is 0."""
    return part / whole if whole else 0.0


def score(gold: Sequence[Tree], predicted: Sequence[Tree], conventions: Conventions = COLLINS) -> Counts:
    """The sums over a corpus; predicted[i] is held against gold[i].

    Raises:
        DataError: not as many trees on one side as on the other.
    """
    if len(gold) != len(predicted):
        raise DataError(f"there are {len(gold)} gold trees and {len(predicted)} predicted ones; give one for each")
    return sum((compare(*pair, conventions) for pair in zip(gold, predicted, strict=True)), Counts())


def compare(gold: Tree, predicted: Tree, conventions: Conventions = COLLINS) -> Counts:
    """The counts of one pair."""
    theirs, ours = without_traces(gold), without_traces(predicted)
    if [leaf.word for leaf in theirs] != [leaf.word for leaf in ours]:
        return Counts(sentences=1, errors=1)
    kept = [leaf.label not in conventions.punctuation for leaf in theirs]
    wanted, found = brackets(gold, kept, conventions), brackets(predicted, kept, conventions)
    matched = (Counter(wanted) & Counter(found)).total()
    crossing = sum(any(cross(one, other) for other in wanted) for one in found)
    return Counts(
        sentences=1,
        gold=len(wanted),
        predicted=len(found),
        matched=matched,
        crossing=crossing,
        complete=int(matched == len(wanted) == len(found)),
        without_crossing=int(crossing == 0),
        words=sum(kept),
        tags=sum(keep and a.label == b.label for keep, a, b in zip(kept, theirs, ours, strict=True)),
    )


def without_traces(tree: Tree) -> list[Tree]:
    """The leaves that are words of the sentence."""
    return [leaf for leaf in tree.leaves() if leaf.label != TRACE]


def brackets(tree: Tree, kept: Sequence[bool], conventions: Conventions) -> list[Span]:
    """The spans that count, over the words that are kept; `kept` says so for each that is no trace."""
    left = iter(kept)
    counted = [leaf.label != TRACE and next(left) for leaf in tree.leaves()]
    at = list(accumulate(counted, initial=0))  # [words + 1]: where a word stands once others are gone
    named = ((conventions.label(span.label), at[span.start], at[span.end]) for span in spans(tree))
    return [Span(*one) for one in named if one[1] < one[2] and one[0] not in conventions.roots]


def cross(one: Span, other: Span) -> bool:
    """Whether two spans overlap and neither holds the other."""
    return one.start < other.start < one.end < other.end or other.start < one.start < other.end < one.end
