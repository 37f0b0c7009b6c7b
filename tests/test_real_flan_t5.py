"""FLAN-T5-small, trained to write titles and shipped as int8 ONNX, gives onnxruntime's titles.

The wheel's graphs round activations to 8 bits, each tensor by its own largest number; T5's activations reach 100,000
where most are near 1, so this rounding decides most titles: with and without graph optimisation, which only reorders
float sums, onnxruntime 1.32 itself agrees on 12 titles of these 20, and with the same weights and unrounded activations
on 2. What the model says is therefore asked of onnxruntime without that rounding: the wheel's graph, its weights, their
integers multiplied as floats (`onnx_t5.with_float_activations`). There all titles must be equal. That those floats are
what the int8 graph multiplies with is checked product by product, on the int8 graph as it is.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from safetensors.numpy import load_file

import clearhead as ch
from clearhead.engine.model import Model
from onnx_t5 import module, with_float_activations, write_folder
from real import find
from real_sentences import AGENT_STEPS

pytestmark = pytest.mark.weights
torch.set_num_threads(1)
PREFIX = "summarize agent step: "  # what the model was trained with (traceforge-toolkit, title/inference.py)
LONGEST, START, END = 32, 0, 1  # new tokens; ids of <pad>, with which a T5 decoder starts, and </s>
QUIET = 3  # onnxruntime's level for errors: the emptied graph has initialisers that nothing reads


@pytest.fixture(scope="module")
def wheel() -> Path:
    return find("traceforge-title-model")


@pytest.fixture(scope="module")
def folder(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(wheel, tmp_path_factory.mktemp("flan-t5"))


@pytest.fixture(scope="module", params=["torch", "native"])
def ours(folder: Path, request: pytest.FixtureRequest) -> Model:
    return ch.load(folder, executor=request.param, dtype="float32")


@pytest.fixture(scope="module")
def texts(data: Path) -> list[str]:
    """Twenty texts: steps of agents, four news stories, four dialogues."""
    news = [json.loads(line)["document"] for line in (data / "summarisation" / "xsum-test.jsonl").open()]
    talk = [json.loads(line)["dialogue"] for line in (data / "summarisation" / "dialogsum.dev.jsonl").open()]
    stories = [story.replace("\n", " ")[:600] for story in news if len(story) > 100][:4]
    return [*AGENT_STEPS, *stories, *(text.replace("\n", " ")[:400] for text in talk[:4])]


def session(graph: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, QUIET
    return onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def theirs(wheel: Path) -> tuple[onnxruntime.InferenceSession, onnxruntime.InferenceSession]:
    """Encoder and decoder in onnxruntime, without rounding of activations."""
    encoder, decoder = (session(with_float_activations(onnx.load(wheel / f"{n}.onnx"))) for n in ("encoder", "decoder"))
    return encoder, decoder


def their_title(sessions: tuple[Any, Any], ids: list[int]) -> tuple[list[int], np.ndarray]:
    """Greedy ids, from the start to the end, and the logits [T, V] they were chosen by."""
    encoder, decoder = sessions
    mask = [[1] * len(ids)]
    [states] = encoder.run(None, {"input_ids": [ids], "attention_mask": mask})
    inputs, title = {"encoder_hidden_states": states, "encoder_attention_mask": mask}, [START]
    while title[-1] != END and len(title) <= LONGEST:
        [logits] = decoder.run(None, {"input_ids": [title], **inputs})
        title.append(int(logits[0, -1].argmax()))
    return title, logits[0]


def test_titles_equal_those_of_onnxruntime(ours: Model, theirs: tuple[Any, Any], texts: list[str]) -> None:
    assert len(set(texts)) == 20
    for text in texts:
        prompt = PREFIX + text
        title, logits = their_title(theirs, ours.tokenizer.encode(prompt))
        mine = ours.complete(prompt, max_new_tokens=LONGEST)
        assert [START, *mine.tokens] == title, text
        assert mine.new_text == ours.tokenizer.decode(title) and len(mine.new_text) > 8
        ids = ours.tokenizer.encode(prompt)
        np.testing.assert_allclose(ours.logits(ids, title[:-1]), logits, rtol=0, atol=2e-3)  # logits reach 100


def test_ids_equal_those_of_transformers(ours: Model, folder: Path, texts: list[str]) -> None:
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    assert [ours.tokenizer.encode(text) for text in texts] == tokenizer(texts)["input_ids"]


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_every_product_of_the_int8_graph_is_that_of_the_float_weights(
    wheel: Path, folder: Path, ours: Model, part: str
) -> None:
    """Each rounded activation as onnxruntime has it, times the float weight, is the product as onnxruntime has it."""
    graph = onnx.load(wheel / f"{part}.onnx")
    products = [node for node in graph.graph.node if node.op_type == "MatMulInteger"]
    wanted: dict[str, int] = {}
    for node in products:
        stem = node.name.removesuffix("_quant")
        rounded, _, zero, _ = node.input
        after = next(n.output[0] for n in graph.graph.node if n.name == f"{stem}_quant_output_scale_mul")
        wanted |= {rounded: TensorProto.UINT8, rounded.removesuffix("_quantized") + "_scale": TensorProto.FLOAT}
        wanted |= {zero: TensorProto.UINT8, after: TensorProto.FLOAT}
    del graph.graph.output[:]
    graph.graph.output.extend(helper.make_tensor_value_info(name, kind, None) for name, kind in wanted.items())
    ids = ours.tokenizer.encode(PREFIX + AGENT_STEPS[0])
    inputs: dict[str, Any] = {"input_ids": [ids], "attention_mask": [[1] * len(ids)]}
    if part == "decoder":
        states = ours.executor.encode([ids]).states[0][None]
        inputs = {"input_ids": [[START, *ids[:6]]], "encoder_hidden_states": states}
        inputs["encoder_attention_mask"] = [[1] * len(ids)]
    seen = dict(zip(wanted, session(graph).run(list(wanted), inputs), strict=True))
    weights = load_file(folder / "model.safetensors")
    for node in products:
        rounded, _, zero, _ = node.input
        scale = seen[rounded.removesuffix("_quantized") + "_scale"]
        activations = (seen[rounded].astype(np.float32) - seen[zero]) * scale
        path = module(node.name.removesuffix("/MatMul_quant"))
        mine = activations @ weights[f"{path}.weight"].T
        after = next(n.output[0] for n in graph.graph.node if n.name == f"{node.name}_output_scale_mul")
        np.testing.assert_allclose(mine, seen[after], rtol=1e-3, atol=1e-5 * np.abs(seen[after]).max(), err_msg=path)
    assert len(products) == {"encoder": 8 * 7, "decoder": 8 * 11 + 1}[part]
