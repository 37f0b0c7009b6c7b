"""Damaged and hostile vocabularies end in one line that names the fault, never in a crash or a wrong tokenizer."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from clearhead.errors import TokenizerError
from clearhead.text.fast import read_tokenizer_json
from clearhead.text.gguf_pieces import gguf_special_tokens
from clearhead.text.gguf_vocabulary import gguf_tokenizer
from clearhead.text.legacy import load_tokenizer_folder
from clearhead.text.paired import read_ctranslate2
from clearhead.text.piece_model import write_model
from text_samples import (
    SENTENCES,
    bpe_metadata,
    spm_lists,
    spm_metadata,
    trained_spm,
    word_metadata,
    write_folder,
)


def refused(reason: str) -> Any:
    return pytest.raises(TokenizerError, match=reason)


G = "tokenizer.ggml."
HOSTILE: list[tuple[Any, dict[str, Any], str]] = [
    (bpe_metadata, {G + "model": "rwkv"}, "'rwkv'; Clearhead reads 'gpt2'"),
    (bpe_metadata, {G + "model": None}, "'None'; Clearhead reads"),
    (bpe_metadata, {G + "model": ["gpt2"] * 9}, "Clearhead reads"),
    (bpe_metadata, {G + "pre": "martian"}, "'martian' is not known; the known ones are bloom"),
    (bpe_metadata, {G + "pre": 7}, "'7' is not known"),
    (bpe_metadata, {G + "tokens": None}, "carries no vocabulary"),
    (bpe_metadata, {G + "tokens": []}, "carries no vocabulary"),
    (bpe_metadata, {G + "tokens": "abc"}, "carries no vocabulary"),
    (bpe_metadata, {G + "tokens": [1, 2]}, r"tokens\[0\] is int; every token is a string"),
    (bpe_metadata, {G + "tokens": ["a", b"b"]}, r"tokens\[1\] is bytes"),
    (bpe_metadata, {G + "tokens": ["a", "b", "a"]}, "has 'a' at 0 and again at 2"),
    (bpe_metadata, {G + "tokens": ["a", "\ud800"]}, "tokens holds .*ud800 at 2, half a character"),
    (bpe_metadata, {G + "token_type": [1, 2]}, "token_type has 2 entries for"),
    (bpe_metadata, {G + "token_type": [0.5]}, "not a list of whole numbers"),
    (bpe_metadata, {G + "token_type": 3}, "not a list of whole numbers"),
    (bpe_metadata, {G + "token_type": ["x"]}, "not a list of whole numbers"),
    (bpe_metadata, {G + "token_type": [[1], [2, 3]]}, "not a list of whole numbers"),
    (bpe_metadata, {G + "scores": ["x"]}, "not a list of numbers"),
    (bpe_metadata, {G + "merges": None}, "no tokenizer.ggml.merges"),
    (bpe_metadata, {G + "merges": ["ab"]}, r"merges\[0\] is 'ab'"),
    (bpe_metadata, {G + "merges": [" b"]}, r"merges\[0\] is ' b'"),
    (bpe_metadata, {G + "merges": [3]}, r"merges\[0\] is '3'"),
    (bpe_metadata, {G + "merges": ["zz qq"]}, "vocabulary cannot be read: .*zz"),
    (bpe_metadata, {G + "merges": ["a \u2603"]}, "vocabulary cannot be read: .*\u2603"),
    (bpe_metadata, {G + "bos_token_id": 10**6}, "bos_token_id is 1000000; the vocabulary has ids 0 to"),
    (bpe_metadata, {G + "eos_token_id": -2}, "eos_token_id is -2"),
    (bpe_metadata, {G + "eos_token_id": "2"}, "eos_token_id is 2; "),
    (bpe_metadata, {G + "eos_token_id": True}, "eos_token_id is True"),
    (bpe_metadata, {G + "padding_token_id": 2**63}, "padding_token_id is"),
    (bpe_metadata, {G + "add_bos_token": "yes"}, "add_bos_token is 'yes'; it must be true or false"),
    (bpe_metadata, {G + "add_bos_token": True, G + "bos_token_id": None}, "framed with the bos token"),
    (spm_metadata, {G + "scores": None, G + "tokens": ["a", "b"], G + "token_type": [6, 1]}, "spelled 'a'"),
    (spm_metadata, {G + "tokens": ["<0x-1>"] * 1, G + "token_type": [6], G + "scores": [0.0]}, "spelled '<0x-1>'"),
    (spm_metadata, {G + "tokens": ["<0x0a>"], G + "token_type": [6], G + "scores": [0.0]}, "spelled '<0x0a>'"),
    (spm_metadata, {G + "scores": [float("nan")] * 700}, "is not finite|has 700 entries"),
    (spm_metadata, {G + "token_type": [1] * 5}, "token_type has 5 entries"),
    (spm_metadata, {G + "scores": [1.0]}, "scores has 1 entries"),
    (spm_metadata, {G + "add_space_prefix": 1}, "add_space_prefix is '1'"),
    (word_metadata, {G + "tokens": ["▁a", "##b"], G + "token_type": None}, "_token_id is"),
    (word_metadata, {G + "unknown_token_id": None, G + "tokens": ["▁a"], G + "token_type": [1]}, "_token_id is"),
]


@pytest.mark.parametrize(("base", "change", "reason"), HOSTILE)
def test_a_hostile_gguf_vocabulary_is_refused(base: Any, change: dict[str, Any], reason: str) -> None:
    metadata = {k: v for k, v in (base() | change).items() if v is not None}
    with refused(reason) as error:
        gguf_tokenizer(metadata)
    assert "\n" not in str(error.value) and len(str(error.value)) < 900


def test_hostile_sentencepiece_lists_in_a_gguf_are_refused() -> None:
    tokens, scores, types = spm_lists()
    cases = {
        "two unknown pieces": (tokens, [2, 2, *types[2:]]),
        "255 bytes": (
            [t for t in tokens if t != "<0xFF>"],
            [k for t, k in zip(tokens, types, strict=True) if t != "<0xFF>"],
        ),
    }
    for pieces, kinds in cases.values():
        metadata = spm_metadata() | {G + "tokens": pieces, G + "token_type": kinds, G + "scores": scores[: len(pieces)]}
        with refused("SentencePiece model cannot be read"):
            gguf_tokenizer(metadata)


def test_hostile_charsmaps_are_refused() -> None:
    tokens = ["<pad>", "</s>", "<unk>", "▁", "a"]
    base = {G + "model": "t5", G + "tokens": tokens, G + "token_type": [3, 3, 2, 1, 1], G + "scores": [0.0] * 5}
    assert gguf_tokenizer(base).encode("a") == [3, 4, 1]
    for charsmap in ([255] * 64, [0, 4, 0, 0, 1], list(struct.pack("<I", 2**31)) + [0] * 32, [[1], [2]], ["a"], [0.5]):
        with refused("cannot be read|not a list of bytes"):
            gguf_tokenizer(base | {G + "precompiled_charsmap": charsmap})


def test_absent_ids_are_no_ids() -> None:
    metadata = bpe_metadata() | {G + "padding_token_id": 2**32 - 1, G + "unknown_token_id": -1}
    assert gguf_special_tokens(metadata).pad is None


# --- damaged files ---


def damaged(files: dict[str, Any], reason: str, folder: Path) -> None:
    with refused(reason) as error:
        load_tokenizer_folder(write_folder(folder, files))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"tokenizer.json": "{"}, "tokenizer.json cannot be read"),
        ({"tokenizer.json": "[" * 100_000}, "tokenizer.json cannot be read"),
        ({"tokenizer.json": {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}}}, "tokenizer.json cannot"),
        ({"tokenizer.model": b""}, "SentencePiece model is empty"),
        ({"tokenizer.model": b"\x00" * 64}, "SentencePiece model cannot be read"),
        ({"tokenizer.model": b"\x0a\xff\xff\xff\xff\x0fabc"}, "SentencePiece model cannot be read"),
        ({"vocab.txt": ""}, "vocab.txt is empty"),
        ({"vocab.txt": "a\nb\na\n"}, "lists 'a' twice"),
        ({"vocab.txt": b"a\n\xff\n"}, "vocab.txt is not UTF-8"),
        ({"vocab.txt": "a\nb\n"}, "no '\\[UNK\\]'"),
        ({"vocab.txt": "a\n[UNK]\n"}, "no '\\[CLS\\]'"),
        ({"vocab.json": "[1]", "merges.txt": ""}, "holds list, not an object"),
        ({"vocab.json": "{", "merges.txt": ""}, "vocab.json cannot be read"),
        ({"vocab.json": {"a": -1}, "merges.txt": ""}, "cannot be read|whole number"),
        ({"vocab.json": {"a": "x"}, "merges.txt": ""}, "cannot be read|whole number"),
        ({"vocab.json": {"a": 0}, "merges.txt": "a b c\n"}, "merges.txt line 1 is 'a b c'"),
        ({"vocab.json": {"a": 0}, "merges.txt": "#version\nab\n"}, "merges.txt line 2 is 'ab'"),
        ({"vocab.json": {"a": 0}, "merges.txt": "a b\n"}, "vocabulary cannot be read"),
        ({"vocab.txt": "a", "tokenizer_config.json": "[]"}, "holds list, not a JSON object"),
        ({"vocab.txt": "a", "tokenizer_config.json": "{"}, "tokenizer_config.json cannot be read"),
        ({"vocab.txt": "a", "tokenizer_config.json": {"unk_token": 3}}, "unk_token is '3'"),
        ({"vocab.txt": "a", "tokenizer_config.json": {"added_tokens_decoder": []}}, "not an object from id"),
        ({"vocab.txt": "a", "tokenizer_config.json": {"added_tokens_decoder": {"-1": "x"}}}, "'-1', which is no id"),
        ({"vocab.txt": "[UNK]", "tokenizer_config.json": {"do_lower_case": "no"}}, "do_lower_case is 'no'"),
        (
            {"vocab.txt": "a", "tokenizer_config.json": '{"unk_token": "\\ud800"}'},
            "unk_token holds .* half a character",
        ),
        (
            {"spiece.model": b"x", "tokenizer_config.json": {"tokenizer_class": "XLNetTokenizer"}},
            "'XLNet.* is not read",
        ),
        (
            {"vocab.json": {}, "merges.txt": "", "tokenizer_config.json": {"tokenizer_class": "Bart"}},
            "'Bart' is not read",
        ),
    ],
)
def test_a_damaged_file_of_a_folder_is_refused(files: dict[str, Any], reason: str, tmp_path: Path) -> None:
    damaged(files, reason, tmp_path)


def test_an_added_token_that_would_leave_a_gap_is_refused(tmp_path: Path) -> None:
    gguf_tokenizer(word_metadata()).save(tmp_path)
    token = {"content": "<x>", "special": True}
    damaged({"tokenizer_config.json": {"added_tokens_decoder": {"4000": token}}}, "'<x>' the id 4000", tmp_path)


def test_a_truncated_sentencepiece_model_is_refused_or_whole() -> None:
    model = write_model(*spm_lists(), algorithm="bpe")
    refusals = 0
    for end in range(1, len(model), len(model) // 60):
        try:
            read_ctranslate2(model[:end], ["<unk>", "</s>"])
        except TokenizerError:
            refusals += 1
    assert refusals >= 55


def test_a_truncated_tokenizer_json_is_refused(tmp_path: Path) -> None:
    gguf_tokenizer(bpe_metadata()).save(tmp_path)
    raw = (tmp_path / "tokenizer.json").read_bytes()
    for end in range(0, len(raw) - 1, len(raw) // 40):
        with refused("tokenizer.json cannot be read"):
            read_tokenizer_json(raw[:end])


def test_a_pattern_that_backtracks_without_end_gives_up(tmp_path: Path) -> None:
    gguf_tokenizer(bpe_metadata()).save(tmp_path)
    stored = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    split = {"type": "Split", "pattern": {"Regex": r"(\w+\s?)+$"}, "behavior": "Isolated", "invert": False}
    stored["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [split, stored["pre_tokenizer"]]}
    tokenizer = read_tokenizer_json(json.dumps(stored).encode())
    for parse in (True, False):
        with refused("own rules fail on this text: .*retry-limit"):
            tokenizer.encode("a" * 2000 + "!", parse_special=parse)


def test_an_unknown_decoder_is_refused(tmp_path: Path) -> None:
    gguf_tokenizer(bpe_metadata()).save(tmp_path)
    stored = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    stored["decoder"] = {"type": "CTC", "pad_token": "x", "word_delimiter_token": "|", "cleanup": True}
    with refused("decoder CTC is none that Clearhead reads"):
        read_tokenizer_json(json.dumps(stored).encode())


@pytest.mark.parametrize(
    ("vocabulary", "arguments", "reason"),
    [
        (["</s>", "</s>", "<unk>"], {}, "lists '</s>' twice"),
        (["</s>"], {}, "no '<unk>'"),
        (["<unk>"], {"eos": "</s>"}, "no '</s>'"),
        ([], {}, "no '<unk>'"),
        (["<unk>", 3], {}, "gives 3 the id 1"),
        (["<unk>", "\udfff"], {}, "vocabulary holds .*half a character"),
    ],
)
def test_a_damaged_ctranslate2_vocabulary_is_refused(vocabulary: Any, arguments: Any, reason: str) -> None:
    with refused(reason):
        read_ctranslate2(trained_spm(SENTENCES, vocab_size=300), vocabulary, **arguments)


@pytest.mark.parametrize("metadata", [bpe_metadata, spm_metadata, word_metadata])
def test_half_a_character_in_a_text_is_a_clear_error(metadata: Any) -> None:
    for parse in (True, False):
        with refused(r"holds \\ud800 at 1, half a character"):
            gguf_tokenizer(metadata()).encode("a\ud800b", parse_special=parse)
