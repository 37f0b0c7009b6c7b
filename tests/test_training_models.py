"""What is trained here opens in transformers, with equal ids, logits and greedy text, and on both executors."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
import yaml

import clearhead as ch
from clearhead.checkpoints.export import export
from clearhead.checkpoints.opening import open_checkpoint
from clearhead.training.recipe.recipe import read_recipe
from clearhead.training.runs.run import Run, train
from training_sentences import ENGLISH, GERMAN, every

BOUND = 1e-5
TEXTS = ("The teacher was painting 3,500 apples?", "Nobody  forgot", "An unseen wörd, too.")
TRANSLATION: dict[str, Any] = {"task": "translation", "vocabulary": {"kind": "bpe", "size": 200}}
TEXT: dict[str, Any] = {"vocabulary": {"kind": "byte_bpe", "size": 350, "framing": "none"}}
SIZES = {"d_model": 16, "d_ff": 32, "n_heads": 2, "n_layers": 2, "max_positions": 64}


@dataclass(frozen=True)
class Case:
    """A recipe's own keys, and what transformers reads its model with."""

    architecture: str
    auto: type
    keys: dict[str, Any]
    changes: dict[str, Any] | None = None


UNTIED = {"tied": False}
BERT = {"kind": "wordpiece", "size": 200, "framing": "cls_sep", "lowercase": True}
SPANS = {"kind": "unigram", "size": 200, "framing": "eos", "sentinels": 20}
CASES = {
    "gpt2": Case("gpt2", tf.AutoModelForCausalLM, {"task": "causal", **TEXT}),
    "gpt2 by letters": Case(
        "gpt2", tf.AutoModelForCausalLM, {"task": "causal", "vocabulary": {"kind": "character", "framing": "none"}}
    ),
    "llama": Case("llama", tf.AutoModelForCausalLM, {"task": "causal", **TEXT}),
    "llama untied": Case("llama", tf.AutoModelForCausalLM, {"task": "causal", **TEXT}, UNTIED),
    "bloom": Case("bloom", tf.AutoModelForCausalLM, {"task": "causal", **TEXT}),
    "bert": Case("bert", tf.AutoModelForMaskedLM, {"task": "masked", "vocabulary": BERT}),
    "t5 spans": Case("t5", tf.AutoModelForSeq2SeqLM, {"task": "spans", "vocabulary": SPANS}),
    "t5 translation": Case("t5", tf.AutoModelForSeq2SeqLM, TRANSLATION),
    "t5 untied": Case("t5", tf.AutoModelForSeq2SeqLM, TRANSLATION, UNTIED),
    "transformer": Case("transformer", tf.MarianMTModel, TRANSLATION),
    "transformer untied": Case("transformer", tf.MarianMTModel, TRANSLATION, UNTIED),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text, and pairs of sentences."""
    folder = tmp_path_factory.mktemp("models")
    for language, sentences in (("en", every(ENGLISH)), ("de", every(GERMAN))):
        lines = [f"{sentence}\n" for sentence in sentences[: len(every(GERMAN))]]
        for name, some in (("train", lines[10:]), ("dev", lines[:10])):
            (folder / f"{name}.{language}").write_text("".join(some), encoding="utf-8")
    (folder / "text.txt").write_text("\n".join(every(ENGLISH) * 2), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def trained(data: Path) -> Callable[[str], Path]:
    """The folder of each case's model, trained when it is first asked for."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = learnt(CASES[name], data, data / name.replace(" ", "-"))
        return made[name]

    return folder


def learnt(case: Case, data: Path, folder: Path) -> Path:
    """A run of some steps, large ones, after which no weight is what it began as."""
    if case.keys["task"] == "translation":
        source = {"kind": "parallel"}
        parts = {
            name: {"source": f"{{folder}}/{name}.en", "target": f"{{folder}}/{name}.de"} for name in ("train", "dev")
        }
    else:
        source = {"kind": "text", "unit": "file", "path": "{folder}/text.txt"}
        parts = {"train": {"part": [0, 0.8]}, "dev": {"part": [0.8, 1]}}
    keys = {
        "name": "tiny",
        "about": "A few steps.",
        "folder": str(data),
        "data": {name: {"sources": [{**source, **part}]} for name, part in parts.items()},
        "model": {"architecture": case.architecture, **SIZES, "changes": case.changes or {}},
        "training": {"steps": 8, "rows": 4, "context": 24, "max_tokens": 400, "lr": 0.05, "schedule": {"warmup": 2}},
        **case.keys,
    }
    if case.architecture == "bloom":
        keys["model"]["d_ff"] = 4 * SIZES["d_model"]  # the one width that its config.json can say
    folder.mkdir()
    (folder / "tiny.yaml").write_text(yaml.safe_dump(keys), encoding="utf-8")
    train(read_recipe(folder / "tiny.yaml"), Run(folder=folder / "run", threads=1))
    return folder / "run" / "model"


@torch.no_grad()
def theirs(model: Any, ids: list[int], target: list[int] | None) -> np.ndarray:
    """transformers' logits [T, V]."""
    rows = {"input_ids": torch.tensor([ids])}
    if target is not None:
        rows["decoder_input_ids"] = torch.tensor([target])
    found: np.ndarray = model(**rows).logits[0].numpy()
    return found


@pytest.mark.parametrize("name", CASES)
def test_transformers_and_both_executors_agree(name: str, trained: Callable[[str], Path]) -> None:
    folder = trained(name)
    model, loading = CASES[name].auto.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    assert not loading["missing_keys"] and not loading["unexpected_keys"] and not loading["mismatched_keys"]
    tokenizer = tf.AutoTokenizer.from_pretrained(folder)
    ours = [ch.load(folder, executor=executor, dtype="float32", threads=1) for executor in ("native", "torch")]
    for text in TEXTS:
        ids = ours[0].tokenizer.encode(text)
        assert ids == tokenizer(text)["input_ids"]
        assert tokenizer.decode(ids, skip_special_tokens=True) == ours[0].tokenizer.decode(ids)
        target = None
        if model.config.is_encoder_decoder:
            start = model.generation_config.decoder_start_token_id
            assert start == ours[0].special.decoder_start == model.config.decoder_start_token_id
            target = [start, *ours[0].tokenizer.encode_target(TEXTS[0])]
        expected = theirs(model.eval(), ids, target)
        assert expected.std() > 0.1  # it is no longer a model that says nothing
        for each in ours:
            assert np.abs(each.logits(ids, target) - expected).max() < BOUND


@pytest.mark.parametrize("name", ["gpt2", "llama untied", "t5 translation", "transformer", "transformer untied"])
def test_greedy_text_is_that_of_transformers(name: str, trained: Callable[[str], Path]) -> None:
    folder = trained(name)
    model = CASES[name].auto.from_pretrained(folder, dtype=torch.float32)
    tokenizer = tf.AutoTokenizer.from_pretrained(folder)
    for text in TEXTS:
        ids = tokenizer(text, return_tensors="pt")
        said = model.generate(**ids, max_new_tokens=12, min_new_tokens=6, do_sample=False)[0].tolist()
        said = said[1 if model.config.is_encoder_decoder else ids["input_ids"].shape[1] :]
        assert len(said) >= 6
        for executor in ("native", "torch"):
            ours = ch.load(folder, executor=executor, dtype="float32", threads=1)
            assert list(ours.complete(text, max_new_tokens=12, min_new_tokens=6).tokens) == said


def test_of_an_untied_transformer_a_copy_of_each_table_is_for_transformers_alone(
    trained: Callable[[str], Path], tmp_path: Path
) -> None:
    names = {f"model.{place}.weight" for place in ("shared", "encoder.embed_tokens", "decoder.embed_tokens")}
    checkpoint = ch.load(trained("transformer untied")).checkpoint
    assert names | {"lm_head.weight"} <= set(checkpoint.tensors)
    assert names & set(ch.load(trained("transformer")).checkpoint.tensors) == {"model.shared.weight"}
    export(tmp_path / "int8", checkpoint.config, checkpoint.weights(), dtype="int8", special=checkpoint.special)
    assert names & set(open_checkpoint(tmp_path / "int8").tensors) == {"model.shared.weight"}
