"""The architecture of a model as a view: what it is made of, which lines compute each part, and what each computed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from clearhead.config import ModelConfig
from clearhead.lens.architecture import CACHED_TOKENS, Architecture, Stack, architecture
from clearhead.lens.diagram.figure import draw, draw_simplified
from clearhead.lens.diagram.labels import ACTIVATIONS, block_lines, heads_line, norm_label
from clearhead.lens.diagram.parts import Part, layer, parts
from clearhead.lens.diagram.weights import weight_rows
from clearhead.lens.payload import Payload
from clearhead.lens.view import WIDTH, View
from clearhead.text.printable import one_line
from clearhead.trace import Trace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOTE = (
    "Data flows upwards. The code is that of the torch executor, written to be read beside the papers; the native one "
    "computes the same."
)


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class ArchitectureView(View):
    """A model drawn from its configuration; with a trace, also what each part computed."""

    type: ClassVar[str] = "architecture"
    height: ClassVar[int] = 1130
    title: str
    architecture: Architecture
    trace: Trace | None = None
    name: str = ""
    simplified: bool = False  # drawings, the terminal and the page begin with encoder and decoder as one block each

    @property
    def model(self) -> dict[str, Any]:
        """What the page says of the model."""
        c = self.architecture.config
        return {"name": self.name, "family": c.family, "kind": c.kind, "parameters": self.architecture.parameters}

    @property
    def figures(self) -> dict[str, Any]:
        """All of it: a page gets no more."""
        return {"type": self.type, "title": self.title, **self.fill(Payload(title=self.title))}

    def fill(self, payload: Payload) -> dict[str, Any]:
        """The fields of the view; it names no token list and no array."""
        found = self.architecture
        made = parts(found)
        return {
            "note": NOTE,
            "stacks": [stack_json(stack, made) for stack in found.stacks],
            "parts": {id: part_json(part, found.parameters) for id, part in made.items()},
            "embedding": [id for id in made if id.startswith("embed.")],
            "head": [id for id in made if id in ("pooler", "head")],
            "simplified": {name: ", ".join(block_lines(found, name)) for name in blocks(found)},
            "begin": "simplified" if self.simplified else "full",
            "parameters": found.parameters,
            "residual": found.config.residual,
            "placement": found.config.norm_placement,
            "facts": [[name, value] for name, value in facts(found).items()],
            "held": list(self.trace.paths) if self.trace else [],
            "stats": {path: statistics(path, self.trace[path]) for path in self.trace.paths} if self.trace else {},
        }

    def draw(self, figure: "Figure") -> None:
        """The figure for papers; it takes the size that it needs."""
        from clearhead.lens.diagram.paper import draw_full, draw_simple

        (draw_simple if self.simplified else draw_full)(figure, self.architecture, one_line(self.name))

    def terminal(self, width: int = WIDTH) -> Text:
        """The figure and, of the full one, every weight below it; lines that have no room are cut."""
        text = (draw_simplified if self.simplified else draw)(self.architecture, width)
        text.append("\n")
        if not self.simplified:
            for line, style in weight_rows(self.architecture):
                text.append("\n").append(line, style)
            text.append("\n")
        return cut(text, width)


def architecture_view(
    config: ModelConfig, trace: Trace | None = None, *, name: str = "", simplified: bool = False
) -> ArchitectureView:
    """The architecture of the model that `config` describes; no weight is read.

    `trace`, of the same model, links parts to their values; `simplified` begins with one block for each stack.

    Raises:
        ConfigError: a family that is not registered.
        OptionError: a trace of another model.
    """
    if trace is not None:
        trace.check(config)
    name = name or (trace.model if trace is not None else "")
    title = f"Architecture of {one_line(name)}" if name else "Architecture"
    return ArchitectureView(
        title=title, architecture=architecture(config), trace=trace, name=name, simplified=simplified
    )


def blocks(found: Architecture) -> list[str]:
    """The blocks of the simplified form, in the order in which data flows."""
    has_head = found.config.pooler or found.config.head != "none"
    return ["embedding", *(stack.name for stack in found.stacks), *(["head"] if has_head else [])]


def stack_json(stack: Stack, made: Mapping[str, Part]) -> dict[str, Any]:
    """One stack: the parts of a layer in the order of its computation, and what its layers share."""
    inside, residual = f"{layer(stack)}.", f"{layer(stack)}.residual"
    return {
        "name": stack.name,
        "layers": stack.n_layers,
        "sublayers": [id for id in made if id.startswith(inside) and id != residual],
        "outside": [id for id in made if id.startswith(f"{stack.name}.") and not id.startswith(inside)],
        "residual": residual,
    }


def part_json(part: Part, whole: int) -> dict[str, Any]:
    """One part, its share that of all equal ones together."""
    return {
        "kind": part.kind,
        "label": part.label,
        "detail": part.detail,
        "shape": list(part.shape) if part.shape else None,
        "parameters": part.parameters,
        "each": part.each,
        "share": part.parameters * part.each / whole,
        "paths": list(part.paths),
        "code": [asdict(code) for code in part.code],
    }


def facts(found: Architecture) -> dict[str, str]:
    """What a reader wants to know of the whole, by name."""
    c = found.config
    lines = {
        "paper": found.paper,
        "memory": ", ".join(f"{megabytes(n)} in {dtype}" for dtype, n in found.weight_bytes.items()),
        "context window": f"{c.max_positions:,} tokens",
        "width (d_model)": f"{c.d_model:,}",
        "layers": ", ".join(f"{stack.n_layers} in the {stack.name}" for stack in found.stacks),
        "attention": heads_line(c),
        "MLP": f"{c.mlp}, {ACTIVATIONS[c.activation]}, {c.d_ff:,} wide",
        "norm": f"{norm_label(c)}, {'before' if c.norm_placement == 'pre' else 'after'} each sublayer",
        "positions": c.position,
    }
    if cache := found.cache_bytes("float32"):
        lines["KV cache"] = f"{megabytes(cache)} in float32 for {CACHED_TOKENS:,} tokens"
    return lines


def megabytes(n: int) -> str:
    """Bytes as people read them; of a toy, in kilobytes."""
    return f"{n / 1e6:,.1f} MB" if n >= 1e6 else f"{n / 1e3:,.1f} kB"


def statistics(path: str, array: NDArray[Any]) -> dict[str, Any]:
    """What an array's numbers are like. A score bias is minus infinity where a key is hidden: such places are counted
    apart, as `hidden`."""
    found: dict[str, Any] = dict.fromkeys(("mean", "deviation", "smallest", "largest"))
    blocks = list(array) if array.ndim > 2 else [array]  # a head at a time, which fits into the processor's cache
    if path.endswith(".bias"):
        shown = [block[np.isfinite(block)] for block in blocks]
        found["hidden"] = array.size - sum(block.size for block in shown)
        blocks = shown
    if any(block.size for block in blocks):
        found |= spread([block for block in blocks if block.size])
    return {**found, "shape": list(array.shape)}


def spread(blocks: Sequence[NDArray[Any]]) -> dict[str, float]:
    """Mean, standard deviation and ends of all blocks together, each of which is read few times (Chan et al. 1979)."""
    sizes = np.array([block.size for block in blocks])
    means = np.array([block.mean(dtype=np.float64) for block in blocks])
    squares = np.array([around(block, mean) for block, mean in zip(blocks, means, strict=True)])
    mean = float((means * sizes).sum() / sizes.sum())
    variance = (squares.sum() + (sizes * (means - mean) ** 2).sum()) / sizes.sum()
    return {
        "mean": mean,
        "deviation": float(np.sqrt(variance)),
        "smallest": float(min(block.min() for block in blocks)),
        "largest": float(max(block.max() for block in blocks)),
    }


def around(block: NDArray[Any], mean: float) -> float:
    """The sum of the squares of a block's distances from its mean."""
    apart = np.ravel(block - block.dtype.type(mean))
    return float(np.dot(apart, apart))


def cut(text: Text, width: int) -> Text:
    """Every line at most so wide."""
    lines = text.split("\n", allow_blank=True)
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return Text("\n").join(lines)
