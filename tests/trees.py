"""Trees to test with: invented sentences in the treebank's notation, random trees, and trees made wrong on purpose."""

import random
from dataclasses import replace
from pathlib import Path

import nltk
from hypothesis import strategies as st

from clearhead.trees.brackets import read_trees
from clearhead.trees.cleaning import cleaned
from clearhead.trees.tree import Tree, rebuilt

# With traces, indices, functions, chains of constituents, brackets among the words, and roots of every kind.
ANNOTATED = r"""
( (S
    (NP-SBJ-1 (DT The) (JJ old) (NN gardener))
    (VP (VBD wanted)
      (S
        (NP-SBJ (-NONE- *-1))
        (VP (TO to)
          (VP (VB water)
            (NP (DT the) (NNS roses))
            (PP-TMP (IN before) (NP (NN noon)))))))
    (. .)) )
( (SINV (`` ``) (S-TPC-2 (NP-SBJ (PRP It)) (VP (VBZ snows))) (, ,) ('' '')
    (VP (VBD said) (SBAR (-NONE- 0) (S (-NONE- *T*-2))))
    (NP-SBJ (NNP Ada)) (. .)))
(TOP (NP (NP (CD 3\/4)) (PP (IN of) (NP (DT the) (NN cake)))
    (PRN (-LRB- -LRB-) (ADVP|PRT (RB nearly)) (-RRB- -RRB-))) (: ;))
(ROOT (FRAG (ADVP=3 (RB Not)) (NP-TMP (NP (NN today)))))
(S (NP (EX There)) (VP (VBZ is) (NP (DT a) (NN moth)) (PRT (RP in))) (. .))
((UH Ouch))
( (SQ (VBZ Does) (NP-SBJ (DT the) (NN kettle)) (VP (VB sing) (ADJP-PRD (QP (RB almost) (CD two) (NNS times)))) (. ?)) )
"""
GOLD = [tree for tree in map(cleaned, read_trees(ANNOTATED)) if tree is not None]
LABELS = ("NP", "VP", "PP", "S", "ADVP", "PRT", "SBAR")
TAGS = ("NN", "DT", "VB", ",", "``", ".", "IN")


def treebank(data: Path) -> list[Path]:
    """The files of the treebank's sample."""
    return sorted((data / "treebank").glob("*.mrg"))


@st.composite
def trees(draw: st.DrawFn, most_words: int = 8) -> Tree:
    """Any tree over up to so many words, chains of constituents included, with a constituent at its top."""
    words = [Tree(label=draw(st.sampled_from(TAGS)), word=draw(st.sampled_from("abcdef"))) for _ in range(most_words)]
    children = words[: draw(st.integers(1, most_words))]
    while len(children) > 1 or children[0].is_leaf or draw(st.booleans()):
        first = draw(st.integers(0, len(children) - 1))
        last = draw(st.integers(first, len(children) - 1))
        children[first : last + 1] = [
            Tree(label=draw(st.sampled_from(LABELS)), children=tuple(children[first : last + 1]))
        ]
    return children[0]


def spoiled(tree: Tree, rate: float, rng: random.Random) -> Tree:
    """Another tree over the same words: labels changed, brackets taken out, put in and doubled, each at this rate."""

    def spoil(node: Tree, children: tuple[Tree, ...]) -> Tree:
        if node.is_leaf:
            return (
                replace(node, label=rng.choice(TAGS[:3])) if node.label[0].isalpha() and rng.random() < rate else node
            )
        kept = list(children)
        if rng.random() < rate:
            kept = [below for child in kept for below in (child.children or (child,))]
        if len(kept) > 2 and rng.random() < rate:
            first = rng.randrange(len(kept) - 1)
            last = rng.randrange(first + 1, len(kept))
            kept[first : last + 1] = [Tree(label=rng.choice(LABELS), children=tuple(kept[first : last + 1]))]
        label = rng.choice(LABELS) if rng.random() < rate else node.label
        doubled = Tree(label=rng.choice(LABELS), children=tuple(kept)) if rng.random() < rate / 3 else None
        return Tree(label=label, children=tuple(kept) if doubled is None else (doubled,))

    return rebuilt(tree, spoil) or tree


def as_nltk(tree: Tree) -> nltk.Tree:
    """The same tree in NLTK's class, built without reading brackets."""
    if tree.word is not None:
        return nltk.Tree(tree.label, [tree.word])
    return nltk.Tree(tree.label, [as_nltk(child) for child in tree.children])
