"""`clearhead inspect`: what a model is made of, without reading its weights."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clearhead.cli import arguments as a
from clearhead.cli import pictures

if TYPE_CHECKING:
    from clearhead.checkpoints.checkpoint import Checkpoint
    from clearhead.lens.architecture import Architecture
    from clearhead.lens.diagram.view import ArchitectureView

FACT = 16  # columns for the name of a fact

Simplified = Annotated[
    bool, typer.Option("--simplified", help="Encoder and decoder as one block each.", rich_help_panel=pictures.PICTURES)
]


def inspect(
    model: a.ModelArgument = a.DEFAULT_MODEL,
    simplified: Simplified = False,
    html: pictures.Html = None,
    png: pictures.Png = None,
    svg: pictures.Svg = None,
    open: pictures.Open = False,
    json: a.Json = False,
    offline: a.Offline = False,
) -> None:
    """Show a model's architecture.

    A figure drawn from its configuration (data flows upwards), the shape of every weight, parameters per part, the
    memory it takes, its context window and special tokens. The weights themselves are not read. On the page, every part
    leads to the lines of code that compute it.

    Example: clearhead inspect smollm2-135m-instruct --html architecture.html
    """
    from clearhead.cli.json_output import print_json
    from clearhead.cli.opening import open_model
    from clearhead.lens.diagram.view import architecture_view

    pictures.check(html=html, png=png, svg=svg, open=open)
    checkpoint = open_model(model, offline=offline)
    view = architecture_view(checkpoint.config, name=model, simplified=simplified)
    pictures.save(view, html=html, png=png, svg=svg, open=open)
    if json:
        print_json(description(model, checkpoint, view.architecture))
    else:
        show(model, checkpoint, view)


def description(model: str, checkpoint: "Checkpoint", found: "Architecture") -> dict[str, Any]:
    """Everything as data."""
    from clearhead.lens.architecture import BYTES, CACHED_TOKENS

    c = found.config
    return {
        "model": model,
        "source": checkpoint.source,
        "source_bytes": bytes_on_disk(checkpoint.source),
        "family": c.family,
        "kind": c.kind,
        "paper": found.paper,
        "licence": licence(model, checkpoint.source),
        "parameters": found.parameters,
        "parts": found.parts,
        "weight_bytes": found.weight_bytes,
        "cache_bytes": {
            "tokens": CACHED_TOKENS,
            **{dtype: found.cache_bytes(dtype) for dtype in BYTES if dtype != "int8"},
        },
        "context_window": c.max_positions,
        "special_tokens": special_tokens(checkpoint),
        "chat_template": checkpoint.chat_template is not None,
        "config": c,
        "embedding": found.embedding,
        "stacks": found.stacks,
        "head": found.head,
        "stored_as": storage(checkpoint),
    }


def show(model: str, checkpoint: "Checkpoint", view: "ArchitectureView") -> None:
    """The figure, the weights and the figures."""
    from rich.text import Text

    from clearhead.cli.screen import output, wrapped
    from clearhead.text.printable import one_line

    console, found = output(), view.architecture
    title = Text(one_line(model), style="bold").append(f"  {found.config.family}, {found.config.kind}", "not bold")
    console.print(title)
    for line in wrapped(found.paper):
        console.print(Text(line, style="dim"), soft_wrap=True)
    console.print()
    console.print(view.terminal(), soft_wrap=True)
    for name, fact in facts(model, checkpoint, found).items():
        for i, line in enumerate(wrapped(fact, FACT)):
            console.print(Text(("" if i else name).ljust(FACT) + line), soft_wrap=True)


def facts(model: str, checkpoint: "Checkpoint", found: "Architecture") -> dict[str, str]:
    """What stands below the table, one line each."""
    from clearhead.cli.quantities import size
    from clearhead.text.printable import one_line

    c = found.config
    lines = {
        "parameters": f"{found.parameters:,}",
        "memory": ", ".join(f"{size(n)} in {dtype}" for dtype, n in found.weight_bytes.items()),
        "context window": f"{c.max_positions:,} tokens",
    }
    if cache := found.cache_bytes("float32"):
        both = " (and of 1,000 read by the encoder)" if c.kind == "encoder-decoder" else ""
        lines["KV cache"] = f"{size(cache)} in float32, {size(cache // 2)} in bfloat16, per 1,000 tokens{both}"
    if names := special_tokens(checkpoint):
        lines["special tokens"] = ", ".join(
            f"{role} {one_line(str(t['piece'] or ''))} {t['id']}" for role, t in names.items()
        )
    lines["chat template"] = "yes" if checkpoint.chat_template is not None else "none; it continues text"
    if checkpoint.config.kind == "encoder":
        del lines["chat template"]
    lines["licence"] = licence(model, checkpoint.source) or "not stated in the catalogue; see where the model came from"
    stored = ", ".join(f"{n} {dtype}" for dtype, n in storage(checkpoint).items())
    lines["source"] = one_line(f"{checkpoint.source} ({size(bytes_on_disk(checkpoint.source))}; tensors: {stored})")
    return lines


def special_tokens(checkpoint: "Checkpoint") -> dict[str, dict[str, Any]]:
    """Ids by role with the vocabulary's spelling, where it has one."""
    s = checkpoint.special
    roles = {"begin": s.bos, "padding": s.pad, "unknown": s.unknown, "mask": s.mask, "decoder start": s.decoder_start}
    ids = {role: i for role, i in roles.items() if i is not None}
    ids |= {"end" if n == 0 else f"end {n + 1}": i for n, i in enumerate(s.eos)}
    tokenizer = checkpoint.tokenizer() if checkpoint.tokenizer else None
    return {
        role: {"id": i, "piece": tokenizer.pieces([i])[0] if tokenizer and i < tokenizer.vocab_size else None}
        for role, i in ids.items()
    }


def licence(model: str, source: Path) -> str | None:
    """As the catalogue has it."""
    from clearhead.checkpoints.catalogue import list_models

    for known in list_models():
        here = known.path is not None and known.path.resolve() in (source.resolve(), source.resolve().parent)
        if known.name == model.casefold() or here:
            return known.licence
    return None


def storage(checkpoint: "Checkpoint") -> dict[str, int]:
    """How many tensors the file keeps in which type."""
    counts: dict[str, int] = {}
    for tensor in checkpoint.tensors.values():
        counts[tensor.dtype] = counts.get(tensor.dtype, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def bytes_on_disk(source: Path) -> int:
    """Of the file, or of all files in the folder."""
    files = [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files)
