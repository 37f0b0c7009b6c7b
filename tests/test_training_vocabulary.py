"""Vocabularies of every kind: equal in Clearhead and in transformers, text that comes back, the same ids each time."""

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from transformers import AutoTokenizer

from clearhead.errors import TokenizerError
from clearhead.text.legacy import load_tokenizer_folder
from clearhead.text.settings import special_tokens
from clearhead.text.tokenizer import Tokenizer
from clearhead.training.vocabulary.vocabulary import VocabularyConfig, frame, train_vocabulary
from training_sentences import SENTENCES

FAMILIES: list[tuple[str, dict[str, Any]]] = [
    ("marian", {"kind": "bpe"}),
    ("marian", {"kind": "unigram", "lowercase": True}),
    ("t5", {"kind": "unigram", "sentinels": 8}),
    ("t5", {"kind": "bpe", "sentinels": 8, "extra_tokens": ["<2de>"]}),
    ("gpt2", {"kind": "byte_bpe", "framing": "none"}),
    ("gpt2", {"kind": "character", "framing": "none"}),
    ("bert", {"kind": "wordpiece", "framing": "cls_sep", "lowercase": True}),
    ("bert", {"kind": "bpe", "framing": "cls_sep"}),
    ("llama", {"kind": "bpe", "framing": "bos", "byte_fallback": True}),
    ("llama", {"kind": "unigram", "framing": "bos_eos", "byte_fallback": True}),
    ("bloom", {"kind": "byte_bpe", "framing": "none", "normalizer": "nfkc"}),
]
OTHERS = [
    "",
    " leading and  double  spaces ",
    "ends\nof\tlines\n",
    "¿Qué? « Salut ! » — 北京, naïve e\u0301",
    "a<pad>b </s> [MASK] <extra_id_0> <unk>",
]


def config(**keys: Any) -> VocabularyConfig:
    """A configuration as a recipe has it."""
    return VocabularyConfig.model_validate({"size": 700, **keys})


def saved(tokenizer: Tokenizer, folder: Path, model_type: str) -> Any:
    """The vocabulary as transformers reads it, beside a model of this type."""
    tokenizer.save(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize(("family", "keys"), FAMILIES, ids=[f"{f}-{k['kind']}" for f, k in FAMILIES])
def test_equal_ids_and_text_in_transformers(tmp_path: Path, family: str, keys: dict[str, Any]) -> None:
    tokenizer = train_vocabulary(SENTENCES, config(**keys))
    theirs, again = saved(tokenizer, tmp_path, family), load_tokenizer_folder(tmp_path)
    assert tokenizer.vocab_size == again.vocab_size == len(theirs)
    for text in [*SENTENCES, *OTHERS]:
        ids = tokenizer.encode(text)
        assert ids == again.encode(text) == theirs(text)["input_ids"]
        shown = tokenizer.decode(ids)
        assert shown == again.decode(ids) == theirs.decode(ids, skip_special_tokens=True)
        if "normalizer" not in keys and keys["kind"] != "wordpiece" and text in SENTENCES:
            assert shown == (text.lower() if keys.get("lowercase") else text)
    roles = special_tokens(tmp_path, again)
    assert (roles.eos or (None,))[0] == theirs.eos_token_id
    assert (roles.pad, roles.bos, roles.mask) == (theirs.pad_token_id, theirs.bos_token_id, theirs.mask_token_id)
    assert roles.unknown == theirs.unk_token_id


def test_special_tokens_have_the_ids_that_the_configuration_lists() -> None:
    keys = {"sentinels": 3, "extra_tokens": ["<2de>", "<2fr>"], "byte_fallback": True}
    for kind in ("bpe", "unigram"):
        tokenizer = train_vocabulary(SENTENCES, config(kind=kind, **keys))
        assert tokenizer.pieces(range(5)) == ["<pad>", "</s>", "<unk>", "<2de>", "<2fr>"]
        assert tokenizer.pieces([5, 260]) == ["<0x00>", "<0xFF>"]
        last = range(tokenizer.vocab_size - 3, tokenizer.vocab_size)
        assert tokenizer.pieces(last) == [f"<extra_id_{n}>" for n in (2, 1, 0)]
        assert tokenizer.special_ids == frozenset([*range(5), *last])
        assert tokenizer.encode("a")[-1] == 1
    order = {"eos": "<end>", "unk": "<?>", "pad": "<end>"}
    tokenizer = train_vocabulary(SENTENCES, config(special_tokens=order))
    assert tokenizer.pieces(range(2)) == ["<end>", "<?>"]
    assert tokenizer.encode("a")[-1] == 0


def test_framing() -> None:
    for framing, expected in {
        "none": ["a"],
        "bos": ["<s>", "a"],
        "eos": ["a", "</s>"],
        "bos_eos": ["<s>", "a", "</s>"],
    }.items():
        roles = {"bos": "<s>", "eos": "</s>", "unk": "<unk>"}
        tokenizer = train_vocabulary(SENTENCES, config(kind="character", framing=framing, special_tokens=roles))
        assert tokenizer.pieces(tokenizer.encode("a")) == expected
        assert tokenizer.pieces(tokenizer.encode_target("a")) == ["a"]


def test_a_pair_of_texts_is_framed_as_bert_does_it(tmp_path: Path) -> None:
    tokenizer = train_vocabulary(SENTENCES, config(kind="wordpiece", framing="cls_sep"))
    both = saved(tokenizer, tmp_path, "bert")("a", "b", return_token_type_ids=True)
    assert tokenizer.pieces(both["input_ids"]) == ["[CLS]", "a", "[SEP]", "b", "[SEP]"]
    assert both["token_type_ids"] == [0, 0, 0, 1, 1]


def test_frame_needs_its_tokens() -> None:
    from tokenizers import Tokenizer as Backend
    from tokenizers import models

    with pytest.raises(TokenizerError, match="the vocabulary has no eos token, which framing eos puts around"):
        frame(Backend(models.BPE()), "eos", {"eos": "</s>"})


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="▁"), max_size=40))  # that is a space
def test_bytes_bring_every_text_back(text: str) -> None:
    for tokenizer in EVERYTHING():
        assert tokenizer.decode(tokenizer.encode(text, parse_special=False)) == text


