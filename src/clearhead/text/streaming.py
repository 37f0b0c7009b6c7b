"""Text out of ids one at a time: what is emitted so far is always final, and in the end it is `decode` of them all.

A token may hold half a character (byte-level BPE cuts between bytes, byte fallback emits one byte a token), so bytes are
held back until their character is whole; UTF-8 shows from its first byte how many are to come (RFC 3629, section 3), hence
at most three are ever held, and each token is looked at once.
"""

from codecs import getincrementaldecoder

from clearhead.text.tokenizer import Tokenizer


class StreamDecoder:
    """Feed ids, take text. The concatenation of all `feed(...)` and the final `finish()` equals `decode(ids)`.

    Special tokens give no text unless `special` is "shown".
    """

    def __init__(self, tokenizer: Tokenizer, *, special: str = "hidden") -> None:
        self._tokenizer = tokenizer
        self._show = special == "shown"
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._begun = False

    def feed(self, token: int) -> str:
        """The text that `token` completes; empty while a character is incomplete."""
        data = self._contribution(token)
        self._begun = self._begun or bool(data) or bool(self._after(token))
        return self._decoder.decode(data)

    def finish(self) -> str:
        """What is still held back: U+FFFD for a character that never became whole."""
        return self._decoder.decode(b"", final=True)

    def _contribution(self, token: int) -> bytes:
        return self._after(token) if self._begun else self._first(token)

    def _after(self, token: int) -> bytes:
        """Bytes that a token adds to a text already begun."""
        if token not in self._tokenizer.special_ids:
            return self._tokenizer.token_bytes(token)
        if not self._show:
            return b""
        alone = self._tokenizer.decode([token], skip_special_tokens=False)
        return self._tokenizer.decode([token, token], skip_special_tokens=False)[len(alone) :].encode()

    def _first(self, token: int) -> bytes:
        """Bytes that a token begins a text with: most vocabularies drop the space before the first word."""
        after = self._after(token)
        try:
            after.decode("utf-8")
        except UnicodeDecodeError:  # part of a character, which has no space to drop
            return after
        return self._tokenizer.decode([token], skip_special_tokens=not self._show).encode()
