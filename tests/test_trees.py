"""Trees: brackets against NLTK's reader, cleaning, linear forms and back, and evalb's scores against PYEVALB."""

import itertools
import random
import re
from functools import cache

import nltk
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PYEVALB import parser as pyevalb_parser
from PYEVALB import scorer as pyevalb_scorer

from clearhead.errors import DataError
from clearhead.trees.automaton import State
from clearhead.trees.brackets import bracketed, plain, read_file, read_trees
from clearhead.trees.cleaning import cleaned, joined, split
from clearhead.trees.f1 import COLLINS, EVERYTHING, Counts, compare, score
from clearhead.trees.linear import MARK, Scheme, linearized, symbols_of, tree_of
from clearhead.trees.tree import Span, Tree, spans, with_tags
from trees import ANNOTATED, GOLD, as_nltk, spoiled, treebank, trees

SCHEMES = [
    Scheme(order=order, leaves=leaves) for order, leaves in itertools.product(("top-down", "in-order"), ("mark", "tag"))
]


def one(text: str) -> Tree:
    """The only tree of a text."""
    [tree] = read_trees(text)
    return tree


# Brackets


def test_trees_read_like_nltk_reads_them():
    ours = list(read_trees(ANNOTATED))
    theirs = nltk.Tree.fromstring(f"(all {ANNOTATED})")
    assert [as_nltk(tree) for tree in ours] == list(theirs)
    assert len(ours) == 7


@given(trees())
def test_what_is_written_reads_as_the_same_tree(tree):
    assert one(bracketed(tree)) == tree
    assert nltk.Tree.fromstring(bracketed(tree)) == as_nltk(tree)


def test_the_whole_treebank_reads_cleans_and_writes_as_with_nltk(data):
    for path in treebank(data):
        theirs = nltk.Tree.fromstring(f"(all {path.read_text(encoding='utf-8')})")
        ours = read_file(path)
        assert [as_nltk(tree) for tree in ours] == list(theirs)
        for tree, other, scheme in zip(ours, theirs, itertools.cycle(SCHEMES), strict=False):
            clean = cleaned(tree)
            assert as_nltk(clean) == cleaned_by_nltk(other)[0]
            assert one(bracketed(clean)) == clean
            assert tree_of(linearized(clean, scheme), clean.leaves(), scheme) == clean


def cleaned_by_nltk(tree: nltk.Tree) -> nltk.Tree | None:
    """Cleaning written once more, over NLTK's trees; the root stays."""
    if isinstance(tree[0], str):
        return None if tree.label() == "-NONE-" else tree
    children = [child for child in map(cleaned_by_nltk, tree) if child is not None]
    return nltk.Tree(re.match(r".[^-=|]*|", tree.label()).group(), children) if children else None


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("(S (NP (NN a))", 1, "never closed"),
        ("(S (NN a))\n\n(S (NN b)\n(NN c)", 3, "never closed"),
        ("(S (NN a))\n)", 2, "outside every bracket"),
        ("(S (NN a))\nword", 2, "outside every bracket"),
        ("(S\n(NP )\n(NN a))", 2, "is empty"),
        ("()", 1, "is empty"),
        ("(S (NN a\nb))", 2, "'b' stands beside"),
        ("(S (NN a) b)", 1, "'b' stands beside"),
        ("(NN a (NN b))", 1, "beside the word 'a'"),
    ],
)
def test_what_is_no_tree_is_refused_with_its_line(text, line, problem):
    with pytest.raises(DataError, match=rf"^sample, line {line}: .*{problem}"):
        list(read_trees(text, "sample"))


def test_files_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "bad").write_bytes(b"(NN \xff)")
    for name in ("bad", "absent"):
        with pytest.raises(DataError, match=name):
            read_file(tmp_path / name)


def test_words_that_are_brackets_are_written_as_the_treebank_does():
    tree = Tree(label="X", children=(Tree(label="-LRB-", word="("), Tree(label="SYM", word=":-)")))
    assert bracketed(tree) == "(X (-LRB- -LRB-) (SYM :--RRB-))"
    assert [plain(word) for word in ("-LRB-", r"3\/4", r"\*", "a-b")] == ["(", "3/4", "*", "a-b"]


@pytest.mark.parametrize(
    "leaf", [{"label": "NN", "word": "two words"}, {"label": "N(N", "word": "a"}, {"label": "", "word": "a"}]
)
def test_what_could_not_be_read_again_is_not_written(leaf):
    with pytest.raises(DataError, match="cannot stand in a bracketed tree"):
        bracketed(Tree(**leaf))


