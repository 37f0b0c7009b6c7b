"""Text to token ids and back, whatever library does it underneath."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol


class Tokenizer(Protocol):
    """What every vocabulary can do. Ids are positions in the model's embedding."""

    vocab_size: int
    special_ids: frozenset[int]  # bos, eos, padding, chat markers: left out by `decode` unless asked for

    def encode(self, text: str, *, add_special_tokens: bool = True, parse_special: bool = True) -> list[int]:
        """Ids of `text`. `add_special_tokens` frames it as the model was trained (bos, [CLS] ... [SEP], </s>);
        `parse_special` False reads `<|im_end|>` and its like as plain text, for text that comes from strangers."""

    def encode_target(self, text: str) -> list[int]:
        """Ids of `text` on the decoder's side, unframed; another vocabulary than `encode`'s in some models."""

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """The text of `ids`; bytes that are no UTF-8 become U+FFFD."""

    def token_bytes(self, token: int) -> bytes:
        """The exact bytes one token adds to the text before it (`▁the` is b" the"); empty for special tokens."""

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The vocabulary's own spelling of each id (`Ġthe`, `▁the`, `##ing`)."""

    def token_id(self, piece: str) -> int | None:
        """The id of a piece spelled as the vocabulary spells it, or None."""

    def save(self, folder: Path) -> None:
        """Write the vocabulary into `folder`, in files that transformers reads."""
