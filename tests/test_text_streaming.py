"""Text that comes token by token is final as it comes, whole characters only, and in the end exactly `decode`."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearhead.text.fast import FastTokenizer
from clearhead.text.gguf_vocabulary import gguf_tokenizer
from clearhead.text.paired import read_ctranslate2
from clearhead.text.streaming import StreamDecoder
from clearhead.text.tokenizer import Tokenizer
from text_samples import SENTENCES, bpe_metadata, generated, spm_metadata, trained_spm, word_metadata

KINDS = ("byte-level", "sentencepiece", "wordpiece", "paired", "metaspace", "words", "llama pipeline")


@cache
def tokenizer(kind: str) -> Tokenizer:
    """A small vocabulary of each way to spell text."""
    if kind == "byte-level":
        return gguf_tokenizer(bpe_metadata())
    if kind == "sentencepiece":
        return gguf_tokenizer(spm_metadata())
    if kind == "wordpiece":
        return gguf_tokenizer(word_metadata())
    if kind == "paired":
        pieces = ["</s>", "<unk>", "▁", "▁a", "b", "▁狐", "。", "é", "▁▁"]
        return read_ctranslate2(trained_spm(SENTENCES, vocab_size=300), pieces, eos="</s>")
    return FastTokenizer(pipeline(kind))


def pipeline(kind: str):
    from tokenizers import AddedToken, Tokenizer, decoders, models

    pieces = [
        "<unk>",
        "▁",
        "▁a",
        "b",
        "▁狐",
        "é",
        "▁▁",
        *(f"<0x{b:02X}>" for b in (0x41, 0xE7, 0x8B, 0x90, 0xF0, 0x20)),
    ]
    backend = Tokenizer(models.WordLevel({p: i for i, p in enumerate(pieces)}, "<unk>"))
    backend.add_special_tokens(["<s>"])
    backend.add_tokens([AddedToken("▁lit", normalized=False)])
    backend.decoder = {
        "metaspace": decoders.Metaspace(),
        "words": None,
        "llama pipeline": decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        ),
    }[kind]
    return backend


def streamed(decoder: StreamDecoder, ids: list[int]) -> list[str]:
    return [*(decoder.feed(i) for i in ids), decoder.finish()]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_streaming_any_ids_equals_decoding_every_prefix(kind: str, data: st.DataObject) -> None:
    vocabulary = tokenizer(kind)
    start = [i for i in range(vocabulary.vocab_size) if vocabulary.pieces([i])[0][:1] in ("▁", "Ġ")]
    token = st.one_of(st.integers(0, vocabulary.vocab_size + 2), st.sampled_from(sorted(vocabulary.special_ids)))
    token = st.one_of(token, st.sampled_from(start)) if start else token
    ids = data.draw(st.lists(token, max_size=12))
    for special, skip in (("hidden", True), ("shown", False)):
        for end in range(len(ids) + 1):
            parts = streamed(StreamDecoder(vocabulary, special=special), ids[:end])
            assert "".join(parts) == vocabulary.decode(ids[:end], skip_special_tokens=skip)


@pytest.mark.parametrize("kind", KINDS)
def test_streaming_text_shows_no_replacement_character_that_the_text_does_not_have(kind: str) -> None:
    vocabulary = tokenizer(kind)
    for line in SENTENCES + generated(200, seed=3):
        ids = vocabulary.encode(line, parse_special=False)
        parts = streamed(StreamDecoder(vocabulary), ids)
        assert "".join(parts) == vocabulary.decode(ids)
        if kind in ("byte-level", "sentencepiece"):
            assert "".join(parts) == (line.replace("▁", " ") if kind == "sentencepiece" else line)
            assert "\ufffd" in line or "\ufffd" not in "".join(parts[:-1])


def test_half_a_character_is_held_back_and_marked_only_at_the_end() -> None:
    vocabulary = tokenizer("sentencepiece")
    fire = [vocabulary.token_id(f"<0x{byte:02X}>") for byte in "🔥".encode()]
    assert None not in fire
    decoder = StreamDecoder(vocabulary)
    assert [decoder.feed(i) for i in fire] == ["", "", "", "🔥"]
    assert decoder.finish() == ""
    decoder = StreamDecoder(vocabulary)
    assert [decoder.feed(i) for i in fire[:3]] == ["", "", ""]
    assert decoder.finish() == "\ufffd"


def test_each_token_is_looked_at_once() -> None:
    """Linear time: the work per token does not grow with what came before."""
    vocabulary = tokenizer("byte-level")

    class Counting:
        special_ids = vocabulary.special_ids
        looked_at = 0

        def token_bytes(self, token: int) -> bytes:
            self.looked_at += 1
            return vocabulary.token_bytes(token)

        def decode(self, ids: list[int], *, skip_special_tokens: bool = True) -> str:
            self.looked_at += len(ids)
            return vocabulary.decode(ids, skip_special_tokens=skip_special_tokens)

    counting = Counting()
    ids = vocabulary.encode("the capital " * 500)
    streamed(StreamDecoder(counting), ids)
    assert counting.looked_at <= len(ids) + 3


@pytest.mark.parametrize("kind", ["byte-level", "sentencepiece", "wordpiece"])
def test_token_bytes_add_up_to_the_text(kind: str) -> None:
    vocabulary = tokenizer(kind)
    for line in SENTENCES:
        ids = vocabulary.encode(line, add_special_tokens=False)
        joined = b"".join(map(vocabulary.token_bytes, ids)).decode("utf-8", "replace")
        assert joined.removeprefix(" ") == vocabulary.decode(ids) or joined == vocabulary.decode(ids)
    assert all(vocabulary.token_bytes(i) == b"" for i in vocabulary.special_ids)
    assert vocabulary.token_bytes(vocabulary.vocab_size + 5) == b"" and vocabulary.pieces([-1]) == [""]
