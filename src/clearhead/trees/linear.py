"""A tree as the sequence of symbols a decoder writes, and back (Vinyals et al. 2015, 1412.7449, section 2.2).

Their form of `(S (NP (DT The) (NN cat)) (VP (VBZ sleeps)))` is `(S (NP XX XX )NP (VP XX )VP )S`: labelled brackets, and
one mark for "the next word" whatever its tag. That needs millions of sentences, for all that says which word a mark
stands for is their number. Made for some thousands of them, ours departs from it:

- *spelled*: behind each mark a decoder reads the word itself, in the pieces its vocabulary has for it. They are not
  chosen, since only these may come, but what decides about a bracket then sees the words around it, and attention
  finds their place in the source by what they are.
- *numbered*: source and tree number the words, so that attention finds a word's place by a token that both have:
  of a few thousand sentences, Transformer and RNN alike learn more with numbers than without.
- Constituents over the same words are one bracket with a joint label, `(S+VP`. Sequences are shorter, every bracket
  holds a word or two children at least, and so a sentence has finitely many trees (`automaton`).
- *leaves*: a mark may be the word's tag, which the decoder then predicts; the sequence is no longer for it.
- *order*: a bracket may open behind its first child, `XX (NP XX )NP (S XX (VP )VP )S`, when more is known of what it
  holds (Fernandez-Gonzalez and Gomez-Rodriguez 2020, 2005.13334).

Closing brackets keep their labels, as theirs do: what was closed is read off the last symbol, not off all before it,
and the same paper found that it helps.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from clearhead.errors import DataError
from clearhead.trees.automaton import Order, State
from clearhead.trees.cleaning import joined, split
from clearhead.trees.tree import Tree

MARK = "XX"
Leaves = Literal["mark", "tag"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scheme:
    """How trees are written; the paper's way is not spelled."""

    order: Order = "top-down"
    leaves: Leaves = "mark"
    spelled: bool = True  # by `training.parsing`, whose vocabulary has the pieces; symbols are the same either way
    numbered: bool = False  # likewise


def linearized(tree: Tree, scheme: Scheme) -> list[str]:
    """The symbols of a tree."""
    found: list[str] = []
    waiting: list[Tree | str] = [joined(tree)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, str):
            found.append(node)
        elif node.is_leaf:
            found.append(node.label if scheme.leaves == "tag" else MARK)
        else:
            opening, first, *rest = "(" + node.label, *node.children
            begin: list[Tree | str] = [opening, first] if scheme.order == "top-down" else [first, opening]
            waiting += reversed([*begin, *rest, ")" + node.label])
    return found


def follows(state: State, symbol: str) -> State | None:
    """The state after a symbol, or None where it may not come next."""
    if symbol.startswith("("):
        return state.opened(symbol[1:])
    if symbol.startswith(")"):
        right = state.top is not None and symbol == ")" + state.top.label
        return state.closed() if right else None
    return state.read()


def tree_of(symbols: Sequence[str], leaves: Sequence[Tree], scheme: Scheme) -> Tree:
    """The tree that symbols write over a sentence, whose words are given as leaves; the inverse of `linearized`.

    With `scheme.leaves` "tag" the tags are those of the symbols, else those of the leaves.

    Raises:
        DataError: symbols that are no tree over these words; names the first that is wrong.
    """
    state = State(order=scheme.order, words=len(leaves), room=5 * len(leaves))
    building = Building(leaves, scheme)
    for place, symbol in enumerate(symbols):
        after = follows(state, symbol)
        if after is None:
            raise DataError(f"symbol {place}, {symbol!r:.40}, cannot come there in a tree over {len(leaves)} words")
        building.take(symbol)
        state = after
    if not state.complete:
        raise DataError(f"{len(symbols)} symbols end before they are a tree over {len(leaves)} words")
    return split(building.levels[0][0])


class Building:
    """Constituents while they are read: one list of children for the sentence, and for each open bracket in it."""

    def __init__(self, leaves: Sequence[Tree], scheme: Scheme) -> None:
        self.scheme = scheme
        self.left = iter(leaves)
        self.labels: list[str] = []
        self.levels: list[list[Tree]] = [[]]

    def take(self, symbol: str) -> None:
        """Read one symbol that may come here."""
        if symbol.startswith("("):
            self.labels.append(symbol[1:])
            self.levels.append([self.levels[-1].pop()] if self.scheme.order == "in-order" else [])
        elif symbol.startswith(")"):
            tree = Tree(label=self.labels.pop(), children=tuple(self.levels.pop()))
            self.levels[-1].append(tree)
        else:
            leaf = next(self.left)
            self.levels[-1].append(replace(leaf, label=symbol) if self.scheme.leaves == "tag" else leaf)


def symbols_of(trees: Iterable[Tree], scheme: Scheme) -> list[str]:
    """Every symbol that writes these trees, the most frequent first."""
    counts = Counter(symbol for tree in trees for symbol in linearized(tree, scheme))
    return sorted(counts, key=lambda symbol: (-counts[symbol], symbol))
