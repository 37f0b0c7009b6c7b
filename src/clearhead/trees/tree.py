"""A constituency tree: a leaf is a word under its tag, everything else a label over children.

Trees never change; what alters one makes another. All walks keep their own stack, so that depth is bounded by memory
and not by Python's recursion.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from clearhead.errors import DataError


@dataclass(frozen=True, kw_only=True, slots=True)
class Tree:
    """One constituent with all it dominates.

    Raises:
        DataError: neither children nor a word, or both.
    """

    label: str  # of a leaf: the word's part of speech
    children: tuple["Tree", ...] = ()
    word: str | None = None

    def __post_init__(self) -> None:
        if (self.word is None) == (not self.children):
            what = "both children and a word" if self.children else "neither children nor a word"
            raise DataError(f"a tree labelled {self.label!r:.40} has {what}; give it one of the two")

    @property
    def is_leaf(self) -> bool:
        """Whether this is a word under its tag."""
        return self.word is not None

    def subtrees(self) -> Iterator["Tree"]:
        """This tree and all below it, parents before children, left to right."""
        waiting = [self]
        while waiting:
            tree = waiting.pop()
            yield tree
            waiting.extend(reversed(tree.children))

    def leaves(self) -> list["Tree"]:
        """The words under their tags, left to right."""
        return [tree for tree in self.subtrees() if tree.is_leaf]

    @property
    def words(self) -> list[str]:
        """The sentence."""
        return [leaf.word or "" for leaf in self.leaves()]

    @property
    def tags(self) -> list[str]:
        """The part of speech of every word."""
        return [leaf.label for leaf in self.leaves()]


@dataclass(frozen=True, slots=True)
class Span:
    """A labelled stretch of words, [start, end)."""

    label: str
    start: int
    end: int


def spans(tree: Tree) -> list[Span]:
    """The span of every constituent above the leaves, parents before children, left to right."""
    found: list[Span] = []
    opened: list[int] = []  # of `found`, not yet closed
    waiting: list[Tree | None] = [tree]  # None: the constituent opened last ends here
    at = 0
    while waiting:
        node = waiting.pop()
        if node is None:
            index = opened.pop()
            found[index] = replace(found[index], end=at)
        elif node.is_leaf:
            at += 1
        else:
            opened.append(len(found))
            found.append(Span(node.label, at, at))
            waiting += [None, *reversed(node.children)]
    return found


def rebuilt(tree: Tree, make: Callable[[Tree, tuple[Tree, ...]], Tree | None]) -> Tree | None:
    """The tree made anew from its leaves up: make(node, its children as made) for every node; None leaves one out."""
    made: list[list[Tree]] = [[]]
    waiting: list[tuple[Tree, bool]] = [(tree, False)]
    while waiting:
        node, complete = waiting.pop()
        if not complete and node.children:
            made.append([])
            waiting += [(node, True), *((child, False) for child in reversed(node.children))]
            continue
        new = make(node, tuple(made.pop()) if complete else ())
        if new is not None:
            made[-1].append(new)
    return made[0][0] if made[0] else None


def with_tags(tree: Tree, tags: Sequence[str]) -> Tree:
    """The same tree with other parts of speech over its words.

    Raises:
        DataError: not one tag for each word.
    """
    words = tree.words
    if len(tags) != len(words):
        raise DataError(f"there are {len(tags)} tags for the {len(words)} words of a tree; give one for each")
    left = iter(tags)
    changed = rebuilt(
        tree, lambda node, new: replace(node, children=new, label=next(left) if node.is_leaf else node.label)
    )
    return changed or tree
