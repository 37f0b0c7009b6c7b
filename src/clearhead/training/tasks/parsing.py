"""Parsing as translation: a model reads a sentence and writes its tree (Vinyals et al. 2015; Vaswani et al. 2017, 6.3).

A word that was never seen still has pieces, so sentences are read as any text is, and the vocabulary is trained on the
sentences of the treebank, with the tree's symbols as further tokens of its own. Digits are all read as 0: which number
it is hardly matters to a tree, and few numbers come twice. The words of the tree are the caller's, letter by letter.

`parse` lets a decoder write nothing but trees over the words it was given, so there is no output to repair.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from clearhead.config import GenerationConfig, SpecialTokens
from clearhead.errors import DataError, OptionError
from clearhead.executor import Executor
from clearhead.generation.generate import generate
from clearhead.generation.processors import Allowed
from clearhead.generation.prompts import encode_sources
from clearhead.text.tokenizer import Tokenizer
from clearhead.trees.brackets import plain, read_file
from clearhead.trees.cleaning import JOINT, cleaned, joined, split
from clearhead.trees.grammar import Grammar, Ids, Writing, grammar
from clearhead.trees.linear import MARK, Scheme, linearized, symbols_of, tree_of
from clearhead.trees.tree import Tree, rebuilt

DIGIT = re.compile(r"\d")
NUMBER = re.compile(r"\d+(?!.*\d)")
NUMBERS = 100  # tokens that number words; in a longer sentence they begin anew
TOKEN = re.compile(r"<(?:(?P<bracket>[()].*)|word(?::(?P<tag>.+))?)>")  # how a vocabulary spells a symbol


def files_between(folder: Path, first: int, last: int) -> list[Path]:
    """The files of a folder whose names hold a number in [first, last], in its order: sections of a treebank.

    Raises:
        DataError: there is none.
    """
    numbered = ((NUMBER.search(path.stem), path) for path in folder.iterdir()) if folder.is_dir() else ()
    found = sorted((int(number.group()), path) for number, path in numbered if number is not None)
    chosen = [path for number, path in found if first <= number <= last]
    if not chosen:
        raise DataError(f"{folder} has no file numbered {first} to {last}; name the folder of a treebank's files")
    return chosen


def read_treebank(paths: Iterable[Path]) -> list[Tree]:
    """Every tree of these files, as parsers are trained on them and scored against: without traces and functions.

    Raises:
        DataError: see `brackets.read_file`.
    """
    clean = (cleaned(tree) for path in paths for tree in read_file(path))
    return [tree for tree in clean if tree is not None]


def sentence(words: Sequence[str]) -> str:
    """A sentence as the vocabulary sees it.

    Raises:
        DataError: no words, or one that is empty or holds a blank.
    """
    if not words:
        raise DataError("a sentence has no words; give at least one")
    for word in words:
        if len(word.split()) != 1 or word.split() != [word]:
            raise DataError(f"the word {word!r:.40} is empty or holds a blank; split sentences into words first")
    return " ".join(DIGIT.sub("0", plain(word)) for word in words)


def sentences(trees: Iterable[Tree]) -> Iterator[str]:
    """The texts to train a vocabulary on."""
    return (sentence(tree.words) for tree in trees)


def tokens(trees: Iterable[Tree], scheme: Scheme) -> tuple[str, ...]:
    """What a vocabulary needs beside pieces to write such trees: a token for each symbol, the most frequent first, and
    the numbers of words."""
    return (*map(token_of, symbols_of(trees, scheme)), *(map(number, range(NUMBERS)) if scheme.numbered else ()))


def number(place: int) -> str:
    """The token that numbers a word, counted from 0."""
    return f"<word-{place % NUMBERS}>"


def token_of(symbol: str) -> str:
    """A symbol as a vocabulary spells it, unlike anything in a text."""
    if symbol.startswith(("(", ")")):
        return f"<{symbol}>"
    return "<word>" if symbol == MARK else f"<word:{symbol}>"


def symbol_of(token: str) -> str | None:
    """The symbol that a token stands for, if it is one's."""
    match = TOKEN.fullmatch(token)
    return None if match is None else match["bracket"] or match["tag"] or MARK


