"""stories260K, a LLaMA in llama2.c's own file format, tells the story its author published, and others like it."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

import clearhead as ch
import oracles  # noqa: F401  keeps transformers offline and on one thread
from clearhead.config import GenerationConfig
from clearhead.engine.model import Model
from clearhead.generation.generate import generate

pytestmark = pytest.mark.weights
BEGINNING = "Once upon a time"
# What `run` of llama2.c prints at temperature 0: the model card, huggingface.co/karpathy/tinyllamas, stories260K.
PUBLISHED = """\
Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, \
red ball. She wanted to play with it, but it was too high.
Lily's mom said, "Lily, let's go to the park." Lily was sad and didn't know what to do. She said, "I want to play with \
your ball, but I can't find it."
Lily was sad and didn't know what to do. She said, "I'm sorry, Lily. I didn't know what to do."
Lily didn't want to help her mom, so she"""


@pytest.fixture(scope="module")
def path(data: Path) -> Path:
    return data / "tiny-weights" / "stories260K.bin"


@pytest.fixture(scope="module", params=["torch", "native"])
def model(path: Path, request: pytest.FixtureRequest) -> Model:
    return ch.load(path, executor=request.param, dtype="float32")


def filled_by_hand(path: Path) -> torch.nn.Module:
    """transformers' LLaMA with the file's weights, read here in the order of run.c's memory_map_weights.

    llama2.c turns neighbours (2i, 2i + 1) of a head, transformers (i, i + D/2): rows of query and key change places.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    raw = path.read_bytes()
    C, F, L, H, K, V, T = struct.unpack("<7i", raw[:28])
    at, D = 28, C // H

    def take(*shape: int) -> torch.Tensor:
        nonlocal at
        array = np.frombuffer(raw, dtype="<f4", count=int(np.prod(shape)), offset=at).reshape(shape)
        at += array.nbytes
        return torch.from_numpy(array.copy())

    def halves(weight: torch.Tensor) -> torch.Tensor:
        return weight.reshape(-1, D // 2, 2, C).transpose(1, 2).reshape(-1, C)

    config = LlamaConfig(
        vocab_size=V,
        hidden_size=C,
        intermediate_size=F,
        num_hidden_layers=L,
        num_attention_heads=H,
        num_key_value_heads=K,
        max_position_embeddings=T,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
    )
    table, shapes = take(V, C), [(C,), (H * D, C), (K * D, C), (K * D, C), (C, H * D), (C,), (F, C), (C, F), (F, C)]
    norms, q, k, v, o, mlp_norms, gate, down, up = ([take(*shape) for _ in range(L)] for shape in shapes)
    state = {"model.embed_tokens.weight": table, "model.norm.weight": take(C), "lm_head.weight": table}
    for i, parts in enumerate(zip(norms, map(halves, q), map(halves, k), v, o, mlp_norms, gate, down, up, strict=True)):
        attention = [f"self_attn.{letter}_proj" for letter in "qkvo"]
        mlp = [f"mlp.{name}_proj" for name in ("gate", "down", "up")]
        names = ["input_layernorm", *attention, "post_attention_layernorm", *mlp]
        state |= {f"model.layers.{i}.{name}.weight": part for name, part in zip(names, parts, strict=True)}
    model = LlamaForCausalLM(config).eval()
    model.load_state_dict(state)
    return model


def test_it_tells_the_published_story(model: Model) -> None:
    """From the beginning of a text alone, as llama2.c starts."""
    [[story]] = generate(model.executor, [[1]], GenerationConfig(max_new_tokens=200), model.special)
    text = model.tokenizer.decode(story.text_tokens)
    assert len(story.tokens) == 200 and text.startswith(PUBLISHED)
    assert model.complete(BEGINNING, max_new_tokens=150).text in text


def test_its_greedy_tokens_equal_those_of_transformers(model: Model, path: Path) -> None:
    theirs = filled_by_hand(path)
    prompt = torch.tensor([[1]])
    wanted = theirs.generate(prompt, attention_mask=prompt, max_new_tokens=200, do_sample=False, eos_token_id=None)
    config = GenerationConfig(max_new_tokens=200, ignore_eos=True)
    [[story]] = generate(model.executor, [[1]], config, model.special)
    assert list(story.tokens) == wanted[0, 1:].tolist()
    with torch.inference_mode():
        logits = theirs(wanted).logits[0].numpy()
    np.testing.assert_allclose(model.logits(wanted[0].tolist()), logits, rtol=0, atol=1e-4)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_sampled_story_is_fluent_and_repeats_with_its_seed(model: Model, seed: int) -> None:
    """Fluent: sentences of the words that its training stories are made of (English of three-year-olds)."""
    story = model.complete(BEGINNING, max_new_tokens=200, temperature=0.7, seed=seed)
    again = model.complete(BEGINNING, max_new_tokens=200, temperature=0.7, seed=seed)
    assert story.text == again.text and story.text.startswith(BEGINNING)
    words = "".join(letter if letter.isalpha() else " " for letter in story.text.lower()).split()
    common = set(
        [
            "a",
            "the",
            "and",
            "to",
            "was",
            "he",
            "she",
            "it",
            "they",
            "his",
            "her",
            "is",
            "in",
            "so",
            "of",
            "with",
            "that",
            "day",
            "said",
            "you",
            "for",
            "i",
            "one",
            "saw",
        ]
    )
    assert len(words) > 80 and story.text.count(".") >= 8
    assert sum(word in common for word in words) > 0.3 * len(words)


def test_other_seeds_tell_other_stories(model: Model) -> None:
    stories = {model.complete(BEGINNING, max_new_tokens=60, temperature=0.7, seed=seed).text for seed in range(4)}
    assert len(stories) == 4
