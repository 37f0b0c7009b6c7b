"""SentencePiece in front of a separate list of ids: Marian's and CTranslate2's translation models.

Their training counted ids over both languages, so the SentencePiece models only cut text into pieces and a vocabulary
file gives each piece its id. The source and the target language may be cut by two different models, or by one that
knows both; where the target's is missing, it is cut into the fewest pieces of the vocabulary.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clearhead.errors import TokenizerError
from clearhead.text import spelling
from clearhead.text.fewest import FewestPieces
from clearhead.text.foreign import reading, utf8
from clearhead.text.pieces import PieceTokenizer
from clearhead.text.spm import Frame, framed, load_processor, matcher, model_bytes, stretches

LANGUAGE = re.compile(r">>.*?<<", re.DOTALL)  # Marian's multilingual models are told the target: `>>fra<< Hello`
MARIAN_SPECIAL = ("</s>", "<unk>", "<pad>")
JOINT = 0.9  # of the vocabulary: a model that knows so much of it cuts both languages


class PairedTokenizer(PieceTokenizer):
    """Pieces of one or two SentencePiece models, ids of one vocabulary.

    `language` is the pattern of a code at the start of a text, kept whole; None where the model has none.
    """

    def __init__(
        self,
        source: bytes,
        target: bytes | None,
        vocabulary: Mapping[str, int],
        frame: Frame,
        *,
        unknown: str = "<unk>",
        language: re.Pattern[str] | None = None,
    ) -> None:
        checked(vocabulary, unknown)
        self._source = load_processor(source)
        self._target = for_target(self._source, vocabulary) if target is None else load_processor(target)
        self._vocabulary, self._spelled = vocabulary, {i: piece for piece, i in vocabulary.items()}
        self._frame, self._language, self._unknown = frame, language, vocabulary[unknown]
        self._special = matcher(frame.special)
        self._models = (source, source if target is None else target)
        super().__init__(
            vocab_size=max(self._spelled) + 1,
            spelling=spelling.sentencepiece(leading="drop all"),
            special_ids=frozenset(frame.special.values()),
            literals=frozenset(),
        )

    def encode(self, text: str, *, add_special_tokens: bool = True, parse_special: bool = True) -> list[int]:
        """Ids of `text` in the source language; see `Tokenizer.encode`.

        Raises:
            TokenizerError: the text holds half a surrogate pair.
        """
        ids = self._ids(self._source, text, parse_special)
        return framed(ids, self._frame) if add_special_tokens else ids

    def encode_target(self, text: str) -> list[int]:
        """Ids of `text` in the target language, unframed."""
        return self._ids(self._target, text, True)

    def token_id(self, piece: str) -> int | None:
        """The id of a piece, or None."""
        return self._vocabulary.get(piece)

    def save(self, folder: Path) -> None:
        """Write source.spm, target.spm, vocab.json and tokenizer_config.json, as Marian's folders have them."""
        for name, model in zip(("source.spm", "target.spm"), self._models, strict=True):
            (folder / name).write_bytes(model)
        vocabulary = dict(self._vocabulary)
        vocabulary.setdefault("<pad>", self.vocab_size)  # transformers insists on one
        for name, content in (
            ("vocab.json", vocabulary),
            ("tokenizer_config.json", {"tokenizer_class": "MarianTokenizer", "separate_vocabs": False}),
        ):
            (folder / name).write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")

    def _piece(self, token: int) -> str | None:
        return self._spelled.get(token)

    def _ids(self, processor: Any, text: str, parse_special: bool) -> list[int]:
        utf8(text)
        ids = []
        for start, part in stretches(text, self._special if parse_special else None):
            if start is None:
                ids.append(self._vocabulary[part])
                continue
            code = self._language.match(part) if self._language and parse_special else None
            pieces = [code[0]] if code else []
            pieces += processor.encode(part[code.end() :] if code else part, out_type=str)
            ids += [self._vocabulary.get(piece, self._unknown) for piece in pieces]
        return ids


