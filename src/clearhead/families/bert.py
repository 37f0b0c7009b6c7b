"""BERT: the encoder alone, trained to fill in masked words.

Devlin et al. 2018 (1810.04805). Three embeddings are added and normed; each sublayer is normed after its residual, as
in 2017. The head is a masked language model, labels for each token, labels for the whole text, or none (MiniLM).
"""

from typing import Any

from clearhead.config import Head, ModelConfig
from clearhead.errors import ConfigError
from clearhead.families import distilbert
from clearhead.families.activations import ACTIVATIONS, HF_NAMES
from clearhead.families.family import Family, Format, Tensors
from clearhead.families.fields import Fields
from clearhead.families.gguf_names import EMBEDDING, mlp, rows, separate, sizes
from clearhead.families.keys import Copy, KeyTable

HEADS: dict[str, Head] = {
    "BertModel": "none",
    "BertForMaskedLM": "mlm",
    "BertForTokenClassification": "token_labels",
    "BertForSequenceClassification": "sequence_labels",
}


def from_hf(fields: Fields, tensors: Tensors) -> ModelConfig:
    """Read transformers' BertConfig; `architectures` says which head the weights were saved with."""
    fields.expect("position_embedding_type", "absolute")
    fields.expect("is_decoder", False)
    head = HEADS[architecture(fields)]
    d_model, n_heads = fields.integer("hidden_size"), fields.integer("num_attention_heads")
    return ModelConfig(
        family="bert",
        vocab_size=fields.integer("vocab_size"),
        d_model=d_model,
        d_ff=fields.integer("intermediate_size"),
        n_heads=n_heads,
        n_kv_heads=n_heads,
        head_dim=fields.share("hidden_size", d_model, "num_attention_heads", n_heads),
        n_encoder_layers=fields.integer("num_hidden_layers"),
        max_positions=fields.integer("max_position_embeddings", default=512),
        norm_placement="post",
        norm_eps=fields.number("layer_norm_eps", default=1e-12),
        position="learned",
        activation=fields.choice("hidden_act", of=ACTIVATIONS, default="gelu"),
        n_token_types=fields.integer("type_vocab_size", default=2),
        embedding_norm=True,
        pooler=head == "sequence_labels" or any(name.endswith("pooler.dense.weight") for name in tensors),
        head=head,
        head_bias=head == "mlm",
        tied=fields.flag("tie_word_embeddings", default=True),
        labels=fields.labels("id2label") if head.endswith("labels") else (),
    )


def architecture(fields: Fields) -> str:
    """The class the weights were saved from, among those whose head is computed here."""
    name = fields.first_text("architectures", default="BertModel")
    if name not in HEADS:
        raise ConfigError(f"{fields.where}: architecture {name!r} is not read; Clearhead reads {', '.join(HEADS)}")
    return name


def to_hf(config: ModelConfig) -> dict[str, Any]:
    """Write transformers' BertConfig, or DistilBertConfig."""
    if written(config) == "hf-distilbert":
        return distilbert.to_hf(config)
    return {
        "model_type": "bert",
        "architectures": [next(name for name, head in HEADS.items() if head == config.head)],
        "vocab_size": config.vocab_size,
        "hidden_size": config.d_model,
        "intermediate_size": config.d_ff,
        "num_attention_heads": config.n_heads,
        "num_hidden_layers": config.n_encoder_layers,
        "max_position_embeddings": config.max_positions,
        "layer_norm_eps": config.norm_eps,
        "hidden_act": HF_NAMES[config.activation],
        "type_vocab_size": config.n_token_types,
        "tie_word_embeddings": config.tied,
        "id2label": {str(i): label for i, label in enumerate(config.labels)},
        "label2id": {label: i for i, label in enumerate(config.labels)},
    }


def written(config: ModelConfig) -> str:
    """A BERT without token types is what transformers calls a DistilBERT."""
    return "hf" if config.n_token_types else "hf-distilbert"


def keys(config: ModelConfig) -> KeyTable:
    """Transformers' module paths."""
    hf, ours = "bert.encoder.layer.{}", "encoder.layers.{}"
    return {
        "bert.embeddings.word_embeddings": "embed.tokens",
        "bert.embeddings.position_embeddings": "embed.positions",
        "bert.embeddings.token_type_embeddings": "embed.token_types",
        "bert.embeddings.LayerNorm": "embed.norm",
        f"{hf}.attention.self.query": f"{ours}.attention.query",
        f"{hf}.attention.self.key": f"{ours}.attention.key",
        f"{hf}.attention.self.value": f"{ours}.attention.value",
        f"{hf}.attention.output.dense": f"{ours}.attention.output",
        f"{hf}.attention.output.LayerNorm": f"{ours}.attention_norm",
        f"{hf}.intermediate.dense": f"{ours}.mlp.up",
        f"{hf}.output.dense": f"{ours}.mlp.down",
        f"{hf}.output.LayerNorm": f"{ours}.mlp_norm",
        "bert.pooler.dense": "pooler",
        "cls.predictions.transform.dense": "head.transform",
        "cls.predictions.transform.LayerNorm": "head.norm",
        **(mlm_head(config) if config.head == "mlm" else {"classifier": "head.projection"}),
    }


def mlm_head(config: ModelConfig) -> KeyTable:
    """The masked-word projection: its bias has two names, its weight is mostly the embedding's."""
    return {
        "cls.predictions.bias": "head.projection.bias",
        "cls.predictions.decoder.bias": Copy("head.projection.bias"),
        "cls.predictions.decoder.weight": Copy("embed.tokens.weight") if config.tied else "head.projection.weight",
    }


def from_gguf(fields: Fields, tensors: Tensors) -> ModelConfig:
    """Read what llama.cpp writes for BertModel; its converter drops the pooler and every head."""
    fields.expect("attention.causal", False)
    return ModelConfig(
        family="bert",
        **sizes(fields, tensors),
        n_encoder_layers=fields.integer("block_count"),
        norm_placement="post",
        norm_eps=fields.number("attention.layer_norm_epsilon"),
        position="learned",
        activation="gelu",
        n_token_types=rows(tensors, "token_types.weight", 0),
        embedding_norm=True,
        head="none",
    )


def gguf_keys(config: ModelConfig) -> KeyTable:
    """llama.cpp's names."""
    block, ours = "blk.{}", "encoder.layers.{}"
    return {
        **EMBEDDING,
        **separate(f"{block}.attn", f"{ours}.attention"),
        f"{block}.attn_output": f"{ours}.attention.output",
        f"{block}.attn_output_norm": f"{ours}.attention_norm",
        **mlp(block, ours),
        f"{block}.layer_output_norm": f"{ours}.mlp_norm",
    }


HF = Format(
    types=("bert",),
    config=from_hf,
    keys=keys,
    prefix="bert.",
    # The head that tells whether two sentences follow each other lies in the files of the original release.
    ignored=(r".*embeddings\.position_ids", r"cls\.seq_relationship\.(weight|bias)"),
    older={".LayerNorm.gamma": ".LayerNorm.weight", ".LayerNorm.beta": ".LayerNorm.bias"},  # as TensorFlow named them
)

GGUF = Format(types=("bert",), config=from_gguf, keys=gguf_keys)

FAMILY = Family(
    name="bert",
    paper="Devlin et al. 2018, BERT: Pre-training of Deep Bidirectional Transformers (1810.04805)",
    formats={"hf": HF, "hf-distilbert": distilbert.FORMAT, "gguf": GGUF},
    to_hf=to_hf,
    written=written,
)
