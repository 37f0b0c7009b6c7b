"""BPE-dropout (Provilkov et al. 2020, 1910.13267, section 3.1): each epoch cuts words anew, at the cost of a look-up.

At every step of BPE each merge that could be made is dropped with probability p, and the best of the others is made; no
merge left ends it. Instead of doing so for every word of every epoch, K segmentations of each distinct word are drawn
once, and every occurrence picks one of them. What an epoch looks like is a function of seed and epoch alone.

N texts, W words of all texts, U distinct words, K samples of each, R rows (a word and a sample) of L symbols, M ids.
"""

import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearhead.errors import OptionError, TokenizerError
from clearhead.text.fast import read_backend
from clearhead.text.tokenizer import Tokenizer
from clearhead.training.data.store import Ragged

Ids = NDArray[np.int32]
Integers = NDArray[np.int64]
NEVER = np.int32(2**31 - 1)  # the rank of a pair that does not merge
ROWS = 65_536  # that are cut at once
TABLE, EPOCH = 0x7AB1E, 0xE70C4  # apart from other uses of the same seed


@dataclass(frozen=True, kw_only=True, slots=True)
class Merges:
    """A BPE vocabulary by ids, and how a word becomes its first symbols."""

    vocabulary: dict[str, int]
    unknown: int | None
    fuse: bool  # several unknown characters in a row are one symbol
    fallback: bool  # unknown characters are bytes
    pairs: Integers  # [merges] left * size + right, in order
    ranks: Ids  # [merges]: which of two merges comes first
    made: Ids  # [merges]: the piece made by the merge of this rank

    def symbols(self, word: str) -> list[int]:
        """Characters as ids."""
        found: list[int] = []
        for character in word:
            i = self.vocabulary.get(character)
            if i is not None:
                found.append(i)
            elif self.fallback and (spelled := self.bytes_of(character)):
                found += spelled
            elif self.unknown is not None and not (self.fuse and found[-1:] == [self.unknown]):
                found.append(self.unknown)
        return found

    def bytes_of(self, character: str) -> list[int]:
        """A character as its bytes, where the vocabulary has them all."""
        ids = [self.vocabulary.get(f"<0x{b:02X}>") for b in character.encode()]
        return [i for i in ids if i is not None] if None not in ids else []

    def rank(self, left: Ids, right: Ids) -> Ids:
        """The rank of each pair, of any shape."""
        if not len(self.pairs):
            return np.full(left.shape, NEVER)
        keys = left.astype(np.int64) * len(self.vocabulary) + right
        at = np.minimum(np.searchsorted(self.pairs, keys), len(self.pairs) - 1)
        return np.where(self.pairs[at] == keys, self.ranks[at], NEVER)


class Segmentations:
    """N texts whose words have K segmentations each.

    `first` and `last` are ids that begin and end every text. With p = 0 the ids are the tokenizer's own, special tokens
    in the text read as plain text.

    Raises:
        OptionError: p or samples out of range.
        TokenizerError: a vocabulary of another kind than BPE, or one with word endings or prefixes.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        texts: Iterable[str],
        *,
        p: float = 0.1,
        samples: int = 32,
        seed: int = 0,
        first: int | None = None,
        last: int | None = None,
    ) -> None:
        if not 0 <= p <= 1:
            raise OptionError(f"p is {p}; it is a probability, 0.1 in the paper")
        if not 1 <= samples <= 10_000:
            raise OptionError(f"samples is {samples}; give 1 to 10000 segmentations of each word")
        backend, model = opened(tokenizer)
        self.seed, self.samples = seed, samples if p > 0 else 1
        merges = merges_of(model)
        numbers: dict[str, int] = {}
        self.words, self.starts = indexed(words_of(backend, texts), numbers, first is not None, last is not None)
        symbols = [[i] if i is not None else [] for i in (first, last)] + [merges.symbols(w) for w in numbers]
        self.table = drawn(merges, symbols, p, self.samples, np.random.default_rng([seed, TABLE]))

    def __len__(self) -> int:
        return len(self.starts) - 1

    def epoch(self, epoch: int) -> Ragged:
        """Ids of all N texts, as this epoch cuts them."""
        rng = np.random.default_rng([self.seed, EPOCH, epoch])
        picked = self.words * self.samples + rng.integers(self.samples, size=len(self.words))
        lengths = self.table.lengths[picked]
        ends = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
        places = np.repeat(self.table.starts[picked] - ends[:-1], lengths) + np.arange(ends[-1])
        return Ragged(self.table.flat[places], ends[self.starts])


def opened(tokenizer: Tokenizer) -> tuple[Any, dict[str, Any]]:
    """The `tokenizers` object of a tokenizer, and its model as tokenizer.json writes it."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(Path(folder))
        path = Path(folder) / "tokenizer.json"
        if not path.is_file():
            raise TokenizerError("BPE-dropout needs a vocabulary with a tokenizer.json; train one of kind bpe")
        return read_backend(path), json.loads(path.read_text(encoding="utf-8"))["model"]


