"""Where each part of a model is computed: the lines of `clearhead/model/`, written to be read beside the papers.

The source is read as text and the lines are found by name, so that a link cannot go stale and torch need not be there.
The native executor computes the same in C++; what stands here is the equations in the open.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from clearhead.config import ModelConfig

Kind = Literal[
    "tokens",
    "positions",
    "token_types",
    "norm",
    "attention",
    "cross_attention",
    "mlp",
    "residual",
    "bias",
    "rotary",
    "pooler",
    "head",
]

EMBED, ATTENTION, STACK = "model/embedding.py:Embedding.", "model/attention.py:", "model/stack.py:"
WEIGHING = (f"{ATTENTION}attention_weights", f"{ATTENTION}blend")
FIXED: dict[Kind, tuple[str, ...]] = {
    "tokens": (f"{EMBED}forward",),
    "token_types": (f"{EMBED}forward",),
    "norm": ("model/layers.py:build_norm",),
    "cross_attention": (
        f"{ATTENTION}CrossAttention.forward",
        f"{ATTENTION}CrossAttention.keys_values",
        f"{ATTENTION}Attention.mix",
        *WEIGHING,
    ),
    "pooler": ("model/transformer.py:Transformer.pool",),
}
POSITIONS = {
    "sinusoidal": (f"{EMBED}place", "positions.py:sinusoidal"),
    "learned": (f"{EMBED}place",),
    "rotary": (f"{ATTENTION}rotate", f"{STACK}rotary_tables", f"{STACK}cos_sin", "positions.py:rotary_frequencies"),
    "alibi": (f"{STACK}AlibiBias.forward", "positions.py:alibi_slopes"),
    "relative": (f"{STACK}RelativeBias.forward", "positions.py:relative_bucket"),
}
TURNS = {"rotary": (f"{ATTENTION}rotate",)}  # what attention itself does about positions; the others come as a bias
MLPS = {
    "plain": ("model/layers.py:MLP.forward", "model/layers.py:MLP.hidden"),
    "gated": ("model/layers.py:MLP.forward", "model/layers.py:GatedMLP.hidden"),
}
LANGUAGE = ("model/head.py:LanguageModelHead.forward", "model/head.py:Projection.forward")
HEADS = {
    "none": (),
    "lm": LANGUAGE,
    "mlm": ("model/head.py:MaskedLanguageModelHead.features", *LANGUAGE),
    "token_labels": ("model/head.py:LabelHead.forward",),
    "sequence_labels": ("model/head.py:LabelHead.forward",),
}
RESIDUALS = {"pre": "model/block.py:pre_norm", "post": "model/block.py:post_norm"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Code:
    """A function or class as it stands in its file."""

    title: str  # its name, within its class where it has one
    file: str  # clearhead/model/attention.py
    first: int  # lines, counted from 1; both belong to it
    last: int
    source: str


def code(kind: Kind, config: ModelConfig, *, cross: bool = False) -> tuple[Code, ...]:
    """What computes a kind of part of this model; `cross`: in a layer that also has cross-attention."""
    return tuple(excerpt(*name.split(":")) for name in names(kind, config, cross=cross))


def names(kind: Kind, config: ModelConfig, *, cross: bool) -> Iterator[str]:
    """The same as `file:name`, in the order in which one reads them."""
    if kind == "attention":
        yield from (f"{ATTENTION}Attention.forward", *TURNS.get(config.position, ()), f"{ATTENTION}Attention.mix")
        yield from (*WEIGHING, f"{STACK}Stack.bias", f"{STACK}Stack.hidden")
    elif kind == "residual":
        yield from residual(config, cross=cross)
    elif kind in ("positions", "bias", "rotary"):
        yield from POSITIONS[config.position]
    elif kind == "mlp":
        yield from MLPS[config.mlp]
    elif kind == "head":
        yield from HEADS[config.head]
    else:
        yield from FIXED[kind]


def residual(config: ModelConfig, *, cross: bool) -> Iterator[str]:
    """How the sublayers of a layer join."""
    if config.residual == "parallel":
        yield "model/block.py:ParallelBlock.sublayers"
    else:
        yield f"model/block.py:{'CrossBlock' if cross else 'SequentialBlock'}.sublayers"
        yield RESIDUALS[config.norm_placement]


@cache
def excerpt(file: str, name: str) -> Code:
    """The lines of one function or class, its decorators included.

    Raises:
        LookupError: the file has none of that name.
    """
    lines, found = definitions(file)
    if name not in found:
        raise LookupError(f"clearhead/{file} defines no {name}")
    first, last = found[name]
    source = "\n".join(lines[first - 1 : last])
    return Code(title=name, file=f"clearhead/{file}", first=first, last=last, source=source)


@cache
def definitions(file: str) -> tuple[list[str], dict[str, tuple[int, int]]]:
    """The lines of a file of the package, and the first and last line of all that it defines, by qualified name."""
    # From the package's root: naming `clearhead.model` to the resources would import it, and torch with it.
    text = files("clearhead").joinpath(*file.split("/")).read_text(encoding="utf-8")
    return text.split("\n"), dict(defined(ast.parse(text), ""))


def defined(node: ast.AST, prefix: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """Functions and classes directly inside a node, and methods inside those classes."""
    for inner in ast.iter_child_nodes(node):
        if isinstance(inner, ast.FunctionDef | ast.ClassDef):
            first = min(n.lineno for n in (inner, *inner.decorator_list))
            yield prefix + inner.name, (first, inner.end_lineno or inner.lineno)
            if isinstance(inner, ast.ClassDef):
                yield from defined(inner, f"{prefix}{inner.name}.")