def test_depth_is_not_bounded_by_recursion():
    deep = Tree(label="NN", word="a")
    for _ in range(5000):
        deep = Tree(label="NP", children=(deep, Tree(label="NN", word="b")))
    text = bracketed(deep)
    again = one(text)
    assert bracketed(cleaned(again)) == text
    assert len(spans(again)) == 5000
    assert compare(again, deep).matched == 5000
    for scheme in SCHEMES:
        assert bracketed(tree_of(linearized(deep, scheme), deep.leaves(), scheme)) == text


# Cleaning


def test_a_clean_tree_has_no_traces_functions_indices_or_nameless_root():
    assert [bracketed(tree) for tree in GOLD] == [
        "(S (NP (DT The) (JJ old) (NN gardener)) (VP (VBD wanted) (S (VP (TO to) (VP (VB water) "
        "(NP (DT the) (NNS roses)) (PP (IN before) (NP (NN noon))))))) (. .))",
        "(SINV (`` ``) (S (NP (PRP It)) (VP (VBZ snows))) (, ,) ('' '') (VP (VBD said)) (NP (NNP Ada)) (. .))",
        r"(TOP (NP (NP (CD 3\/4)) (PP (IN of) (NP (DT the) (NN cake))) (PRN (-LRB- -LRB-) (ADVP (RB nearly)) "
        "(-RRB- -RRB-))) (: ;))",
        "(FRAG (ADVP (RB Not)) (NP (NP (NN today))))",
        "(S (NP (EX There)) (VP (VBZ is) (NP (DT a) (NN moth)) (PRT (RP in))) (. .))",
        "(TOP (UH Ouch))",
        "(SQ (VBZ Does) (NP (DT the) (NN kettle)) (VP (VB sing) (ADJP (QP (RB almost) (CD two) (NNS times)))) (. ?))",
    ]
    assert cleaned(one("( (S (NP-SBJ (-NONE- *)) (VP (-NONE- *?*))) )")) is None


@given(trees())
def test_chains_are_joined_and_split_again(tree):
    joint = joined(tree)
    assert split(joint) == tree
    assert all(len(node.children) > 1 or node.children[0].is_leaf for node in joint.subtrees() if not node.is_leaf)


def test_a_label_with_the_sign_that_joins_is_refused():
    with pytest.raises(DataError, match=r"'A\+B' holds '\+'"):
        joined(one("(A+B (NN a))"))


def test_tags_are_replaced_in_order():
    tree = one("(S (NP (DT a) (NN b)) (VP (VB c)))")
    assert bracketed(with_tags(tree, ["X", "Y", "Z"])) == "(S (NP (X a) (Y b)) (VP (Z c)))"
    with pytest.raises(DataError, match="2 tags for the 3 words"):
        with_tags(tree, ["X", "Y"])


def test_spans_count_words():
    tree = one("(S (NP (DT a) (NN b)) (VP (VB c)) (. .))")
    assert spans(tree) == [Span("S", 0, 4), Span("NP", 0, 2), Span("VP", 2, 3)]


# Linear forms


def test_the_forms_of_a_tree():
    tree = one("(S (NP (DT The) (NN cat)) (VP (VBZ sleeps)))")
    assert " ".join(linearized(tree, Scheme(order="top-down"))) == "(S (NP XX XX )NP (VP XX )VP )S"
    assert " ".join(linearized(tree, Scheme(order="in-order"))) == "XX (NP XX )NP (S XX (VP )VP )S"
    assert " ".join(linearized(tree, Scheme(order="top-down", leaves="tag"))) == "(S (NP DT NN )NP (VP VBZ )VP )S"
    chain = one("(S (VP (VB Go) (ADVP (RB away))))")
    assert " ".join(linearized(chain, Scheme(order="top-down"))) == "(S+VP XX (ADVP XX )ADVP )S+VP"


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
@given(tree=trees())
def test_a_tree_comes_back_from_its_linear_form(scheme, tree):
    symbols = linearized(tree, scheme)
    assert tree_of(symbols, tree.leaves(), scheme) == tree
    assert len(symbols) <= 5 * len(tree.words) - 2
    words_alone = [Tree(label=MARK, word=word) for word in tree.words]
    tags = tree.tags if scheme.leaves == "tag" else [MARK] * len(tree.words)
    assert tree_of(symbols, words_alone, scheme) == with_tags(tree, tags)