def read_marian(source: bytes | Path, target: bytes | Path, vocabulary: Mapping[str, Any]) -> PairedTokenizer:
    """The tokenizer of a Marian folder in Hugging Face layout: source.spm, target.spm and vocab.json.

    Raises:
        TokenizerError: a damaged file, or a vocabulary without </s> and <unk>.
    """
    special = {name: i for name in MARIAN_SPECIAL if isinstance(i := vocabulary.get(name), int)}
    if "</s>" not in special:
        raise TokenizerError("vocab.json has no '</s>', which ends every source text of a Marian model")
    frame = Frame(eos=special["</s>"], special=special)
    return PairedTokenizer(model_bytes(source), model_bytes(target), vocabulary, frame, language=LANGUAGE)


def read_ctranslate2(
    model: bytes | Path,
    vocabulary: Sequence[str],
    *,
    target_model: bytes | Path | None = None,
    unknown: str = "<unk>",
    bos: str | None = None,
    eos: str | None = None,
) -> PairedTokenizer:
    """The tokenizer of an Argos or OPUS-MT model in CTranslate2's layout: a SentencePiece model and a list of pieces.

    `bos` and `eos` are the pieces that config.json's `add_source_bos` and `add_source_eos` put around a source text.

    Raises:
        TokenizerError: a damaged model, or a vocabulary that repeats a piece or lacks one that is named.
    """
    ids = {piece: n for n, piece in enumerate(vocabulary)}
    if len(ids) != len(vocabulary):
        repeated = next(piece for n, piece in enumerate(vocabulary) if ids[piece] != n)
        raise TokenizerError(f"the vocabulary lists {repeated!r} twice; each piece has one id")
    if absent := [name for name in (unknown, bos, eos) if name is not None and name not in ids]:
        raise TokenizerError(f"the vocabulary has no {absent[0]!r}, which config.json names")
    special = {
        name: ids[name] for name in {"<s>", "</s>", "<pad>", "<blank>", unknown, bos, eos} - {None} if name in ids
    }
    frame = Frame(bos=None if bos is None else ids[bos], eos=None if eos is None else ids[eos], special=special)
    target = None if target_model is None else model_bytes(target_model)
    return PairedTokenizer(model_bytes(model), target, ids, frame, unknown=unknown)


def for_target(source: Any, vocabulary: Mapping[str, int]) -> Any:
    """What cuts the target language where no model of its own came along: the source's, if it was made for both."""
    known = {source.id_to_piece(i) for i in range(source.get_piece_size())}
    shared = sum(piece in known for piece in vocabulary)
    return source if shared >= JOINT * len(vocabulary) else FewestPieces(source, vocabulary)


def checked(vocabulary: Mapping[str, Any], unknown: str) -> None:
    """Refuse a vocabulary that is not one id for each piece.

    Raises:
        TokenizerError: naming the piece.
    """
    for piece, i in vocabulary.items():
        if not isinstance(piece, str) or isinstance(i, bool) or not isinstance(i, int) or not 0 <= i < 2**31:
            raise TokenizerError(f"the vocabulary gives {piece!r} the id {i!r}; an id is a whole number from 0 up")
    utf8("\n".join(vocabulary), "the vocabulary")
    if len(set(vocabulary.values())) != len(vocabulary):
        raise TokenizerError("the vocabulary gives two pieces the same id")
    if unknown not in vocabulary:
        raise TokenizerError(f"the vocabulary has no {unknown!r}, the piece for what it cannot spell")


def read_json_vocabulary(path: Path) -> dict[str, int]:
    """A vocab.json: an object from piece to id.

    Raises:
        TokenizerError: not JSON, or not such an object.
    """
    with reading(path.name):
        vocabulary = json.loads(model_bytes(path))
    if not isinstance(vocabulary, dict):
        raise TokenizerError(f"{path.name} holds {type(vocabulary).__name__}, not an object from piece to id")
    return vocabulary
