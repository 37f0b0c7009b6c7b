"""The words inside the boxes of an architecture's figure: what each choice of a configuration is called."""

from clearhead.config import ModelConfig
from clearhead.lens.architecture import Architecture
from clearhead.trace.schema import StackName

NORMS = {"layer": "LayerNorm", "layer_without_bias": "LayerNorm, no bias", "rms": "RMSNorm"}
ACTIVATIONS = {"relu": "ReLU", "gelu": "GELU", "gelu_tanh": "GELU (tanh)", "silu": "SiLU"}
IN_SCORES = {
    "rotary": "rotary positions turn Q and K",
    "alibi": "ALiBi: scores fall with distance",
    "relative": "relative positions bias scores",
}
SHORT_IN_SCORES = {"rotary": "rotary positions", "alibi": "ALiBi distances", "relative": "relative position bias"}


def norm_label(config: ModelConfig) -> str:
    """The kind of norm."""
    return NORMS[config.norm]


def attention_lines(config: ModelConfig, stack: StackName, kind: str, room: int) -> list[str]:
    """An attention box: its name, its heads, how they share keys, and the positions it sees."""
    lines = [attention_name(stack, kind), heads_line(config)]
    picture = head_picture(config)
    if max(map(len, picture)) <= room:
        lines += picture
    if kind == "attention" and config.position in IN_SCORES:
        lines.append(positions_line(config, room))
    return lines


def attention_name(stack: StackName, kind: str) -> str:
    """Who looks at whom."""
    if kind == "cross_attention":
        return "cross-attention"
    return "masked self-attention" if stack == "decoder" else "self-attention"


def positions_line(config: ModelConfig, room: int) -> str:
    """How attention comes to know of positions, for the schemes in which it does."""
    long = IN_SCORES[config.position] + scaling_note(config)
    return long if len(long) <= room else SHORT_IN_SCORES[config.position] + scaling_note(config)


def heads_line(config: ModelConfig) -> str:
    """How many heads of which width, and how many keys and values they share."""
    heads = f"{config.n_heads} head{'s' if config.n_heads > 1 else ''} × {config.head_dim}"
    if config.n_kv_heads == config.n_heads:
        return heads
    return f"{heads}, {config.n_kv_heads} KV head{'s' if config.n_kv_heads > 1 else ''}"


def head_picture(config: ModelConfig) -> list[str]:
    """Query heads above the key/value heads they read, one square each."""
    share = config.n_heads // config.n_kv_heads
    gap = "" if share == 1 else " "
    queries = gap.join(["■" * share] * config.n_kv_heads)
    keys = gap.join(["■".ljust(share)] * config.n_kv_heads)
    return [f"Q  {queries}", f"KV {keys}"]


def scaling_note(config: ModelConfig) -> str:
    """How rotary frequencies are stretched, if they are."""
    scaling = config.rotary_scaling
    if scaling is None:
        return ""
    return f" ({scaling.kind})" if scaling.kind == "factors" else f" ({scaling.kind} × {scaling.factor:g})"


def mlp_lines(config: ModelConfig) -> list[str]:
    """The MLP's box."""
    gated = "gated " if config.mlp == "gated" else ""
    return [
        f"MLP, {gated}{ACTIVATIONS[config.activation]}",
        f"{config.d_model:,} → {config.d_ff:,} → {config.d_model:,}",
    ]


def embedding_lines(config: ModelConfig) -> list[str]:
    """The embedding's box: everything that is added before the first layer."""
    lines = [f"token embedding {config.vocab_size:,} × {config.d_model:,}"]
    if config.embedding_scale != 1:
        lines.append(f"× {config.embedding_scale:.4g}")
    if config.position == "learned":
        lines.append(f"⊕ learned positions {config.max_positions:,} × {config.d_model:,}")
    if config.position == "sinusoidal":
        lines.append("⊕ sinusoidal positions")
    if config.n_token_types:
        lines.append(f"⊕ token types {config.n_token_types} × {config.d_model:,}")
    return [*lines, NORMS[config.norm]] if config.embedding_norm else lines


def head_lines(config: ModelConfig) -> list[str]:
    """The head's box; empty where the states themselves are the result."""
    pooler = [f"pooler: tanh of the first token, {config.d_model:,} → {config.d_model:,}"] if config.pooler else []
    if config.head == "none":
        return pooler
    if config.head.endswith("labels"):
        return [*pooler, f"head {config.d_model:,} → {len(config.labels)} labels"]
    lines = [f"head {config.d_model:,} → {config.vocab_size:,}"]
    if config.tied:
        lines.append("shares the token embedding")
    if config.head == "mlm":
        lines.append(
            f"after {config.d_model:,} → {config.d_model:,}, {ACTIVATIONS[config.activation]}, {NORMS[config.norm]}"
        )
    if config.logit_scale != 1:
        lines.append(f"× {config.logit_scale:.4g}")
    return lines


def result_line(config: ModelConfig) -> str:
    """What leaves the model; T is the number of tokens."""
    if config.head == "none":
        return f"states [T × {config.d_model:,}]"
    if config.head == "sequence_labels":
        return f"label scores [{len(config.labels)}]"
    if config.head == "token_labels":
        return f"label scores [T × {len(config.labels)}]"
    return f"logits [T × {config.vocab_size:,}]"


def block_lines(found: Architecture, name: str) -> list[str]:
    """What a block of the simplified form says below its name: what is inside, and how much of the model that is."""
    count = found.parts[name]
    percent = 100 * count / found.parameters
    part = "below 0.1%" if percent < 0.1 else f"{percent:.1f}%"
    share = f"{count:,} parameters ({part})" if count else "no parameters of its own"
    if name == "embedding":
        return [*embedding_lines(found.config), share]
    if name == "head":
        return [*(line.removeprefix("head ") for line in head_lines(found.config)), share]
    stack = next(s for s in found.stacks if s.name == name)
    *first, last = (attention_name(stack.name, s.kind) if s.kind != "mlp" else "MLP" for s in stack.sublayers)
    layers = f"{stack.n_layers} layer{'s' if stack.n_layers > 1 else ''}"
    return [f"{layers} of {', '.join(first)} and {last}", share]
