"""Texts as vectors, and the texts nearest in meaning to a query."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clearhead.engine.machine import ANY, Machine
from clearhead.engine.model import Model
from clearhead.errors import OptionError, UnsupportedError
from clearhead.executor import Floats
from clearhead.generation.prompts import check_ids
from clearhead.tasks.texts import texts_of

DEFAULT = "minilm-l6-v2"
ROWS = 64  # texts that are read together


def embed(texts: str | Sequence[str], *, model: str | Path | Model | None = None) -> Floats:
    """One unit vector for each text [n, C], so that products are cosines; [1, C] for one text.

    Without `model` the sentence encoder of the catalogue is used (all-MiniLM-L6-v2).

    Raises:
        OptionError: no text, an empty one, or something else.
        ContextWindowError: a text that does not fit.
        UnsupportedError: a model that is no encoder.
    """
    several = texts_of(texts)
    if not several:
        raise OptionError("there is no text to embed; give at least one")
    if empty := [text for text in several if not text.strip()]:
        raise OptionError(f"text is {empty[0]!r:.40}; give strings with something in them")
    encoder = open_encoder(model)
    order = sorted(range(len(several)), key=lambda i: len(several[i]))
    parts = [encoder.embed([several[i] for i in order[at : at + ROWS]]) for at in range(0, len(order), ROWS)]
    vectors = np.concatenate(parts)
    found = np.empty_like(vectors)
    found[order] = vectors
    return found


def check_text(text: str, encoder: Model) -> None:
    """Refuse a text that an encoder has no room for.

    Raises:
        ContextWindowError: it is so.
    """
    check_ids(encoder.tokenizer.encode(text, parse_special=False), encoder.config, "the text")


def open_encoder(model: str | Path | Model | None = None, machine: Machine = ANY) -> Model:
    """What embeds; errors as `embed`, and as `clearhead.load`."""
    loaded = model if isinstance(model, Model) else machine.load(DEFAULT if model is None else model)
    if loaded.config.kind != "encoder":
        raise UnsupportedError(
            f"{loaded.name} is a {loaded.config.kind}; embeddings of texts come from an encoder, such as {DEFAULT}"
        )
    return loaded


def nearest(query: Floats, vectors: Floats, top: int) -> list[tuple[int, float]]:
    """The `top` rows of `vectors` [n, C] that are nearest to `query` [C], with their cosines, the nearest first."""
    cosines = vectors @ query
    return [(int(i), float(cosines[i])) for i in np.argsort(-cosines, kind="stable")[:top]]
