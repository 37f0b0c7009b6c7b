"""SmolLM2-135M-Instruct from its GGUF file: what transformers makes of that file, and the answer llama.cpp gives."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import clearhead as ch
import oracles  # noqa: F401  keeps transformers offline and on one thread
from clearhead.config import GenerationConfig
from clearhead.engine.model import Model
from clearhead.generation.generate import generate
from real import find
from real_sentences import PROMPTS

pytestmark = pytest.mark.weights
QUESTION, ANSWER = "Which is the capital of Bulgaria?", "The capital of Bulgaria is Sofia."
NEW = 64


@pytest.fixture(scope="module")
def path() -> Path:
    return find("smollm2-135m-instruct")


@pytest.fixture(scope="module", params=["torch", "native"])
def ours(path: Path, request: pytest.FixtureRequest) -> Model:
    return ch.load(path, executor=request.param, dtype="float32")


@pytest.fixture(scope="module")
def theirs(path: Path):
    """transformers' model and tokenizer of the file; without an end of its own, so that all generate equally long."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    read = partial(dict, pretrained_model_name_or_path=path.parent, gguf_file=path.name)
    model = AutoModelForCausalLM.from_pretrained(**read(dtype=torch.float32)).eval()
    model.generation_config.eos_token_id = None
    return model, AutoTokenizer.from_pretrained(**read())


def test_the_question_of_the_notes_is_answered(ours: Model) -> None:
    done = ours.complete(QUESTION)
    assert done.text == f"{QUESTION}\n{ANSWER}"
    assert done.finish_reason == "stop"
    assert QUESTION in done.sent and done.sent != QUESTION  # the file's own chat template is around it


def test_llama_cpp_gives_the_same_answer(path: Path) -> None:
    engine = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    model = engine.Llama(model_path=str(path), n_ctx=512, verbose=False)
    answer = model.create_chat_completion(messages=[{"role": "user", "content": QUESTION}], temperature=0)
    assert answer["choices"][0]["message"]["content"] == ANSWER


def test_token_ids_equal_those_of_transformers(ours: Model, theirs) -> None:
    for prompt in PROMPTS:
        assert ours.tokenizer.encode(prompt) == theirs[1].encode(prompt)


def test_logits_equal_those_of_transformers(ours: Model, theirs) -> None:
    for prompt in PROMPTS:
        ids = ours.tokenizer.encode(prompt)
        with torch.inference_mode():
            wanted = theirs[0](torch.tensor([ids])).logits[0].numpy()
        np.testing.assert_allclose(ours.logits(ids), wanted, rtol=0, atol=1e-3)


def test_greedy_tokens_equal_those_of_transformers(ours: Model, theirs) -> None:
    """All prompts at once: ragged rows here, padding on the left there."""
    model, tokenizer = theirs
    tokenizer.padding_side = "left"
    batch = tokenizer(list(PROMPTS), return_tensors="pt", padding=True)
    wanted = model.generate(**batch, max_new_tokens=NEW, do_sample=False)[:, -NEW:].tolist()
    rows = [ours.tokenizer.encode(prompt) for prompt in PROMPTS]
    config = GenerationConfig(max_new_tokens=NEW, ignore_eos=True)
    done = generate(ours.executor, rows, config, ours.special)
    for prompt, [mine], tokens in zip(PROMPTS, done, wanted, strict=True):
        assert list(mine.tokens) == tokens, prompt
