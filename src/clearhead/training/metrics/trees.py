"""What predicted trees score: evalb's figures, and whether each can be read as a tree over the very words given."""

from collections.abc import Sequence
from typing import Any

from clearhead.errors import DataError
from clearhead.trees.brackets import plain, read_trees
from clearhead.trees.f1 import score
from clearhead.trees.linear import Scheme
from clearhead.trees.tree import Tree

COUNTED = (
    "labelled brackets of all sentences together, by evalb's COLLINS.prm: without the root, and without punctuation as "
    "the gold tags say; ADVP and PRT are one"
)
ASIDE = {
    "precision": "of the brackets predicted",
    "recall": "of the gold brackets",
    "complete_match": "sentences whose brackets all agree",
}
TAGGING = "words without punctuation whose tag is right"
READABLE = "outputs that read as one tree over the very words given"


def tree_scores(gold: Sequence[Tree], said: Sequence[Tree], scheme: Scheme) -> dict[str, Any]:
    """F1, precision, recall, complete match as percentages, and crossing brackets a sentence; tagging where tags are
    predicted.

    Raises:
        DataError: not as many trees on one side as on the other.
    """
    counts = score(gold, said)
    shares = {name: getattr(counts, name) for name in ("f1", "precision", "recall", "complete_match", "no_crossing")}
    found: dict[str, Any] = {name: round(100 * share, 2) for name, share in shares.items()}
    found |= {"crossing_brackets": round(counts.crossing_brackets, 3), "brackets": counts.gold}
    found["f1_counted"] = COUNTED
    found |= {f"{name}_counted": what for name, what in ASIDE.items()}
    if scheme.leaves == "tag":
        found |= {"tagging": round(100 * counts.tagging_accuracy, 2), "tagging_counted": TAGGING}
    return found


def readable(said: Sequence[str], words: Sequence[Sequence[str]]) -> dict[str, Any]:
    """The percentage of bracketed texts that are well-formed trees over their sentences' words."""
    right = sum(well_formed(text, own) for text, own in zip(said, words, strict=True))
    return {"well_formed": round(100 * right / len(said), 2), "well_formed_counted": READABLE}


def well_formed(text: str, words: Sequence[str]) -> bool:
    """Whether a text is one tree over these words, read as anybody's program would read it."""
    try:
        found = list(read_trees(text))
    except DataError:
        return False
    return len(found) == 1 and list(map(plain, found[0].words)) == list(map(plain, words))
