"""Tiny random models of the seven families, built by independent implementations, for hypothesis to draw.

Weights are redrawn with a large variance, so that every choice of the configuration shows in the logits.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
import transformers as tf
from hypothesis import strategies as st
from safetensors.torch import save_file

from clearhead.checkpoints.folder import open_folder
from clearhead.model.executor import TorchExecutor

torch.set_num_threads(1)
tf.utils.logging.disable_progress_bar()

Draw = Callable[..., Any]


@dataclass
class Oracle:
    """A model by someone else, and what it computes."""

    family: str
    model: torch.nn.Module
    dtype_limit: float  # relative agreement to ask for in float64; above 1e-6 where the other side drops to float32
    config: dict[str, Any] | None = None  # config.json, where the other side writes none

    @property
    def encoder_decoder(self) -> bool:
        return self.family in ("transformer", "t5")

    def save(self, folder: Path) -> Path:
        """Write the model as its own library does."""
        if self.config is None:
            self.model.save_pretrained(folder)
        else:
            folder.mkdir(exist_ok=True)
            (folder / "config.json").write_text(json.dumps(self.config))
            state = {k: v.contiguous() for k, v in self.model.state_dict().items() if k != "to_logits.weight"}
            save_file(state, folder / "model.safetensors")
        return folder

    def load(self, folder: Path, dtype: str = "float64") -> TorchExecutor:
        """The same weights in Clearhead, through files."""
        checkpoint = open_folder(self.save(folder))
        return TorchExecutor(checkpoint.config, checkpoint.weights(), dtype, "cpu")

    @torch.inference_mode()
    def logits(self, ids: list[int], target: list[int] | None = None) -> torch.Tensor:
        """[T, V] for one row (of `target` where there is an encoder beside a decoder)."""
        x = torch.tensor([ids])
        if self.family == "palm":
            return self.model(x)[0] * self.model.token_emb.weight.shape[1] ** -0.5
        if self.encoder_decoder:
            return self.model(input_ids=x, decoder_input_ids=torch.tensor([target])).logits[0]
        return self.model(input_ids=x).logits[0]


def redraw(model: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Strong random weights in float64, ties kept."""
    generator = torch.Generator().manual_seed(seed)
    model = model.double().eval()
    for name, p in model.named_parameters():
        if "embed_positions" in name:  # Marian's table is a formula
            continue
        scale = 0.5 if p.ndim == 1 else 0.7 / p.shape[-1] ** 0.5 if p.ndim == 2 and "emb" not in name else 0.5
        p.data.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) * scale)
        if p.ndim == 1 and ("norm" in name.lower() or "ln_" in name) and name.endswith("weight"):
            p.data.add_(1)
    for name, buffer in model.named_buffers():
        if name == "final_logits_bias":
            buffer.copy_(torch.randn(buffer.shape, generator=generator, dtype=torch.float64))
    return model


def shared(draw: Draw) -> dict[str, int]:
    """Sizes every family has."""
    heads = draw(st.sampled_from([1, 2, 3, 4, 6]))
    return {
        "V": draw(st.sampled_from([17, 32, 61])),
        "H": heads,
        "C": heads * draw(st.sampled_from([4, 8])),
        "F": draw(st.sampled_from([12, 40])),
        "L": draw(st.integers(1, 3)),
        "seed": draw(st.integers(0, 2**16)),
    }


EPS = st.sampled_from([1e-12, 1e-6, 1e-5, 1e-2])


def gpt2(draw: Draw) -> Oracle:
    s = shared(draw)
    config = tf.GPT2Config(
        vocab_size=s["V"],
        n_positions=128,
        n_embd=s["C"],
        n_layer=s["L"],
        n_head=s["H"],
        n_inner=draw(st.sampled_from([None, s["F"]])),
        layer_norm_epsilon=draw(EPS),
        activation_function=draw(st.sampled_from(["gelu_new", "gelu", "relu", "silu"])),
        tie_word_embeddings=draw(st.booleans()),
        bos_token_id=0,
        eos_token_id=0,
    )
    return Oracle("gpt2", redraw(tf.GPT2LMHeadModel(config), s["seed"]), 1e-6)


ROPES: list[dict[str, Any]] = [
    {"rope_type": "default"},
    {"rope_type": "linear", "factor": 3.0},
    {
        "rope_type": "llama3",
        "factor": 4.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
    },
    {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16},
    {
        "rope_type": "yarn",
        "factor": 8.0,
        "original_max_position_embeddings": 32,
        "beta_fast": 4.0,
        "beta_slow": 0.5,
        "truncate": False,
    },
    {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "mscale": 0.7, "mscale_all_dim": 1.3},
]


def llama(draw: Draw) -> Oracle:
    s = shared(draw)
    head_dim = draw(st.sampled_from([4, 8, 16]))
    kv = draw(st.sampled_from([k for k in range(1, s["H"] + 1) if s["H"] % k == 0]))
    rope = {**draw(st.sampled_from(ROPES)), "rope_theta": draw(st.sampled_from([10_000.0, 500_000.0]))}
    sizes = dict(
        vocab_size=s["V"],
        hidden_size=s["C"],
        intermediate_size=s["F"],
        num_hidden_layers=s["L"],
        num_attention_heads=s["H"],
        num_key_value_heads=kv,
        head_dim=head_dim,
        rms_norm_eps=draw(EPS),
        rope_parameters=rope,
        max_position_embeddings=128,
        tie_word_embeddings=draw(st.booleans()),
        bos_token_id=0,
        eos_token_id=0,
    )
    if draw(st.booleans()):
        model = tf.Qwen2ForCausalLM(tf.Qwen2Config(**sizes))
    else:
        biases = {"attention_bias": draw(st.booleans()), "mlp_bias": draw(st.booleans())}
        model = tf.LlamaForCausalLM(tf.LlamaConfig(**sizes, **biases))
    return Oracle("llama", redraw(model, s["seed"]), 2e-5)  # norms and rotary tables drop to float32