@pytest.mark.parametrize(
    ("symbols", "problem"),
    [
        ("(S XX", "end before"),
        ("(S XX )S XX", r"symbol 2, '\)S'"),
        ("(S XX XX )NP", r"symbol 3, '\)NP'"),
        ("(S (NP )NP XX XX )S", r"symbol 2, '\)NP'"),
        ("(S (NP XX XX )NP )S", "symbol 3, 'XX'"),
        ("(S XX XX XX )S", "symbol 3, 'XX'"),
        ("XX XX", "symbol 0, 'XX'"),
    ],
)
def test_symbols_that_are_no_tree_are_refused(symbols, problem):
    leaves = [Tree(label=MARK, word=word) for word in "ab"]
    with pytest.raises(DataError, match=problem):
        tree_of(symbols.split(), leaves, Scheme(order="top-down"))


def test_symbols_come_by_frequency():
    assert symbols_of([one("(S (NP (NN a)) (NP (NN b)))")], Scheme(order="top-down")) == [
        "(NP",
        ")NP",
        "XX",
        "(S",
        ")S",
    ]


# The automaton


@cache
def shapes(words: int) -> int:
    """How many trees of one label there are over so many words, if each constituent has a word or two children."""
    return int(words == 1) + rows(words, 2)


@cache
def rows(words: int, least: int) -> int:
    """How many rows of at least so many children there are over so many words."""
    if words == 0:
        return int(least == 0)
    return sum(
        (shapes(first) + int(first == 1)) * rows(words - first, max(least - 1, 0))
        for first in range(1, words + 1 if least < 2 else words)
    )


def written(order, words, room):
    """Every sequence the automaton allows, and how many prefixes have nothing to follow them."""
    complete, stuck, waiting = set(), 0, [((), State(order=order, words=words, room=room))]
    while waiting:
        prefix, state = waiting.pop()
        if state.complete:
            complete.add(prefix)
        moves = {"(A": state.opened("A"), "XX": state.read(), ")A": state.closed()}
        following = [((*prefix, symbol), after) for symbol, after in moves.items() if after is not None]
        stuck += not following and not state.complete
        waiting += following
    return complete, stuck


@pytest.mark.parametrize("order", ["top-down", "in-order"])
@pytest.mark.parametrize("words", [1, 2, 3, 4])
def test_the_automaton_writes_each_tree_once_and_is_never_stuck(order, words):
    complete, stuck = written(order, words, room=100)
    scheme = Scheme(order=order)
    leaves = [Tree(label=MARK, word=word) for word in "abcd"[:words]]
    made = {tree_of(symbols, leaves, scheme) for symbols in complete}
    assert (len(complete), len(made), stuck) == (shapes(words), shapes(words), 0)
    assert max(map(len, complete)) == 5 * words - 2


@pytest.mark.parametrize("order", ["top-down", "in-order"])
@pytest.mark.parametrize("extra", range(2, 10))
def test_with_less_room_it_writes_the_trees_that_fit_and_is_never_stuck(order, extra):
    everything, _ = written(order, 4, room=100)
    fitting, stuck = written(order, 4, room=4 + extra)
    assert fitting == {symbols for symbols in everything if len(symbols) <= 4 + extra}
    assert stuck == 0


# Scores


def test_a_score_by_hand():
    gold = one(
        "(TOP (S (NP (DT the) (NN cat)) (, ,) (VP (VBD sat) (ADVP (RB down)) (PP (IN on) (NP (PRP it)))) (. .)))"
    )
    made = one("(S (NP (DT the) (NN cat)) (VP (, ,) (VB sat) (PRT (RB down) (IN on)) (NP (PRP it))) (. .))")
    # Without punctuation: gold S 0-6 NP 0-2 VP 2-6 ADVP 3-4 PP 4-6 NP 5-6, predicted S NP VP PRT 3-5 NP.
    counts = compare(gold, made)
    assert (counts.gold, counts.predicted, counts.matched) == (6, 5, 4)
    assert (counts.precision, counts.recall, counts.f1) == (4 / 5, 4 / 6, 8 / 11)
    assert (counts.crossing, counts.complete, counts.words, counts.tags) == (1, 0, 6, 5)
    same = compare(one("(S (ADVP (RB up)) (VB go))"), one("(S (PRT (RB up)) (VB go))"))
    assert same.complete_match == 1.0


