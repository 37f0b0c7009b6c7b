"""From a treebank's annotation to the trees parsers are trained on and scored against.

Gone are traces and the constituents they leave empty, function tags and indices (`NP-SBJ-1` is `NP`), and the nameless
root; Collins 1999, section 7.1, and every parser since evaluated on the Penn Treebank does the same. Chains of
constituents over the same words can be joined into one label, and split again.
"""

import re
from dataclasses import replace

from clearhead.errors import DataError
from clearhead.trees.tree import Tree, rebuilt

TRACE = "-NONE-"
ROOTS = ("", "TOP", "ROOT", "S1", "VROOT")
ADDITION = re.compile(r"(?<=.)[-=|].*")  # -LRB- and its like begin with the sign
JOINT = "+"  # S+VP: an S whose only child is a VP


def cleaned(tree: Tree) -> Tree | None:
    """A tree without traces, function tags, indices and nameless root; None where no word is left."""
    clean = rebuilt(tree, clean_node)
    return None if clean is None else without_root(clean)


def clean_node(node: Tree, children: tuple[Tree, ...]) -> Tree | None:
    """One node of a clean tree."""
    if node.is_leaf:
        return None if node.label == TRACE else node
    return replace(node, label=ADDITION.sub("", node.label), children=children) if children else None


def without_root(tree: Tree) -> Tree:
    """The sentence's own constituent; a root over several things, or over a lone word, stays, named TOP."""
    if tree.is_leaf:
        return Tree(label="TOP", children=(tree,))
    if tree.label not in ROOTS:
        return tree
    [*children] = tree.children
    return children[0] if len(children) == 1 and not children[0].is_leaf else replace(tree, label="TOP")


def joined(tree: Tree) -> Tree:
    """Every constituent that is another's only child, joined with it: then each has a word or two children at least.

    Raises:
        DataError: a label that holds a plus sign.
    """
    return rebuilt(tree, join_node) or tree


def join_node(node: Tree, children: tuple[Tree, ...]) -> Tree:
    """One node of a joined tree."""
    if node.is_leaf:
        return node
    if JOINT in node.label:
        raise DataError(f"the label {node.label!r:.40} holds {JOINT!r}, which joins labels; rename it")
    [only, *more] = children
    if more or only.is_leaf:
        return replace(node, children=children)
    return replace(only, label=node.label + JOINT + only.label)


def split(tree: Tree) -> Tree:
    """What `joined` joined, apart again."""
    return rebuilt(tree, split_node) or tree


def split_node(node: Tree, children: tuple[Tree, ...]) -> Tree:
    """One node of a joined tree as a chain."""
    if node.is_leaf:
        return node
    return chain(node.label.split(JOINT), children)


def chain(labels: list[str], children: tuple[Tree, ...]) -> Tree:
    """Constituents over the same words, the outermost first."""
    tree = Tree(label=labels[-1], children=children)
    for label in reversed(labels[:-1]):
        tree = Tree(label=label, children=(tree,))
    return tree