def bloom(draw: Draw) -> Oracle:
    s = shared(draw)
    config = tf.BloomConfig(
        vocab_size=s["V"],
        hidden_size=s["C"],
        n_layer=s["L"],
        n_head=s["H"],
        layer_norm_epsilon=draw(EPS),
        tie_word_embeddings=draw(st.booleans()),
        bos_token_id=0,
        eos_token_id=0,
    )
    return Oracle("bloom", redraw(tf.BloomForCausalLM(config), s["seed"]), 2e-6)  # ALiBi slopes are float32


def bert(draw: Draw) -> Oracle:
    s = shared(draw)
    config = tf.BertConfig(
        vocab_size=s["V"],
        hidden_size=s["C"],
        num_hidden_layers=s["L"],
        num_attention_heads=s["H"],
        intermediate_size=s["F"],
        max_position_embeddings=128,
        layer_norm_eps=draw(EPS),
        type_vocab_size=draw(st.sampled_from([1, 2, 3])),
        hidden_act=draw(st.sampled_from(["gelu", "gelu_new", "relu"])),
        tie_word_embeddings=draw(st.booleans()),
        num_labels=draw(st.integers(2, 5)),
    )
    heads = [tf.BertForMaskedLM, tf.BertForTokenClassification, tf.BertForSequenceClassification]
    model = redraw(draw(st.sampled_from(heads))(config), s["seed"])
    if isinstance(model, tf.BertForMaskedLM):  # two names for one bias, which transformers ties only with the embedding
        model.cls.predictions.decoder.bias = model.cls.predictions.bias
    return Oracle("bert", model, 1e-6)


def t5(draw: Draw) -> Oracle:
    s = shared(draw)
    config = tf.T5Config(
        vocab_size=s["V"],
        d_model=s["C"],
        d_kv=draw(st.sampled_from([4, 8])),
        d_ff=s["F"],
        num_layers=s["L"],
        num_heads=s["H"],
        num_decoder_layers=draw(st.integers(1, 3)),
        layer_norm_epsilon=draw(EPS),
        decoder_start_token_id=0,
        pad_token_id=0,
        relative_attention_num_buckets=draw(st.sampled_from([8, 32])),
        relative_attention_max_distance=draw(st.sampled_from([20, 128])),
        feed_forward_proj=draw(st.sampled_from(["relu", "gated-gelu"])),
        tie_word_embeddings=draw(st.booleans()),  # transformers 5 takes it for the scaling of logits alone
    )
    model = tf.T5ForConditionalGeneration(config)
    if draw(st.booleans()):  # a head of its own, as T5 1.1 has
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.shared.weight))
        if not config.scale_decoder_outputs:
            model.config.tie_word_embeddings = draw(st.booleans())  # as transformers 4 wrote it, or as 5 does
    return Oracle("t5", redraw(model, s["seed"]), 2e-5)  # norms drop to float32


def transformer(draw: Draw) -> Oracle:
    s = shared(draw)
    config = tf.MarianConfig(
        vocab_size=s["V"],
        d_model=s["C"],
        encoder_layers=s["L"],
        decoder_layers=draw(st.integers(1, 3)),
        encoder_attention_heads=s["H"],
        decoder_attention_heads=s["H"],
        encoder_ffn_dim=s["F"],
        decoder_ffn_dim=s["F"],
        activation_function=draw(st.sampled_from(["relu", "swish", "gelu"])),
        scale_embedding=draw(st.booleans()),
        max_position_embeddings=128,
        pad_token_id=0,
        decoder_start_token_id=0,
        eos_token_id=1,
        forced_eos_token_id=None,
    )
    return Oracle("transformer", redraw(tf.MarianMTModel(config), s["seed"]), 1e-6)


def palm(draw: Draw) -> Oracle:
    from palm_rlhf_pytorch import PaLM

    s = shared(draw)
    head_dim = draw(st.sampled_from([4, 8]))
    model = PaLM(num_tokens=s["V"], dim=s["C"], depth=s["L"], heads=s["H"], dim_head=head_dim, ff_mult=2)
    for layer in model.layers:
        layer.fn.rotary_emb.use_xpos = False  # the port adds xPos, which the paper does not have
    config = {
        "model_type": "palm",
        "num_tokens": s["V"],
        "dim": s["C"],
        "depth": s["L"],
        "heads": s["H"],
        "dim_head": head_dim,
        "ff_inner_dim": 2 * s["C"],
        "max_positions": 128,
    }
    return Oracle("palm", redraw(model, s["seed"]), 1e-6, config)


ORACLES: dict[str, Callable[[Draw], Oracle]] = {
    "transformer": transformer,
    "bert": bert,
    "gpt2": gpt2,
    "llama": llama,
    "t5": t5,
    "bloom": bloom,
    "palm": palm,
}


@st.composite
def oracle(draw: Draw, family: str) -> Oracle:
    """A random tiny model of `family`."""
    return ORACLES[family](draw)


@st.composite
def rows(draw: Draw, vocab_size: int, n: int, longest: int = 24) -> list[list[int]]:
    """`n` ragged rows of token ids; 0 and 1 are left out, since some of these models give them a meaning."""
    return [draw(st.lists(st.integers(2, vocab_size - 1), min_size=1, max_size=longest)) for _ in range(n)]
