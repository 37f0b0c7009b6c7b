"""all-MiniLM-L6-v2, a BERT: the sentence embeddings of sentence-transformers, the states and pooler of transformers."""

from pathlib import Path

import numpy as np
import pytest
import torch

import clearhead as ch
import oracles  # noqa: F401  keeps transformers offline and on one thread
from clearhead.engine.model import Model
from clearhead.trace import Trace
from real import find
from real_sentences import TEXTS

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def path() -> Path:
    return find("minilm-l6-v2")


@pytest.fixture(scope="module", params=["torch", "native"])
def ours(path: Path, request: pytest.FixtureRequest) -> Model:
    return ch.load(path, executor=request.param, dtype="float32")


@pytest.fixture(scope="module")
def rows(ours: Model) -> list[list[int]]:
    return [ours.tokenizer.encode(text) for text in TEXTS]


@pytest.fixture(scope="module")
def bert(path: Path) -> torch.nn.Module:
    from transformers import BertModel

    return BertModel.from_pretrained(path, dtype=torch.float32).eval()


def test_embeddings_equal_those_of_sentence_transformers(ours: Model, path: Path, rows: list[list[int]]) -> None:
    from sentence_transformers import SentenceTransformer

    assert len(TEXTS) == 50 and max(map(len, rows)) <= 256  # beyond which sentence-transformers cuts, in silence
    wanted = SentenceTransformer(str(path), device="cpu").encode(list(TEXTS))
    mine = ours.embed(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(mine, axis=1), 1, atol=1e-6)
    cosines = (mine * wanted).sum(axis=1)
    assert cosines.min() > 0.9999
    np.testing.assert_allclose(mine, wanted, rtol=0, atol=2e-6)  # which says more


def test_embeddings_know_what_texts_mean(ours: Model) -> None:
    cat, kitten, rates, password, login = ours.embed(TEXTS[:5])
    assert cat @ kitten > 0.5 > cat @ rates
    assert password @ login > 0.5 > password @ rates


def test_ids_equal_those_of_transformers(path: Path, rows: list[list[int]]) -> None:
    from transformers import AutoTokenizer

    assert rows == AutoTokenizer.from_pretrained(path)(list(TEXTS))["input_ids"]


def test_the_states_of_every_layer_and_the_pooler_equal_those_of_transformers(
    ours: Model, bert: torch.nn.Module, rows: list[list[int]]
) -> None:
    for ids in rows[::5]:
        trace = Trace(ours.config)
        memory = ours.executor.encode([ids], trace=trace)
        with torch.inference_mode():
            wanted = bert(torch.tensor([ids]), output_hidden_states=True)
        places = ["encoder.embed.output", *(f"encoder.layers.{i}.output" for i in range(6))]
        for place, states in zip(places, wanted.hidden_states, strict=True):
            np.testing.assert_allclose(trace[place], states[0].numpy(), rtol=0, atol=2e-5, err_msg=place)
        np.testing.assert_allclose(memory.states[0], wanted.last_hidden_state[0].numpy(), rtol=0, atol=2e-5)
        np.testing.assert_allclose(ours.executor.pool(memory), wanted.pooler_output.numpy(), rtol=0, atol=2e-5)


def test_pairs_of_texts_are_told_apart_by_their_token_types(
    ours: Model, bert: torch.nn.Module, rows: list[list[int]]
) -> None:
    first, second = rows[0], rows[5][1:]
    ids, types = first + second, [0] * len(first) + [1] * len(second)
    memory = ours.executor.encode([ids], token_types=[types])
    with torch.inference_mode():
        wanted = bert(torch.tensor([ids]), token_type_ids=torch.tensor([types])).last_hidden_state[0].numpy()
    np.testing.assert_allclose(memory.states[0], wanted, rtol=0, atol=2e-5)


def test_an_embedding_does_not_depend_on_its_batch(ours: Model) -> None:
    texts = [TEXTS[0], TEXTS[-1], TEXTS[15]]
    alone = np.concatenate([ours.embed([text]) for text in texts])
    np.testing.assert_allclose(ours.embed(texts), alone, rtol=0, atol=1e-6)


def test_what_is_exported_embeds_alike_in_sentence_transformers(ours: Model, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    ours.save(tmp_path / "out")
    theirs = SentenceTransformer(str(tmp_path / "out"), device="cpu").encode(TEXTS[:5])
    np.testing.assert_allclose(ours.embed(TEXTS[:5]), theirs, rtol=0, atol=1e-5)
    assert ours.embed(TEXTS[0]).shape == (1, 384)
    modes = {(tmp_path / "out" / name).stat().st_mode for name in ("model.safetensors", "config.json")}
    assert len(modes) == 1
