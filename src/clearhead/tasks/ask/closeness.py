"""How much of what a question asks about a passage speaks of: every word that matters against its nearest there.

Each token of the question is compared with all tokens of the passage as the encoder sees them in their sentences, and
the best cosines are averaged: late interaction, as in ColBERT (Khattab and Zaharia 2020, 2004.12832), here with an
encoder of sentences. Unlike the cosine of whole texts it falls where one thing that is asked about is missing.

Q tokens of the question that matter, T of a passage, C the width of the encoder.
"""

from collections.abc import Sequence

import numpy as np

from clearhead.engine.model import Model
from clearhead.executor import Floats
from clearhead.tasks.ask.common_words import COMMON, MARKS


def closeness(question: str, passages: Sequence[str], encoder: Model) -> float:
    """The closeness of the nearest passage, at most 1; 0 without passages, or for a question of common words alone."""
    tokens, states = seen(question, encoder)
    pieces = encoder.tokenizer.pieces(tokens)
    matter = [i for i, piece in enumerate(pieces) if piece.strip("▁Ġ ").casefold() not in COMMON | MARKS]
    if not matter or not passages:
        return 0.0
    asked = states[matter]  # [Q, C]
    return max(float((asked @ seen(passage, encoder)[1].T).max(axis=1).mean()) for passage in passages)


def seen(text: str, encoder: Model) -> tuple[list[int], Floats]:
    """The tokens of a text without its frame, and a unit vector of each [T, C]; as far as the window reaches."""
    tokenizer, special = encoder.tokenizer, encoder.tokenizer.special_ids
    ids = tokenizer.encode(text, parse_special=False)[: encoder.config.max_positions]
    states = encoder.executor.encode([ids]).states[0]
    kept = [i for i, token in enumerate(ids) if token not in special]
    found = np.asarray(states, np.float32)[kept]
    return [ids[i] for i in kept], found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
