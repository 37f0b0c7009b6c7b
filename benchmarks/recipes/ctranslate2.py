"""SmolLM2, both encoders and a random Transformer of 2017 for CTranslate2, float32 on disk.

Its converter for the command line wants a tokenizer; the loaders inside do not. Pieces are called by their numbers.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from ctranslate2.converters.transformers import BertLoader, LlamaLoader, MarianMTLoader

from benchmarks.recipes.making import main, make

VOCABULARY, SOURCES, SOURCE_TOKENS = 32_000, 16, 25


def recipe(folder: Path) -> None:
    """All four."""
    make(folder / "smollm2" / "ctranslate2", partial(llama, folder / "smollm2" / "hf"))
    for name in ("minilm", "bert-base"):
        make(folder / name / "ctranslate2", partial(bert, folder / name / "hf"))
    make(folder / "base-2017" / "ctranslate2", base_2017)
    make(folder / "base-2017" / "sources.json", random_sources)


def llama(source: Path, folder: Path) -> None:
    """A decoder. The loader looks for the base of the rotary positions where transformers 5 no longer keeps it."""
    model = transformers.AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    model.config.rope_theta = model.config.rope_parameters["rope_theta"]
    spec = LlamaLoader().get_model_spec(model)
    pieces = names(model.config.vocab_size)
    spec.register_vocabulary(pieces)
    spec.config.bos_token, spec.config.eos_token, spec.config.unk_token = pieces[1], pieces[2], pieces[0]
    spec.config.layer_norm_epsilon = model.config.rms_norm_eps
    save(spec, folder)


def bert(source: Path, folder: Path) -> None:
    """An encoder. The loader asks for a field that transformers 5 no longer has."""
    model = transformers.BertModel.from_pretrained(source, dtype=torch.float32)
    model.config.position_embedding_type = "absolute"
    spec = BertLoader().get_model_spec(model)
    spec.register_vocabulary(names(model.config.vocab_size))
    spec.config.unk_token, spec.config.layer_norm_epsilon = "t0", model.config.layer_norm_eps
    save(spec, folder)


def base_2017(folder: Path) -> None:
    """6 + 6 layers, d_model 512, 8 heads, d_ff 2048, one vocabulary; random weights."""
    torch.manual_seed(0)
    config = transformers.MarianConfig(
        vocab_size=VOCABULARY,
        d_model=512,
        encoder_layers=6,
        decoder_layers=6,
        encoder_attention_heads=8,
        decoder_attention_heads=8,
        encoder_ffn_dim=2048,
        decoder_ffn_dim=2048,
        activation_function="relu",
        scale_embedding=True,
        max_position_embeddings=512,
        pad_token_id=VOCABULARY - 1,
        decoder_start_token_id=VOCABULARY - 1,
        eos_token_id=0,
        forced_eos_token_id=None,
    )
    model = transformers.MarianMTModel(config).eval()
    model.model.shared.weight.data[VOCABULARY - 1] = 0  # Marian's decoders begin with a vector of zeros
    spec = MarianMTLoader().get_model_spec(model)
    pieces = ["</s>", "<unk>", *names(VOCABULARY)[2:-1]]
    spec.register_source_vocabulary(pieces)
    spec.register_target_vocabulary(pieces)
    spec.config.decoder_start_token = spec.config.eos_token = "</s>"
    save(spec, folder)


def random_sources(path: Path) -> None:
    """As pieces, and as ids; without the end of a sentence, which both engines leave to their tokenizers."""
    rows = np.random.default_rng(0).integers(2, VOCABULARY - 1, (SOURCES, SOURCE_TOKENS)).tolist()
    pieces = [[f"t{token}" for token in row] for row in rows]
    path.write_text(json.dumps({"pieces": pieces, "ids": rows}))


def names(count: int) -> list[str]:
    """Pieces."""
    return [f"t{i}" for i in range(count)]


def save(spec: Any, folder: Path) -> None:
    """As its converters do."""
    spec.validate()
    spec.optimize(quantization=None)
    folder.mkdir()
    spec.save(str(folder))


if __name__ == "__main__":
    main(recipe)