def merges_of(model: dict[str, Any]) -> Merges:
    """The merges of a model.

    Raises:
        TokenizerError: it has none, or spells words in a way that is not read here.
    """
    if model["type"] != "BPE":
        raise TokenizerError(
            f"BPE-dropout drops merges, and a {model['type']} vocabulary has none; train one of kind bpe"
        )
    for name in ("continuing_subword_prefix", "end_of_word_suffix", "ignore_merges"):
        if model.get(name):
            raise TokenizerError(f"BPE-dropout does not read vocabularies with {name}; train one of kind bpe")
    vocabulary: dict[str, int] = model["vocab"]
    merges = [(left, right) for left, right in model["merges"]]
    pairs = np.array([vocabulary[left] * len(vocabulary) + vocabulary[right] for left, right in merges], dtype=np.int64)
    order = np.argsort(pairs, kind="stable")
    return Merges(
        vocabulary=vocabulary,
        unknown=None if model.get("unk_token") is None else vocabulary[model["unk_token"]],
        fuse=bool(model.get("fuse_unk")),
        fallback=bool(model.get("byte_fallback")),
        pairs=pairs[order],
        ranks=order.astype(np.int32),
        made=np.array([vocabulary[left + right] for left, right in merges], dtype=np.int32),
    )


def words_of(backend: Any, texts: Iterable[str]) -> Iterator[list[str]]:
    """The words of each text: what no merge reaches across."""
    normalizer, cutter = backend.normalizer, backend.pre_tokenizer
    for text in texts:
        shown = text if normalizer is None else normalizer.normalize_str(text)
        if cutter is None:
            yield [shown] if shown else []
        else:
            yield [word for word, _ in cutter.pre_tokenize_str(shown)]


def indexed(texts: Iterable[list[str]], numbers: dict[str, int], first: bool, last: bool) -> tuple[Integers, Integers]:
    """Each word's number [W] and where each text begins [N + 1]; new words are added to `numbers`. Numbers 0 and 1 are
    what begins and ends a text."""
    words: list[NDArray[np.int64]] = []
    starts = [0]
    for text in texts:
        row = [numbers.setdefault(word, len(numbers) + 2) for word in text]
        row = [0] * first + row + [1] * last
        words.append(np.array(row, dtype=np.int64))
        starts.append(starts[-1] + len(row))
    flat = np.concatenate(words) if words else np.zeros(0, dtype=np.int64)
    return flat, np.array(starts, dtype=np.int64)


def drawn(merges: Merges, symbols: list[list[int]], p: float, samples: int, rng: np.random.Generator) -> Ragged:
    """K segmentations of each of U words; row u * K + k is sample k of word u."""
    lengths = np.array([len(s) for s in symbols], dtype=np.int64)
    sizes = np.zeros(len(symbols) * samples, dtype=np.int64)
    parts: list[tuple[Integers, Ids]] = []  # rows, and their pieces with room to the right
    for length in np.unique(lengths[lengths > 0]).tolist():
        alike = np.flatnonzero(lengths == length)
        start = np.array([symbols[u] for u in alike.tolist()], dtype=np.int32)
        step = max(1, ROWS // samples)
        for at in range(0, len(alike), step):
            rows = (alike[at : at + step, None] * samples + np.arange(samples)).ravel()
            ids, sizes[rows] = cut(merges, np.repeat(start[at : at + step], samples, axis=0), p, rng)
            parts.append((rows, ids[:, : sizes[rows].max()]))
    starts = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])
    flat = np.empty(starts[-1], dtype=np.int32)
    for rows, ids in parts:
        column = np.arange(ids.shape[1])
        real = column < sizes[rows, None]
        flat[(starts[rows, None] + column)[real]] = ids[real]
    return Ragged(flat, starts)


def cut(merges: Merges, ids: Ids, p: float, rng: np.random.Generator) -> tuple[Ids, Integers]:
    """BPE with dropout on rows [R, L] of symbols: pieces [R, L], and how many of each row count [R]."""
    out, sizes = ids.copy(), np.full(len(ids), ids.shape[1], dtype=np.int64)
    rows = np.arange(len(ids))  # those that still go on
    ranks = merges.rank(ids[:, :-1], ids[:, 1:])  # [R, L - 1]
    while ids.shape[1] > 1 and len(rows):
        allowed = np.where(rng.random(ranks.shape) < p, NEVER, ranks) if p > 0 else ranks
        best = allowed.argmin(axis=1)  # the first place of the best merge
        rank = np.take_along_axis(allowed, best[:, None], axis=1)[:, 0]
        on = rank != NEVER
        done = rows[~on]
        out[done, : ids.shape[1]], sizes[done] = ids[~on], ids.shape[1]
        rows, best = rows[on], best[on]
        ids, ranks = merged(merges, ids[on], ranks[on], best, rank[on])
    out[rows, : ids.shape[1]], sizes[rows] = ids, ids.shape[1]
    return out, sizes


def merged(merges: Merges, ids: Ids, ranks: Ids, best: Integers, rank: Ids) -> tuple[Ids, Ids]:
    """Rows [R, L] with the two symbols at `best` [R] made one: [R, L - 1], and the ranks of its pairs [R, L - 2]."""
    R, L = ids.shape
    kept = np.arange(L - 1) + (np.arange(L - 1) > best[:, None])
    shorter = np.take_along_axis(ids, kept, axis=1)
    every = np.arange(R)
    shorter[every, best] = merges.made[rank]
    pairs = np.arange(L - 2)
    after = np.take_along_axis(ranks, pairs + (pairs >= best[:, None]), axis=1)
    for place in (best - 1, best):
        inside = (place >= 0) & (place < L - 2)
        at, row = place[inside], every[inside]
        after[row, at] = merges.rank(shorter[row, at], shorter[row, at + 1])
    return shorter, after
