"""The tokenizer that a GGUF file's metadata describes (github.com/ggml-org/ggml, docs/gguf.md, "Tokenizer").

A GGUF carries no program, only lists: tokens, scores, types and merges, and the name of the algorithm that reads them.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np

from clearhead.errors import TokenizerError
from clearhead.text.fast import FastTokenizer
from clearhead.text.gguf_pieces import PLACEHOLDER, PREFIX, Pieces, flag, read_pieces, role_ids
from clearhead.text.piece_model import PieceType, write_model
from clearhead.text.pipelines import byte_level_bpe, frame, mark, word_piece
from clearhead.text.pretokenizers import recipe
from clearhead.text.spelling import SPACE
from clearhead.text.spm import Frame, SentencePieceTokenizer
from clearhead.text.tokenizer import Tokenizer

Roles = Mapping[str, int]
T5_BLANKS = 100  # <extra_id_0> ... <extra_id_99>, counted down from the end of T5's own vocabulary


def gguf_tokenizer(metadata: Mapping[str, Any], pieces: Pieces | None = None) -> Tokenizer:
    """The tokenizer of a GGUF file, from its metadata: keys as in the file, lists as Python lists or NumPy arrays.
    `pieces` are what `read_pieces` made of it, if that was done already.

    Raises:
        TokenizerError: no vocabulary, a kind or a pre-tokenizer that Clearhead does not read, or damaged lists.
    """
    kind = metadata.get(PREFIX + "model")
    if not isinstance(kind, str) or kind not in KINDS:
        raise TokenizerError(f"{PREFIX}model is {str(kind)[:40]!r}; Clearhead reads {', '.join(map(repr, KINDS))}")
    pieces = read_pieces(metadata) if pieces is None else pieces
    return KINDS[kind](metadata, pieces, role_ids(metadata, len(pieces.tokens)))


def gpt2(metadata: Mapping[str, Any], pieces: Pieces, roles: Roles) -> Tokenizer:
    """Byte-level BPE: merges, and a pre-tokenizer by name."""
    name = metadata.get(PREFIX + "pre", "default")
    cut = recipe(name if isinstance(name, str) else repr(name)[:40])
    steering = frozenset(roles.values())
    vocabulary = {token: i for i, token in enumerate(pieces.tokens)}
    backend = byte_level_bpe(vocabulary, read_merges(metadata), cut)
    mark(backend, special=pieces.special(steering), literal=pieces.literal(steering))
    first = framing(metadata, pieces, roles, "bos", default=cut.starts_with_bos)
    frame(backend, first, framing(metadata, pieces, roles, "eos", default=False))
    return FastTokenizer(backend, names=names(pieces, roles))


def llama(metadata: Mapping[str, Any], pieces: Pieces, roles: Roles) -> Tokenizer:
    """SentencePiece BPE: a merge's score is minus its rank; characters outside the vocabulary fall back to bytes."""
    model = write_model(
        pieces.tokens,
        pieces.scores,
        with_unknown(pieces, roles.get("unknown", 0)),
        algorithm="bpe",
        add_dummy_prefix=flag(metadata, "add_space_prefix", default=True),
        remove_extra_whitespaces=flag(metadata, "remove_extra_whitespaces", default=False),
    )
    defaults = {"bos": 1, "eos": 2} if len(pieces.tokens) > 2 else {}
    roles = {**defaults, **roles}
    settings = {"tokenizer_class": "LlamaTokenizer", "legacy": True, **names(pieces, roles)}
    return SentencePieceTokenizer(
        model, sentencepiece_frame(metadata, pieces, roles, bos=True, eos=False), names=settings
    )


def t5(metadata: Mapping[str, Any], pieces: Pieces, roles: Roles) -> Tokenizer:
    """SentencePiece unigram with its character map; the blanks T5 fills get their names back."""
    model = write_model(
        pieces.tokens,
        pieces.scores,
        with_unknown(pieces, roles.get("unknown", 2)),
        algorithm="unigram",
        charsmap=read_charsmap(metadata),
        add_dummy_prefix=flag(metadata, "add_space_prefix", default=True),
        remove_extra_whitespaces=flag(metadata, "remove_extra_whitespaces", default=True),
    )
    roles = {"eos": 1, **roles} if len(pieces.tokens) > 1 else roles
    settings = {"tokenizer_class": "T5Tokenizer", "vocab_file": "spiece.model", "extra_ids": 0, **names(pieces, roles)}
    return SentencePieceTokenizer(
        model, sentencepiece_frame(metadata, pieces, roles, bos=False, eos=True), names=settings
    )


