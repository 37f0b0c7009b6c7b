"""One text, read and continued with everything looked at: from the request to a filled trace.

What a trace takes is known before it begins, from the lengths of the text and of what may follow; a trace larger than
its budget is refused then, or goes to a file.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clearhead.config import GenerationConfig, ModelConfig, SpecialTokens, transformer
from clearhead.edits import Edit, Edits
from clearhead.engine.memory import available_memory
from clearhead.engine.watching import WatchedExecutor
from clearhead.errors import ContextWindowError, OptionError, TraceBudgetError
from clearhead.executor import Executor, Memory
from clearhead.generation.generate import generate
from clearhead.generation.prompts import encode_sources
from clearhead.lens.seen import Trace
from clearhead.text.printable import one_line, spelled
from clearhead.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from clearhead.trace.file import TraceFile

UNKNOWN = 4_000_000_000  # bytes a trace may take where the system does not say how much memory is free


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceOptions:
    """What to look at, and what to change meanwhile; see `Model.trace`."""

    layers: Sequence[int] | None = None
    heads: Sequence[int] | None = None
    kinds: Sequence[str] | None = None
    edits: tuple[Edit, ...] = ()
    budget: int | None = None
    spill: str | Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What is read: by the encoder, where there is one, and by the decoder; and how much may follow."""

    encoder: list[int] = field(default_factory=list)
    decoder: list[int] = field(default_factory=list)
    generation: GenerationConfig | None = None

    @property
    def rows(self) -> dict[str, int]:
        """The most tokens of each stack."""
        new = 0 if self.generation is None else self.generation.max_new_tokens
        return {"encoder": len(self.encoder), "decoder": len(self.decoder) + new}


def trace_text(
    executor: Executor, tokenizer: Tokenizer, special: SpecialTokens, text: Reading, look: TraceOptions, name: str
) -> Trace:
    """Read the text, continue it, and return what was seen.

    Raises:
        ContextWindowError: text and new tokens do not fit.
        OptionError: a layer, head, kind or place that the model lacks.
        TraceBudgetError: a trace larger than its budget.
        UnsupportedError: the model is no Transformer.
    """
    config = transformer(executor.config)
    check_window(text, config)
    trace = Trace(config, layers=look.layers, heads=look.heads, kinds=look.kinds, model=name)
    edits = Edits(config, look.edits) if look.edits else None
    if look.budget is not None and (not isinstance(look.budget, int) or look.budget < 0):
        raise OptionError(f"budget is {look.budget!r}; it must be a whole number of bytes")
    trace.room = {stack: n for stack, n in text.rows.items() if n}
    file = prepare(trace, text, look, np.dtype(np.float64 if executor.dtype == "float64" else np.float32))
    try:
        trace.n_prompt = len(text.decoder)
        ids = run(WatchedExecutor(executor, trace, edits), text, special)
        name_tokens(trace, ids, tokenizer, special)
        if file is not None:
            file.finish(trace)
    except BaseException:
        if file is not None:
            file.discard()
        raise
    return trace


def check_window(text: Reading, config: ModelConfig) -> None:
    """Refuse what does not fit the context window."""
    new = text.rows["decoder"] - len(text.decoder)
    if new and text.rows["decoder"] > config.max_positions:
        raise ContextWindowError(
            f"{len(text.decoder)} tokens and {new} new ones do not fit the context window of "
            f"{config.max_positions}; ask for at most {max(0, config.max_positions - len(text.decoder))}"
        )


def prepare(trace: Trace, text: Reading, look: TraceOptions, dtype: np.dtype[Any]) -> "TraceFile | None":
    """Room for the trace: in memory within the budget, or in a file."""
    estimate = trace.estimate(text.rows, dtype.itemsize)
    total = sum(estimate.values())
    if look.spill is not None:
        from clearhead.trace.file import TraceFile, room_for

        memory = len(text.encoder)
        shapes = {
            path: trace.shape(place, n, n, memory)
            for path, place in trace.choice.places.items()
            if (n := text.rows[place.stack])
        }
        file = TraceFile(look.spill, shapes, dtype, tokens=sum(text.rows.values()), about=room_for(trace))
        trace.allocate = file.allocate
        return file
    budget = half_of_what_is_free() if look.budget is None else look.budget
    if total > budget:
        most = ", ".join(f"{kind} {amount(size)}" for kind, size in list(estimate.items())[:3])
        raise TraceBudgetError(
            f"this trace would take {amount(total)} ({most}) and its budget is {amount(budget)}; narrow it with "
            "layers, heads or kinds, raise the budget, or spill it to a file"
        )
    return None


def half_of_what_is_free() -> int:
    """Bytes a trace may take unless asked otherwise: the rest is for whoever looks at it."""
    return available_memory()["available"] // 2 or UNKNOWN


def amount(size: int) -> str:
    """Bytes for people."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def run(watching: WatchedExecutor, text: Reading, special: SpecialTokens) -> dict[str, list[int]]:
    """Read and continue the text; the ids that each stack has read in the end."""
    config = watching.config
    if config.kind == "encoder":
        memory = watching.encode([text.encoder])
        if config.head != "none":
            watching.head(memory)
        return {"encoder": text.encoder}
    source = encode_sources(watching, [text.encoder], special)[1] if config.kind == "encoder-decoder" else None
    ids = text.decoder + continuation(watching, text, source, special)
    return {"decoder": ids} if source is None else {"encoder": text.encoder, "decoder": ids}


def continuation(watching: WatchedExecutor, text: Reading, memory: Memory | None, special: SpecialTokens) -> list[int]:
    """What the model says next, every token of it read by the model as well, so that all are seen."""
    if text.generation is None:
        watching.decode([text.decoder], memory=memory)
        return []
    [[done]] = generate(watching, [text.decoder], text.generation, special, memory=memory)
    new = list(done.tokens)
    if new:
        watching.decode([new[-1:]], watching.caches[-1], memory)
    return new


def name_tokens(trace: Trace, ids: dict[str, list[int]], tokenizer: Tokenizer, special: SpecialTokens) -> None:
    """What was read, as people read it; ids that steer the model are special even where no vocabulary spells them."""
    steering = tokenizer.special_ids | {special.decoder_start, special.bos, special.pad}
    trace.ids = ids
    trace.pieces = {stack: tokenizer.pieces(row) for stack, row in ids.items()}
    trace.texts = {
        stack: [shown(tokenizer, token, piece, special) for token, piece in zip(row, trace.pieces[stack], strict=True)]
        for stack, row in ids.items()
    }
    trace.special = {stack: [token in steering for token in row] for stack, row in ids.items()}


def shown(tokenizer: Tokenizer, token: int, piece: str, special: SpecialTokens) -> str:
    """The text of a token, harmless to show; what no vocabulary spells by what it is for, or its id."""
    if data := tokenizer.token_bytes(token):
        return spelled(data)
    return one_line(piece) or ("<start>" if token == special.decoder_start else f"<{token}>")


def check_target(target: str | None, config: ModelConfig) -> None:
    """Only a decoder beside an encoder is given what to say."""
    if target is not None and config.kind != "encoder-decoder":
        raise OptionError(f"target is for a model that reads one text and writes another, not {config.kind}s")