class Once:
    """Vocabularies that spell every text, trained when first asked for."""

    made: list[Tokenizer]

    def __call__(self) -> list[Tokenizer]:
        if not hasattr(self, "made"):
            keys: list[dict[str, Any]] = [
                {"kind": "byte_bpe"},
                {"kind": "bpe", "byte_fallback": True},
                {"kind": "unigram", "byte_fallback": True},
                {"kind": "bpe", "byte_fallback": True, "split_punctuation": False},
            ]
            self.made = [train_vocabulary(SENTENCES, config(normalizer="none", **k)) for k in keys]
        return self.made


EVERYTHING = Once()


@pytest.mark.parametrize("keys", [k for _, k in FAMILIES] + [{"kind": "unigram", "split_punctuation": False}])
def test_text_cannot_spell_control_tokens(keys: dict[str, Any]) -> None:
    """Even where the training text is full of them."""
    hostile = ["</s></s> <pad>", "[CLS][SEP] [MASK]", "<extra_id_0>", "<|endoftext|>"] * 50 + SENTENCES
    tokenizer = train_vocabulary(hostile, config(**keys))
    special = tokenizer.pieces(sorted(tokenizer.special_ids))
    unknown = {i for i in tokenizer.special_ids if tokenizer.pieces([i]) in (["<unk>"], ["[UNK]"])}
    for text in [" ".join(special), "".join(special), *(f"x{token}y" for token in special)]:
        plain = tokenizer.encode(text, add_special_tokens=False, parse_special=False)
        assert not set(plain) & (tokenizer.special_ids - unknown)
        assert set(tokenizer.encode(text)) & tokenizer.special_ids


