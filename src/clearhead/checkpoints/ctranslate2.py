"""A model folder of CTranslate2: model.bin, config.json, and vocabularies as lists of pieces.

Format: CTranslate2, `python/ctranslate2/specs/model_spec.py`, `src/models/sequence_to_sequence.cc`. What the files
leave out is taken as CTranslate2's Translator takes it: in particular <unk> may be generated.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from clearhead.checkpoints.checkpoint import Checkpoint
from clearhead.checkpoints.ctranslate2_file import ModelBin, is_model_bin, read_model_bin
from clearhead.checkpoints.parts import Folder, Parts
from clearhead.checkpoints.stored import StoredTensor
from clearhead.config import SpecialTokens
from clearhead.errors import CheckpointError
from clearhead.families import find
from clearhead.families.fields import Fields
from clearhead.text.tokenizer import Tokenizer

OLDEST_REVISION = 3  # of a specification; earlier ones name their variables otherwise
USUAL = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "decoder_start_token": "<s>"}
SHARED, SOURCE, TARGET = "shared_vocabulary", "source_vocabulary", "target_vocabulary"


@dataclass(frozen=True, slots=True)
class Settings:
    """config.json, completed by what CTranslate2 takes for granted."""

    tokens: dict[str, str | None]
    source_bos: bool
    source_eos: bool
    rest: dict[str, Any]


def is_ctranslate2(folder: Path) -> bool:
    """Whether a folder holds a model in CTranslate2's layout."""
    path = folder / "model.bin"
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(300)
    return len(head) >= 16 and is_model_bin(head)


def open_ctranslate2(folder: Path) -> Checkpoint:
    """The checkpoint in a folder, with a tokenizer if sentencepiece.model or source.spm and target.spm lie in it.

    Raises:
        CheckpointError: a part that is missing, damaged or of a version that is not read.
        ConfigError: switches that describe no model Clearhead computes.
    """
    files = Folder(folder)
    pair = ("source.spm", "target.spm")
    names = pair if all(map(files.has, pair)) else ("sentencepiece.model",)
    return read_ctranslate2(files, tuple(partial(files.read, name) for name in names if files.has(name)))


def read_ctranslate2(files: Parts, models: tuple[Callable[[], bytes], ...]) -> Checkpoint:
    """The checkpoint whose parts are `files`, with the SentencePiece `models` of its source and target language."""
    model = read_model_bin(files.map("model.bin"), f"{files.where.name}/model.bin")
    if model.revision < OLDEST_REVISION:
        raise CheckpointError(f"{files.where.name}: model.bin has revision {model.revision}; convert the model again")
    settings, layout = read_settings(files, model), find("ctranslate2", model.spec)
    tensors, zero_start = with_bias(model), bool(model.switches.get("decoder/start_from_zero_embedding"))
    fields = Fields({**model.switches, **settings.rest, "aliases": model.aliases}, files.where.name)
    config = layout.config(fields, tensors)
    vocabulary = read_vocabulary(files, config.vocab_size - zero_start)
    return Checkpoint(
        source=files.where,
        config=config,
        format=layout,
        tensors=tensors,
        special=special_tokens(vocabulary, settings, zero_start, files.where.name),
        tokenizer=partial(tokenizer_of, models, vocabulary, settings, zero_start) if models else None,
    )


def with_bias(model: ModelBin) -> dict[str, StoredTensor]:
    """The tensors, with a bias for the head where the row of the zero start must never be chosen and there is none."""
    tensors = dict(model.tensors)
    weight, bias = tensors.get("decoder/projection/weight"), "decoder/projection/bias"
    if weight is not None and bias not in tensors and model.switches.get("decoder/start_from_zero_embedding"):
        shape = weight.shape[:1]
        tensors[bias] = StoredTensor(bias, shape, "float32", lambda: np.zeros(shape, dtype=np.float32))
    return tensors


