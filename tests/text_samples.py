"""Lines to tokenise, small vocabularies made on the spot, and where real ones lie."""

import io
import json
import os
import random
import struct
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("CLEARHEAD_TEST_DATA", ROOT.parent / "shared" / "data"))
WEIGHTS = Path(os.environ.get("CLEARHEAD_TEST_WEIGHTS", ROOT.parent / "weights"))

SENTENCES = [
    "Which is the capital of Bulgaria?",
    "The capital of Bulgaria is Sofia.",
    "Ein kleines Mädchen klettert in ein Spielhaus aus Holz.",
    "Un homme vêtu de noir joue de la guitare électrique.",
    "Быстрая коричневая лиса прыгает через ленивую собаку.",
    "Η γρήγορη καφέ αλεπού πηδάει πάνω από το σκυλί.",
    "素早い茶色の狐がのろまな犬を飛び越える。",
    "敏捷的棕色狐狸跳过懒狗，然后睡着了。",
    "빠른 갈색 여우가 게으른 개를 뛰어넘는다.",
    "الثعلب البني السريع يقفز فوق الكلب الكسول.",
    "השועל החום המהיר קופץ מעל הכלב העצלן.",
    "तेज़ भूरी लोमड़ी आलसी कुत्ते के ऊपर कूदती है।",
    "สุนัขจิ้งจอกสีน้ำตาลกระโดดข้ามสุนัขขี้เกียจ",
    "def add(a, b):",
    "    return a + b  # 1234567890",
    "I'm sure we'll say they've DON'T isn't it's 3.14 1,000,000",
    "  leading, doubled  and trailing   ",
]

RANGES = """
20-7e a0-17f 370-3ff 400-4ff 530-58f 590-5ff 600-6ff 900-97f e00-e7f 10a0-10ff 1100-11ff 1e00-1eff 2000-206f 2070-218f
2190-23ff 2580-27bf 3000-30ff 3400-3420 4e00-9fff ac00-d7a3 f900-faff fb00-fdff fe00-ffff 1d400-1d7ff 1f300-1f6ff
1f900-1faff 20000-20100 0-1f 7f-a0 300-36f e000-e010
"""
SPACES = [" ", "  ", "   ", "\t", "\n", "\r\n", "\u00a0", "\u3000", "\u200b", "\u200d", "\u2028", "\x0b", ""]
ODDITIES = [
    "123",
    "I'm",
    "we'll",
    "don'T",
    "3.14",
    "<s>",
    "</s>",
    "[MASK]",
    "[CLS]",
    "<|im_end|>",
    "<|endoftext|>",
    "<pad>",
    "<unk>",
    "▁",
    "##ing",
    "<0x41>",
    "é",
    "ﬁ",
    "Å",
    "½",
    "x²",
    "1.000.000",
    "👩\u200d👩\u200d👧\u200d👦",
    "🇧🇬",
    "_a_",
    "--",
    "```",
    "http://a.b/c?d=e&f",
    "<extra_id_0>",
]


def generated(count: int, seed: int) -> list[str]:
    """Lines of many Unicode ranges, control characters, emoji, odd spaces and the texts of special tokens."""
    draw = random.Random(seed)
    ranges = [tuple(int(end, 16) for end in pair.split("-")) for pair in RANGES.split()]

    def line() -> str:
        parts, (low, high) = [], draw.choice(ranges)
        for _ in range(draw.randint(1, 8)):
            if draw.random() < 0.3:
                low, high = draw.choice(ranges)
            word = "".join(chr(draw.randint(low, high)) for _ in range(draw.randint(1, 8)))
            parts += [draw.choice(ODDITIES) if draw.random() < 0.15 else word, draw.choice(SPACES)]
        return "".join(parts)

    return [line() for _ in range(count)]


@cache
def corpus() -> list[str]:
    """10,000 lines, of real text in many scripts where the shared data is there, else 1,500 lines."""
    if not DATA.is_dir():
        return SENTENCES + generated(1500 - len(SENTENCES), seed=7)
    lines = list(SENTENCES)
    for name, count in (
        *((f"multi30k/train.{language}", 400) for language in ("en", "de", "fr")),
        *((f"newstest/newstest2013.{language}", 400) for language in ("en", "de", "fr")),
        ("wikitext-2/valid.raw", 500),
        ("tinyshakespeare/input.txt", 300),
    ):
        lines += (DATA / name).read_text(encoding="utf-8").split("\n")[:count]
    pairs = (DATA / "tatoeba-en-fr" / "fra.txt").read_text(encoding="utf-8").split("\n")[:100_000:200]
    lines += [pair.split("\t")[1] for pair in pairs if "\t" in pair]
    named = (DATA / "wikiann" / "de.train").read_text(encoding="utf-8").split("\n")[:3000]
    lines += [row.split()[0].split(":", 1)[-1] for row in named if row.strip()]
    code = (DATA / "nl2code" / "mbpp.jsonl").read_text(encoding="utf-8").split("\n")[:400]
    lines += [json.loads(row)["code"] for row in code if row]
    lines += vectors("ggml-vocab-llama-spm")[0]
    return (lines + generated(10_000 - len(lines), seed=7))[:10_000]


def vectors(name: str) -> tuple[list[str], list[list[int]]]:
    """llama.cpp's own cases: texts, and the ids they become without framing and with special tokens as plain text."""
    folder = DATA / "llama-vocab"
    texts = (folder / f"{name}.gguf.inp").read_text(encoding="utf-8").split("\n__ggml_vocab_test__\n")
    rows = (folder / f"{name}.gguf.out").read_text(encoding="utf-8").split("\n")
    return texts, [[int(i) for i in row.split()] for row in rows]


