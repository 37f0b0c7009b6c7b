"""BPE-dropout in a run: each epoch reads and says the same text in other pieces, the same ones for the same seed."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

import clearhead as ch
from clearhead.config import SpecialTokens
from clearhead.errors import TokenizerError
from clearhead.text.tokenizer import Tokenizer
from clearhead.training.data.store import Examples, Ragged
from clearhead.training.objectives.batch import Batch
from clearhead.training.objectives.translation import Translation
from clearhead.training.tasks.tasks import Language, resegmented
from clearhead.training.vocabulary.vocabulary import VocabularyConfig, train_vocabulary
from training_runs import carry_out, recipe, write_recipe
from training_sentences import SENTENCES

BPE = "vocabulary={kind: bpe, size: 90}"
QUICK = ("training.consistency=0", "training.max_tokens=300", "evaluation={every: 99, scores: []}", "saving.every=99")
CUT = "data.resegment=0.3"
Pair = tuple[list[int], list[int]]  # ids of a source and of its target


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_recipe(tmp_path / "recipe")


def read_in(path: Path, folder: Path, patch: pytest.MonkeyPatch, *overrides: str) -> dict[int, list[Pair]]:
    """What a run learns from in each of its whole epochs, in the order of the data."""
    seen: dict[int, dict[int, Pair]] = {}
    make = Translation.batch

    def watched(self: Translation, rows: np.ndarray, epoch: int) -> Batch:
        batch = make(self, rows, epoch)
        targets = batch.labels.split(torch.bincount(batch.places // batch.width).tolist())
        for i, row in enumerate(rows.tolist()):
            seen.setdefault(epoch, {})[row] = batch.ids[i, : batch.lengths[i]].tolist(), targets[i].tolist()
        return batch

    with patch.context() as here:
        here.setattr(Translation, "batch", watched)
        carry_out(path, folder, BPE, *QUICK, *overrides)
    most = max(map(len, seen.values()))
    return {epoch: [rows[i] for i in sorted(rows)] for epoch, rows in seen.items() if len(rows) == most}


def texts(tokenizer: Tokenizer, pairs: list[Pair]) -> list[tuple[str, str]]:
    return [(tokenizer.decode(source), tokenizer.decode(target)) for source, target in pairs]


def test_a_run_reads_the_same_text_in_other_pieces_in_every_epoch(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = read_in(path, tmp_path / "plain", monkeypatch)
    cut = read_in(path, tmp_path / "cut", monkeypatch, CUT)
    assert len(plain) >= 2
    assert len(cut) >= 2
    assert plain[0] == plain[1]
    assert sum(a != b for a, b in zip(cut[0], cut[1], strict=True)) > len(cut[0]) / 2
    tokenizer = ch.load_tokenizer(tmp_path / "cut" / "model")
    written = sorted((path.parent / "data" / "train.en").read_text(encoding="utf-8").split("\n"))[1:]
    assert sorted(source for source, _ in texts(tokenizer, plain[0])) == written
    for pairs in cut.values():
        assert texts(tokenizer, pairs) == texts(tokenizer, plain[0])
        assert all((s[-1], t[-1]) == (a[-1], b[-1]) for (s, t), (a, b) in zip(pairs, plain[0], strict=True))


def test_the_seed_decides_how_a_run_cuts(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, same, other = (
        read_in(path, tmp_path / name, monkeypatch, CUT, "training.steps=4", seed)
        for name, seed in (("one", "seed=3"), ("same", "seed=3"), ("other", "seed=4"))
    )
    assert one == same
    assert one[0] != other[0]


def test_text_that_the_vocabulary_cannot_spell_is_refused_before_the_run(path: Path, tmp_path: Path) -> None:
    few = "vocabulary={kind: bpe, size: 60, limit_alphabet: 12}"
    with pytest.raises(TokenizerError, match=r"data\.resegment: .* cannot spell; set vocabulary\.byte_fallback"):
        carry_out(path, tmp_path / "run", few, CUT)
    assert not list((tmp_path / "run").glob("checkpoints/*"))
    spelled = "vocabulary={kind: bpe, size: 320, limit_alphabet: 12, byte_fallback: true}"
    assert carry_out(path, tmp_path / "other", spelled, CUT, "training.steps=1")["steps"] == 1


def test_a_vocabulary_without_merges_is_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="BPE-dropout drops merges, and a Unigram vocabulary has none"):
        carry_out(path, tmp_path / "run", "vocabulary={kind: unigram, size: 60}", CUT)


def rows_of(tokenizer: Tokenizer, end: int) -> Examples:
    """Every sentence as its own translation."""
    return {
        "source": Ragged.of([tokenizer.encode(s) for s in SENTENCES]),
        "target": Ragged.of([[*tokenizer.encode(s, add_special_tokens=False), end] for s in SENTENCES]),
    }


def made(path: Path, framing: str, p: float) -> tuple[Tokenizer, Examples, Mapping[str, Ragged]]:
    """The sentences as they are, and in the first epoch."""
    config = VocabularyConfig.model_validate({"size": 400, "framing": framing})
    tokenizer = train_vocabulary(SENTENCES, config)
    ids = {role: tokenizer.token_id(piece) for role, piece in config.roles.items()}
    end = ids["sep"] if framing == "cls_sep" else ids["eos"]
    assert end is not None
    language = Language(tokenizer=tokenizer, special=SpecialTokens(eos=(end,), unknown=ids["unk"]))
    plain = rows_of(tokenizer, end)
    return tokenizer, plain, resegmented(recipe(path, f"data.resegment={p}"), plain, language)(0)


@pytest.mark.parametrize("framing", ["none", "eos", "bos", "bos_eos", "cls_sep"])
def test_what_stands_around_a_text_stays(path: Path, framing: str) -> None:
    tokenizer, plain, cut = made(path, framing, 0.2)
    around = len(tokenizer.encode(""))
    for i, text in enumerate(SENTENCES):
        source, whole = cut["source"][i].tolist(), plain["source"][i].tolist()
        assert tokenizer.decode(source) == text
        assert len([k for k in source if k in tokenizer.special_ids]) == around
        for end in (0, -1):
            assert (source[end] in tokenizer.special_ids) == (whole[end] in tokenizer.special_ids)
            if whole[end] in tokenizer.special_ids:
                assert source[end] == whole[end]
        assert cut["target"][i][-1] == plain["target"][i][-1]


def test_no_row_becomes_longer_than_the_longest_was(path: Path) -> None:
    tokenizer, plain, cut = made(path, "eos", 0.05)
    for side in ("source", "target"):
        assert cut[side].lengths.max() <= plain[side].lengths.max()
        longer = cut[side].lengths > plain[side].lengths
        same = [cut[side][i].tolist() == plain[side][i].tolist() for i in range(len(SENTENCES))]
        assert longer.any()
        assert any(same)
        assert [tokenizer.decode(cut[side][i].tolist()) for i in range(len(SENTENCES))] == SENTENCES