def bert(metadata: Mapping[str, Any], pieces: Pieces, roles: Roles) -> Tokenizer:
    """WordPiece. A GGUF spells pieces as SentencePiece would: `▁` where a word starts and nothing where one goes on."""
    steering = frozenset(roles.values())
    special = pieces.special(steering)

    def respell(token: str) -> str:
        return token if token in special else token[1:] if token.startswith(SPACE) else f"##{token}"

    vocabulary = {respell(token): i for i, token in enumerate(pieces.tokens)}
    if len(vocabulary) != len(pieces.tokens):
        raise TokenizerError("two tokens of the vocabulary stand for the same WordPiece")
    ids = {i: token for token, i in special.items()}
    lowercase = flag(metadata, "normalizer.lowercase", default=True)
    backend = word_piece(
        vocabulary,
        unknown=ids.get(roles.get("unknown", -1), "[UNK]"),
        lowercase=lowercase,
        strip_accents=flag(metadata, "normalizer.strip_accents", default=lowercase),
    )
    mark(backend, special=special, literal=())
    first = ids.get(roles.get("cls", roles.get("bos", -1)), "[CLS]")
    frame(backend, first, ids.get(roles.get("seperator", roles.get("eos", -1)), "[SEP]"))
    return FastTokenizer(backend, names=names(pieces, roles))


KINDS: dict[str, Callable[[Mapping[str, Any], Pieces, Roles], Tokenizer]] = {
    "gpt2": gpt2,
    "llama": llama,
    "bert": bert,
    "t5": t5,
}


def read_merges(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Pairs to merge, the most frequent first; stored as the two pieces with a space between."""
    raw = metadata.get(PREFIX + "merges")
    if not isinstance(raw, list | tuple | np.ndarray):
        raise TokenizerError("the file has no tokenizer.ggml.merges; byte-pair encoding cannot do without")
    merges = [tuple(str(entry).split(" ", 1)) for entry in raw]
    texts = all(issubclass(kind, str) for kind in set(map(type, raw)))
    if not texts or not set(map(len, merges)) <= {2} or not all(map(all, merges)):
        i = next(i for i, pair in enumerate(merges) if not isinstance(raw[i], str) or len(pair) != 2 or not all(pair))
        raise TokenizerError(f"tokenizer.ggml.merges[{i}] is {str(raw[i])[:40]!r}, not two pieces with a space between")
    return cast(list[tuple[str, str]], merges)


def read_charsmap(metadata: Mapping[str, Any]) -> bytes:
    """SentencePiece's compiled character map, stored as a list of signed or unsigned bytes; may be absent."""
    raw = metadata.get(PREFIX + "precompiled_charsmap", b"")
    if isinstance(raw, bytes):
        return raw
    values = np.asarray(raw)
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise TokenizerError("tokenizer.ggml.precompiled_charsmap is not a list of bytes")
    return (values.astype(np.int64) & 0xFF).astype(np.uint8).tobytes()


def with_unknown(pieces: Pieces, unknown: int) -> list[int]:
    """Types in which exactly one piece is the unknown one, as SentencePiece demands."""
    if PieceType.UNKNOWN in pieces.types or not unknown < len(pieces.types):
        return pieces.types
    return [PieceType.UNKNOWN if i == unknown else t for i, t in enumerate(pieces.types)]


def sentencepiece_frame(metadata: Mapping[str, Any], pieces: Pieces, roles: Roles, *, bos: bool, eos: bool) -> Frame:
    """Special tokens, and the two around a text; `bos` and `eos` are what the kind does when the file is silent."""
    steering = frozenset(roles.values())
    blanks = [
        i for i, t in enumerate(pieces.tokens) if PLACEHOLDER.fullmatch(t) and pieces.types[i] != PieceType.NORMAL
    ]
    special = pieces.special(steering) | {
        f"<extra_id_{T5_BLANKS - 1 - n}>": i for n, i in enumerate(blanks[:T5_BLANKS])
    }
    first = framing(metadata, pieces, roles, "bos", default=bos)
    last = framing(metadata, pieces, roles, "eos", default=eos)
    return Frame(
        bos=None if first is None else roles["bos"],
        eos=None if last is None else roles["eos"],
        special=special,
        literal=pieces.literal(steering),
        prefix="every",
    )


def framing(metadata: Mapping[str, Any], pieces: Pieces, roles: Roles, role: str, *, default: bool) -> str | None:
    """The token of this role when texts are framed with it, else None."""
    if not flag(metadata, f"add_{role}_token", default=default):
        return None
    if role not in roles:
        raise TokenizerError(f"texts are to be framed with the {role} token, and the file does not say which it is")
    return pieces.tokens[roles[role]]


def names(pieces: Pieces, roles: Roles) -> dict[str, str]:
    """Roles as transformers' tokenizer_config.json calls them, with their pieces."""
    short = {"unknown": "unk", "seperator": "sep", "padding": "pad"}
    return {
        f"{short.get(role, role)}_token": pieces.tokens[i] for role, i in roles.items() if role not in ("eot", "eom")
    }
