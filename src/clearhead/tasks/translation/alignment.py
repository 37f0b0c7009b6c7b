"""Which words of the source each word of a translation comes from, read off the decoder's attention to the encoder.

The translation is read once more with its source. A token's weights are those of the step that writes it, in the last
two layers, averaged over their heads (Garg et al. 2019, 1909.02074, section 3, take the layer before the last). What
all tokens look at says little of any: each token of the source is divided by all it is given. The step at which a word
is the decoder's input (Chen et al. 2020, 2004.14837, section 3.1) says as much in the first layers of deep models, but
in none of the bundled ones alike (docs/log.md).

T tokens said, S tokens of the source, N words of the translation, M of the source.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from clearhead.config import transformer
from clearhead.engine.model import Model
from clearhead.engine.watching import WatchedExecutor
from clearhead.executor import Floats
from clearhead.generation.prompts import encode_sources
from clearhead.tasks.translation.places import places_of, words_and_owners
from clearhead.trace import Trace

LEAST = 0.1  # of a word's weight: what is below is left out
LAYERS = 2  # the last ones
SMOOTH = 0.3  # so that a token nobody looks at does not become important
WEIGHTS = "decoder.layers.{}.cross_attention.weights"


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """A word of the source, its characters [start, end), and how much of a word of the translation comes from it."""

    text: str
    start: int
    end: int
    weight: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Aligned:
    """A word of the translation, its characters [start, end), and where it comes from, the heaviest first."""

    text: str
    start: int
    end: int
    sources: tuple[Origin, ...]

    def moved(self, by: int, sources_by: int) -> "Aligned":
        """The same in texts that begin so many characters earlier."""
        origins = tuple(replace(o, start=o.start + sources_by, end=o.end + sources_by) for o in self.sources)
        return replace(self, start=self.start + by, end=self.end + by, sources=origins)


def align(
    model: Model, source: str, said: str, *, ids: Sequence[int], tokens: Sequence[int], skip: int = 0
) -> tuple[Aligned, ...]:
    """The words of a translation with their origins.

    `ids` are those of `source`, whose first `skip` characters are no text to translate, and are not counted; `tokens`
    those of the translation, its end left out.
    """
    if not tokens:
        return ()
    found = aligned(model, source, said, attention(model, ids, tokens), ids, tokens, skip)
    return tuple(word.moved(0, -skip) for word in found) if skip else found


def attention(model: Model, ids: Sequence[int], tokens: Sequence[int]) -> Floats:
    """How much each token said comes from each of the source [T, S], its end and the model's other marks included."""
    config = transformer(model.config)
    paths = [WEIGHTS.format(layer) for layer in range(config.n_decoder_layers)[-LAYERS:]]
    trace = Trace(config, kinds=paths)
    watching = WatchedExecutor(model.executor, trace)
    [start], memory = encode_sources(watching, [list(ids)], model.special)
    watching.decode([[*start, *tokens]], memory=memory)
    weights = np.mean([trace[path].mean(axis=0) for path in paths], axis=0)[len(start) - 1 : -1]
    found: Floats = weights / (weights.sum(axis=0, keepdims=True) + SMOOTH)
    return found


def aligned(
    model: Model, source: str, said: str, weights: Floats, ids: Sequence[int], tokens: Sequence[int], skip: int
) -> tuple[Aligned, ...]:
    """Words and origins from the weights [T, S] of tokens; words of the source before `skip` are none."""
    there, theirs = words_and_owners(source, places_of(ids, source, model.tokenizer))
    here, ours = words_and_owners(said, places_of(tokens, said, model.tokenizer))
    table = gathered(gathered(weights, ours, len(here)).T, theirs, len(there)).T  # [N, M]
    table *= np.array([word.start >= skip for word in there], dtype=np.float32)
    table /= np.maximum(table.sum(axis=1, keepdims=True), 1e-9)
    found = []
    for word, row in zip(here, table, strict=True):
        order = [int(i) for i in np.argsort(-row, kind="stable") if row[i] >= LEAST]
        origins = tuple(
            Origin(text=there[i].text, start=there[i].start, end=there[i].end, weight=round(float(row[i]), 4))
            for i in order
        )
        found.append(Aligned(text=word.text, start=word.start, end=word.end, sources=origins))
    return tuple(found)


def gathered(rows: Floats, owners: Sequence[int | None], n: int) -> Floats:
    """The sums of the rows [T, ...] that belong to each of n words [n, ...]; rows of no word are left out."""
    found = np.zeros((n, rows.shape[1]), dtype=np.float32)
    for row, owner in zip(rows, owners, strict=True):
        if owner is not None:
            found[owner] += row
    return found
