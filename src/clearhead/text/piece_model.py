"""Writes a SentencePiece model file from a list of pieces, so that vocabularies stored elsewhere reach the library.

The file is a protocol-buffer message (github.com/google/sentencepiece, src/sentencepiece_model.proto); these are the
few of its fields that encoding reads. A number is written seven bits at a time, a field as its number, wire type and
value.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Literal

import numpy as np

from clearhead.errors import TokenizerError

LONGEST_PIECE = 2**20  # bytes; real ones stay below a hundred


class PieceType(IntEnum):
    """What a piece is for; GGUF files use the same numbers, and 0 for undefined."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


def write_model(
    pieces: Sequence[str],
    scores: Sequence[float],
    types: Sequence[int],
    *,
    algorithm: Literal["unigram", "bpe"],
    charsmap: bytes = b"",
    add_dummy_prefix: bool = True,
    remove_extra_whitespaces: bool = False,
) -> bytes:
    """A model file of these pieces: id = position, score = log probability or minus the rank of a merge.

    Raises:
        TokenizerError: scores that are not finite, or a piece beyond a mebibyte.
    """
    values = np.asarray(scores, dtype="<f4")
    if not np.isfinite(values).all():
        raise TokenizerError(f"score {int(np.argmin(np.isfinite(values)))} of the vocabulary is not finite")
    trainer = number(3, {"unigram": 1, "bpe": 2}[algorithm]) + number(35, int(PieceType.BYTE in types))
    normalizer = field(2, charsmap) + normalizer_flags(add_dummy_prefix, remove_extra_whitespaces)
    return write_pieces(pieces, values.tobytes(), types) + field(2, trainer) + field(3, normalizer)


def write_pieces(pieces: Sequence[str], scores: bytes, types: Sequence[int]) -> bytes:
    """The repeated first field of the message: text, score and type of each piece."""
    parts = []
    for n, (piece, kind) in enumerate(zip(pieces, types, strict=True)):
        raw = piece.encode()
        score = scores[4 * n : 4 * n + 4]
        if len(raw) < 100:  # both lengths fit in one byte each: the common case, three times faster
            parts.append(b"\n%c\n%c%b\x15%b\x18%c" % (len(raw) + 9, len(raw), raw, score, kind))
        elif len(raw) <= LONGEST_PIECE:
            parts.append(field(1, field(1, raw) + b"\x15" + score + number(3, kind)))
        else:
            raise TokenizerError(f"piece {n} of the vocabulary is {len(raw)} bytes long; it may have {LONGEST_PIECE}")
    return b"".join(parts)


def without_dummy_prefix(model: bytes) -> bytes:
    """The same model putting no space before a text: a later field overrides an earlier one of the same number."""
    return model + field(3, number(3, 0))


def normalizer_flags(add_dummy_prefix: bool, remove_extra_whitespaces: bool) -> bytes:
    return number(3, int(add_dummy_prefix)) + number(4, int(remove_extra_whitespaces)) + number(5, 1)


def field(tag: int, value: bytes) -> bytes:
    """A field of bytes (wire type 2)."""
    return varint(tag << 3 | 2) + varint(len(value)) + value


def number(tag: int, value: int) -> bytes:
    """A field holding a whole number (wire type 0)."""
    return varint(tag << 3) + varint(value)


def varint(value: int) -> bytes:
    """Seven bits a byte, the low ones first, the top bit set on all but the last."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
