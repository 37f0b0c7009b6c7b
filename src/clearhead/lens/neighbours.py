"""What a model holds to be alike: vectors of words at its input or after any layer, and the nearest of its vocabulary.

A word is spelled with a space before it where that takes no more tokens, for so it stands in running text; its vector
is the mean of its tokens'. n words, V vocab_size, C d_model.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clearhead.config import check_number, transformer
from clearhead.errors import OptionError
from clearhead.lens.space import Analogy, Near, Space, space
from clearhead.lens.vectors import unit
from clearhead.text.printable import one_line, spelled
from clearhead.text.tokenizer import Tokenizer
from clearhead.trace import Trace

if TYPE_CHECKING:
    from clearhead.engine.model import Model

Floats = NDArray[np.float32]
CHUNK = 8192  # rows of the vocabulary measured at once
MOST = 10_000  # neighbours of one word


@dataclass(frozen=True, kw_only=True, repr=False)
class Vocabulary:
    """The input embedding of every token, to be searched."""

    matrix: NDArray[Any]  # [V, C], in the type it is kept in
    tokenizer: Tokenizer

    def nearest(self, direction: NDArray[Any], top: int, without: Iterable[str] = ()) -> list[Near]:
        """The tokens of the largest cosines with a vector [C], except spellings of the words `without`.

        Special tokens, and ids that no piece of the vocabulary has, are no answers.
        """
        check_number("top", top, 1, MOST, whole=True)
        hidden = {spelling(word) for word in without}
        scores = np.concatenate(list(self.cosines(direction)))
        order = np.argsort(-scores, kind="stable")
        found: list[Near] = []
        for token in order:
            label = self.label(int(token))
            if label and spelling(label) not in hidden:
                [piece] = self.tokenizer.pieces([int(token)])
                found.append(Near(label=label, cosine=float(scores[token]), piece=one_line(piece), id=int(token)))
            if len(found) == top:
                break
        return found

    def label(self, token: int) -> str:
        """What a token spells, without the space before it; empty where it spells nothing."""
        if token in self.tokenizer.special_ids or token >= self.tokenizer.vocab_size:
            return ""
        return spelled(self.tokenizer.token_bytes(token)).strip()

    def cosines(self, direction: NDArray[Any]) -> Iterator[NDArray[np.float64]]:
        """[V] in pieces: the cosine of every token with a vector [C]."""
        target = unit(direction)
        for start in range(0, len(self.matrix), CHUNK):
            yield unit(self.matrix[start : start + CHUNK]) @ target

    def vector(self, ids: Sequence[int]) -> Floats:
        """[C]: the mean of the tokens' vectors."""
        return np.asarray(self.matrix[list(ids)].astype(np.float32).mean(axis=0), np.float32)


def spelling(word: str) -> str:
    """A word without what its spellings differ in: spaces around it and capitals."""
    return word.strip().casefold()


def vocabulary(model: "Model") -> Vocabulary:
    """The model's input embedding, read once for any number of questions."""
    return Vocabulary(matrix=model.executor.embeddings(), tokenizer=model.tokenizer)


@dataclass(frozen=True, slots=True)
class Spelled:
    """A word as a model reads it."""

    text: str
    ids: list[int]  # unframed


def spell(model: "Model", word: str) -> Spelled:
    """A word that stands alone: as after a space, unless fewer tokens spell it without.

    Raises:
        OptionError: an empty word, or one that the vocabulary has no pieces for.
    """
    if not isinstance(word, str) or not word.strip():
        raise OptionError(f"the word {word!r:.40} is empty; give one to look for")
    encode = model.tokenizer.encode
    ways = [
        Spelled(text, encode(text, add_special_tokens=False, parse_special=False))
        for text in (" " + word.strip(), word.strip())
    ]
    best = min(ways, key=lambda way: len(way.ids))
    no_word = {*model.tokenizer.special_ids, model.special.unknown}  # what stands for the unknown is one of these
    if not best.ids or no_word & {*best.ids}:
        raise OptionError(f"{model.name} has no pieces that spell '{one_line(word)[:60]}'; choose another word")
    return best


def word_vectors(
    model: "Model", words: Sequence[str], layer: int | None = None, *, known: Vocabulary | None = None
) -> Floats:
    """[n, C]: the vector of each word, the mean over its tokens.

    `layer` None is the input embedding; a number is that layer's output (-1 the last), for the word alone in the stack
    that reads texts, framed as the model was trained. A decoder reads the token that begins texts before the word,
    where it has one: whatever comes first in a decoder gathers attention, and its states say little about what it is.

    Raises:
        OptionError: a layer that the model lacks, or a word without pieces.
    """
    if isinstance(words, str) or not words:
        raise OptionError(f"words is {words!r:.60}; it must be a list, even of one")
    spelled_words = [spell(model, word) for word in words]
    if layer is None:
        known = known or vocabulary(model)
        return np.stack([known.vector(word.ids) for word in spelled_words])
    stack, depth = read_by(model)
    if isinstance(layer, bool) or not isinstance(layer, int) or not -depth <= layer < depth:
        raise OptionError(f"layer is {layer!r}; the {stack} of {model.name} has layers 0 to {depth - 1}")
    path = f"{stack}.layers.{layer % depth}.output"
    return np.stack([state(model, stack, path, word) for word in spelled_words])


