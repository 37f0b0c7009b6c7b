"""The boxes of an architecture's figure as data: what each is called, holds, computes and shows in a trace.

A part of a layer stands for that part of every layer; `{i}` in its id and its paths is the layer's number.

T tokens, C d_model.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from clearhead.config import ModelConfig
from clearhead.lens.architecture import Architecture, Stack, Sublayer, Weight
from clearhead.lens.code import Code, Kind, code
from clearhead.lens.diagram.labels import (
    attention_name,
    embedding_lines,
    head_lines,
    heads_line,
    mlp_lines,
    norm_label,
    positions_line,
)
from clearhead.lens.diagram.weights import listed
from clearhead.trace.schema import StackName, places, stacks

WIDE = 80  # characters: no line is shortened
VECTORS = {"sinusoidal": "sinusoidal positions", "learned": "learned positions"}
BIASES = {"alibi": "ALiBi bias", "relative": "relative position bias"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One box, or several equal ones: `each` of them, one in every layer."""

    id: str
    kind: Kind
    label: str
    lines: tuple[str, ...] = ()  # what it does, in few words each
    weights: tuple[Weight, ...] = ()
    each: int = 1
    paths: tuple[str, ...] = ()  # of a trace, values that this part computes
    code: tuple[Code, ...] = ()

    @property
    def parameters(self) -> int:
        """Of one of them."""
        return sum(w.parameters for w in self.weights)

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Of its only matrix or, without one, its first vector; None where it has several matrices or nothing."""
        matrices = [w.shape for w in self.weights if len(w.shape) > 1]
        if len(matrices) > 1 or not self.weights:
            return None
        return matrices[0] if matrices else self.weights[0].shape

    @property
    def detail(self) -> list[str]:
        """What it does, then its weights."""
        return [*self.lines, *(f"{name} {shape}".strip() for name, shape, _ in listed(self.weights))]


def parts(found: Architecture) -> dict[str, Part]:
    """Every part by its id, in the order in which data flows; the weights of all are those of the model."""
    made = [*embedding_parts(found)]
    for stack in found.stacks:
        made += stack_parts(found, stack)
    return {part.id: part for part in (*made, *head_parts(found))}


def embedding_parts(found: Architecture) -> Iterator[Part]:
    """What is added up before the first layer."""
    c, of = found.config, named(found.embedding)
    words, output = embedding_lines(c), paths_of(c, "embed.output")
    scale = tuple(line for line in words if line.startswith("×"))
    last = () if c.embedding_norm else output  # the sum leaves the last part that is added
    vectors = c.position in VECTORS
    yield Part(
        id="embed.tokens",
        kind="tokens",
        label="token embedding",
        code=code("tokens", c),
        weights=of["tokens"],
        lines=(f"{c.vocab_size:,} tokens → {c.d_model:,} numbers each", *scale),
        paths=(*paths_of(c, "embed.tokens"), *(() if vectors or c.n_token_types else last)),
    )
    if vectors:
        yield Part(
            id="embed.positions",
            kind="positions",
            label=VECTORS[c.position],
            code=code("positions", c),
            lines=(f"up to {c.max_positions:,} positions", "added to the token vectors"),
            weights=of.get("positions", ()),
            paths=(*paths_of(c, "embed.positions"), *(() if c.n_token_types else last)),
        )
    if c.n_token_types:
        yield Part(
            id="embed.token_types",
            kind="token_types",
            label="token types",
            code=code("token_types", c),
            lines=(f"which of {c.n_token_types} texts a token belongs to",),
            weights=of["token_types"],
            paths=last,
        )
    if c.embedding_norm:
        paths = (*paths_of(c, "embed.sum"), *output)
        yield norm_part(c, "embed.norm", of["norm"], paths=paths)


def stack_parts(found: Architecture, stack: Stack) -> Iterator[Part]:
    """One layer's parts in the order of its computation, then what the layers share."""
    c, cross = found.config, any(s.kind == "cross_attention" for s in stack.sublayers)
    for sublayer in stack.sublayers:
        yield from with_norm(c, stack, sublayer)
    yield Part(
        id=f"{layer(stack)}.residual",
        kind="residual",
        label="residual connections",
        code=code("residual", c, cross=cross),
        lines=("what each sublayer computes is added to its input",),
        each=stack.n_layers,
        paths=(f"{layer(stack)}.input", f"{layer(stack)}.output"),
    )
    yield from shared_parts(c, stack)


