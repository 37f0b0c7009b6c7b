"""A language model measured: perplexity of a text file, and bits per byte, which models of any vocabulary share.

Perplexity is exp of the mean negative log-probability of a token (Jelinek et al. 1977); it depends on what a token is.
Bits per byte spread the same loss over the text's bytes: bits a token, times tokens a byte.
"""

import math
from collections.abc import Sequence

import numpy as np

from clearhead.checkpoints.catalogue import DEFAULT_MODEL
from clearhead.engine.model import Model
from clearhead.engine.perplexity import WINDOW, Window, windows
from clearhead.tasks.evaluate.asked import Asked
from clearhead.tasks.evaluate.files import read
from clearhead.tasks.evaluate.metrics.bootstrap import Rows, interval_of
from clearhead.tasks.evaluate.report import Evaluation, Figure, Item

SHOWN = 160  # characters of a window that a report shows


def evaluate(asked: Asked) -> Evaluation:
    """Perplexity and bits per byte of a text; `limit` counts windows.

    Raises:
        DataError: no text.
        UnsupportedError: the model is no decoder alone.
        OptionError: fewer than two tokens.
    """
    text = read(asked.data)
    model = asked.loaded(DEFAULT_MODEL)
    ids = model.tokenizer.encode(text.text, add_special_tokens=False)
    window = min(WINDOW, model.config.max_positions)
    most = None if asked.limit is None else asked.limit * window
    of = len(range(0, len(ids[:most]) - 1, window))
    found = list(asked.watched(windows(model, ids[:most], window), of))
    size = len((text.text if most is None or most >= len(ids) else model.tokenizer.decode(ids[:most])).encode())
    return Evaluation(
        task="perplexity",
        model=model.name,
        executor=model.executor.name,
        dtype=model.executor.dtype,
        figures=figures(found, len(ids[:most]) / size, window, asked.seed),
        items=[item(each, model) for each in found],
        files=[text.file(len(text.lines()))],
        counted="window",
        there=len(range(0, len(ids) - 1, window)),
        settings={"window": window, "tokens": sum(len(each.logprobs) for each in found), "bytes": size},
    )


def figures(found: Sequence[Window], tokens_per_byte: float, window: int, seed: int) -> list[Figure]:
    """Perplexity and bits per byte, with the interval that drawing windows gives."""
    losses = np.array([-math.fsum(each.logprobs) for each in found])  # [R] nats
    counts = np.array([len(each.logprobs) for each in found])  # [R]

    def nats(rows: Rows | slice) -> float:
        return float(losses[rows].sum() / counts[rows].sum())

    low, high = interval_of(nats, len(found), seed=seed)
    mean, bits = nats(slice(None)), tokens_per_byte / math.log(2)
    how = f"windows of {window} tokens that follow each other; the first token of each is given"
    return [
        Figure(name="perplexity", value=math.exp(mean), low=math.exp(low), high=math.exp(high), how=how),
        Figure(name="bits_per_byte", value=mean * bits, low=low * bits, high=high * bits, unit="bits", how=how),
    ]


def item(each: Window, model: Model) -> Item:
    """A window, by its mean log-probability; its least likely token stands for what was got wrong."""
    said = model.tokenizer.decode(each.ids)
    worst = min(range(len(each.logprobs)), key=lambda i: each.logprobs[i])
    piece = model.tokenizer.decode(each.ids[worst + 1 : worst + 2])
    return Item(
        input=said[:SHOWN] + ("…" if len(said) > SHOWN else ""),
        expected=piece,
        got="",
        scores={"logprob": math.fsum(each.logprobs) / len(each.logprobs)},
        note=f"its least likely token is {piece!r}, at {each.logprobs[worst]:.1f}",
    )
