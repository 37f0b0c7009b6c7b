"""A loaded model that goes on learning: weights, vocabulary and template; labels for words; answers to questions."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import peft
import pytest
import torch
import transformers as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from seqeval.metrics import classification_report, f1_score, precision_score, recall_score
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

import clearhead as ch
import gguf_samples
import tiny
from clearhead.checkpoints.opening import open_checkpoint
from clearhead.config import SpecialTokens
from clearhead.errors import ConfigError, DataError, OptionError, TokenizerError
from clearhead.model.transformer import Transformer
from clearhead.recurrent.config import RecurrentConfig
from clearhead.recurrent.folder import save_recurrent
from clearhead.recurrent.initial import new_model as new_recurrent
from clearhead.text.fast import FastTokenizer
from clearhead.training.metrics.chunks import chunk_score, chunks
from clearhead.training.metrics.texts import check_scores
from clearhead.training.models.bases import fine_tunable, language_of, open_base
from clearhead.training.models.learners import weights_of
from clearhead.training.models.merging import merge_adapter
from clearhead.training.objectives.labels import NOWHERE, answered
from clearhead.training.recipe.recipe import Recipe
from clearhead.training.runs.run import Run, train
from clearhead.training.tasks.tasks import Language, instruct_rows, label_rows
from clearhead.training.tasks.words import Cutter
from clearhead.training.vocabulary.vocabulary import VocabularyConfig, train_vocabulary
from real import find
from training_sentences import SENTENCES as SENTENCES_OF_THREE

WORDS = [
    "anna",
    "lives",
    "in",
    "sofia",
    "and",
    "works",
    "at",
    "acme",
    "##s",
    "corp",
    "zur",
    "##ich",
    ".",
    "bob",
    "paris",
]
SENTENCES = [
    ("Anna lives in Sofia .", "B-PER O O B-LOC O"),
    ("Bob works at Acme Corp .", "B-PER O O B-ORG I-ORG O"),
    ("Anna and Bob works in Paris .", "B-PER O B-PER O O B-LOC O"),
    ("Acmes lives in Zurich", "B-ORG O O B-LOC"),
]


# Models to start from


def wordpiece() -> Tokenizer:
    """A vocabulary as BERT's, which lower-cases and removes accents and control characters."""
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = [*specials, *WORDS]
    tokenizer = Tokenizer(models.WordPiece({w: i for i, w in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    frame = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=frame)
    tokenizer.add_special_tokens(specials)
    return tokenizer


def bert(folder: Path, **changes: Any) -> Path:
    """A small encoder; without a head unless asked for one."""
    keys: dict[str, Any] = {"head": "none", "head_bias": False, "pooler": True} | changes
    tiny.write(folder, tiny.sized("bert", **keys), wordpiece(), SpecialTokens(pad=0))
    roles = {
        "mask_token": "[MASK]",
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "unk_token": "[UNK]",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(roles))
    return folder


def columns(path: Path, sentences: Sequence[tuple[str, str]] = tuple(SENTENCES)) -> Path:
    """Sentences as CoNLL has them."""
    rows = ("".join(f"{w} {x}\n" for w, x in zip(a.split(), b.split(), strict=True)) for a, b in sentences)
    path.write_text("\n".join(rows))
    return path


def recipe(task: str, base: Path, source: dict[str, Any], **keys: Any) -> Recipe:
    """A short run on one source."""
    data = {"train": {"sources": [source]}, "dev": {"sources": [source]}, "tests": {"same": {"sources": [source]}}}
    training = {
        "steps": 30,
        "lr": 0.01,
        "schedule": {"kind": "constant", "warmup": 0},
        "max_tokens": 128,
        "context": 16,
        "rows": 4,
    }
    whole = {"name": "a-run", "about": "A test.", "task": task, "base": str(base), "data": data, "training": training}
    return Recipe.model_validate(whole | keys | {"training": training | keys.get("training", {})})


def ner(folder: Path, **keys: Any) -> Recipe:
    """A run that labels words."""
    base = folder / "base"
    if not base.exists():
        bert(base)
    source = {"kind": "conll", "path": str(columns(folder / "a.conll"))}
    return recipe("labels", base, source, **({"evaluation": {"every": 30, "scores": ["f1", "accuracy"]}} | keys))


def model_of(made: Recipe, labels: tuple[str, ...] = ()) -> Transformer:
    """What the recipe trains, before it has."""
    assert made.base is not None
    model = fine_tunable(made, open_base(made.base), labels)
    assert isinstance(model, Transformer)
    return model


LABELS = ("O", "B-LOC", "B-ORG", "B-PER", "I-LOC", "I-ORG", "I-PER")


def test_a_base_keeps_its_weights_and_gets_the_head_it_lacks(tmp_path: Path) -> None:
    made = ner(tmp_path)
    model, base = model_of(made, LABELS), dict(open_checkpoint(tmp_path / "base").weights())
    weights = dict(model.named_parameters())
    assert weights.pop("head.projection.weight").shape == (7, 24)
    assert not weights.pop("head.projection.bias").any()
    assert base.keys() - weights.keys() == {"pooler.weight", "pooler.bias"}
    assert all(np.array_equal(p.detach().numpy(), base[name]) for name, p in weights.items())
    assert all(p.dtype == torch.float32 and p.requires_grad for p in model.parameters())
    again, other = model_of(made, LABELS), model_of(ner(tmp_path, seed=2), LABELS)
    assert torch.equal(again.head.projection.weight, model.head.projection.weight)
    assert not torch.equal(other.head.projection.weight, model.head.projection.weight)


def test_a_head_with_the_same_labels_goes_on(tmp_path: Path) -> None:
    bert(tmp_path / "base", head="token_labels", labels=LABELS, pooler=False)
    made, old = ner(tmp_path), dict(open_checkpoint(tmp_path / "base").weights())
    kept, renamed = model_of(made, LABELS), model_of(made, tuple(label.lower() for label in LABELS))
    assert np.array_equal(kept.head.projection.weight.detach().numpy(), old["head.projection.weight"])
    assert not np.array_equal(renamed.head.projection.weight.detach().numpy(), old["head.projection.weight"])


def test_a_masked_head_is_made_for_an_encoder_without_one(tmp_path: Path) -> None:
    base = bert(tmp_path / "base")
    made = recipe("masked", base, {"kind": "text", "path": "unread"})
    model = model_of(made)
    assert (model.config.head, model.config.head_bias, model.config.pooler) == ("mlm", True, False)
    assert language_of(open_base(str(base))).special.mask == 4


def test_quantised_weights_are_made_whole(tmp_path: Path) -> None:
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 32,
    }
    tf.LlamaForCausalLM(tf.LlamaConfig(**gguf_samples.SIZES | sizes)).save_pretrained(tmp_path / "whole")
    gguf_samples.write(tmp_path / "whole", tmp_path / "small.gguf", gguf.GGMLQuantizationType.Q8_0)
    model = model_of(recipe("causal", tmp_path / "small.gguf", {"kind": "text", "path": "unread"}))
    exact = dict(open_checkpoint(tmp_path / "whole").weights())
    for name, p in model.named_parameters():
        assert p.dtype == torch.float32
        np.testing.assert_allclose(p.detach().numpy(), exact[name], atol=1e-3)
        p.data += 1
    assert any((p.detach().numpy() - 1 != exact[name]).any() for name, p in model.named_parameters())


def test_training_does_not_write_to_the_base(tmp_path: Path) -> None:
    made = ner(tmp_path)
    before = (tmp_path / "base" / "model.safetensors").read_bytes()
    for p in model_of(made, LABELS).parameters():
        p.data += 1  # a write to the mapped file would end the process
    assert (tmp_path / "base" / "model.safetensors").read_bytes() == before


def test_bases_that_a_task_cannot_use(tmp_path: Path) -> None:
    base, text = bert(tmp_path / "base"), {"kind": "text", "path": "unread"}
    with pytest.raises(ConfigError, match="the base is an encoder; task causal needs a decoder"):
        model_of(recipe("causal", base, text))
    with pytest.raises(ConfigError, match="task translation needs an encoder with a decoder"):
        model_of(recipe("translation", base, text))
    with pytest.raises(ConfigError, match=r"context is 129; .* reads at most 128 tokens"):
        model_of(recipe("masked", base, text, training={"context": 129}))
    (base / "tokenizer.json").unlink()
    with pytest.raises(TokenizerError, match="carries no vocabulary"):
        language_of(open_base(str(base)))


# Words and their pieces


def cutter(window: int | None = None) -> Cutter:
    return Cutter(FastTokenizer(wordpiece()), window)


def test_the_first_piece_of_a_word_carries_its_label() -> None:
    language = Language(tokenizer=FastTokenizer(wordpiece()), special=SpecialTokens(pad=0), labels=LABELS)
    record = {"tokens": ["Acmes", "lives", "in", "Zürich"], "labels": ["B-ORG", "O", "O", "B-LOC"]}
    (row,) = label_rows([record], language)
    assert language.tokenizer.pieces(row["ids"]) == ["[CLS]", "acme", "##s", "lives", "in", "zur", "##ich", "[SEP]"]
    assert row["labels"] == [-1, 2, -1, 0, 0, 1, -1, -1]


def test_words_that_vanish_and_words_that_spell_special_tokens() -> None:
    (window,) = cutter().windows(["Anna", "\u200b", "[SEP]", "\u00ad", "Bob"])
    ids, at = window
    assert [word for word in at if word != NOWHERE] == [0, 2, 4]
    assert ids.count(3) == 1  # only the frame's own [SEP]
    assert list(cutter().windows(["\u200b"])) == []
    assert list(cutter().windows([])) == []


def test_long_sentences_are_read_in_parts() -> None:
    words = ["Acmes", "lives", "in", "Zurich", "and", "Sofia"]
    found = list(cutter(6).windows(words))
    assert [len(ids) for ids, _ in found] == [6, 5, 3] or [len(ids) for ids, _ in found] == [6, 6]
    assert [word for _, at in found for word in at if word != NOWHERE] == list(range(6))
    assert all((ids[0], ids[-1]) == (2, 3) for ids, _ in found)
    (one,) = cutter(3).windows(["Zurich"])  # a word longer than the window: as much as there is room for
    assert one == ([2, 15, 3], [NOWHERE, 0, NOWHERE])
    with pytest.raises(ConfigError, match="windows of 2 tokens have no room"):
        cutter(2)


def test_byte_level_words_keep_their_space() -> None:
    vocabulary = FastTokenizer(tiny.byte_level())
    ((ids, at),) = Cutter(vocabulary).windows(["ab", "c"])
    assert vocabulary.decode(ids) == "ab c"
    assert at == [0, NOWHERE, 1, NOWHERE]


@pytest.mark.parametrize("kind", ["bpe", "unigram", "wordpiece", "character"])
def test_words_one_by_one_are_the_pieces_of_the_text(kind: Any) -> None:
    vocabulary = train_vocabulary(SENTENCES_OF_THREE, VocabularyConfig(kind=kind, size=600, framing="cls_sep"))
    whole = Cutter(vocabulary)
    for text in SENTENCES_OF_THREE[::7]:
        ((ids, at),) = whole.windows(text.split())
        assert ids == vocabulary.encode(text)
        assert [word for word in at if word != NOWHERE] == list(range(len(text.split())))


def test_a_label_that_training_did_not_have() -> None:
    language = Language(tokenizer=FastTokenizer(wordpiece()), special=SpecialTokens(), labels=("O", "B-X"))
    with pytest.raises(DataError, match="'B-Y' is in no training record; those have O, B-X"):
        list(label_rows([{"tokens": ["anna"], "labels": ["B-Y"]}], language))
    with pytest.raises(DataError, match="reads lists tokens and labels"):
        list(label_rows([{"text": "anna"}], language))


HARD = [
    "EU",
    "rejects",
    "German",
    "3.5",
    "U.S.-based",
    "naïve",
    "Zürich",
    "don't",
    "\u200b",
    "x" * 120,
    "漢字",
    "[MASK",
]


@pytest.mark.weights
def test_real_alignment_is_that_of_transformers() -> None:
    path = find("minilm-l6-v2")
    theirs = tf.AutoTokenizer.from_pretrained(path)
    checkpoint = open_checkpoint(path)
    assert checkpoint.tokenizer is not None
    ours = Cutter(checkpoint.tokenizer(), 512)
    for words in [HARD, HARD[::-1], *([w] for w in HARD[:8])]:
        encoded = theirs(words, is_split_into_words=True)
        firsts = [
            w if w is not None and w != before else NOWHERE
            for before, w in itertools.pairwise([None, *encoded.word_ids()])
        ]
        assert next(ours.windows(words)) == (encoded["input_ids"], firsts)


# Entities


def test_chunks_by_hand() -> None:
    assert chunks(["B-A", "I-A", "O", "I-A", "B-A", "I-B", "I-B", "O"]) == [
        ("A", 0, 2),
        ("A", 3, 4),
        ("A", 4, 5),
        ("B", 5, 7),
    ]
    assert chunks(["O"]) == chunks([]) == []
    for label in ("PER", "B", "B-", "S-PER", "o"):
        with pytest.raises(DataError, match="neither O, nor B- or I-"):
            chunks([label])


LABEL = st.sampled_from(["O", "B-A", "I-A", "B-BC", "I-BC", "I-D"])
PAIRS = st.lists(st.lists(st.tuples(LABEL, LABEL), min_size=1, max_size=12), min_size=1, max_size=5)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore:.*:sklearn.exceptions.UndefinedMetricWarning")
@given(PAIRS)
@settings(max_examples=150, deadline=None)
def test_scores_are_seqevals(pairs: list[list[tuple[str, str]]]) -> None:
    gold, said = ([[pair[side] for pair in row] for row in pairs] for side in (0, 1))
    score = chunk_score(gold, said)
    assert score.all.f1 == pytest.approx(100 * f1_score(gold, said, zero_division=0))
    assert score.all.precision == pytest.approx(100 * precision_score(gold, said, zero_division=0))
    assert score.all.recall == pytest.approx(100 * recall_score(gold, said, zero_division=0))
    if not score.by_type:
        return
    report = classification_report(gold, said, output_dict=True, zero_division=0)
    assert score.by_type.keys() == report.keys() - {"micro avg", "macro avg", "weighted avg"}
    for kind, counts in score.by_type.items():
        assert counts.f1 == pytest.approx(100 * report[kind]["f1-score"])
        assert counts.gold == report[kind]["support"]


def test_scores_that_a_task_has() -> None:
    check_scores(["f1", "accuracy"], "labels")
    with pytest.raises(OptionError, match="no score 'bleu' for task labels; choose from f1, accuracy"):
        check_scores(["bleu"], "labels")


# Questions and answers


def chat_language(template: str | None = tiny.TEMPLATE) -> Language:
    vocabulary = FastTokenizer(tiny.byte_level())
    return Language(tokenizer=vocabulary, special=SpecialTokens(bos=256, eos=(258, 256), pad=256), template=template)


def scored(row: dict[str, list[int]], language: Language) -> str:
    """What a row has the model say."""
    return language.tokenizer.decode([i for i in row["labels"] if i != NOWHERE], skip_special_tokens=False)


def test_only_the_answer_counts_and_where_it_ends() -> None:
    language = chat_language()
    (row,) = instruct_rows([{"source": "Who?", "target": "Anna, I say."}], language)
    read = language.tokenizer.decode(row["ids"], skip_special_tokens=False)
    assert read == "<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\nAnna, I say."
    assert scored(row, language) == "Anna, I say.<|im_end|>"
    asked = language.chat([{"role": "user", "content": "Who?"}], open_ended=True)
    first = next(i for i, label in enumerate(row["labels"]) if label != NOWHERE)
    assert row["ids"][: first + 1] == asked  # what generation will read before it says the same
    assert row["labels"][first:-1] == row["ids"][first + 1 :]


def test_control_tokens_in_data_are_text() -> None:
    language = chat_language()
    (row,) = instruct_rows([{"source": "<|im_end|>", "target": "a<|im_end|>b"}], language)
    assert row["ids"].count(258) == 1  # that of the question's end
    assert scored(row, language) == "a<|im_end|>b<|im_end|>"
    assert [i for i in row["labels"] if i != NOWHERE].count(258) == 1


def test_templates_that_write_no_end_get_one() -> None:
    turns = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    plain = turns + "{% if add_generation_prompt %}assistant: {% endif %}"
    language = chat_language(plain)
    (row,) = instruct_rows([{"source": "a", "target": "b"}], language)
    assert scored(row, language) == "b\n<|im_end|>"
    with pytest.raises(ConfigError, match="no chat template"):
        list(instruct_rows([{"source": "a", "target": "b"}], chat_language(None)))


@pytest.mark.weights
def test_real_rows_read_what_generation_reads() -> None:
    language = language_of(open_base(str(find("smollm2-135m-instruct"))))
    (row,) = instruct_rows([{"source": "Name a city.\n", "target": "Sofia, in Bulgaria"}], language)
    assert scored(row, language) == "Sofia, in Bulgaria<|im_end|>"
    first = next(i for i, label in enumerate(row["labels"]) if label != NOWHERE)
    assert row["ids"][: first + 1] == language.chat([{"role": "user", "content": "Name a city.\n"}], open_ended=True)


IDS = st.lists(st.integers(1, 5), max_size=6)


@given(IDS, IDS.filter(bool), st.sets(st.integers(6, 8)))
@settings(deadline=None)
def test_rows_of_answers(asked: list[int], answer: list[int], ends: set[int]) -> None:
    order = sorted(ends)
    ids, labels = answered(asked, [*asked, *answer, *order[:1], 9], order)
    said = [i for i in labels if i != NOWHERE]
    whole = [*answer, *(order[:1] if order else [9])]
    assert said == (whole if asked else whole[1:])
    assert [*ids, labels[-1]][: len(asked)] == asked
    assert len(ids) == len(labels)


# Whole runs

SAMPLE = "Anna lives in Zurich ."


def run(made: Recipe, folder: Path, **keys: Any) -> dict[str, Any]:
    return train(made, Run(folder=folder, threads=1, **keys))


@torch.no_grad()
def scores_of(model: Any, ids: list[int]) -> torch.Tensor:
    """What transformers computes."""
    return model.eval()(input_ids=torch.tensor([ids])).logits[0]


LORA = {"rank": 4, "alpha": 8, "dropout": 0.05, "targets": ["query", "value", "mlp.up"]}


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_a_run_that_labels_words(tmp_path: Path, lora: dict[str, Any] | None) -> None:
    made = ner(tmp_path, lora=lora, training={"steps": 60})
    results = run(made, tmp_path / "run")
    same = results["scores"]["same"]
    assert same["f1"] == same["accuracy"] == 100.0
    assert same["by_type"]["ORG"] == {"f1": 100.0, "precision": 100.0, "recall": 100.0, "entities": 2}
    assert same["predictions"][1] == {
        "words": "Bob works at Acme Corp .",
        "labels": "B-PER O O B-ORG I-ORG O",
        "predicted": "B-PER O O B-ORG I-ORG O",
    }
    model = ch.load(tmp_path / "run" / "model", executor="torch", dtype="float32")
    ids = model.tokenizer.encode(SAMPLE)
    theirs = tf.BertForTokenClassification.from_pretrained(tmp_path / "run" / "model")
    logits = scores_of(theirs, ids)
    assert tuple(theirs.config.id2label.values()) == model.config.labels == LABELS
    np.testing.assert_allclose(model.logits(ids), logits.numpy(), rtol=1e-4, atol=1e-4)
    assert [theirs.config.id2label[i] for i in logits.argmax(-1).tolist()][1:-1][:3] == ["B-PER", "O", "O"]
    assert (tmp_path / "run" / "adapter").is_dir() == (lora is not None)
    assert ("trained" in results["parameters"]) == (lora is not None)
    if lora is not None:
        base = tf.BertForTokenClassification.from_pretrained(tmp_path / "base", num_labels=len(LABELS))
        loaded = peft.PeftModel.from_pretrained(base, tmp_path / "run" / "adapter")
        torch.testing.assert_close(scores_of(loaded, ids), logits, rtol=1e-4, atol=1e-4)


def test_the_same_seed_gives_the_same_model_and_another_does_not(tmp_path: Path) -> None:
    for name, seed in (("one", 3), ("two", 3), ("three", 4)):
        run(ner(tmp_path, lora=LORA, seed=seed), tmp_path / name)
    one, two, three = ((tmp_path / n / "model" / "model.safetensors").read_bytes() for n in ("one", "two", "three"))
    assert one == two != three


def test_a_run_goes_on_from_what_it_trained_alone(tmp_path: Path) -> None:
    keys = {"lora": LORA, "saving": {"every": 10}, "training": {"average": {"kind": "ema", "decay": 0.9}}}
    run(ner(tmp_path, **keys), tmp_path / "whole")
    keys["training"]["steps"] = 20
    run(ner(tmp_path, **keys), tmp_path / "parts")
    keys["training"]["steps"] = 30
    run(ner(tmp_path, **keys), tmp_path / "parts", resume=True)
    whole, parts = ((tmp_path / n / "model" / "model.safetensors").read_bytes() for n in ("whole", "parts"))
    assert whole == parts
    held = load_file(tmp_path / "parts" / "checkpoints" / "step-00000030" / "tensors.safetensors")
    names = {name for name in held if name.startswith("model.")}
    assert names
    assert all(
        name.endswith((".lora_a", ".lora_b", "head.projection.weight", "head.projection.bias")) for name in names
    )


def test_long_sentences_are_kept(tmp_path: Path) -> None:
    long = [(f"{SAMPLE} " * 9, "B-PER O O B-LOC O " * 9), *SENTENCES]
    columns(tmp_path / "long.conll", long)
    made = ner(tmp_path)
    source = {"kind": "conll", "path": str(tmp_path / "long.conll")}
    data = {"train": {"sources": [source]}, "dev": {"sources": [source]}, "tests": {"same": {"sources": [source]}}}
    results = run(recipe("labels", tmp_path / "base", source, data={**data, "max_length": 16}), tmp_path / "run")
    assert results["scores"]["same"]["words"] == sum(len(words.split()) for words, _ in long)
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["sources"]["rows of train"]["kept"] > len(long)
    assert not report["sources"]["rows of train"]["dropped"]
    assert made.task == "labels"


def test_labels_in_which_entities_cannot_be_counted(tmp_path: Path) -> None:
    columns(tmp_path / "a.conll", [("Anna lives", "NOUN VERB")])
    base = bert(tmp_path / "base")
    source = {"kind": "conll", "path": str(tmp_path / "a.conll"), "scheme": "any"}
    with pytest.raises(DataError, match="'NOUN' is neither O, nor B- or I-"):
        run(recipe("labels", base, source, evaluation={"scores": ["f1"]}), tmp_path / "run")
    results = run(recipe("labels", base, source, evaluation={"scores": ["accuracy"]}), tmp_path / "other")
    assert results["scores"]["same"]["accuracy"] == 100.0


def questions(folder: Path) -> dict[str, Any]:
    """Two questions with answers, as a data set of prompts has them."""
    pairs = [("Who?", "Anna"), ("Where?", "Sofia")]
    lines = (json.dumps({"prompt": a, "completion": f"{b}<|endoftext|>"}) for a, b in pairs)
    (folder / "a.jsonl").write_text("\n".join(lines))
    fields = {"source": "prompt", "target": "completion"}
    return {"kind": "jsonl", "path": str(folder / "a.jsonl"), "fields": fields, "ending": "<|endoftext|>"}


def test_a_run_that_answers(tmp_path: Path) -> None:
    base = tiny.gpt2_folder(tmp_path / "base", chat=True)
    run(recipe("instruct", base, questions(tmp_path), training={"steps": 150}), tmp_path / "run")
    model = ch.load(tmp_path / "run" / "model")
    for question, answer in (("Who?", "Anna"), ("Where?", "Sofia")):
        done = model.chat([{"role": "user", "content": question}], max_new_tokens=12)
        assert (done.new_text, done.finish_reason) == (answer, "stop")


def test_an_adapter_that_answers(tmp_path: Path) -> None:
    base = tiny.gpt2_folder(tmp_path / "base", chat=True)
    made = recipe("instruct", base, questions(tmp_path), lora=LORA, training={"steps": 60})
    results = run(made, tmp_path / "run")
    language, rows = language_of(open_base(str(base))), [("Who?", "Anna"), ("Where?", "Sofia")]
    asked = list(instruct_rows([{"source": a, "target": b} for a, b in rows], language))

    def loss(model: Any) -> float:
        """transformers' own, over the answers alone."""
        total = [(scores_of(model, row["ids"]).log_softmax(-1), row["labels"]) for row in asked]
        said = [-float(scores[t, i]) for scores, labels in total for t, i in enumerate(labels) if i != NOWHERE]
        return sum(said) / len(said)

    before = loss(tf.GPT2LMHeadModel.from_pretrained(base))
    loaded = peft.PeftModel.from_pretrained(tf.GPT2LMHeadModel.from_pretrained(base), tmp_path / "run" / "adapter")
    assert loss(loaded) == pytest.approx(results["scores"]["dev"]["nll"], abs=1e-3)
    assert loss(loaded) < before - 1
    merge_adapter(tmp_path / "run" / "adapter", base, tmp_path / "merged")
    merged, exported = (load_file(tmp_path / p / "model.safetensors") for p in ("merged", "run/model"))
    assert all(np.array_equal(merged[name], exported[name]) for name in exported)
    assert (tmp_path / "merged" / "chat_template.jinja").read_text() == tiny.TEMPLATE


def test_a_recurrent_base(tmp_path: Path) -> None:
    config = RecurrentConfig(
        cell="gru", vocab_size=300, d_embedding=8, d_hidden=16, n_encoder_layers=0, n_decoder_layers=1, max_positions=64
    )
    net = new_recurrent(config, 1)
    save_recurrent(tmp_path / "base", config, weights_of(net), tokenizer=FastTokenizer(tiny.byte_level()))
    (tmp_path / "a.txt").write_text("abcabc" * 40)
    source = {"kind": "text", "unit": "file", "path": str(tmp_path / "a.txt")}
    results = run(recipe("causal", tmp_path / "base", source), tmp_path / "run")
    assert results["scores"]["dev"]["nll"] < 2.5 < np.log(300)
    with pytest.raises(ConfigError, match="is recurrent; leave lora out"):
        run(recipe("causal", tmp_path / "base", source, lora=LORA), tmp_path / "other")


def test_a_new_model_labels_words_too(tmp_path: Path) -> None:
    made = ner(tmp_path, training={"steps": 80})
    raw = made.model_dump(mode="json", exclude_unset=True)
    del raw["base"]
    raw["vocabulary"] = {"kind": "wordpiece", "size": 200, "framing": "cls_sep"}
    raw["model"] = {"architecture": "bert", "d_model": 24, "d_ff": 48, "n_heads": 2, "n_layers": 1, "max_positions": 32}
    assert run(Recipe.model_validate(raw), tmp_path / "run")["scores"]["same"]["f1"] == 100.0


def test_an_encoder_with_a_decoder_by_changes_alone(tmp_path: Path) -> None:
    base = tiny.t5_folder(tmp_path / "base")
    (tmp_path / "a.en").write_text("one\ntwo\n")
    (tmp_path / "a.de").write_text("eins\nzwei\n")
    source = {"kind": "parallel", "source": str(tmp_path / "a.en"), "target": str(tmp_path / "a.de")}
    scores = {"scores": ["chrf"], "beams": 1}
    results = run(recipe("translation", base, source, lora=LORA, evaluation=scores), tmp_path / "run")
    said = results["scores"]["same"]["translations"]
    assert [done.new_text for done in map(ch.load(tmp_path / "run" / "model").complete, ("one", "two"))] == said


def test_a_bert_goes_on_as_one(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("anna lives in sofia . bob works at acme . " * 20)
    source = {"kind": "text", "unit": "file", "path": str(tmp_path / "a.txt")}
    run(recipe("masked", bert(tmp_path / "base"), source, training={"mask": 0.3}), tmp_path / "run")
    theirs = tf.BertForMaskedLM.from_pretrained(tmp_path / "run" / "model")
    model = ch.load(tmp_path / "run" / "model", executor="torch", dtype="float32")
    ids = model.tokenizer.encode("anna [MASK] in sofia .")
    np.testing.assert_allclose(model.logits(ids), scores_of(theirs, ids).numpy(), rtol=1e-4, atol=1e-4)
