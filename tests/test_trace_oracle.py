"""What a trace shows is what transformers shows: attention weights, hidden states and logits of tiny random models, of
the prompt and of every token generated after it, on both executors.

transformers returns ragged tuples, one entry per step; a trace has one rectangular array per place. `padded` makes the
one of the other. T queries, S keys, H heads, C d_model, V vocab_size.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from numpy.typing import NDArray

from clearhead.checkpoints.folder import open_folder
from clearhead.config import GenerationConfig, SpecialTokens
from clearhead.engine.watching import WatchedExecutor
from clearhead.errors import OptionError
from clearhead.executor import Executor
from clearhead.generation.generate import generate
from clearhead.generation.prompts import encode_sources
from clearhead.model.executor import TorchExecutor
from clearhead.native.executor import NativeExecutor
from clearhead.native.packing import pack_weights
from clearhead.trace import Trace
from clearhead.trace.aliases import ours
from models import BY_FAMILY
from oracles import Oracle, redraw

BOUND = 1e-5  # absolute for weights, of the largest value for states and logits; float32 on both sides
NEW, START, V = 9, 0, 61
PENALTY = 1e3  # random models repeat themselves without it
READ = [[7, 3, 44, 44, 9, 21, 2, 60, 31, 5, 17, 8, 3], [12]]
LARGEST: dict[tuple[str, str], float] = {}  # differences by case and kind, for docs/results.md: pytest -s prints them
SPECIAL = SpecialTokens(decoder_start=START, pad=START)


def bert(head: str) -> torch.nn.Module:
    sizes = dict(hidden_size=24, num_hidden_layers=3, num_attention_heads=6, intermediate_size=40, type_vocab_size=2)
    model = getattr(tf, head)(tf.BertConfig(vocab_size=V, max_position_embeddings=32, num_labels=4, **sizes))
    if head == "BertForMaskedLM":  # two names for one bias
        model.cls.predictions.decoder.bias = model.cls.predictions.bias
    return model


def gpt2() -> torch.nn.Module:
    return tf.GPT2LMHeadModel(tf.GPT2Config(vocab_size=V, n_positions=32, n_embd=24, n_layer=3, n_head=6))


def llama(kind: str) -> torch.nn.Module:
    sizes = dict(hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=6, head_dim=8)
    config = getattr(tf, f"{kind}Config")(
        vocab_size=V, num_key_value_heads=2, max_position_embeddings=32, tie_word_embeddings=kind == "Qwen2", **sizes
    )
    return getattr(tf, f"{kind}ForCausalLM")(config)


def bloom() -> torch.nn.Module:
    return tf.BloomForCausalLM(tf.BloomConfig(vocab_size=V, hidden_size=24, n_layer=3, n_head=6))


def t5(mlp: str) -> torch.nn.Module:
    """A deeper encoder than decoder: the other way round, transformers' cache has too few layers."""
    sizes = dict(d_model=24, d_kv=6, d_ff=40, num_layers=3, num_decoder_layers=2, num_heads=6)
    buckets = dict(relative_attention_num_buckets=8, relative_attention_max_distance=12)
    config = tf.T5Config(vocab_size=V, decoder_start_token_id=START, feed_forward_proj=mlp, **sizes, **buckets)
    model = tf.T5ForConditionalGeneration(config)
    if mlp == "gated-gelu":  # FLAN's: a head of its own
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.shared.weight))
        model.config.tie_word_embeddings = False
    return model


def marian(deep: int) -> torch.nn.Module:
    sizes = dict(
        encoder_layers=deep, decoder_layers=2, encoder_attention_heads=6, decoder_attention_heads=6, d_model=24
    )
    config = tf.MarianConfig(
        vocab_size=V,
        encoder_ffn_dim=40,
        decoder_ffn_dim=40,
        scale_embedding=True,
        max_position_embeddings=32,
        pad_token_id=START,
        decoder_start_token_id=START,
        **sizes,
    )
    return tf.MarianMTModel(config)


MODELS: dict[str, tuple[str, Callable[[], torch.nn.Module]]] = {
    "bert, masked words": ("bert", lambda: bert("BertForMaskedLM")),
    "bert, labels of tokens": ("bert", lambda: bert("BertForTokenClassification")),
    "bert, labels of texts": ("bert", lambda: bert("BertForSequenceClassification")),
    "gpt2": ("gpt2", gpt2),
    "llama, grouped keys": ("llama", lambda: llama("Llama")),
    "qwen2, grouped keys": ("llama", lambda: llama("Qwen2")),
    "bloom": ("bloom", bloom),
    "t5": ("t5", lambda: t5("relu")),
    "flan-t5": ("t5", lambda: t5("gated-gelu")),
    "marian": ("transformer", lambda: marian(3)),
}


