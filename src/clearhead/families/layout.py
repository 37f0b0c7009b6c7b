"""The named weights of a model and their shapes, from its configuration alone.

Every reader of checkpoints is held against this list, every executor builds exactly it, and `inspect` counts it.
Projections are stored as [rows out, columns in], the way a row of the result is one dot product.

C d_model, F d_ff, H query heads, K key/value heads, D head_dim, V vocab_size.
"""

from collections.abc import Iterator

from clearhead.config import ModelConfig

Shape = tuple[int, ...]
Layout = dict[str, Shape]
TABLES = ("embed.positions.weight", "embed.token_types.weight", "position_bias.weight")  # read row by row, as floats


def layout(config: ModelConfig) -> Layout:
    """Name and shape of every weight `config` calls for, in the order data flows through them."""
    return dict(_all(config))


def count(shapes: Layout) -> int:
    """How many numbers the named weights hold together."""
    total = 0
    for shape in shapes.values():
        size = 1
        for n in shape:
            size *= n
        total += size
    return total


def is_matrix(name: str, shape: Shape) -> bool:
    """Whether a weight is multiplied by activations (or looked up in the token embedding, which may be)."""
    return len(shape) == 2 and not name.endswith(TABLES)


def _all(c: ModelConfig) -> Iterator[tuple[str, Shape]]:
    yield from _embedding(c)
    for stack, n_layers in (("encoder", c.n_encoder_layers), ("decoder", c.n_decoder_layers)):
        if n_layers == 0:
            continue
        if c.position == "relative":
            yield f"{stack}.position_bias.weight", (c.relative_buckets, c.n_heads)
        for index in range(n_layers):
            yield from _block(c, f"{stack}.layers.{index}", cross=stack == "decoder" and c.n_encoder_layers > 0)
        if c.norm_placement == "pre":
            yield from _norm(c, f"{stack}.norm")
    yield from _head(c)


def _embedding(c: ModelConfig) -> Iterator[tuple[str, Shape]]:
    yield "embed.tokens.weight", (c.vocab_size, c.d_model)
    if c.position == "learned":
        yield "embed.positions.weight", (c.max_positions, c.d_model)
    if c.n_token_types:
        yield "embed.token_types.weight", (c.n_token_types, c.d_model)
    if c.embedding_norm:
        yield from _norm(c, "embed.norm")


def _block(c: ModelConfig, path: str, *, cross: bool) -> Iterator[tuple[str, Shape]]:
    yield from _norm(c, f"{path}.attention_norm")
    yield from _attention(c, f"{path}.attention")
    if cross:
        yield from _norm(c, f"{path}.cross_attention_norm")
        yield from _attention(c, f"{path}.cross_attention")
    if c.residual == "sequential":
        yield from _norm(c, f"{path}.mlp_norm")
    for part in ("gate", "up") if c.mlp == "gated" else ("up",):
        yield from _linear(f"{path}.mlp.{part}", c.d_ff, c.d_model, bias=c.mlp_bias)
    yield from _linear(f"{path}.mlp.down", c.d_model, c.d_ff, bias=c.mlp_bias)


def _attention(c: ModelConfig, path: str) -> Iterator[tuple[str, Shape]]:
    widths = {"query": c.n_heads, "key": c.n_kv_heads, "value": c.n_kv_heads}
    for part, heads in widths.items():
        yield from _linear(f"{path}.{part}", heads * c.head_dim, c.d_model, bias=c.attention_bias != "none")
    yield from _linear(f"{path}.output", c.d_model, c.n_heads * c.head_dim, bias=c.attention_bias == "all")


def _head(c: ModelConfig) -> Iterator[tuple[str, Shape]]:
    if c.pooler:
        yield from _linear("pooler", c.d_model, c.d_model, bias=True)
    if c.head == "mlm":
        yield from _linear("head.transform", c.d_model, c.d_model, bias=True)
        yield from _norm(c, "head.norm")
    if c.head in ("lm", "mlm"):
        if not c.tied:
            yield "head.projection.weight", (c.vocab_size, c.d_model)
        if c.head_bias:
            yield "head.projection.bias", (c.vocab_size,)
    elif c.head != "none":
        yield from _linear("head.projection", len(c.labels), c.d_model, bias=True)


def _norm(c: ModelConfig, path: str) -> Iterator[tuple[str, Shape]]:
    yield f"{path}.weight", (c.d_model,)
    if c.norm == "layer":
        yield f"{path}.bias", (c.d_model,)


def _linear(path: str, rows: int, columns: int, *, bias: bool) -> Iterator[tuple[str, Shape]]:
    yield f"{path}.weight", (rows, columns)
    if bias:
        yield f"{path}.bias", (rows,)
