"""`python -m benchmarks.accuracy TEXT`: what fewer bits cost. docs/results.md has the figures of WikiText-2's test set.

Perplexity of SmolLM2 as shipped, in every type of weights and of keys and values; and how near MiniLM's embeddings in
fewer bits are to those in float32.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import clearhead as ch
from clearhead.engine.perplexity import perplexity
from clearhead.native.executor import NativeExecutor
from clearhead.native.store import open_packed

FORMS = (
    ("float32", None),
    ("auto", None),
    ("auto", "float16"),
    ("auto", "int8"),
    ("int8", None),
    ("int4", None),
    ("bfloat16", None),
)
PARAGRAPHS, SHORTEST, LONGEST = 150, 150, 600  # of a text, in characters


def main() -> None:
    """Both tables."""
    parser = argparse.ArgumentParser("python -m benchmarks.accuracy", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("text", type=Path)
    parser.add_argument("--tokens", type=int, default=24_576)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    text = asked.text.read_text(encoding="utf-8")
    exact = None
    for dtype, kv in FORMS:
        model = decoder(dtype, kv, asked.threads)
        found = perplexity(model, text, most=asked.tokens).value
        exact = found if exact is None else exact
        kept = model.executor.kv
        print(
            f"SmolLM2 {dtype:9} keys and values {kept:9} perplexity {found:.3f} ({found / exact - 1:+.2%})", flush=True
        )
    paragraphs = [line.strip()[:LONGEST] for line in text.splitlines() if len(line) > SHORTEST][:PARAGRAPHS]
    exact = embeddings("float32", paragraphs, asked.threads)
    for dtype in ("bfloat16", "int8"):
        cosines = (exact * embeddings(dtype, paragraphs, asked.threads)).sum(axis=1)
        print(f"MiniLM  {dtype:9} cosine with float32: mean {cosines.mean():.5f}, least {cosines.min():.5f}")


def decoder(dtype: str, kv: str | None, threads: int) -> Any:
    """SmolLM2 with weights, and keys and values, of these types."""
    model = ch.load("smollm2-135m-instruct", executor="native", dtype=dtype, threads=threads)
    if kv is not None:
        packed = open_packed(model.checkpoint, dtype)
        model.executor = NativeExecutor(model.config, packed, packed.dtype, threads=threads, kv=kv)
    return model


def embeddings(dtype: str, paragraphs: list[str], threads: int) -> np.ndarray:
    """[n, C], of length 1."""
    return ch.load("minilm-l6-v2", executor="native", dtype=dtype, threads=threads).embed(paragraphs)


if __name__ == "__main__":
    main()
