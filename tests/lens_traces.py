"""Traces filled by hand, for tests of what the lens makes of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clearhead.config import ModelConfig
from clearhead.trace import Trace
from models import BY_FAMILY

BOOK = ["The", " teacher", " taught", " the", " student", " with", " the", " book", "."]


def causal(scores: Any) -> Any:
    """[..., T, S] softmax of scores in which no query sees a key after itself."""
    T, S = scores.shape[-2:]
    return softmax(np.where(np.tril(np.ones((T, S), bool), S - T), scores, -np.inf))


def softmax(scores: Any) -> Any:
    """Over the last axis."""
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return (e / e.sum(-1, keepdims=True)).astype(np.float32)


def random_weights(shape: tuple[int, ...], seed: int = 0) -> Any:
    """Of attention that sees everything."""
    return softmax(np.random.default_rng(seed).normal(size=shape) * 2)


def trace_of(
    config: ModelConfig,
    texts: Mapping[str, Sequence[str]],
    weights: Mapping[str, Any],
    *,
    special: Sequence[str] = ("[CLS]", "[SEP]", "</s>"),
    n_prompt: int | None = None,
    heads: Sequence[int] | None = None,
    first: int = 0,
) -> Trace:
    """A trace that read these tokens and holds these weights [H, T, S] by module; `first` of the last stack's tokens
    were read before it began."""
    layers = sorted({int(path.split(".")[2]) for path in weights})
    trace = Trace(config, kinds=[f"{path}.weights" for path in weights], layers=layers, heads=heads)
    trace.model = "model"
    for stack, found in texts.items():
        trace.texts[stack] = list(found)
        trace.pieces[stack] = [text.replace(" ", "Ġ") for text in found]
        trace.ids[stack] = list(range(100, 100 + len(found)))
        trace.special[stack] = [text in special for text in found]
        start = first if stack == trace.stacks()[-1] else 0
        trace.begin(stack, first=start, new=len(found) - start, memory=len(texts.get("encoder", ())))
        for path, array in weights.items():
            if path.startswith(stack):
                trace.write(f"{path}.weights", array)
        trace.end(stack)
    decoder = len(texts.get("decoder", ()))
    trace.n_prompt = decoder if n_prompt is None else n_prompt
    return trace


def decoder_trace(texts: Sequence[str] = BOOK, *, seed: int = 0, layers: int = 2, **options: Any) -> Trace:
    """A random decoder's."""
    T = len(texts)
    draw = np.random.default_rng(seed)
    weights = {f"decoder.layers.{i}.attention": causal(draw.normal(size=(6, T, T)) * 2) for i in range(layers)}
    return trace_of(BY_FAMILY["llama"], {"decoder": texts}, weights, **options)


def encoder_trace(texts: Sequence[str] = ("[CLS]", *BOOK, "[SEP]"), *, seed: int = 0) -> Trace:
    """A random encoder's."""
    shape = (6, len(texts), len(texts))
    weights = {f"encoder.layers.{i}.attention": random_weights(shape, seed + i) for i in range(2)}
    return trace_of(BY_FAMILY["bert"], {"encoder": texts}, weights)


def translation_trace() -> Trace:
    """A random translator's: three kinds of attention."""
    source, target = ["老师", "用", "书", "。", "</s>"], ["<pad>", " The", " teacher", " uses", " books", "."]
    S, T = len(source), len(target)
    weights = {}
    for i in range(2):
        weights[f"encoder.layers.{i}.attention"] = random_weights((6, S, S), i)
        weights[f"decoder.layers.{i}.attention"] = causal(np.random.default_rng(i).normal(size=(6, T, T)))
        weights[f"decoder.layers.{i}.cross_attention"] = random_weights((6, T, S), 7 + i)
    texts = {"encoder": source, "decoder": target}
    return trace_of(BY_FAMILY["transformer"], texts, weights, special=("</s>", "<pad>"), n_prompt=1)
