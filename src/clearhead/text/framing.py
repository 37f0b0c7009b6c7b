"""How a vocabulary frames a text, and whether it spells a word together with the space before it."""

from clearhead.text.tokenizer import Tokenizer


def frame(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """The ids before and after a text, such as [CLS] and [SEP]."""
    whole, inner = tokenizer.encode("a"), tokenizer.encode("a", add_special_tokens=False)
    start = next(i for i in range(len(whole)) if whole[i : i + len(inner)] == inner)
    return whole[:start], whole[start + len(inner) :]


def space_belongs_to_words(tokenizer: Tokenizer) -> bool:
    """Whether a word after another is spelled with the space before it (byte-level BPE), not by itself (WordPiece)."""
    together, one, alone, spaced = (tokenizer.encode(t, add_special_tokens=False) for t in ("a b", "a", "b", " b"))
    return together != one + alone and together == one + spaced
