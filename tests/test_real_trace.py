"""Traces of real models: what is seen during generation is what a second look at the whole text sees, a translator's
cross-attention looks at its source, and MiniLM's attention is that of transformers."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

import clearhead as ch
import oracles  # noqa: F401  keeps transformers offline and on one thread
from clearhead.trace import Trace
from real import find
from real_sentences import CHINESE, TEXTS

pytestmark = pytest.mark.weights
QUESTION, NEW = "Which is the capital of Bulgaria?", 32


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8", "int4"])
def test_attention_during_generation_is_that_of_the_whole_text(dtype: str) -> None:
    """Bit for bit, on the native executor; fewer than 96 tokens, beyond which int8 and int4 may meet other tiles."""
    model = ch.load(find("smollm2-135m-instruct"), executor="native", dtype=dtype)
    kinds = ["weights", "bias", "decoder.layers.*.output", "logits"]
    written = model.trace(QUESTION, max_new_tokens=NEW, chat=True, kinds=kinds)
    assert written.n_prompt < len(written.tokens) < 96
    again = Trace(model.config, kinds=kinds)
    model.executor.decode([written.tokens], trace=again)
    assert written.paths == again.paths and len(written.attentions()) == 30
    for path in again:
        assert np.array_equal(written[path], again[path]), path
    for module in written.attentions():
        weights = written.attention(module)
        assert weights.shape == (9, len(written.tokens), len(written.tokens))
        np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5, err_msg=module)
        assert np.triu(weights, 1).max() == 0
    chosen = written["head.logits"].argmax(-1)[written.n_prompt - 1 : -1]
    assert chosen.tolist() == written.tokens[written.n_prompt :]
    assert "Sofia" in "".join(written.texts["decoder"][written.n_prompt :])


@pytest.mark.parametrize("executor", ["torch", "native"])
def test_a_translation_looks_at_its_source(executor: str, data: Path) -> None:
    model = ch.load(data / "opus-mt-zh-en.argosmodel", executor=executor, dtype="float32")
    for sentence in CHINESE[:3]:
        trace = model.trace(sentence, max_new_tokens=64, kinds=["weights"])
        source, said = len(trace.ids["encoder"]), len(trace.ids["decoder"])
        assert trace.n_prompt == 1 and 3 < said < 65 and trace.ids["encoder"] == model.tokenizer.encode(sentence)
        shapes = {"encoder": (8, source, source), "decoder": (8, said, said)}
        for i in range(6):
            for stack, shape in shapes.items():
                assert trace[f"{stack}.layers.{i}.attention.weights"].shape == shape
            assert trace[f"decoder.layers.{i}.cross_attention.weights"].shape == (8, said, source)
        assert len(trace.attentions()) == 18
        for module in trace.attentions():
            weights = trace.attention(module)
            assert weights.min() >= 0
            np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5, err_msg=module)
        assert trace.texts["decoder"][-1] == "</s>" and trace.special["decoder"][-1]


@pytest.mark.parametrize("executor", ["torch", "native"])
def test_attention_of_minilm_is_that_of_transformers(executor: str) -> None:
    path = find("minilm-l6-v2")
    model = ch.load(path, executor=executor, dtype="float32")
    bert = transformers.BertModel.from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()
    for text in (TEXTS[0], max(TEXTS, key=len)):
        trace = model.trace(text, kinds=["weights"])
        with torch.inference_mode():
            wanted = bert(torch.tensor([trace.tokens]), output_attentions=True).attentions
        assert len(wanted) == len(trace.attentions()) == 6
        for module, weights in zip(trace.attentions(), wanted, strict=True):
            np.testing.assert_allclose(trace.attention(module), weights[0].numpy(), rtol=0, atol=1e-5, err_msg=module)
