"""Tokenizers over Hugging Face `tokenizers`: what a tokenizer.json holds, or a pipeline built in memory."""

import json
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from clearhead.errors import TokenizerError
from clearhead.text import spelling
from clearhead.text.foreign import reading, utf8
from clearhead.text.pieces import PieceTokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend


class FastTokenizer(PieceTokenizer):
    """A `tokenizers.Tokenizer` behind the common interface; safe to share between threads.

    `names` maps the roles of transformers' tokenizer_config.json ("bos_token", "pad_token" ...) to pieces; it matters
    only to `save`.

    Raises:
        TokenizerError: a decoder that Clearhead does not read.
    """

    def __init__(self, backend: "Backend", *, names: Mapping[str, str] | None = None) -> None:
        backend.no_truncation()  # files keep the limits of their last training run
        backend.no_padding()
        decoder = backend.decoder
        added = backend.get_added_tokens_decoder()
        super().__init__(
            vocab_size=rows(backend),
            spelling=spelling.of_decoder(None if decoder is None else json.loads(decoder.__getstate__())),
            special_ids=frozenset(i for i, token in added.items() if token.special),
            literals=frozenset(added),
        )
        self._backend = backend
        self._names = dict(names or {})
        self._plain: Backend | None = None
        self._lock = Lock()

    def encode(self, text: str, *, add_special_tokens: bool = True, parse_special: bool = True) -> list[int]:
        """Ids of `text`; see `Tokenizer.encode`.

        Raises:
            TokenizerError: the text holds half a surrogate pair, or the file's regular expressions give up on it.
        """
        backend = self._backend if parse_special else self._without_special()
        try:
            return backend.encode(text, add_special_tokens=add_special_tokens).ids
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a hostile pattern ends in a panic of `tokenizers`, which is no Exception
            utf8(text)
            reason = " ".join(str(error).split())[:120]
            raise TokenizerError(f"the tokenizer's own rules fail on this text: {reason}") from error

    def encode_target(self, text: str) -> list[int]:
        """Ids on the decoder's side, which shares this vocabulary."""
        return self.encode(text, add_special_tokens=False)

    def token_id(self, piece: str) -> int | None:
        """The id of a piece, or None."""
        return self._backend.token_to_id(piece)

    def save(self, folder: Path) -> None:
        """Write tokenizer.json and tokenizer_config.json."""
        self._backend.save(str(folder / "tokenizer.json"))
        config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False} | self._names
        (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    def _piece(self, token: int) -> str | None:
        return self._backend.id_to_token(token)

    def _without_special(self) -> "Backend":
        """The same pipeline, blind to special tokens.

        `encode_special_tokens` is a switch on the whole object, and flipping it would change what another thread is
        encoding; so a second one is kept. It shares the vocabulary with the first, and costs microseconds.
        """
        with self._lock:
            if self._plain is None:
                self._plain = blind_twin(self._backend)
            return self._plain


def rows(backend: "Backend") -> int:
    """One more than the largest id. Listing the whole vocabulary takes long, and ids without holes can be counted."""
    count: int = backend.get_vocab_size(with_added_tokens=True)
    whole = backend.id_to_token(count - 1) is not None and backend.id_to_token(count) is None if count else True
    return count if whole else max(backend.get_vocab(with_added_tokens=True).values()) + 1


def blind_twin(backend: "Backend") -> "Backend":
    """A pipeline over the same parts that takes the text of special tokens for plain text."""
    from tokenizers import Tokenizer as Backend

    twin = Backend(backend.model)
    for part in ("normalizer", "pre_tokenizer", "post_processor"):
        if getattr(backend, part) is not None:
            setattr(twin, part, getattr(backend, part))
    added = sorted(backend.get_added_tokens_decoder().items())
    twin.add_tokens([token for _, token in added])
    if any(twin.token_to_id(token.content) != i for i, token in added):  # ids with holes are kept by a copy alone
        twin = Backend.from_str(backend.to_str())
    twin.encode_special_tokens = True
    return twin


def read_tokenizer_json(source: bytes | Path) -> FastTokenizer:
    """The tokenizer of a tokenizer.json, given as its bytes or its path.

    Raises:
        TokenizerError: not a tokenizer.json, or one with a decoder that Clearhead does not read.
    """
    return FastTokenizer(read_backend(source))


def read_backend(source: bytes | Path) -> "Backend":
    """The `tokenizers` object of a tokenizer.json.

    Raises:
        TokenizerError: not a tokenizer.json.
    """
    from tokenizers import Tokenizer as Backend

    name = "tokenizer.json" if isinstance(source, bytes) else source.name
    with reading(name):
        return Backend.from_buffer(source) if isinstance(source, bytes) else Backend.from_file(str(source))
