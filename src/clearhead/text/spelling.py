"""How vocabularies spell text: from a piece to the exact bytes it stands for.

Four conventions cover the field. Byte-level BPE (Radford et al. 2019, section 2.2, and GPT-2's encoder.py) writes every
byte as one printable character; SentencePiece writes a space as `▁` (U+2581) and, with byte fallback, a lone byte as
`<0x0A>`; WordPiece (BERT) marks the pieces that continue a word with `##`; a word list joins its words with spaces.

The first piece of a text is spelled apart from the others: most vocabularies put a space before every word, and drop
the one that begins the text.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from clearhead.errors import TokenizerError

SPACE = "\u2581"
BYTE = re.compile(r"<0x([0-9A-F]{2})>")  # exactly this form: `<0x-1>` once wrote before the start of an array elsewhere


@dataclass(frozen=True, kw_only=True, slots=True)
class Spelling:
    """Bytes of one piece by its place, and what stands before an added token that is spelled as it reads."""

    inside: Callable[[str], bytes]  # after other text
    first: Callable[[str], bytes]  # at the start of a text
    joint: bytes = b""
    trim: Callable[[bytes], bytes] = bytes  # what is done to the start of the whole text


@cache
def byte_alphabet() -> Mapping[str, int]:
    """GPT-2's character for each byte: printable Latin-1 as itself, the other 68 moved to U+0100 and up."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [b for b in range(256) if b not in set(printable)]
    return {chr(b): b for b in printable} | {chr(0x100 + n): b for n, b in enumerate(rest)}


def byte_level() -> Spelling:
    """`Ġthe` is b" the". A piece outside the alphabet was added by hand and reads as itself."""
    alphabet = byte_alphabet()

    def inside(piece: str) -> bytes:
        try:
            return bytes([alphabet[c] for c in piece])
        except KeyError:
            return piece.encode()

    return Spelling(inside=inside, first=inside)


def sentencepiece(*, leading: Literal["keep all", "drop one", "drop all"]) -> Spelling:
    """`▁the` is b" the", `<0x0A>` is b"\\n"; `leading` says what becomes of the spaces that begin a text."""

    def inside(piece: str) -> bytes:
        byte = BYTE.fullmatch(piece)
        return bytes([int(byte[1], 16)]) if byte else piece.replace(SPACE, " ").encode()

    trims: dict[str, Callable[[bytes], bytes]] = {
        "keep all": bytes,
        "drop one": lambda text: text.removeprefix(b" "),
        "drop all": lambda text: text.lstrip(b" "),
    }
    return Spelling(inside=inside, first=inside, trim=trims[leading])


def metaspace(*, leading: Literal["keep all", "drop all"]) -> Spelling:
    """As `sentencepiece` without bytes, and it is the first piece alone that loses its `▁`, as `tokenizers` has it."""

    def inside(piece: str) -> bytes:
        return piece.replace(SPACE, " ").encode()

    return Spelling(inside=inside, first=inside if leading == "keep all" else lambda p: p.replace(SPACE, "").encode())


# What BERT's decoder closes up again, as the pieces of one token can show it.
CLEANED = ((" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"))
CLEANED_SUFFIXES = ((" 'm", "'m"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"))


def wordpiece(*, prefix: str, cleanup: bool) -> Spelling:
    """`##ing` is b"ing" and `dog` is b" dog"; with `cleanup` a full stop takes no space before it."""

    def clean(text: str) -> bytes:
        for spaced, closed in (*CLEANED, *CLEANED_SUFFIXES) if cleanup else ():
            text = text.replace(spaced, closed)
        return text.encode()

    def inside(piece: str) -> bytes:
        return clean(piece.removeprefix(prefix) if prefix and piece.startswith(prefix) else f" {piece}")

    return Spelling(inside=inside, first=clean, joint=b" ")


def of_decoder(decoder: Mapping[str, Any] | None) -> Spelling:
    """The spelling that a tokenizer.json's "decoder" entry describes.

    Raises:
        TokenizerError: a decoder of a kind that none of the seven architectures uses.
    """
    steps = [] if decoder is None else decoder.get("decoders", []) if decoder.get("type") == "Sequence" else [decoder]
    kinds = [step.get("type") for step in steps]
    if kinds in ([], ["Fuse"]):
        return wordpiece(prefix="", cleanup=False)  # pieces are words
    if kinds == ["ByteLevel"]:
        return byte_level()
    if kinds == ["WordPiece"]:
        return wordpiece(prefix=str(steps[0].get("prefix", "##")), cleanup=bool(steps[0].get("cleanup", True)))
    if kinds == ["Metaspace"] and steps[0].get("replacement") == SPACE:
        return metaspace(leading="keep all" if steps[0].get("prepend_scheme") == "never" else "drop all")
    if kinds[:1] == ["Replace"] and is_sentencepiece(steps):
        return sentencepiece(leading="drop one" if kinds[-1] == "Strip" else "keep all")
    raise TokenizerError(f"the tokenizer's decoder {'+'.join(map(str, kinds))} is none that Clearhead reads")


def is_sentencepiece(steps: list[Mapping[str, Any]]) -> bool:
    """Whether these steps are `▁` to space, byte fallback, and at most one space stripped from the start."""
    space, *rest = steps
    strip = [s for s in rest if s.get("type") == "Strip"]
    return (
        space.get("pattern") == {"String": SPACE}
        and space.get("content") == " "
        and [s.get("type") for s in rest] in (["ByteFallback", "Fuse"], ["ByteFallback", "Fuse", "Strip"])
        and all((s.get("content"), s.get("start"), s.get("stop")) == (" ", 1, 0) for s in strip)
    )
