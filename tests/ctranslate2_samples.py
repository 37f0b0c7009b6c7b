"""Tiny random models as CTranslate2's own code writes them: Marian's layout, and that of OpenNMT-py."""

import os
from copy import deepcopy
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import ctranslate2
import numpy as np
import transformers as tf
from ctranslate2.converters.transformers import MarianMTLoader
from ctranslate2.specs import TransformerSpec, common_spec

from oracles import redraw

PIECES = ["</s>", "<unk>", *"abcdefghijk"]
ONMT_PIECES = ["<unk>", "<blank>", "<s>", "</s>", *"abcdefgh"]


def marian(folder: Path) -> tf.MarianMTModel:
    """A random Marian model whose decoder starts from a zero vector, as all real ones do, saved by transformers."""
    config = tf.MarianConfig(
        vocab_size=14, d_model=8, encoder_layers=1, decoder_layers=2, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=12, decoder_ffn_dim=12, activation_function="swish",
        scale_embedding=True, max_position_embeddings=32, pad_token_id=13, decoder_start_token_id=13, eos_token_id=0,
        forced_eos_token_id=None,
    )  # fmt: skip
    model = redraw(tf.MarianMTModel(config), 3).float()
    model.model.shared.weight.data[13] = 0
    model.save_pretrained(folder)
    return model


def convert_marian(model: tf.MarianMTModel, folder: Path, quantisation: str | None = None) -> Path:
    """The same model by CTranslate2's converter (without the tokenizer that its command line insists on)."""
    spec = MarianMTLoader().get_model_spec(deepcopy(model))  # its quantisation writes into the weights it is given
    spec.config.decoder_start_token = spec.config.eos_token = "</s>"
    return save(spec, PIECES, folder, quantisation)


def opennmt(folder: Path, *, biases: bool = True) -> Path:
    """A random model as OpenNMT-py trains them: norms in front, positions as an interleaved table, its own head."""
    rng = np.random.default_rng(11)

    def draw(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) * 0.5).astype(np.float32)

    def linear(spec: Any, rows: int, columns: int) -> None:
        spec.weight = draw(rows, columns)
        if biases:
            spec.bias = draw(rows)

    def norm(spec: Any) -> None:
        spec.gamma, spec.beta = 1 + draw(8), draw(8)

    spec = TransformerSpec.from_config((2, 1), 2, pre_norm=True, activation=common_spec.Activation.RELU)
    embedding, angles = draw(len(ONMT_PIECES), 8), np.arange(20)[:, None] * 10_000.0 ** (-np.arange(0, 8, 2) / 8)
    table = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(20, 8).astype(np.float32)
    for stack in (spec.encoder, spec.decoder):
        (stack.embeddings[0] if stack is spec.encoder else stack.embeddings).weight = embedding
        stack.position_encodings.encodings = table
        norm(stack.layer_norm)
        for layer in stack.layer:
            linear(layer.self_attention.linear[0], 24, 8)
            linear(layer.self_attention.linear[1], 8, 8)
            norm(layer.self_attention.layer_norm)
            linear(layer.ffn.linear_0, 12, 8)
            linear(layer.ffn.linear_1, 8, 12)
            norm(layer.ffn.layer_norm)
            if stack is spec.decoder:
                for projection, rows in zip(layer.attention.linear, (8, 16, 8), strict=True):
                    linear(projection, rows, 8)
                norm(layer.attention.layer_norm)
    spec.decoder.projection.weight, spec.decoder.projection.bias = draw(len(ONMT_PIECES), 8), draw(len(ONMT_PIECES))
    return save(spec, ONMT_PIECES, folder, None)


def save(spec: Any, pieces: list[str], folder: Path, quantisation: str | None) -> Path:
    """Write a specification as `ctranslate2.converters.Converter.convert` does."""
    spec.register_source_vocabulary(pieces)
    spec.register_target_vocabulary(pieces)
    spec.validate()
    spec.optimize(quantization=quantisation)
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))
    return folder


def scores(folder: Path, source: list[str], target: list[str]) -> np.ndarray:
    """Log-probability of each piece of `target`, and of its end, by CTranslate2 itself."""
    translator = ctranslate2.Translator(str(folder), compute_type="float32", intra_threads=1)
    (result,) = translator.score_batch([source], [target])
    return np.array(result.log_probs)
