"""Which token ids may follow a prefix, so that a decoder writes a tree over exactly the words it was given.

`automaton` over the ids of a vocabulary: opening brackets, marks of the next word, closing brackets, the end. Where
words are spelled out behind their marks, a spelling is fixed: each of its ids is the only one that may come.

V vocab_size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clearhead.errors import OptionError
from clearhead.trees.automaton import State
from clearhead.trees.linear import Scheme, follows

Mask = NDArray[np.bool_]  # [V]
Ids = tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Grammar:
    """A scheme's symbols among the ids of a vocabulary."""

    scheme: Scheme
    symbols: Mapping[int, str]  # id -> symbol
    closings: Mapping[str, int]  # label -> id of the bracket that closes it
    opening: Mask
    leaf: Mask
    end: int


def grammar(scheme: Scheme, symbols: Mapping[str, int], end: int, vocab_size: int) -> Grammar:
    """The grammar of a vocabulary that has these symbols at these ids.

    Raises:
        OptionError: an id outside the vocabulary or given twice, a bracket that cannot be closed, no mark for words, or
            no bracket at all.
    """
    ids = [*symbols.values(), end]
    if len(set(ids)) < len(ids) or not all(0 <= i < vocab_size for i in ids):
        raise OptionError(f"symbols and end need ids of their own from 0 to {vocab_size - 1}; they have {sorted(ids)}")
    labels = [symbol[1:] for symbol in symbols if symbol.startswith("(")]
    marks = [symbol for symbol in symbols if not symbol.startswith(("(", ")"))]
    for label in labels:
        if ")" + label not in symbols:
            raise OptionError(f"the vocabulary opens {label!r} and lacks {')' + label!r} to close it; add it")
    if not labels or not marks:
        raise OptionError(
            f"the vocabulary has {len(labels)} brackets and {len(marks)} marks of words; a tree needs both"
        )
    return Grammar(
        scheme=scheme,
        symbols={i: symbol for symbol, i in symbols.items()},
        closings={label: symbols[")" + label] for label in labels},
        opening=mask([symbols["(" + label] for label in labels], vocab_size),
        leaf=mask([symbols[mark] for mark in marks], vocab_size),
        end=end,
    )


def mask(ids: Sequence[int], vocab_size: int) -> Mask:
    """[V]: true at these ids."""
    flags = np.zeros(vocab_size, dtype=np.bool_)
    flags[list(ids)] = True
    return flags


@dataclass(frozen=True, slots=True)
class Prefix:
    """Where the writing of one sentence's tree stands."""

    state: State
    spelling: Ids = ()  # of the word just marked: what of it is not written yet
    over: bool = False


class Writing:
    """The writing of one sentence's tree: what may follow each prefix that a search asks about.

    `spellings` has an entry for each word, empty where words are only marked; `limit` ids fit, the end included. As a
    search goes forward, the prefixes of the latest two lengths are kept, and any other is followed from the beginning.

    Raises:
        OptionError: no words, or a limit below the shortest tree.
    """

    def __init__(self, grammar: Grammar, spellings: Sequence[Ids], limit: int) -> None:
        if not spellings:
            raise OptionError("a sentence has no words; give at least one")
        self.grammar, self.spellings, self.limit = grammar, spellings, limit
        fixed = sum(map(len, spellings)) + 1  # every word is spelled once, and the end comes once
        state = State(order=grammar.scheme.order, words=len(spellings), room=limit - fixed)
        if state.shortest > state.room:
            raise OptionError(
                f"the shortest tree over these {state.words} words takes {state.shortest + fixed} tokens and {limit} "
                "fit; shorten the sentence, or let more fit"
            )
        self.first = Prefix(state)
        self.latest: dict[Ids, Prefix] = {(): self.first}
        self.before: dict[Ids, Prefix] = {}
        self.length = 0  # of the latest

    def allowed(self, ids: Sequence[int]) -> Mask:
        """[V]: which ids may follow these; after the end, none.

        Raises:
            OptionError: an id that may not come where it does.
        """
        prefix = self.prefix(tuple(ids))
        flags = np.zeros_like(self.grammar.leaf)
        if prefix.spelling:
            flags[prefix.spelling[0]] = True
        elif not prefix.over:
            self.mark(flags, prefix.state)
        return flags

    def mark(self, flags: Mask, state: State) -> None:
        """Set what may follow a state, between words."""
        rules = self.grammar
        if state.opened("") is not None:
            flags |= rules.opening
        if state.read() is not None:
            flags |= rules.leaf
        if state.top is not None and state.closed() is not None:
            flags[rules.closings[state.top.label]] = True
        flags[rules.end] = state.complete

    def prefix(self, ids: Ids) -> Prefix:
        """Where the writing stands after these ids."""
        known = self.latest.get(ids) or self.before.get(ids)
        if known is not None:
            return known
        begun = self.latest.get(ids[:-1]) or self.before.get(ids[:-1])
        prefix, rest = (self.first, ids) if begun is None else (begun, ids[-1:])
        for token in rest:
            prefix = self.after(prefix, token)
        self.keep(ids, prefix)
        return prefix

    def keep(self, ids: Ids, prefix: Prefix) -> None:
        """Remember a prefix while it is among the longest."""
        if len(ids) > self.length:
            self.before, self.latest, self.length = self.latest, {}, len(ids)
        if len(ids) == self.length:
            self.latest[ids] = prefix

    def after(self, prefix: Prefix, token: int) -> Prefix:
        """The prefix and one more id.

        Raises:
            OptionError: it may not come here.
        """
        if prefix.spelling and prefix.spelling[0] == token:
            return Prefix(prefix.state, prefix.spelling[1:])
        if not prefix.spelling and not prefix.over:
            if token == self.grammar.end and prefix.state.complete:
                return Prefix(prefix.state, over=True)
            symbol = self.grammar.symbols.get(token)
            state = None if symbol is None else follows(prefix.state, symbol)
            if state is not None:
                read = state.words < prefix.state.words
                return Prefix(state, self.spellings[-prefix.state.words] if read else ())
        raise OptionError(f"id {token} may not come there in a tree over {len(self.spellings)} words")

    def symbols(self, ids: Sequence[int]) -> list[str]:
        """The symbols among ids that this grammar allows, spellings and end left out."""
        found, prefix = list[str](), self.first
        for token in ids:
            if not prefix.spelling and token != self.grammar.end:
                found.append(self.grammar.symbols[token])
            prefix = self.after(prefix, token)
        return found
