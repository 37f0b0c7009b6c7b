"""DistilBERT: a BERT of half the layers, taught by the whole one (Sanh et al. 2019, 1910.01108).

The block is BERT's; there are no token types and no pooler, and every name is another one. A variant of the family
`bert`: its page lists this format beside its own.
"""

from typing import Any

from clearhead.config import Head, ModelConfig
from clearhead.errors import ConfigError
from clearhead.families.activations import ACTIVATIONS, HF_NAMES
from clearhead.families.family import Format, Tensors
from clearhead.families.fields import Fields
from clearhead.families.keys import Copy, KeyTable

NORM_EPS = 1e-12  # transformers' DistilBertModel knows no other
HEADS: dict[str, Head] = {
    "DistilBertModel": "none",
    "DistilBertForMaskedLM": "mlm",
    "DistilBertForTokenClassification": "token_labels",
}


def from_hf(fields: Fields, tensors: Tensors) -> ModelConfig:
    """Read transformers' DistilBertConfig; `architectures` says which head the weights were saved with."""
    name = fields.first_text("architectures", default="DistilBertModel")
    if name not in HEADS:
        raise ConfigError(f"{fields.where}: architecture {name!r} is not read; Clearhead reads {', '.join(HEADS)}")
    head = HEADS[name]
    d_model, n_heads = fields.integer("dim"), fields.integer("n_heads")
    return ModelConfig(
        family="bert",
        vocab_size=fields.integer("vocab_size"),
        d_model=d_model,
        d_ff=fields.integer("hidden_dim"),
        n_heads=n_heads,
        n_kv_heads=n_heads,
        head_dim=fields.share("dim", d_model, "n_heads", n_heads),
        n_encoder_layers=fields.integer("n_layers"),
        max_positions=fields.integer("max_position_embeddings", default=512),
        norm_placement="post",
        norm_eps=NORM_EPS,
        position="learned",
        activation=fields.choice("activation", of=ACTIVATIONS, default="gelu"),
        embedding_norm=True,
        head=head,
        head_bias=head == "mlm",
        tied=fields.flag("tie_word_embeddings", default=True),
        labels=fields.labels("id2label") if head == "token_labels" else (),
    )


def to_hf(config: ModelConfig) -> dict[str, Any]:
    """Write transformers' DistilBertConfig."""
    return {
        "model_type": "distilbert",
        "architectures": [next((name for name, head in HEADS.items() if head == config.head), "DistilBertModel")],
        "vocab_size": config.vocab_size,
        "dim": config.d_model,
        "hidden_dim": config.d_ff,
        "n_heads": config.n_heads,
        "n_layers": config.n_encoder_layers,
        "max_position_embeddings": config.max_positions,
        "activation": HF_NAMES[config.activation],
        "tie_word_embeddings": config.tied,
        "id2label": {str(i): label for i, label in enumerate(config.labels)},
        "label2id": {label: i for i, label in enumerate(config.labels)},
    }


def keys(config: ModelConfig) -> KeyTable:
    """transformers' module paths."""
    hf, ours = "distilbert.transformer.layer.{}", "encoder.layers.{}"
    return {
        "distilbert.embeddings.word_embeddings": "embed.tokens",
        "distilbert.embeddings.position_embeddings": "embed.positions",
        "distilbert.embeddings.LayerNorm": "embed.norm",
        f"{hf}.attention.q_lin": f"{ours}.attention.query",
        f"{hf}.attention.k_lin": f"{ours}.attention.key",
        f"{hf}.attention.v_lin": f"{ours}.attention.value",
        f"{hf}.attention.out_lin": f"{ours}.attention.output",
        f"{hf}.sa_layer_norm": f"{ours}.attention_norm",
        f"{hf}.ffn.lin1": f"{ours}.mlp.up",
        f"{hf}.ffn.lin2": f"{ours}.mlp.down",
        f"{hf}.output_layer_norm": f"{ours}.mlp_norm",
        "vocab_transform": "head.transform",
        "vocab_layer_norm": "head.norm",
        **(mlm_head(config) if config.head == "mlm" else {"classifier": "head.projection"}),
    }


def mlm_head(config: ModelConfig) -> KeyTable:
    """The masked-word projection: its weight is mostly the embedding's."""
    return {
        "vocab_projector.bias": "head.projection.bias",
        "vocab_projector.weight": Copy("embed.tokens.weight") if config.tied else "head.projection.weight",
    }


FORMAT = Format(types=("distilbert",), config=from_hf, keys=keys, prefix="distilbert.")
