"""What every tokenizer here shares once it knows its pieces: ids back to text, exactly and byte by byte.

Text is the concatenation of what each piece stands for, decoded as UTF-8 once at the end. No other rule looks across
two pieces, which is what lets `streaming.py` emit text as it comes.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from clearhead.text.spelling import Spelling


class PieceTokenizer(ABC):
    """Decoding for a vocabulary that can name the piece of an id.

    `literals` are added tokens spelled as they read rather than in the vocabulary's alphabet; an id without a piece (an
    embedding is often padded beyond its vocabulary) stands for nothing.
    """

    def __init__(
        self, *, vocab_size: int, spelling: Spelling, special_ids: frozenset[int], literals: frozenset[int]
    ) -> None:
        self.vocab_size = vocab_size
        self.special_ids = special_ids
        self._spelling = spelling
        self._literals = literals | special_ids
        self._bytes: dict[int, bytes] = {}

    @abstractmethod
    def _piece(self, token: int) -> str | None:
        """The piece of an id within 0 ... vocab_size - 1, or None where the vocabulary has a hole."""

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The vocabulary's own spelling of each id; empty for an id it does not have."""
        return [self._known(i) or "" for i in ids]

    def token_bytes(self, token: int) -> bytes:
        """The bytes one token adds to the text before it; empty for special tokens and unknown ids."""
        return b"" if token in self.special_ids else self._inside(token)

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """The text of `ids`; bytes that are no UTF-8 become U+FFFD."""
        if skip_special_tokens:
            ids = [i for i in ids if i not in self.special_ids]
        start = next((n for n, i in enumerate(ids) if self._inside(i)), len(ids))
        head = [self._first(i) for i in ids[start : start + 1]]
        data = b"".join(head + [self._inside(i) for i in ids[start + 1 :]])
        return self._spelling.trim(data).decode("utf-8", "replace")

    def _known(self, token: int) -> str | None:
        return self._piece(token) if 0 <= token < self.vocab_size else None

    def _inside(self, token: int) -> bytes:
        found = self._bytes.get(token)
        if found is None:
            piece, literal = self._known(token), token in self._literals
            spelled = self._spelling.joint + piece.encode() if piece and literal else self._spelling.inside(piece or "")
            found = self._bytes[token] = spelled if piece else b""
        return found

    def _first(self, token: int) -> bytes:
        piece = self._known(token) or ""
        return piece.encode() if token in self._literals else self._spelling.first(piece)
