"""Every family computes what an independent implementation computes from the same file."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracles import ORACLES, Oracle, oracle, rows

from clearhead.model.executor import TorchExecutor

FAMILIES = list(ORACLES)
relaxed = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


def difference(ours: np.ndarray, theirs: torch.Tensor) -> float:
    """The largest difference, relative to the largest value."""
    reference = theirs.double().numpy()
    assert ours.shape == reference.shape
    return float(np.abs(ours - reference).max() / np.abs(reference).max())


def run(executor: TorchExecutor, source: list[list[int]], target: list[list[int]]) -> list[np.ndarray]:
    """Logits of each row, whatever stacks the model has."""
    if executor.config.kind == "encoder":
        return executor.head(executor.encode(source))
    if executor.config.kind == "decoder":
        return executor.decode(source, want="all")
    return executor.decode(target, memory=executor.encode(source), want="all")


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_equal_the_oracle(family: str) -> None:
    @relaxed
    @given(st.data())
    def check(data: st.DataObject) -> None:
        theirs: Oracle = data.draw(oracle(family))
        vocab = min(p.shape[0] for n, p in theirs.model.named_parameters() if n.endswith(EMBEDDINGS))
        source, target = data.draw(rows(vocab, 3)), data.draw(rows(vocab, 3))
        with tempfile.TemporaryDirectory() as folder:
            ours = theirs.load(Path(folder) / "model")
            for i, logits in enumerate(run(ours, source, target)):  # ragged, so padding is tested too
                assert difference(logits, theirs.logits(source[i], target[i]).reshape(logits.shape)) <= theirs.dtype_limit
            single = theirs.load(Path(folder) / "model", "float32")
            for i, logits in enumerate(run(single, source, target)):
                assert difference(logits, theirs.logits(source[i], target[i]).reshape(logits.shape)) <= 1e-4

    check()


EMBEDDINGS = ("wte.weight", "embed_tokens.weight", "shared.weight", "word_embeddings.weight", "token_emb.weight")