@dataclass(frozen=True)
class Case:
    """One model on both sides, in float32."""

    name: str
    theirs: Any
    executors: dict[str, Executor]

    @torch.inference_mode()
    def logits(self, source: list[int], said: list[int]) -> NDArray[Any]:
        """[T, V] of one pass over what was said; none of nothing."""
        if not said:
            return np.zeros((0, V), np.float32)
        row = torch.tensor([said])
        both = self.theirs.config.is_encoder_decoder
        given = {"input_ids": torch.tensor([source]), "decoder_input_ids": row} if both else {"input_ids": row}
        return np.asarray(self.theirs(**given).logits[0].numpy())


@pytest.fixture(scope="module", params=MODELS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    family, make = MODELS[request.param]
    model = redraw(make(), seed=5).float()
    checkpoint = open_folder(Oracle(family, model, 1e-5).save(tmp_path_factory.mktemp("model")))
    torch_one = TorchExecutor(checkpoint.config, checkpoint.weights(), "float32", "cpu")
    packed = pack_weights(checkpoint.config, checkpoint.weights(), "float32")
    model.set_attn_implementation("eager")
    if model.can_generate():  # to the last token, and from nothing but its logits
        for name in ("eos_token_id", "forced_eos_token_id", "bad_words_ids"):
            setattr(model.generation_config, name, None)
    native = NativeExecutor(checkpoint.config, packed, "float32", threads=2)
    return Case(request.param, model, {"torch": torch_one, "native": native})


def padded(steps: Sequence[torch.Tensor], axis: int) -> NDArray[Any]:
    """Steps of one module, [1, ..., T_i, S_i] or [1, T_i, C], joined at their queries: keys to come are zeros."""
    wide = max(step.shape[-1] for step in steps)
    parts = [np.pad(a := step[0].numpy(), [(0, 0)] * (a.ndim - 1) + [(0, wide - a.shape[-1])]) for step in steps]
    return np.concatenate(parts, axis=axis)


def places(trace: Trace, stack: str) -> list[str]:
    """Ours for transformers' `hidden_states`: what the first layer reads, what each layer gives, the last normed."""
    config = trace.config
    n = config.n_encoder_layers if stack == "encoder" else config.n_decoder_layers
    return [f"{stack}.embed.output", *(f"{stack}.layers.{i}.output" for i in range(n - 1)), f"{stack}.output"]


def check(trace: Trace, path: str, wanted: NDArray[Any]) -> None:
    found = trace[path]
    assert found.shape == wanted.shape, path
    kind = path.rsplit(".", 1)[-1]
    apart = float(np.abs(found - wanted).max()) / (1 if kind == "weights" else float(np.abs(wanted).max()))
    assert apart <= BOUND, f"{path}: {apart:.3g} apart, {BOUND:.3g} allowed"
    kind = kind if kind in ("weights", "logits") else "states"
    LARGEST[trace.model, kind] = max(apart, LARGEST.get((trace.model, kind), 0.0))


def check_stack(trace: Trace, stack: str, attention: Sequence[Any], states: Sequence[Any]) -> None:
    """Its states and its own attention, per step and layer."""
    for path, steps in zip(places(trace, stack), zip(*states, strict=True), strict=True):
        check(trace, path, padded(steps, 0))
    check_attention(trace, stack, "attention", attention)


def check_attention(trace: Trace, stack: str, kind: str, attention: Sequence[Any]) -> None:
    """The weights of every layer, per step; and that the trace holds those layers and no others."""
    modules = [f"{stack}.layers.{i}.{kind}" for i in range(len(attention[0]))]
    assert modules == [m for m in trace.attentions() if m.startswith(stack) and m.endswith(f".{kind}")]
    for module, steps in zip(modules, zip(*attention, strict=True), strict=True):
        check(trace, f"{module}.weights", padded(steps, 1))


@pytest.mark.parametrize("executor", ["torch", "native"])
@pytest.mark.parametrize("source", READ, ids=["thirteen tokens", "one token"])
def test_what_is_traced_is_what_transformers_shows(case: Case, executor: str, source: list[int]) -> None:
    ours = case.executors[executor]
    check_read = check_encoder if ours.config.kind == "encoder" else check_generated
    check_read(case, ours, source)
    label = f"{case.name}, {ours.name}"
    said = (f"{kind} {LARGEST[label, kind]:.1e}" for kind in ("weights", "states", "logits"))
    print(f"\n{label}, largest so far: {', '.join(said)}", end="")


def check_encoder(case: Case, ours: Executor, source: list[int]) -> None:
    """One pass and the head."""
    trace = Trace(ours.config, model=f"{case.name}, {ours.name}")
    ours.head(ours.encode([source], trace=trace), trace)
    with torch.inference_mode():
        wanted = case.theirs(torch.tensor([source]), output_attentions=True, output_hidden_states=True)
    check_stack(trace, "encoder", [wanted.attentions], [wanted.hidden_states])
    check(trace, "head.logits", wanted.logits.numpy().reshape(trace["head.logits"].shape))


def check_generated(case: Case, ours: Executor, source: list[int]) -> None:
    """A text and what both sides write after it."""
    both = ours.config.kind == "encoder-decoder"
    wanted = case.theirs.generate(
        torch.tensor([source]),
        attention_mask=torch.ones(1, len(source), dtype=torch.long),
        max_new_tokens=NEW,
        do_sample=False,
        repetition_penalty=PENALTY,
        return_dict_in_generate=True,
        output_attentions=True,
        output_hidden_states=True,
        output_logits=True,
    )
    said = wanted.sequences[0].tolist()
    n_prompt = len(said) - NEW
    trace = Trace(ours.config, model=f"{case.name}, {ours.name}")
    trace.room = {"decoder": len(said) - 1}  # nobody reads the last one
    watching = WatchedExecutor(ours, trace)
    prompt, memory = encode_sources(watching, [source], SPECIAL) if both else ([source], None)
    request = GenerationConfig(max_new_tokens=NEW, repetition_penalty=PENALTY, ignore_eos=True)
    [[done]] = generate(watching, prompt, request, SPECIAL, memory=memory)
    assert [*prompt[0], *done.tokens] == said and len(set(done.tokens)) > 1
    assert trace.spans["decoder"].filled == n_prompt + NEW - 1
    if both:
        check_stack(trace, "encoder", [wanted.encoder_attentions], [wanted.encoder_hidden_states])
        check_stack(trace, "decoder", wanted.decoder_attentions, wanted.decoder_hidden_states)
        check_attention(trace, "decoder", "cross_attention", wanted.cross_attentions)
    else:
        check_stack(trace, "decoder", wanted.attentions, wanted.hidden_states)
    first = case.logits(source, said[: n_prompt - 1])  # `generate` shows those of a prompt's last token alone
    check(trace, "head.logits", np.concatenate([first, *(step.numpy() for step in wanted.logits)]))


# What TransformerLens shows, of those families that it can wrap; of BERT with the head it knows.
LENSES = {name: made for name, made in MODELS.items() if "labels" not in name} | {
    "marian": ("transformer", lambda: marian(2))
}
SAID = [START, 5, 6, 7, 8, 9]


def shown_by_transformer_lens(model: torch.nn.Module, source: list[int]) -> dict[str, NDArray[Any]]:
    """Every value by its name there: [T, C], [T, heads, D] or [heads, T, S]."""
    builder = pytest.importorskip(
        "transformer_lens.model_bridge.sources", reason="transformer-lens (4 or newer) is not installed"
    )
    bridge = builder.build_bridge_from_module(model, type(model).__name__, hf_config=model.config)
    said = {"decoder_input": torch.tensor([SAID])} if model.config.is_encoder_decoder else {}
    with torch.inference_mode():
        cache = bridge.run_with_cache(torch.tensor([source]), **said)[1]
    return {name: value[0].numpy() for name, value in cache.items() if value.ndim > 1}


@pytest.mark.filterwarnings("ignore")  # theirs, about models that are not from the hub
@pytest.mark.parametrize("name", LENSES)
def test_every_name_of_transformer_lens_means_what_it_means_there(name: str, tmp_path: Path) -> None:
    """Each name of theirs that we know gives the same numbers, with their axes turned into ours."""
    pytest.importorskip("transformer_lens", reason="transformer-lens is not installed")
    family, make = LENSES[name]
    model = redraw(make(), seed=5).float()
    executor = Oracle(family, model, BOUND).load(tmp_path / "model", "float32")
    model.set_attn_implementation("eager")
    trace = Trace(executor.config)
    if executor.config.kind == "decoder":
        executor.decode([READ[0]], trace=trace)
    else:
        memory = executor.encode([READ[0]], trace=trace)
        if executor.config.kind == "encoder-decoder":
            executor.decode([SAID], memory=memory, trace=trace)
    known: dict[str, str] = {}
    for theirs, value in shown_by_transformer_lens(model, READ[0]).items():
        path = ours(theirs, executor.config)
        if path == theirs:
            continue
        turned = value.swapaxes(0, 1) if path.endswith((".query", ".key", ".value", ".heads")) else value
        check(trace, path, turned)
        known[theirs] = path
    every = set(trace.choice.places)
    missing = {path for path in every - set(known.values()) if ".layers." in path}
    assert not missing, "no name of theirs leads here"
    assert (f"{trace.stacks()[-1]}.output" in known.values()) == (executor.config.norm_placement == "pre")


def test_names_of_transformer_lens_that_are_other_values_than_ours_are_unknown() -> None:
    for family, name in [
        ("gpt2", "ln_final.hook_normalized"),  # without the gain
        ("gpt2", "blocks.0.attn.hook_rot_q"),
        ("gpt2", "blocks.0.hook_resid_mid"),
        ("llama", "blocks.0.attn.hook_q"),  # before the rotation
        ("bert", "blocks.0.hook_attn_out"),  # after the norm
        ("bert", "ln_final.hook_out"),  # of the head
        ("t5", "hook_embed"),  # of the encoder
        ("transformer", "decoder_ln_final.hook_out"),
    ]:
        trace = Trace(BY_FAMILY[family])
        assert name not in trace
        with pytest.raises(OptionError, match=f"kinds names '{re.escape(name)}'"):
            Trace(BY_FAMILY[family], kinds=[name])
