"""The lists of a GGUF file's vocabulary, checked before any library sees them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from clearhead.config import SpecialTokens
from clearhead.errors import TokenizerError
from clearhead.text.foreign import utf8
from clearhead.text.piece_model import PieceType
from clearhead.text.spelling import BYTE

PREFIX = "tokenizer.ggml."
LARGEST_VOCABULARY = 2**22
ABSENT = (-1, 2**32 - 1)  # how a file says that there is no such token

# Ids that steer a model: found in text only where control tokens may be, whatever type a conversion gave them.
ROLES = (
    "bos",
    "eos",
    "eot",
    "eom",
    "unknown",
    "seperator",
    "padding",
    "cls",
    "mask",
)  # `seperator` is the format's spelling
TURN_ENDS = ("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>")


@dataclass(frozen=True, kw_only=True, slots=True)
class Pieces:
    """Tokens, scores and types, one of each per id."""

    tokens: list[str]
    scores: list[float]
    types: list[int]

    def special(self, roles: frozenset[int]) -> dict[str, int]:
        """Control and unknown tokens, and those of `roles`, by spelling."""
        return {self.tokens[i]: i for i in sorted(roles.union(self.of(PieceType.CONTROL), self.of(PieceType.UNKNOWN)))}

    def literal(self, roles: frozenset[int]) -> dict[str, int]:
        """Tokens a user defined, matched whole in any text, by spelling."""
        return {self.tokens[i]: i for i in self.of(PieceType.USER_DEFINED) if i not in roles}

    def of(self, kind: PieceType) -> Iterator[int]:
        """The ids of one type, in order. Few, in a long list: the list looks for them."""
        at = -1
        for _ in range(self.types.count(kind)):
            at = self.types.index(kind, at + 1)
            yield at


def read_pieces(metadata: Mapping[str, Any]) -> Pieces:
    """The vocabulary's lists. A missing list of scores is all zeros; missing types are told from the spelling.

    Raises:
        TokenizerError: a list that is missing, of the wrong kind or length, a repeated token, a malformed byte token.
    """
    tokens = read_tokens(metadata)
    scores = read_numbers(metadata, "scores", len(tokens), "f")
    types = read_numbers(metadata, "token_type", len(tokens), "i")
    kinds = guess_types(tokens) if types is None else known_types(types)
    pieces = Pieces(tokens=tokens, scores=[0.0] * len(tokens) if scores is None else scores.tolist(), types=kinds)
    for i in pieces.of(PieceType.BYTE):
        if not BYTE.fullmatch(tokens[i]):
            raise TokenizerError(
                f"token {i} is marked a byte but spelled {tokens[i][:20]!r}; a byte is spelled like <0x0A>"
            )
    return pieces


def read_tokens(metadata: Mapping[str, Any]) -> list[str]:
    """The list of tokens; an empty one, of which damaged conversions have some, gets a name that no text contains."""
    raw = metadata.get(PREFIX + "tokens")
    if not isinstance(raw, list | tuple | np.ndarray) or len(raw) == 0:
        raise TokenizerError("the file has no tokenizer.ggml.tokens; it carries no vocabulary")
    if len(raw) > LARGEST_VOCABULARY:
        raise TokenizerError(
            f"tokenizer.ggml.tokens has {len(raw)} entries; a vocabulary has at most {LARGEST_VOCABULARY}"
        )
    if not all(issubclass(kind, str) for kind in set(map(type, raw))):
        i, other = next((i, type(token)) for i, token in enumerate(raw) if not isinstance(token, str))
        raise TokenizerError(f"tokenizer.ggml.tokens[{i}] is {other.__name__}; every token is a string")
    tokens = list(raw) if all(raw) else [token or f"[EMPTY_{i}]" for i, token in enumerate(raw)]
    utf8("\n".join(tokens), "tokenizer.ggml.tokens")
    if len(set(tokens)) != len(tokens):
        seen: dict[str, int] = {}
        i, j = next((seen[t], n) for n, t in enumerate(tokens) if seen.setdefault(t, n) != n)
        raise TokenizerError(f"tokenizer.ggml.tokens has {tokens[i][:40]!r} at {i} and again at {j}")
    return tokens


def read_numbers(metadata: Mapping[str, Any], name: str, size: int, kind: str) -> "np.ndarray[Any, Any] | None":
    """A list of `size` numbers, floating ("f") or whole ("i"), or None when the file has none."""
    raw = metadata.get(PREFIX + name)
    if raw is None:
        return None
    try:
        values = np.asarray(raw)
    except ValueError:  # lists within the list
        values = np.asarray(None)
    if values.ndim != 1 or values.dtype.kind not in ("iu" if kind == "i" else "iuf"):
        raise TokenizerError(f"{PREFIX}{name} is not a list of {'whole ' if kind == 'i' else ''}numbers")
    if len(values) != size:
        raise TokenizerError(f"{PREFIX}{name} has {len(values)} entries for {size} tokens; there must be one each")
    return values


def known_types(types: "np.ndarray[Any, Any]") -> list[int]:
    """Types as a file gives them; one that nobody knows is a normal piece."""
    known: list[int] = np.where((types >= 1) & (types <= max(PieceType)), types, PieceType.NORMAL).astype(int).tolist()
    return known


def guess_types(tokens: list[str]) -> list[int]:
    """Types for a file that gives none: bytes by their spelling, all else normal."""
    return [PieceType.BYTE if BYTE.fullmatch(token) else PieceType.NORMAL for token in tokens]


def flag(metadata: Mapping[str, Any], name: str, *, default: bool) -> bool:
    """A yes or no of the file.

    Raises:
        TokenizerError: the value is neither.
    """
    value = metadata.get(PREFIX + name, default)
    if not isinstance(value, bool | np.bool_):
        raise TokenizerError(f"{PREFIX}{name} is {str(value)[:40]!r}; it must be true or false")
    return bool(value)


def special_id(metadata: Mapping[str, Any], role: str, size: int) -> int | None:
    """The id of a role ("bos", "padding" ...), or None when the file names none.

    Raises:
        TokenizerError: an id outside the vocabulary.
    """
    name = f"{PREFIX}{role}_token_id"
    value = metadata.get(name)
    if value is None or (isinstance(value, int | np.integer) and int(value) in ABSENT):
        return None
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 <= value < size:
        raise TokenizerError(f"{name} is {str(value)[:40]}; the vocabulary has ids 0 to {size - 1}")
    return int(value)


def role_ids(metadata: Mapping[str, Any], size: int) -> dict[str, int]:
    """Every role the file names, and its id."""
    found = {role: special_id(metadata, role, size) for role in ROLES}
    return {role: i for role, i in found.items() if i is not None}


def gguf_special_tokens(metadata: Mapping[str, Any], pieces: Pieces | None = None) -> SpecialTokens:
    """The ids that steer generation: what the file names, and the markers that end a turn in the chat formats in use.
    `pieces` are what `read_pieces` made of it, if that was done already.

    Raises:
        TokenizerError: a damaged vocabulary, or an id outside it.
    """
    pieces = read_pieces(metadata) if pieces is None else pieces
    roles = role_ids(metadata, len(pieces.tokens))
    control = pieces.special(frozenset(roles.values()))
    ends = [roles[r] for r in ("eos", "eot", "eom") if r in roles] + [control[t] for t in TURN_ENDS if t in control]
    architecture = metadata.get("general.architecture")
    start = metadata.get(f"{architecture}.decoder_start_token_id")
    return SpecialTokens(
        bos=roles.get("bos", roles.get("cls")),
        eos=tuple(dict.fromkeys(ends)),
        pad=roles.get("padding"),
        unknown=roles.get("unknown"),
        mask=roles.get("mask"),
        decoder_start=int(start) if isinstance(start, int | np.integer) else None,
    )


PLACEHOLDER = re.compile(r"\[PAD\d+\]")