def data(*parts: str) -> Path:
    """A file of the shared data; the test is skipped where it is absent."""
    path = DATA.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"no shared data at {path}; set CLEARHEAD_TEST_DATA")
    return path


def weights(*parts: str) -> Path:
    """A file of an unpacked weights package, or one of that name on its own; the test is skipped where it is absent."""
    for path in (WEIGHTS.joinpath(*parts), WEIGHTS / parts[-1]):
        if path.exists():
            return path
    pytest.skip(f"no {'/'.join(parts)} in {WEIGHTS}; set CLEARHEAD_TEST_WEIGHTS to a folder of unpacked packages")


@cache
def gguf_metadata(path: Path) -> dict[str, Any]:
    """Every key of a GGUF file (version 3), read plainly: the `gguf` package takes seconds for a vocabulary."""
    with path.open("rb") as file:
        magic, version, _, count = struct.unpack("<4sIQQ", file.read(24))
        assert (magic, version) == (b"GGUF", 3)
        return {gguf_value(file, 8): gguf_value(file, *struct.unpack("<I", file.read(4))) for _ in range(count)}


def gguf_value(file: Any, kind: int) -> Any:
    if kind == 8:
        return file.read(struct.unpack("<Q", file.read(8))[0]).decode()
    if kind == 9:
        entries, count = struct.unpack("<IQ", file.read(12))
        return [gguf_value(file, entries) for _ in range(count)]
    form = "<" + "BbHhIif?..Qqd"[kind]
    return struct.unpack(form, file.read(struct.calcsize(form)))[0]


def trained_spm(lines: list[str], **options: Any) -> bytes:
    """A SentencePiece model trained on `lines`."""
    from sentencepiece import SentencePieceTrainer

    out = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=out, minloglevel=2, num_threads=1, hard_vocab_limit=False, **options
    )
    return out.getvalue()


@cache
def trained_bpe() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges of a byte-level BPE trained on SENTENCES."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in model["merges"]]


def bpe_metadata() -> dict[str, Any]:
    """A small GGUF vocabulary of the kind `gpt2`, with two control tokens and one a user defined."""
    vocabulary, merges = trained_bpe()
    tokens = [*sorted(vocabulary, key=vocabulary.__getitem__), "<|im_start|>", "<|im_end|>", "<think>"]
    return {
        "general.architecture": "llama",
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [1] * (len(tokens) - 3) + [3, 3, 4],
        "tokenizer.ggml.merges": [" ".join(merge) for merge in merges],
        "tokenizer.ggml.bos_token_id": len(tokens) - 3,
        "tokenizer.ggml.eos_token_id": len(tokens) - 2,
    }


@cache
def spm_lists() -> tuple[list[str], list[float], list[int]]:
    """Tokens, scores and types of a SentencePiece BPE with byte fallback, trained on SENTENCES."""
    from sentencepiece import SentencePieceProcessor

    model = trained_spm(
        SENTENCES,
        vocab_size=700,
        model_type="bpe",
        byte_fallback=True,
        character_coverage=0.99,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
    )
    p = SentencePieceProcessor(model_proto=model)
    kinds = [2 if p.is_unknown(i) else 3 if p.is_control(i) else 6 if p.is_byte(i) else 1 for i in range(len(p))]
    return [p.id_to_piece(i) for i in range(len(p))], [p.get_score(i) for i in range(len(p))], kinds


def spm_metadata() -> dict[str, Any]:
    """The same as a GGUF vocabulary of the kind `llama`."""
    tokens, scores, types = spm_lists()
    return {
        "general.architecture": "llama",
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }


WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "the",
    "capital",
    "of",
    "bulgaria",
    "is",
    "sofia",
    ".",
    ",",
    "?",
    "!",
    "'",
    "which",
    "ein",
    "klein",
    "##es",
    "mad",
    "##chen",
    "klett",
    "##ert",
    "in",
    "aus",
    "holz",
    "un",
    "homme",
    "vetu",
    "de",
    "noir",
    "joue",
    "la",
    "guitare",
    "electrique",
    "def",
    "add",
    "(",
    "a",
    "b",
    ")",
    ":",
    "return",
    "+",
    "#",
    "12",
    "##34",
    "##56",
    "##78",
    "##90",
    "i",
    "m",
    "sure",
    "we",
    "ll",
    "say",
    "don",
    "t",
    "it",
    "s",
    "3",
    "14",
    "1",
    "000",
    "狐",
    "棕",
    "色",
    "##ing",
    "lead",
    "trail",
    "doubled",
    "and",
]


def word_metadata() -> dict[str, Any]:
    """WORDS as a GGUF vocabulary of the kind `bert`."""
    special = WORDS[:5]
    return {
        "general.architecture": "bert",
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.tokens": [w if w in special else w[2:] if w[:2] == "##" else f"▁{w}" for w in WORDS],
        "tokenizer.ggml.token_type": [3 if w in special else 1 for w in WORDS],
        "tokenizer.ggml.unknown_token_id": 1,
        "tokenizer.ggml.cls_token_id": 2,
        "tokenizer.ggml.seperator_token_id": 3,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.mask_token_id": 4,
    }


def write_folder(folder: Path, files: dict[str, Any]) -> Path:
    """A folder of these files: bytes and strings as they are, anything else as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        else:
            (folder / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return folder