def test_the_alphabet_and_rare_pairs() -> None:
    often = ["abc abd"] * 10 + ["xyzq"] * 2 + ["ü"]
    tokenizer = train_vocabulary(often, config(size=60, limit_alphabet=4, min_frequency=5))
    pieces = tokenizer.pieces(range(3, tokenizer.vocab_size))
    assert set(pieces) == {"▁", "a", "b", "c", "d", "ab", "▁ab", "▁abc", "▁abd"}
    for kind in ("unigram", "wordpiece", "character"):
        tokenizer = train_vocabulary(often, config(kind=kind, size=60, limit_alphabet=4))
        assert set("".join(tokenizer.pieces(range(3, tokenizer.vocab_size)))) - set("▁#</>padunks") <= set("abcd ")
    tokenizer = train_vocabulary(often, config(kind="character", size=7, special_tokens={"eos": "</s>", "unk": "<?>"}))
    assert tokenizer.pieces(range(7)) == ["</s>", "<?>", "a", "b", "c", "d", "▁"]


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_equal_texts_give_equal_vocabularies(kind: str) -> None:
    """In other processes, where the library's hash tables have other seeds."""
    code = (
        "import sys, hashlib, json; from pathlib import Path; from tempfile import mkdtemp;"
        "from clearhead.training.vocabulary.vocabulary import VocabularyConfig, train_vocabulary;"
        "folder = Path(mkdtemp()); config = VocabularyConfig.model_validate(json.loads(sys.argv[1]));"
        "train_vocabulary(json.loads(sys.stdin.read()), config).save(folder);"
        "print(hashlib.sha256((folder / 'tokenizer.json').read_bytes()).hexdigest())"
    )
    keys = {"kind": kind, "size": 600, "limit_alphabet": 50}
    texts = json.dumps([*SENTENCES, *"ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏ"])
    run = [sys.executable, "-c", code, json.dumps(keys)]
    made = {subprocess.run(run, input=texts, capture_output=True, text=True, check=True).stdout for _ in range(3)}
    assert len(made) == 1


def test_texts_are_read_once_and_as_they_come() -> None:
    taken = 0

    def texts() -> Iterator[str]:
        nonlocal taken
        for sentence in itertools.islice(itertools.cycle(SENTENCES), 2000):
            taken += 1
            yield sentence

    assert train_vocabulary(texts(), config(size=300)).vocab_size == 300
    assert taken == 2000

    def broken() -> Iterator[str]:
        yield "a text"
        raise ZeroDivisionError

    for keys in ({}, {"kind": "unigram"}, {"limit_alphabet": 5}, {"kind": "character"}):
        with pytest.raises(ZeroDivisionError):
            train_vocabulary(broken(), config(**keys))


@pytest.mark.parametrize("kind", ["bpe", "byte_bpe", "unigram", "wordpiece", "character"])
def test_texts_of_no_use(kind: str) -> None:
    with pytest.raises(TokenizerError, match="there is no text to train a vocabulary on"):
        train_vocabulary(["", " \n"], config(kind=kind))
    with pytest.raises(TokenizerError, match=r"text 1 holds \\ud800 at 1, half a character"):
        train_vocabulary(["a", "b\ud800"], config(kind=kind))
    assert train_vocabulary(["a b"], config(kind=kind)).encode("a b")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"size": 3}, "leaves no room for pieces"),
        ({"kind": "byte_bpe", "size": 200}, "leaves no room for pieces"),
        ({"kind": "wordpiece", "byte_fallback": True}, "byte_fallback is for bpe and unigram"),
        ({"kind": "unigram", "min_frequency": 2}, "min_frequency is not for unigram"),
        ({"kind": "byte_bpe", "limit_alphabet": 50}, "limit_alphabet is not for byte_bpe"),
        ({"special_tokens": {"eos": "</s>"}}, "has no 'unk', which bpe needs"),
        ({"special_tokens": {"unk": "<unk>"}}, "has no 'eos', which framing eos puts around"),
        ({"extra_tokens": ["German"]}, "the special token 'German' could be ordinary text"),
        ({"extra_tokens": ["<2 de>"]}, "could be ordinary text"),
        ({"unknown_key": 1}, "Extra inputs are not permitted"),
        ({"size": "8000"}, "valid integer"),
        ({"special_tokens": {"end": "</s>"}}, "special_tokens"),
    ],
)
def test_choices_that_contradict_each_other(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        config(**keys)


def test_every_key_is_described() -> None:
    assert all("description" in key for key in VocabularyConfig.model_json_schema()["properties"].values())
