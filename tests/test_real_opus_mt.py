"""OPUS-MT Chinese to English, the Transformer of 2017 in an Argos Translate package: CTranslate2's own translations.

The package stores weights as 8-bit integers. CTranslate2 with `float32` computes with their exact values, as Clearhead
does: tokens are equal and scores agree. Its default also rounds every activation to 8 bits. Such rounding forgets:
what differs by 1e-7 beforehand differs by a whole step wherever it fell on a boundary, and after a few layers of that
the noise is a new one. On these 50 sentences CTranslate2 4.8 in int8 gives 42 to 46 of its own translations again when
only its batch size or its instruction set changes, with scores up to 0.12 apart; no other program can do better. So the
comparison there is of what the rounding leaves alone: how likely a given translation is.
"""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import clearhead as ch
from clearhead.config import GenerationConfig
from clearhead.engine.model import Model
from clearhead.generation.generate import generate
from clearhead.generation.prompts import encode_sources
from clearhead.generation.records import Generation
from clearhead.generation.score import score_continuations
from real_sentences import CHINESE

pytestmark = pytest.mark.weights
torch.set_num_threads(1)
LONGEST = 96  # new tokens; the longest translation has some 60


@pytest.fixture(scope="module")
def package(data: Path) -> Path:
    return data / "opus-mt-zh-en.argosmodel"


@pytest.fixture(scope="module", params=["torch", "native"])
def ours(package: Path, request: pytest.FixtureRequest) -> Model:
    return ch.load(package, executor=request.param, dtype="float32")


@pytest.fixture(scope="module")
def unpacked(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("opus-mt")
    with zipfile.ZipFile(package) as archive:
        archive.extractall(folder)
    return next(folder.iterdir())


@pytest.fixture(scope="module")
def pieces(unpacked: Path) -> list[list[str]]:
    """The sentences as Argos Translate gives them to CTranslate2."""
    import sentencepiece

    model = sentencepiece.SentencePieceProcessor(model_file=str(unpacked / "sentencepiece.model"))
    return [model.encode(sentence, out_type=str) for sentence in CHINESE]


@pytest.fixture(scope="module")
def ids(unpacked: Path) -> dict[str, int]:
    vocabulary = json.loads((unpacked / "model" / "shared_vocabulary.json").read_text(encoding="utf-8"))
    return {piece: i for i, piece in enumerate(vocabulary)}


def translate(folder: Path, pieces: list[list[str]], compute_type: str, beams: int) -> list[Any]:
    """CTranslate2's results."""
    import ctranslate2

    translator = ctranslate2.Translator(str(folder / "model"), compute_type=compute_type, intra_threads=1)
    return translator.translate_batch(pieces, beam_size=beams, max_decoding_length=LONGEST, return_scores=True)


def best(ours: Model, config: GenerationConfig) -> list[Generation]:
    """Clearhead's best translation of each sentence."""
    sources = [ours.tokenizer.encode(sentence) for sentence in CHINESE]
    prompts, memory = encode_sources(ours.executor, sources, ours.special)
    return [first for first, *_ in generate(ours.executor, prompts, config, ours.special, memory=memory)]


def test_ids_equal_those_of_sentencepiece(ours: Model, pieces: list[list[str]], ids: dict[str, int]) -> None:
    for sentence, parts in zip(CHINESE, pieces, strict=True):
        wanted = [ids.get(piece, ids["<unk>"]) for piece in parts] + [ids["</s>"]]
        assert ours.tokenizer.encode(sentence) == wanted


@pytest.mark.parametrize("beams", [1, 2, 4])  # 2 is CTranslate2's default, 4 that of Argos Translate
def test_translations_equal_those_of_ctranslate2(
    ours: Model, unpacked: Path, pieces: list[list[str]], ids: dict[str, int], beams: int
) -> None:
    """With early_stopping, as CTranslate2 searches with patience 1: until `beams` hypotheses are finished."""
    assert len(set(CHINESE)) == 50
    config = GenerationConfig(beams=beams, early_stopping=True, logprobs=0, max_new_tokens=LONGEST)
    theirs = translate(unpacked, pieces, "float32", beams)
    for sentence, mine, wanted in zip(CHINESE, best(ours, config), theirs, strict=True):
        assert list(mine.text_tokens) == [ids[piece] for piece in wanted.hypotheses[0]], sentence
        score = mean(mine.logprobs) if mine.score is None else mine.score  # greedy has one hypothesis and no score
        assert score == pytest.approx(wanted.scores[0], rel=1e-4, abs=2e-5), sentence


@pytest.mark.parametrize("beams", [1, 2])
def test_scores_of_rounded_translations_are_those_without_the_rounding(
    ours: Model, unpacked: Path, pieces: list[list[str]], ids: dict[str, int], beams: int
) -> None:
    """What CTranslate2 translates in int8 is as likely here as to CTranslate2 in float32, within 1e-4 each; so its int8
    is no further from us than from itself. Half of the sentences lie within 2e-2 of its rounded scores."""
    import ctranslate2

    theirs = translate(unpacked, pieces, "default", beams)
    hypotheses = [wanted.hypotheses[0] for wanted in theirs]
    exact = ctranslate2.Translator(str(unpacked / "model"), compute_type="float32", intra_threads=1)
    unrounded = [mean(tuple(score.log_probs)) for score in exact.score_batch(pieces, hypotheses)]
    sources = [ours.tokenizer.encode(sentence) for sentence in CHINESE]
    prompts, memory = encode_sources(ours.executor, sources, ours.special)
    said = [[[*(ids[piece] for piece in hypothesis), ids["</s>"]]] for hypothesis in hypotheses]
    scored = [mean(mine) for [mine] in score_continuations(ours.executor, prompts, said, memory=memory)]
    assert scored == pytest.approx(unrounded, rel=1e-4, abs=2e-5)
    assert np.median(np.abs(np.array(scored) - [wanted.scores[0] for wanted in theirs])) < 2e-2


def test_what_the_model_wrote_is_cut_as_the_model_wrote_it(ours: Model) -> None:
    """The package has no model of English; the fewest pieces of the vocabulary are nearly always those of the model."""
    written = [first.text_tokens for first in best(ours, GenerationConfig(max_new_tokens=LONGEST))]
    plain = [[i for i in tokens if i not in ours.tokenizer.special_ids] for tokens in written]
    again = [ours.tokenizer.encode_target(ours.tokenizer.decode(ids)) for ids in plain]
    same = sum(ids == cut for ids, cut in zip(plain, again, strict=True))
    print(f"{same} of {len(plain)} translations are cut into the pieces that the model wrote")
    assert same >= 45


def test_a_translation_reads_as_english(ours: Model) -> None:
    assert ours.complete("我喜欢喝茶。", max_new_tokens=32).new_text == "I like tea."
    waited = ours.complete(CHINESE[8], beams=4, max_new_tokens=32).new_text
    assert waited == "We waited an hour at the foot of the hill before the rain stopped."


def mean(logprobs: tuple[float, ...] | None) -> float:
    """CTranslate2's score at length_penalty 1: the end counts as a token."""
    assert logprobs is not None
    return sum(logprobs) / len(logprobs)