def read_by(model: "Model") -> tuple[str, int]:
    """The stack that reads texts, and its number of layers."""
    c = model.config
    return ("encoder", c.n_encoder_layers) if c.n_encoder_layers else ("decoder", c.n_decoder_layers)


def state(model: "Model", stack: str, path: str, word: Spelled) -> Floats:
    """[C]: the mean over the word's tokens of what one pass shows at a place."""
    framed, start = frame(model, word)
    trace = Trace(transformer(model.executor.config), kinds=[path])
    if stack == "encoder":
        model.executor.encode([framed], trace=trace)
    else:
        model.executor.decode([framed], trace=trace)
    return np.asarray(trace[path][start : start + len(word.ids)].mean(axis=0), np.float32)


def frame(model: "Model", word: Spelled) -> tuple[list[int], int]:
    """A word inside what frames a text for this model, and where its tokens begin."""
    framed = model.tokenizer.encode(word.text, add_special_tokens=True, parse_special=False)
    n = len(word.ids)
    start = next(i for i in range(len(framed) - n + 1) if framed[i : i + n] == word.ids)
    if start == 0 and model.config.kind == "decoder" and model.special.bos is not None:
        return [model.special.bos, *framed], 1
    return framed, start


def neighbours(model: "Model", word: str, top: int = 10, *, spellings: bool = False) -> list[Near]:
    """The tokens of the whole vocabulary nearest to a word by the cosine of their input embeddings, nearest first.

    With `spellings` the word's own count too: with capitals, with and without the space before it.

    Raises:
        OptionError: a word without pieces, or an impossible `top`.
    """
    known = vocabulary(model)
    return known.nearest(known.vector(spell(model, word).ids), top, () if spellings else (word,))


def analogy(model: "Model", a: str, b: str, c: str, top: int = 5) -> Analogy:
    """What is to `c` as `b` is to `a`, of the whole vocabulary: nearest to b - a + c, all of length 1 (Mikolov et al.
    2013; Levy and Goldberg 2014, 3CosAdd), the three words themselves left out. Errors as `neighbours`."""
    return completed(model, vocabulary(model), (a, b, c), top)


def completed(model: "Model", known: Vocabulary, words: tuple[str, str, str], top: int) -> Analogy:
    """The same in a vocabulary that has been read."""
    a, b, c = unit(np.stack([known.vector(spell(model, word).ids) for word in words]))
    return Analogy(a=words[0], b=words[1], c=words[2], results=tuple(known.nearest(b - a + c, top, words)))


def embedding_space(
    model: "Model",
    words: Sequence[str],
    layer: int | None = None,
    *,
    method: str = "pca",
    top: int = 10,
    analogies: Sequence[tuple[str, str, str]] = (),
) -> Space:
    """Words of a model as points; at its input each with its nearest tokens of the whole vocabulary, and analogies.

    A word alone is shown among its neighbours, which then are points too. After a layer neighbours and analogies are
    found among the words given, for the states of a whole vocabulary would take a pass each.

    Raises:
        OptionError, UnsupportedError: as `word_vectors` and `clearhead.lens.space.space`.
    """
    check_number("top", top, 1, MOST, whole=True)
    if isinstance(words, str):
        raise OptionError(f"words is {words!r:.60}; it must be a list, even of one: [{words!r:.60}]")
    chosen = tuple(dict.fromkeys(words))  # each once
    if layer is not None:
        return after_layer(model, chosen, layer, method, top, analogies)
    known = vocabulary(model)
    vectors = word_vectors(model, chosen, known=known)
    near = [known.nearest(vector, top, (word,)) for word, vector in zip(chosen, vectors, strict=True)]
    results = [completed(model, known, triple, top) for triple in analogies]
    if len(chosen) > 1:
        return space(chosen, vectors, method=method, neighbours=near, analogies=results, model=model.name)
    around = np.stack([vectors[0], *(known.vector([n.id]) for n in near[0] if n.id is not None)])
    return space(
        [*chosen, *(n.label for n in near[0])],
        around,
        method=method,
        groups=[0, *[1] * len(near[0])],
        group_names=["asked about", "neighbours"],
        neighbours=near,
        analogies=results,
        model=model.name,
    )


def after_layer(
    model: "Model",
    words: tuple[str, ...],
    layer: int,
    method: str,
    top: int,
    analogies: Sequence[tuple[str, str, str]],
) -> Space:
    """`embedding_space` for the states behind a layer; the words of analogies are points too."""
    words = tuple(dict.fromkeys([*words, *(word for triple in analogies for word in triple)]))
    if len(words) < 2:
        raise OptionError("after a layer words are compared with each other; give several, or leave the layer out")
    vectors = word_vectors(model, words, layer)
    where = f"layer {layer % read_by(model)[1]}"
    plain = space(words, vectors, method=method, where=where, model=model.name)
    results = [Analogy(a=a, b=b, c=c, results=tuple(plain.analogy(a, b, c, top))) for a, b, c in analogies]
    near = [plain.nearest(word, top) for word in words]
    return space(words, vectors, method=method, where=where, neighbours=near, analogies=results, model=model.name)
