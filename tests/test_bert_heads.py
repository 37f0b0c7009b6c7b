"""What only an encoder has: token types, the pooler and each kind of head, against transformers."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as tf

from oracles import Oracle, redraw

CONFIG = tf.BertConfig(
    vocab_size=40,
    hidden_size=24,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=40,
    max_position_embeddings=32,
    type_vocab_size=2,
    num_labels=3,
)
ROWS, TYPES = [[5, 6, 7, 8, 9], [10, 11]], [[0, 0, 1, 1, 1], [1, 0]]


@pytest.mark.parametrize("kind", [tf.BertModel, tf.BertForMaskedLM, tf.BertForTokenClassification])
def test_token_types_are_added(kind: type[torch.nn.Module], tmp_path: Path) -> None:
    theirs = redraw(kind(CONFIG), 5)
    ours = Oracle("bert", theirs, 1e-6).load(tmp_path / "model")
    memory = ours.encode(ROWS, TYPES)
    for i, (row, types) in enumerate(zip(ROWS, TYPES, strict=True)):
        with torch.inference_mode():
            outputs = theirs(input_ids=torch.tensor([row]), token_type_ids=torch.tensor([types]))
        mine = memory.states[i] if kind is tf.BertModel else ours.head(memory)[i]
        np.testing.assert_allclose(mine, outputs[0][0].numpy(), rtol=0, atol=1e-9)
        assert not np.allclose(
            mine, ours.encode([row]).states[0] if kind is tf.BertModel else ours.head(ours.encode([row]))[0]
        )


def test_the_pooler_reads_the_first_token(tmp_path: Path) -> None:
    theirs = redraw(tf.BertModel(CONFIG), 5)
    ours = Oracle("bert", theirs, 1e-6).load(tmp_path / "model")
    pooled = ours.pool(ours.encode(ROWS))
    for i, row in enumerate(ROWS):
        with torch.inference_mode():
            expected = theirs(input_ids=torch.tensor([row])).pooler_output[0].numpy()
        np.testing.assert_allclose(pooled[i], expected, rtol=0, atol=1e-9)


def test_labels_carry_their_names(tmp_path: Path) -> None:
    theirs = redraw(tf.BertForSequenceClassification(CONFIG), 5)
    theirs.config.id2label = {0: "people", 1: "places", 2: "neither"}
    ours = Oracle("bert", theirs, 1e-6).load(tmp_path / "model")
    assert ours.config.labels == ("people", "places", "neither")
    [logits] = ours.head(ours.encode(ROWS[:1]))
    assert logits.shape == (1, 3)