@dataclass(frozen=True, kw_only=True, slots=True)
class TreeVocabulary:
    """How sentences and trees become ids."""

    tokenizer: Tokenizer
    scheme: Scheme
    symbols: Mapping[str, int]  # the most frequent first
    end: int  # what ends a target
    numbers: Ids = ()  # of words, where they are numbered

    def source(self, words: Sequence[str]) -> list[int]:
        """What the encoder reads."""
        ids = self.tokenizer.encode(sentence(words), parse_special=False)
        if not self.scheme.numbered:
            return ids
        bare = self.tokenizer.encode(sentence(words), add_special_tokens=False, parse_special=False)
        before = next(i for i in range(len(ids)) if ids[i : i + len(bare)] == bare)
        numbered = [i for place, word in enumerate(words) for i in (*self.number(place), *self.pieces(word))]
        return [*ids[:before], *numbered, *ids[before + len(bare) :]]

    def spellings(self, words: Sequence[str]) -> list[Ids]:
        """What each word adds behind its mark."""
        return [
            (*self.number(place), *(self.pieces(word) if self.scheme.spelled else ()))
            for place, word in enumerate(words)
        ]

    def number(self, place: int) -> Ids:
        """The number of a word, where words have one."""
        return (self.numbers[place % len(self.numbers)],) if self.scheme.numbered else ()

    def pieces(self, word: str) -> Ids:
        """A word without what frames a text."""
        return tuple(self.tokenizer.encode(sentence([word]), add_special_tokens=False, parse_special=False))

    def target(self, tree: Tree) -> list[int]:
        """What the decoder is to write; labels that the vocabulary lacks are replaced by the nearest it has."""
        spellings = iter(self.spellings(tree.words))
        ids: list[int] = []
        for symbol in linearized(known(tree, self.symbols, self.scheme), self.scheme):
            ids.append(self.symbols[symbol])
            if not symbol.startswith(("(", ")")):
                ids += next(spellings)
        return [*ids, self.end]

    def examples(self, trees: Iterable[Tree]) -> Iterator[dict[str, list[int]]]:
        """Rows for the objective that learns one sequence from the other."""
        return ({"source": self.source(tree.words), "target": self.target(tree)} for tree in trees)

    def grammar(self, vocab_size: int) -> Grammar:
        """Which ids make trees, for a model of so many."""
        return grammar(self.scheme, self.symbols, self.end, vocab_size)


def tree_vocabulary(tokenizer: Tokenizer, end: int, scheme: Scheme) -> TreeVocabulary:
    """What a tokenizer that was made with `tokens` knows of trees.

    Raises:
        OptionError: it lacks what trees of this scheme need.
    """
    ids = sorted(tokenizer.special_ids)
    named = ((symbol_of(piece), i) for i, piece in zip(ids, tokenizer.pieces(ids), strict=True))
    symbols = {symbol: i for symbol, i in named if symbol is not None}
    grammar(scheme, symbols, end, tokenizer.vocab_size)
    own = dict(zip(tokenizer.pieces(ids), ids, strict=True))
    wanted = [number(place) for place in range(NUMBERS)] if scheme.numbered else []
    if lacking := [token for token in wanted if token not in own]:
        raise OptionError(f"the vocabulary has no {lacking[0]}, and words are to be numbered; train it for such trees")
    return TreeVocabulary(
        tokenizer=tokenizer, scheme=scheme, symbols=symbols, end=end, numbers=tuple(own[token] for token in wanted)
    )


def known(tree: Tree, symbols: Mapping[str, int], scheme: Scheme) -> Tree:
    """The tree with every label that has no symbol replaced: a chain by the part of it that has one, else by the most
    frequent label, and so a tag. Nothing changes in trees the vocabulary was made for."""
    labels = [symbol[1:] for symbol in symbols if symbol.startswith("(")]
    marks = [symbol for symbol in symbols if not symbol.startswith(("(", ")"))]

    def relabelled(node: Tree, children: tuple[Tree, ...]) -> Tree:
        if node.is_leaf:
            tagged = scheme.leaves == "tag" and node.label not in symbols
            return replace(node, label=marks[0]) if tagged else node
        return replace(node, label=nearest(node.label, labels), children=children)

    return split(rebuilt(joined(tree), relabelled) or tree)


