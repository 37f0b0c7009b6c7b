"""llama2.c's tokenizer file: scores and pieces in a row, written by github.com/karpathy/llama2.c, tokenizer.py.

It is a SentencePiece vocabulary flattened: `▁` has become a space, and the two control pieces carry newlines.
"""

import struct
from pathlib import Path

from clearhead.errors import TokenizerError
from clearhead.text.piece_model import PieceType, write_model
from clearhead.text.spelling import BYTE, SPACE
from clearhead.text.spm import Frame, SentencePieceTokenizer, model_bytes

HEADER = struct.Struct("<i")  # the longest piece, in bytes
ENTRY = struct.Struct("<fi")  # score, and length of the piece that follows
LONGEST = 1024  # bytes; the field's longest piece has 256
UNKNOWN, BOS, EOS = 0, 1, 2


def read_llama2c(source: bytes | Path, vocab_size: int | None = None) -> SentencePieceTokenizer:
    """The tokenizer of a tokenizer.bin such as tok512.bin: texts begin with bos, bytes stand in for unknown characters.

    The file does not say how many pieces it has; `vocab_size` of the model checks it, where known.

    Raises:
        TokenizerError: a length outside the file or above its own maximum, bytes that are no UTF-8, a wrong count.
    """
    entries = read_entries(model_bytes(source))
    if vocab_size is not None and len(entries) != vocab_size:
        raise TokenizerError(
            f"the file has {len(entries)} pieces and the model {vocab_size}; take the model's own file"
        )
    if len(entries) <= EOS:
        raise TokenizerError(f"the file has {len(entries)} pieces; unknown, bos and eos alone take {EOS + 1}")
    pieces = [
        piece.strip("\n") if n in (BOS, EOS) else piece.replace(" ", SPACE) for n, (_, piece) in enumerate(entries)
    ]
    types = [PieceType.BYTE if BYTE.fullmatch(piece) else PieceType.NORMAL for piece in pieces]
    types[: EOS + 1] = [PieceType.UNKNOWN, PieceType.CONTROL, PieceType.CONTROL]
    model = write_model(pieces, [score for score, _ in entries], types, algorithm="bpe")
    special = {pieces[i]: i for i in (UNKNOWN, BOS, EOS)}
    roles = {"unk_token": pieces[UNKNOWN], "bos_token": pieces[BOS], "eos_token": pieces[EOS]}
    names = {"tokenizer_class": "LlamaTokenizer", "legacy": True, **roles}
    return SentencePieceTokenizer(model, Frame(bos=BOS, special=special), names=names)


def read_entries(data: bytes) -> list[tuple[float, str]]:
    """Score and piece of every entry."""
    if len(data) < HEADER.size:
        raise TokenizerError(
            f"the file has {len(data)} bytes; a llama2.c tokenizer begins with {HEADER.size} of header"
        )
    (longest,) = HEADER.unpack_from(data)
    if not 1 <= longest <= LONGEST:
        raise TokenizerError(
            f"the file says its longest piece has {longest} bytes; a llama2.c tokenizer has 1 to {LONGEST}"
        )
    entries: list[tuple[float, str]] = []
    place = HEADER.size
    while place < len(data):
        if place + ENTRY.size > len(data):
            raise TokenizerError(f"the file ends within entry {len(entries)}; it is cut short")
        score, length = ENTRY.unpack_from(data, place)
        place += ENTRY.size
        if not 0 < length <= min(longest, len(data) - place):
            raise TokenizerError(
                f"piece {len(entries)} claims {length} bytes; {min(longest, len(data) - place)} are possible"
            )
        try:
            entries.append((score, data[place : place + length].decode("utf-8")))
        except UnicodeDecodeError:
            raise TokenizerError(f"piece {len(entries)} is not UTF-8") from None
        place += length
    return entries