def test_sums_are_taken_over_the_corpus_and_errors_left_out_of_them():
    good, bad = one("(S (NP (NN a)) (VP (VB b)))"), one("(S (NP (NN a) (VB b)))")
    counts = score([good, good, good], [good, bad, one("(S (NN a))")])
    assert (counts.sentences, counts.errors, counts.scored) == (3, 1, 2)
    assert (counts.gold, counts.predicted, counts.matched) == (6, 5, 4)
    assert (counts.complete_match, counts.no_crossing, counts.tagging_accuracy) == (0.5, 1.0, 1.0)
    assert compare(good, one("(S (NP (NN a)) (VP (VB c)))")).errors == 1
    assert Counts().f1 == Counts().precision == Counts().tagging_accuracy == 0.0
    with pytest.raises(DataError, match="2 gold trees and 1 predicted"):
        score([good, good], [good])


def test_traces_of_either_tree_and_punctuation_of_the_gold_one_are_no_words():
    gold = one("(TOP (S (NP-SBJ-1 (NN a)) (VP (VB b) (NP (-NONE- *-1))) (. .)))")
    made = one("(S (NP (NN a)) (VP (VB b) (NN .)))")
    counts = compare(gold, made)
    assert (counts.gold, counts.matched, counts.predicted, counts.words) == (3, 3, 3, 2)


def spoiled_pairs(gold: list[Tree]) -> list[tuple[Tree, Tree]]:
    """Each tree with itself, and with trees that are wrong here and there, or everywhere."""
    rng = random.Random(5)
    return [(tree, spoiled(tree, rate, rng)) for rate in (0.0, 0.02, 0.1, 0.3, 0.8) for tree in gold]


def without_punctuation(tree: nltk.Tree) -> nltk.Tree | None:
    """What COLLINS.prm takes out, and its one pair of equal labels, by NLTK's trees."""
    if isinstance(tree[0], str):
        return None if tree.label() in (",", ":", "``", "''", ".") else tree
    children = [child for child in map(without_punctuation, tree) if child is not None]
    return nltk.Tree("ADVP" if tree.label() == "PRT" else tree.label(), children) if children else None


def by_pyevalb(gold: nltk.Tree, made: nltk.Tree) -> tuple[int, ...]:
    """PYEVALB's counts of a pair."""
    read = [pyevalb_parser.create_from_bracket_string(" ".join(str(tree).split())) for tree in (gold, made)]
    result = pyevalb_scorer.Scorer().score_trees(*read)
    names = ("matched_brackets", "gold_brackets", "test_brackets", "cross_brackets", "correct_tags", "words")
    return tuple(getattr(result, name) for name in names)


def ours(gold: Tree, made: Tree, conventions) -> tuple[int, ...]:
    """The same counts of ours."""
    c = compare(gold, made, conventions)
    return c.matched, c.gold, c.predicted, c.crossing, c.tags, c.words


def agree_with_pyevalb(gold: list[Tree]) -> int:
    """How many pairs were compared. PYEVALB finds once what stands twice in both trees."""
    compared = 0
    for tree, made in spoiled_pairs(gold):
        pair = as_nltk(tree), as_nltk(made)
        if repeats(tree) == 0 or repeats(made) == 0:
            assert ours(tree, made, EVERYTHING) == by_pyevalb(*pair)
        bare = [without_punctuation(other) for other in pair]
        if None in bare or "TOP" in (tree.label, made.label):
            continue
        if repeats(*map(tree_from, bare)) == 0:
            compared += 1
            assert ours(tree, made, COLLINS) == by_pyevalb(*bare)
    return compared


def tree_from(tree: nltk.Tree) -> Tree:
    return one(" ".join(str(tree).split()))


def repeats(*pair: Tree) -> int:
    """How many brackets stand twice in every one of some trees."""
    again = [{span for span in found if found.count(span) > 1} for found in map(spans, pair)]
    return len(set.intersection(*again))


def test_counts_are_those_of_pyevalb():
    assert agree_with_pyevalb(GOLD) > 20


@settings(max_examples=50)
@given(trees(), st.integers(0, 99), st.sampled_from([0.1, 0.5]))
def test_counts_are_those_of_pyevalb_for_any_tree(tree, seed, rate):
    made = spoiled(tree, rate, random.Random(seed))
    if repeats(tree, made) == 0:
        assert ours(tree, made, EVERYTHING) == by_pyevalb(as_nltk(tree), as_nltk(made))


def test_counts_are_those_of_pyevalb_on_the_treebank(data):
    gold = [cleaned(tree) for path in treebank(data)[179:] for tree in read_file(path)]
    assert agree_with_pyevalb(gold) > 1000


def test_a_bracket_that_stands_twice_is_found_twice_unlike_in_pyevalb():
    tree = one("(S (NP (NP (NN a))) (VB b))")
    assert compare(tree, tree, EVERYTHING).matched == 3
    assert by_pyevalb(as_nltk(tree), as_nltk(tree))[:3] == (2, 3, 3)