def nearest(label: str, labels: Sequence[str]) -> str:
    """The label itself if it is among these; else the longest stretch of its chain that is; else the first of these."""
    chain = label.split(JOINT)
    for length in range(len(chain), 0, -1):
        for first in range(len(chain) - length + 1):
            part = JOINT.join(chain[first : first + length])
            if part in labels:
                return part
    return labels[0]


def parse(
    executor: Executor,
    vocabulary: TreeVocabulary,
    special: SpecialTokens,
    sentences: Sequence[Sequence[str]],
    *,
    tags: Sequence[Sequence[str]] | None = None,
    beams: int = 21,
    length_penalty: float = 0.3,
    extra: int = 300,
    rows: int = 16,
) -> list[Tree]:
    """The tree of each sentence, given as its words: always one over exactly these words.

    Spellings are given, not chosen, and so cost a tree nothing in the search (`processors.only`).

    A tree takes at most `extra` tokens more than its sentence, and the spelling of its words. The defaults are those of
    Vaswani et al. 2017, section 6.3; their penalty divides by ((5 + length) / 6) ** alpha (Wu et al. 2016), ours by
    length ** alpha. Where the scheme predicts no tags, leaves carry those given, or XX. `rows` sentences of about one
    length are searched together.

    Raises:
        DataError: a sentence without words, or a word that is empty or holds a blank.
        OptionError: a sentence whose tree would not fit in the context window; see also `generate.generate`.
        ContextWindowError, UnsupportedError, CheckpointError: see `generate.generate`.
    """
    sources = [vocabulary.source(words) for words in sentences]
    leaves = leaves_of(sentences, tags)
    order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
    rules = vocabulary.grammar(executor.config.vocab_size)
    trees: dict[int, Tree] = {}
    for first in range(0, len(order), rows):
        chunk = order[first : first + rows]
        writings = [writing(executor, vocabulary, rules, sentences[i], len(sources[i]) + extra) for i in chunk]
        config = GenerationConfig(
            max_new_tokens=max(one.limit for one in writings),
            stop_ids=(vocabulary.end,),
            beams=beams,
            length_penalty=length_penalty,
        )
        prompts, memory = encode_sources(executor, [sources[i] for i in chunk], special)
        found = generate(executor, prompts, config, special, memory=memory, allowed=one_of(writings))
        for i, one, [best, *_] in zip(chunk, writings, found, strict=True):
            trees[i] = tree_of(one.symbols(best.tokens), leaves[i], vocabulary.scheme)
    return [trees[i] for i in range(len(sources))]


def writing(
    executor: Executor, vocabulary: TreeVocabulary, rules: Grammar, words: Sequence[str], limit: int
) -> Writing:
    """The writing of a sentence's tree, within `limit` tokens and the spelling of its words, and the context window."""
    spellings = vocabulary.spellings(words)
    limit += sum(map(len, spellings))
    return Writing(rules, spellings, min(limit, executor.config.max_positions - 1))  # the decoder's start takes one


def one_of(writings: Sequence[Writing]) -> Allowed:
    """What may follow in each of several sentences' trees."""
    return lambda prompt, ids: writings[prompt].allowed(ids)


def leaves_of(sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[str]] | None) -> list[list[Tree]]:
    """The words of each sentence under their tags, or under XX."""
    given = [[MARK] * len(words) for words in sentences] if tags is None else tags
    if list(map(len, given)) != list(map(len, sentences)):
        raise DataError(
            f"there are {sum(map(len, given))} tags for {sum(map(len, sentences))} words; give one for each"
        )
    pairs = (zip(own, words, strict=True) for own, words in zip(given, sentences, strict=True))
    return [[Tree(label=tag, word=word) for tag, word in pair] for pair in pairs]
