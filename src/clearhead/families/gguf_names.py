"""The names llama.cpp gives to tensors in GGUF files, which are the same in every architecture it converts.

A page states which of these tables it is made of, and where its own tensors differ. Source: llama.cpp's `gguf` package,
`constants.py` and `tensor_mapping.py`, and the converter of each architecture.
"""

from typing import Any

from clearhead.config import ModelConfig
from clearhead.errors import ConfigError
from clearhead.families.family import Tensors
from clearhead.families.fields import Fields
from clearhead.families.keys import KeyTable, Row, Stacked, head, qkv

BLOCK, OURS = "blk.{}", "decoder.layers.{}"

EMBEDDING: KeyTable = {
    "token_embd": "embed.tokens",
    "position_embd": "embed.positions",
    "token_types": "embed.token_types",
    "token_embd_norm": "embed.norm",
}


def decoder(config: ModelConfig, attention: KeyTable) -> KeyTable:
    """A whole decoder-only model around its input projections."""
    return {
        **EMBEDDING,
        f"{BLOCK}.attn_norm": f"{OURS}.attention_norm",
        **attention,
        f"{BLOCK}.attn_output": f"{OURS}.attention.output",
        f"{BLOCK}.ffn_norm": f"{OURS}.mlp_norm",
        **mlp(BLOCK, OURS),
        "output_norm": "decoder.norm",
        "output": head(config),
    }


def separate(block: str, ours: str) -> KeyTable:
    """Query, key and value by themselves."""
    return {f"{block}_{letter}": f"{ours}.{part}" for letter, part in (("q", "query"), ("k", "key"), ("v", "value"))}


def fused(block: str, ours: str) -> KeyTable:
    """Query, key and value one below the other, whatever their order was in the model's own files."""
    return {f"{block}_qkv": Row(qkv(ours), Stacked())}


def mlp(block: str, ours: str) -> KeyTable:
    """The MLP, gated or not."""
    return {f"{block}.ffn_{part}": f"{ours}.mlp.{part}" for part in ("gate", "up", "down")}


def rows(tensors: Tensors, name: str, default: int) -> int:
    """How many rows a tensor has: the vocabulary's size, for one, which not every file states."""
    return tensors[name].shape[0] if name in tensors else default


def sizes(fields: Fields, tensors: Tensors) -> dict[str, Any]:
    """The counts every architecture states, as fields of a ModelConfig."""
    d_model, n_heads = fields.integer("embedding_length"), fields.integer("attention.head_count")
    if d_model < 1:
        raise ConfigError(f"{fields.where}: embedding_length is {d_model}; it must be at least 1")
    head_dim = fields.integer("attention.key_length", default=0)
    head_dim = head_dim or fields.share("embedding_length", d_model, "attention.head_count", n_heads)
    fields.expect("attention.value_length", head_dim)
    return {
        "vocab_size": rows(tensors, "token_embd.weight", 0) or fields.integer("vocab_size"),
        "d_model": d_model,
        "d_ff": fields.integer("feed_forward_length"),
        "n_heads": n_heads,
        "n_kv_heads": fields.integer("attention.head_count_kv", default=n_heads),
        "head_dim": head_dim,
        "max_positions": fields.integer("context_length"),
    }
