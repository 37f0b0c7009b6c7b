"""Texts through a trained model: what scores of generated text are made of.

Sentences of about one length go together, so that little is padding and none waits long for the longest.
"""

from collections.abc import Callable, Iterator, Sequence

from clearhead.config import GenerationConfig, SpecialTokens
from clearhead.executor import Executor
from clearhead.generation.generate import generate
from clearhead.text.tokenizer import Tokenizer

ROWS = 64  # sentences at a time


def translate(
    executor: Executor,
    tokenizer: Tokenizer,
    special: SpecialTokens,
    sources: Sequence[str],
    *,
    beams: int = 1,
    length_penalty: float = 1.0,
    extra: int = 50,
    watch: Callable[[int], None] = lambda count: None,
) -> list[str]:
    """Each source's best translation, at most `extra` tokens longer than its source; `watch` is told how many more are
    through."""
    rows = [tokenizer.encode(source) for source in sources]
    said: list[str] = [""] * len(rows)
    for some in by_length(rows):
        texts = [rows[i] for i in some]
        longest = min(max(map(len, texts)) + extra, executor.config.max_positions - 1)
        config = GenerationConfig(max_new_tokens=longest, beams=beams, length_penalty=length_penalty)
        start = [[special.decoder_start or 0]] * len(some)
        for i, found in zip(
            some, generate(executor, start, config, special, memory=executor.encode(texts)), strict=True
        ):
            said[i] = tokenizer.decode(list(found[0].tokens))
        watch(len(some))
    return said


def by_length(rows: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Numbers of rows, those of about one length together; empty ones are left out."""
    order = sorted((i for i in range(len(rows)) if rows[i]), key=lambda i: -len(rows[i]))
    return (order[i : i + ROWS] for i in range(0, len(order), ROWS))
