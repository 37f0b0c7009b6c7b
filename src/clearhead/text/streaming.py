"""Text out of ids one at a time: what is emitted so far is always final, and in the end it is `decode` of them all.

A token may hold half a character (byte-level BPE cuts between bytes, byte fallback emits one byte a token), so bytes
are held back until their character is whole; UTF-8 shows from its first byte how many are to come (RFC 3629, section
3), hence at most three are ever held, and each token is looked at once.
"""

from codecs import getincrementaldecoder
from typing import Literal

from clearhead.text.tokenizer import Tokenizer


class StreamDecoder:
    """Feed ids, take text. The concatenation of all `feed(...)` and the final `finish()` equals `decode(ids)`.

    `special` "shown" spells special tokens out; "hidden" leaves them out.
    """

    def __init__(self, tokenizer: Tokenizer, *, special: Literal["hidden", "shown"] = "hidden") -> None:
        self._tokenizer = tokenizer
        self._hide = special == "hidden"
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._begun = False
        self._blank: list[int] = []  # the last token of those that could only add spaces before the first word

    def feed(self, token: int) -> str:
        """The text that `token` completes; empty while a character is incomplete."""
        return self._decoder.decode(self._after(token) if self._begun else self._first(token))

    def finish(self) -> str:
        """What is still held back: U+FFFD for a character that never became whole."""
        return self._decoder.decode(b"", final=True)

    def _after(self, token: int) -> bytes:
        """Bytes that a token adds to a text already begun."""
        if token not in self._tokenizer.special_ids:
            return self._tokenizer.token_bytes(token)
        alone = self._text(token)
        return self._text(token, token)[len(alone) :].encode()

    def _first(self, token: int) -> bytes:
        """Bytes that a token begins a text with: most vocabularies drop the space or spaces before the first word."""
        after = self._after(token)
        try:
            after.decode("utf-8")
            start = self._text(*self._blank, token).encode()
        except UnicodeDecodeError:  # part of a character, which has no space to drop
            start = after
        self._begun = bool(start)
        if after:
            self._blank = [token]
        return start

    def _text(self, *ids: int) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=self._hide)
