"""Folders whose vocabulary is one SentencePiece model or two: LLaMA's, T5's and Marian's."""

from pathlib import Path
from typing import Any

from clearhead.errors import TokenizerError
from clearhead.text.paired import read_json_vocabulary, read_marian
from clearhead.text.settings import Settings
from clearhead.text.spm import Frame, SentencePieceTokenizer, load_processor, model_bytes
from clearhead.text.tokenizer import Tokenizer

T5_CLASSES = ("T5Tokenizer", "MT5Tokenizer")
LLAMA_CLASSES = ("LlamaTokenizer", "CodeLlamaTokenizer")


def sentencepiece(folder: Path, settings: Settings) -> Tokenizer:
    """A lone SentencePiece model: T5's or LLaMA's, by the class the folder names, else by the file's name."""
    kind = settings.tokenizer_class
    if kind in T5_CLASSES or (not kind and (folder / "spiece.model").is_file()):
        return t5(folder, settings)
    if kind in (*LLAMA_CLASSES, "") and (folder / "tokenizer.model").is_file():
        return llama(folder, settings)
    raise TokenizerError(
        f"a SentencePiece model of class {kind!r} is not read; save the folder with its tokenizer.json"
    )


def llama(folder: Path, settings: Settings) -> Tokenizer:
    """LLaMA's SentencePiece model, framed by its beginning-of-sequence token unless the folder says otherwise."""
    model = model_bytes(folder / "tokenizer.model")
    processor = load_processor(model)
    special, literal = added_to_model(processor, settings)
    roles = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", **settings.roles}
    found = {t: i for t in roles.values() if (i := position(processor, t)) is not None}
    special = found | special
    framing = Frame(
        bos=special.get(roles["bos_token"]) if settings.switch("add_bos_token") is not False else None,
        eos=special.get(roles["eos_token"]) if settings.switch("add_eos_token") else None,
        special=special,
        literal=literal,
        prefix="every" if settings.switch("legacy") else "start",
    )
    names = {"tokenizer_class": "LlamaTokenizer", "legacy": bool(settings.switch("legacy")), **roles}
    return SentencePieceTokenizer(model, framing, names=names)


def t5(folder: Path, settings: Settings) -> Tokenizer:
    """T5's SentencePiece model (Raffel et al. 2019, 1910.10683); its hundred blanks follow, counted down."""
    name = "spiece.model" if (folder / "spiece.model").is_file() else "tokenizer.model"
    model = model_bytes(folder / name)
    processor = load_processor(model)
    size, count = processor.get_piece_size(), settings.config.get("extra_ids", 100)
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= 10_000:
        raise TokenizerError(f"tokenizer_config.json: extra_ids is {str(count)[:40]!r}; it must be 0 to 10000")
    blanks = {f"<extra_id_{n}>": size + count - 1 - n for n in range(count)}
    special, literal = added_to_model(processor, settings)
    special = blanks | special | {t: i for t in ("<pad>", "</s>", "<unk>") if (i := position(processor, t)) is not None}
    framing = Frame(eos=special.get("</s>"), special=special, literal=literal, prefix="every")
    names = {"tokenizer_class": "T5Tokenizer", "vocab_file": "spiece.model", "extra_ids": count, **settings.roles}
    return SentencePieceTokenizer(model, framing, names=names)


def marian(folder: Path, settings: Settings) -> Tokenizer:
    """Two SentencePiece models and one vocabulary of ids."""
    if settings.switch("separate_vocabs"):
        raise TokenizerError(
            f"{folder.name} has two vocabularies (separate_vocabs); Clearhead reads Marian's shared ones"
        )
    vocabulary = read_json_vocabulary(folder / "vocab.json")
    return read_marian(folder / "source.spm", folder / "target.spm", vocabulary)


def added_to_model(processor: Any, settings: Settings) -> tuple[dict[str, int], dict[str, int]]:
    """Special and literal tokens added to a SentencePiece model, by spelling; their ids lie in or after the model's."""
    special: dict[str, int] = {}
    literal: dict[str, int] = {}
    for token in settings.added:
        i = position(processor, token.content) if token.id is None else token.id
        if i is not None:
            (special if token.special else literal)[token.content] = i
    return special, literal


def position(processor: Any, piece: str) -> int | None:
    """The id of a piece in a SentencePiece model, or None."""
    found: int = processor.piece_to_id(piece)
    return found if processor.id_to_piece(found) == piece else None
