"""Tokenizers over the `sentencepiece` library: LLaMA's and T5's own model files, and vocabularies written as such.

SentencePiece (Kudo & Richardson 2018, 1808.06226) never produces a control piece from text, so special tokens are found
here first, and the library sees only what lies between them.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from clearhead.errors import TokenizerError
from clearhead.text import spelling
from clearhead.text.foreign import reading, utf8
from clearhead.text.piece_model import without_dummy_prefix
from clearhead.text.pieces import PieceTokenizer

LARGEST_FILE = 2**28  # bytes; the largest vocabularies in use take 5 MB


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """What is put around a text, and which pieces are matched before the library sees it.

    `prefix` says where a text gets its leading space again after a special token: nowhere ("start": only the very first
    character of a text has it) or in "every" stretch, as llama.cpp and the first LLaMA tokenizers do.
    """

    bos: int | None = None
    eos: int | None = None
    special: Mapping[str, int] = field(default_factory=dict)  # matched unless the text comes from strangers
    literal: Mapping[str, int] = field(default_factory=dict)  # matched always
    prefix: Literal["start", "every"] = "every"


class SentencePieceTokenizer(PieceTokenizer):
    """A SentencePiece model whose ids are the model's own, then those of `frame` beyond them."""

    def __init__(self, model: bytes, frame: Frame, *, names: Mapping[str, Any] | None = None) -> None:
        self._processor = load_processor(model)
        size = self._processor.get_piece_size()
        added = {**frame.special, **frame.literal}
        if outside := [name for name, i in added.items() if i < 0]:
            raise TokenizerError(f"token {outside[0]!r} has the id {added[outside[0]]}; ids start at 0")
        self._beyond = {i: name for name, i in added.items() if i >= size}
        prefixed = self._processor.normalize("x").startswith(spelling.SPACE)
        super().__init__(
            vocab_size=max([size, *(i + 1 for i in self._beyond)]),
            spelling=spelling.sentencepiece(leading="drop one" if prefixed else "keep all"),
            special_ids=frozenset(frame.special.values()),
            literals=frozenset(frame.literal.values()),
        )
        self._later = load_processor(without_dummy_prefix(model)) if frame.prefix == "start" else self._processor
        self._frame, self._added, self._model, self._names = frame, added, model, dict(names or {})
        self._any = matcher(added)
        self._literal = matcher(frame.literal)

    def encode(self, text: str, *, add_special_tokens: bool = True, parse_special: bool = True) -> list[int]:
        """Ids of `text`; see `Tokenizer.encode`.

        Raises:
            TokenizerError: the text holds half a surrogate pair.
        """
        utf8(text)
        ids: list[int] = []
        for start, part in stretches(text, self._any if parse_special else self._literal):
            if part in self._added and start is None:
                ids.append(self._added[part])
            else:
                ids += (self._processor if start == 0 else self._later).encode(part)
        return framed(ids, self._frame) if add_special_tokens else ids

    def encode_target(self, text: str) -> list[int]:
        """Ids on the decoder's side, which shares this vocabulary."""
        return self.encode(text, add_special_tokens=False)

    def token_id(self, piece: str) -> int | None:
        """The id of a piece, or None."""
        if piece in self._added:
            return self._added[piece]
        found: int = self._processor.piece_to_id(piece)
        return found if self._processor.id_to_piece(found) == piece else None

    def save(self, folder: Path) -> None:
        """Write the model file, and a tokenizer_config.json with the class that reads it and the tokens added to it."""
        config = dict(self._names)
        config["added_tokens_decoder"] = {
            str(i): {"content": name, "special": i in self.special_ids, "normalized": False}
            for name, i in sorted(self._added.items(), key=lambda token: token[1])
        }
        (folder / config.pop("vocab_file", "tokenizer.model")).write_bytes(self._model)
        (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    def _piece(self, token: int) -> str | None:
        if token in self._beyond:
            return self._beyond[token]
        return self._processor.id_to_piece(token) if token < self._processor.get_piece_size() else None


def load_processor(model: bytes) -> Any:
    """The library's object over a model file's bytes.

    Raises:
        TokenizerError: not a SentencePiece model, or a damaged one.
    """
    from sentencepiece import SentencePieceProcessor

    with reading("the SentencePiece model"):
        if not model:
            raise TokenizerError("the SentencePiece model is empty; fetch the file again")
        return SentencePieceProcessor(model_proto=model)


def model_bytes(source: bytes | Path) -> bytes:
    """The bytes of a model file given as such or as its path.

    Raises:
        TokenizerError: the file is far larger than any vocabulary.
    """
    if isinstance(source, bytes):
        return source
    if source.stat().st_size > LARGEST_FILE:
        raise TokenizerError(
            f"{source.name} has {source.stat().st_size} bytes; a vocabulary has at most {LARGEST_FILE}"
        )
    return source.read_bytes()


def matcher(names: Mapping[str, int]) -> re.Pattern[str] | None:
    """Finds the longest of these names at the leftmost place, or None when there are none."""
    ordered = sorted((name for name in names if name), key=len, reverse=True)
    return re.compile("(" + "|".join(map(re.escape, ordered)) + ")") if ordered else None


def stretches(text: str, pattern: re.Pattern[str] | None) -> Iterator[tuple[int | None, str]]:
    """`text` cut at the tokens `pattern` finds: (None, token), or (position, plain text)."""
    if pattern is None:
        if text:
            yield 0, text
        return
    position = 0
    for n, part in enumerate(pattern.split(text)):
        if part:
            yield None if n % 2 else position, part
        position += len(part)


def framed(ids: list[int], frame: Frame) -> list[int]:
    """`ids` between the frame's first and last token."""
    return [*([] if frame.bos is None else [frame.bos]), *ids, *([] if frame.eos is None else [frame.eos])]