def with_norm(config: ModelConfig, stack: Stack, sublayer: Sublayer) -> list[Part]:
    """A sublayer, and its norm before or after it; where norms come after, the last one makes the layer's output."""
    own = sublayer_part(config, stack, sublayer)
    if not sublayer.norm:
        return [own]
    last = config.norm_placement == "post" and sublayer is stack.sublayers[-1]
    paths = (f"{layer(stack)}.output", f"{stack.name}.output") if last else ()
    norm = norm_part(config, f"{own.id}_norm", sublayer.norm, each=stack.n_layers, paths=paths)
    return [norm, own] if config.norm_placement == "pre" else [own, norm]


def layer(stack: Stack) -> str:
    """The path of any layer of a stack."""
    return f"{stack.name}.layers.{{i}}"


def sublayer_part(config: ModelConfig, stack: Stack, sublayer: Sublayer) -> Part:
    """Attention or MLP."""
    path = f"{layer(stack)}.{sublayer.kind}"
    if sublayer.kind == "mlp":
        label, *lines = mlp_lines(config)
    else:
        label, lines = attention_name(stack.name, sublayer.kind), [heads_line(config)]
        if sublayer.kind == "attention" and config.position not in VECTORS:
            lines.append(positions_line(config, WIDE))
    return Part(
        id=path,
        kind=sublayer.kind,
        label=label,
        lines=tuple(lines),
        code=code(sublayer.kind, config),
        weights=unprefixed(sublayer),
        each=stack.n_layers,
        paths=(*([f"{stack.name}.bias"] if sublayer.kind == "attention" else []), *within(config, stack.name, path)),
    )


def unprefixed(sublayer: Sublayer) -> tuple[Weight, ...]:
    """Its weights without its own name."""
    return tuple(Weight(name=w.name.removeprefix(f"{sublayer.kind}."), shape=w.shape) for w in sublayer.weights)


def shared_parts(config: ModelConfig, stack: Stack) -> Iterator[Part]:
    """What all layers of a stack use, and the norm after the last of them."""
    of = named(stack.outside)
    if config.position == "rotary":
        yield Part(
            id=f"{stack.name}.rotary_positions",
            kind="rotary",
            label="rotary positions",
            code=code("rotary", config),
            lines=(f"cos and sin of {config.head_dim // 2} angles per position",),
        )
    if config.position in BIASES:
        yield Part(
            id=f"{stack.name}.position_bias",
            kind="bias",
            label=BIASES[config.position],
            code=code("bias", config),
            lines=("added to the scores of every layer",),
            weights=of.get("position_bias", ()),
            paths=(f"{stack.name}.bias",),
        )
    if "norm" in of:
        yield norm_part(
            config, f"{stack.name}.norm", of["norm"], "after the last layer", paths=(f"{stack.name}.output",)
        )


def head_parts(found: Architecture) -> Iterator[Part]:
    """From the last states to the result."""
    c, words = found.config, head_lines(found.config)
    if c.pooler:
        label, line = words.pop(0).split(": ", 1)
        yield Part(
            id="pooler",
            kind="pooler",
            label=label,
            lines=(line,),
            code=code("pooler", c),
            weights=named(found.head)["pooler"],
        )
    if c.head != "none":
        label, *lines = words
        of_head = tuple(w for w in found.head if not w.name.startswith("pooler."))
        yield Part(
            id="head",
            kind="head",
            label=label,
            lines=tuple(lines),
            code=code("head", c),
            weights=of_head,
            paths=("head.logits",),
        )


def norm_part(
    config: ModelConfig,
    id: str,
    weights: Iterable[Weight],
    line: str = "",
    *,
    each: int = 1,
    paths: tuple[str, ...] = (),
) -> Part:
    """A norm."""
    lines = (line,) if line else ()
    return Part(
        id=id,
        kind="norm",
        label=norm_label(config),
        lines=lines,
        each=each,
        paths=paths,
        weights=tuple(Weight(name=w.name.rpartition(".")[2], shape=w.shape) for w in weights),
        code=code("norm", config),
    )


def named(weights: Iterable[Weight]) -> dict[str, tuple[Weight, ...]]:
    """Weights by the module they belong to, named by what is left: `norm.bias` is the bias of `norm`."""
    groups: dict[str, tuple[Weight, ...]] = {}
    for weight in weights:
        module, _, name = weight.name.rpartition(".")
        groups[module] = (*groups.get(module, ()), Weight(name=name, shape=weight.shape))
    return groups


def paths_of(config: ModelConfig, end: str) -> tuple[str, ...]:
    """The path that ends so, of each stack."""
    return tuple(f"{stack}.{end}" for stack in stacks(config))


def within(config: ModelConfig, stack: StackName, path: str) -> tuple[str, ...]:
    """What a trace shows of one part of a layer, `{i}` in place of the layer's number."""
    first = (place.path.replace(".layers.0.", ".layers.{i}.") for place in places(config, stack) if place.layer == 0)
    return tuple(found for found in first if found.startswith(f"{path}."))