def read_settings(files: Parts, model: ModelBin) -> Settings:
    """config.json; models from before there was one (binary version 6) keep the same in switches."""
    if model.binary_version >= 6 or files.has("config.json"):
        values = read_json(files, "config.json")
        if not isinstance(values, dict):
            raise CheckpointError(f"{files.where.name}/config.json holds {type(values).__name__}, not an object")
    else:
        values = older_settings(model)
    fields = Fields(values, f"{files.where.name}/config.json")
    tokens: dict[str, str | None] = {key: fields.text(key, default=usual) for key, usual in USUAL.items()}
    if "decoder_start_token" in values and values["decoder_start_token"] is None:
        tokens["decoder_start_token"] = None
    return Settings(
        tokens=tokens,
        source_bos=fields.flag("add_source_bos", default=False),
        source_eos=fields.flag("add_source_eos", default=False),
        rest={
            key: values[key] for key in ("layer_norm_epsilon", "multi_query_attention") if values.get(key) is not None
        },
    )


def older_settings(model: ModelBin) -> dict[str, Any]:
    """The switches of a model without config.json, under the names they have there."""
    switches = model.switches
    values: dict[str, Any] = {key: switches.get(key, usual) for key, usual in USUAL.items()}
    values |= {f"add_source_{end}": bool(switches.get(f"with_source_{end}", False)) for end in ("bos", "eos")}
    if switches.get("user_decoder_start_tokens"):
        values["decoder_start_token"] = None
    else:
        values["decoder_start_token"] = values["bos_token" if switches.get("with_target_bos", True) else "eos_token"]
    return values


def read_json(files: Parts, part: str) -> Any:
    """One part as JSON."""
    try:
        return json.loads(files.read(part))
    except (ValueError, RecursionError) as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        raise CheckpointError(f"{files.where.name}/{part} is not JSON: {reason}; download it again") from None


def read_vocabulary(files: Parts, size: int) -> list[str]:
    """The pieces both sides share, in the order of their ids."""
    if pieces := read_pieces(files, SHARED):
        found = pieces
    else:
        found, source = read_pieces(files, TARGET), read_pieces(files, SOURCE)
        if found != source:
            raise CheckpointError(
                f"{files.where.name}: source and target vocabulary differ; Clearhead reads models that share one"
            )
    if len(found) != size:
        raise CheckpointError(
            f"{files.where.name}: the vocabulary lists {len(found)} pieces, and the embedding has {size} rows"
        )
    return found


def read_pieces(files: Parts, part: str) -> list[str]:
    """One vocabulary, as a JSON list or one piece a line; empty when there is none."""
    if files.has(f"{part}.json"):
        pieces = read_json(files, f"{part}.json")
        if not isinstance(pieces, list) or not all(isinstance(piece, str) for piece in pieces):
            raise CheckpointError(f"{files.where.name}/{part}.json is not a list of strings; download it again")
        return pieces
    if not files.has(f"{part}.txt"):
        return []
    try:
        lines = files.read(f"{part}.txt").decode("utf-8").split("\n")
    except UnicodeDecodeError:
        raise CheckpointError(f"{files.where.name}/{part}.txt is not UTF-8 text; download it again") from None
    return [line.removesuffix("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]


def special_tokens(vocabulary: list[str], settings: Settings, zero_start: bool, where: str) -> SpecialTokens:
    """Ids by role. A decoder that starts from zero has a row past the vocabulary for that, which is never generated."""
    ids = {piece: i for i, piece in enumerate(vocabulary)}
    of = {role: ids.get(token) for role, token in settings.tokens.items() if token is not None}
    eos = of.get("eos_token")
    if eos is None:
        raise CheckpointError(f"{where}: the vocabulary has no {settings.tokens['eos_token']!r} to end a text with")
    return SpecialTokens(
        bos=of.get("bos_token"),
        eos=(eos,),
        pad=len(vocabulary) if zero_start else None,
        unknown=of.get("unk_token"),
        decoder_start=len(vocabulary) if zero_start else of.get("decoder_start_token"),
        suppressed=(len(vocabulary),) if zero_start else (),
    )


def tokenizer_of(
    models: tuple[Callable[[], bytes], ...], vocabulary: list[str], settings: Settings, zero_start: bool
) -> Tokenizer:
    """SentencePiece models over the vocabulary. Marian's encoder, known by its zero start, always expects the end."""
    from clearhead.text.paired import read_ctranslate2 as read_tokenizer

    return read_tokenizer(
        models[0](),
        vocabulary,
        target_model=models[1]() if len(models) > 1 else None,
        unknown=settings.tokens["unk_token"] or USUAL["unk_token"],
        bos=settings.tokens["bos_token"] if settings.source_bos else None,
        eos=settings.tokens["eos_token"] if settings.source_eos or zero_start else None,
    )
