"""Every family computes what an independent implementation computes from the same file."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clearhead.config import GenerationConfig, SpecialTokens
from clearhead.generation.generate import generate
from clearhead.model.executor import TorchExecutor
from oracles import ORACLES, Oracle, oracle, rows

FAMILIES = list(ORACLES)
relaxed = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


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
                assert (
                    difference(logits, theirs.logits(source[i], target[i]).reshape(logits.shape)) <= theirs.dtype_limit
                )
            single = theirs.load(Path(folder) / "model", "float32")
            for i, logits in enumerate(run(single, source, target)):
                assert difference(logits, theirs.logits(source[i], target[i]).reshape(logits.shape)) <= 1e-4

    check()


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "bert"])
def test_greedy_text_of_64_tokens_is_the_same(family: str) -> None:
    @settings(relaxed, max_examples=4)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        theirs: Oracle = data.draw(oracle(family))
        [source] = data.draw(rows(17, 1))
        with tempfile.TemporaryDirectory() as folder:
            ours = theirs.load(Path(folder) / "model")
        memory = ours.encode([source]) if theirs.encoder_decoder else None
        prompt = [0] if theirs.encoder_decoder else source
        request = GenerationConfig(max_new_tokens=64)
        [[done]] = generate(ours, [prompt], request, SpecialTokens(), memory=memory)
        row = list(prompt)
        for _ in range(64):  # their own forward pass, over the whole row each time
            row.append(int(theirs.logits(row if not theirs.encoder_decoder else source, row)[-1].argmax()))
        assert list(done.tokens) == row[len(prompt) :]

    check()


EMBEDDINGS = ("wte.weight", "embed_tokens.weight", "shared.weight", "word_embeddings.weight", "token_emb.weight")
