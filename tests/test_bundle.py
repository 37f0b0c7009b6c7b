"""A finished run becomes a bundled translator: small, with its card, measured, whole or not at all."""

import json
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import clearhead as ch
from clearhead.checkpoints.catalogue.hashing import sha256_of
from clearhead.checkpoints.catalogue.progress import Silent
from clearhead.checkpoints.export import export
from clearhead.checkpoints.opening import open_checkpoint
from clearhead.errors import CheckpointError, OptionError
from clearhead.tasks import bundle as bundling
from clearhead.tasks import translators
from clearhead.tasks.bundle import bundle
from clearhead.training.data import store
from clearhead.training.recipe.recipe import read_recipe, source_of
from overfitted import PAIRS

BLEU = "detokenised; nrefs:1"
SCORES = {
    "dev": {"nll": 1.5},
    "held-out": {"sentences": 5, "bleu": 99.5, "bleu_counted": BLEU, "translations": list(PAIRS.values())},
}


def recipe(folder: str) -> dict[str, Any]:
    """The least that a recipe says."""
    files = {"kind": "parallel", "source": f"/data/{folder}/all.en", "target": f"/data/{folder}/all.de"}
    return {
        "name": "tiny",
        "about": "Five sentences.",
        "task": "translation",
        "data": {"train": {"sources": [files, {**files, "name": "again"}]}, "split": {"dev": 2}},
        "vocabulary": {"kind": "bpe", "size": 150},
        "model": {"architecture": "transformer", "d_model": 32, "d_ff": 64, "n_heads": 4, "n_layers": 1},
        "training": {"steps": 1, "lr": 1.0},
    }


@pytest.fixture
def run(translator: Path, tmp_path: Path) -> Path:
    """The folder of a run, as training leaves it."""
    folder = tmp_path / "run"
    shutil.copytree(translator, folder / "model")
    tokenizer = ch.load_tokenizer(translator)
    rows = [{"source": tokenizer.encode(a), "target": [*tokenizer.encode_target(b), 1]} for a, b in PAIRS.items()]
    store.write(folder / "data" / "dev", rows, {})
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe("tatoeba-en-de")))
    (folder / "results.json").write_text(json.dumps({"scores": SCORES}))
    counts = {"/data/tatoeba-en-de/all.en + /data/tatoeba-en-de/all.de": {"kept": 5}, "again": {"kept": 2}}
    (folder / "report.json").write_text(json.dumps({"sources": counts}))
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where translators lie, empty."""
    folder = tmp_path / "translators"
    folder.mkdir()
    monkeypatch.setattr(translators, "HERE", folder)
    return folder


def test_a_run_becomes_a_translator(run: Path, here: Path) -> None:
    card = bundle(run, "en-de", into=here)
    assert translators.pairs() == [("en", "de")] and [path.name for path in here.iterdir()] == ["en-de"]
    assert ch.translate("\n".join(PAIRS), "de") == "\n".join(PAIRS.values())
    assert ch.load(here / "en-de").executor.dtype == "int8"
    read = translators.read_card(here / "en-de")
    assert (read.pair, read.licence, read.parameters) == (("en", "de"), "Apache-2.0", card["parameters"])
    assert read.parameters == sum(array.size for _, array in ch.load(run / "model").checkpoint.weights())
    [data] = read.data
    assert (data["rows"], data["licence"]) == (7, "CC-BY 2.0") and "tatoeba.org" in data["source"]


def test_a_head_of_its_own_comes_along_and_no_table_twice(run: Path, here: Path) -> None:
    tied = open_checkpoint(run / "model")
    weights = dict(tied.weights())
    weights["head.projection.weight"] = weights["embed.tokens.weight"]
    config, tokenizer = replace(tied.config, tied=False), ch.load_tokenizer(run / "model")
    shutil.rmtree(run / "model")
    export(run / "model", config, weights.items(), special=tied.special, tokenizer=tokenizer)
    card = bundle(run, "en-de", into=here)
    made = open_checkpoint(here / "en-de")
    assert not made.config.tied and card["parameters"] == sum(array.size for array in weights.values())
    stored = [name for name, tensor in made.tensors.items() if tensor.shape == (config.vocab_size, config.d_model)]
    assert sorted(stored) == ["lm_head.weight", "model.shared.weight"]
    assert ch.translate("\n".join(PAIRS), "de") == "\n".join(PAIRS.values())
    assert card["scores"]["quantisation"]["unchanged"] == 1.0


@pytest.mark.parametrize("name", ["everyday-en-de", "everyday-en-fr"])
def test_all_that_the_bundled_recipes_learn_from_is_known(name: str, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(source_of(name))
    sources = [
        source for data in (read_recipe(name).data.train, read_recipe(name).data.extra) for source in data.sources
    ]
    (tmp_path / "report.json").write_text(json.dumps({"sources": {s.title: {"kept": 9} for s in sources}}))
    data = bundling.learnt_from(tmp_path)
    assert [(each["licence"], each["rows"]) for each in data] == [("CC-BY 2.0", 9), ("none stated; for research", 9)]
    assert all(each["name"] and each["source"] for each in data)


def test_the_card_says_what_int8_cost(run: Path, here: Path) -> None:
    bundle(run, "en-de", into=here, sentences=4)
    scores = translators.read_card(here / "en-de").scores
    assert scores["dev"] == SCORES["dev"]
    assert scores["held-out"] == {"sentences": 5, "bleu": 99.5, "bleu_counted": BLEU}
    lost = scores["quantisation"]
    assert (lost["set"], lost["sentences"], lost["unchanged"]) == ("dev", 4, 1.0)
    for form in ("float32", "int8"):
        assert lost[form]["bleu"] == lost[form]["chrf"] == 100.0
        assert "version" in lost[form]["bleu_counted"]


def test_its_vocabulary_takes_no_more_room_than_it_must(run: Path, here: Path) -> None:
    bundle(run, "en-de", into=here)
    before, after = ((folder / "tokenizer.json").read_text() for folder in (run / "model", here / "en-de"))
    assert json.loads(before) == json.loads(after) and len(after) < len(before)
    assert (here / "en-de" / "model.safetensors").stat().st_size < 0.5 * (
        run / "model" / "model.safetensors"
    ).stat().st_size


def test_it_needs_no_torch(run: Path, here: Path) -> None:
    bundle(run, "en-de", into=here)
    code = (
        "import sys, pathlib; sys.modules['torch'] = None\n"
        "from clearhead.tasks import translators\n"
        "translators.HERE = pathlib.Path(sys.argv[1])\n"
        "import clearhead as ch\n"
        "print(ch.translate('He sleeps.', 'de'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, here], capture_output=True, text=True, check=True)
    assert done.stdout == "Er schläft.\n"


def test_a_second_one_takes_the_place_of_the_first(run: Path, here: Path) -> None:
    bundle(run, "en-de", into=here)
    (here / "en-de" / "old").touch()
    bundle(run, "en-de", into=here, licence="CC-BY 4.0")
    assert not (here / "en-de" / "old").exists() and [path.name for path in here.iterdir()] == ["en-de"]
    assert translators.read_card(here / "en-de").licence == "CC-BY 4.0"


def test_one_that_is_too_large_changes_nothing(run: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle(run, "en-de", into=here)
    before = (here / "en-de" / translators.CARD).read_text()
    monkeypatch.setattr(bundling, "LARGEST", 40_000)
    with pytest.raises(CheckpointError, match=r"takes [\d,]+ bytes, more than 40,000 \(model\.safetensors [\d,]+"):
        bundle(run, "en-de", into=here, licence="another")
    assert [path.name for path in here.iterdir()] == ["en-de"]
    assert (here / "en-de" / translators.CARD).read_text() == before


def test_what_is_no_translation_run_is_refused(run: Path, here: Path, folders: dict[str, Path]) -> None:
    with pytest.raises(OptionError, match="pair is 'german'"):
        bundle(run, "german", into=here)
    (run / "model" / "translator.json").write_text('{"pair": ["en", "fr"]}')
    with pytest.raises(OptionError, match=r"pair is 'en-de', but .* translates en to fr"):
        bundle(run, "en-de", into=here)
    (run / "model" / "translator.json").unlink()
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe("somewhere")))
    with pytest.raises(OptionError, match=r"nothing is known of /data/somewhere/all\.en"):
        bundle(run, "en-de", into=here)
    shutil.rmtree(run / "model")
    with pytest.raises(OptionError, match=r"has no model/config\.json; give the folder of a finished run"):
        bundle(run, "en-de", into=here)
    shutil.copytree(folders["gpt2_folder"], run / "model")
    with pytest.raises(OptionError, match="does not translate"):
        bundle(run, "en-de", into=here)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("card", ["", "{}", '{"pair": ["en"]}', '{"pair": 3, "licence": "", "data": []}'])
def test_a_damaged_card_is_one_clear_error(card: str, run: Path, here: Path) -> None:
    bundle(run, "en-de", into=here)
    (here / "en-de" / translators.CARD).write_text(card)
    with pytest.raises(CheckpointError, match=r"en-de/translator\.json") as caught:
        ch.translate("He sleeps.", "de")
    assert "\n" not in str(caught.value)


def test_it_is_one_command(run: Path, here: Path) -> None:
    command = [sys.executable, "-m", "clearhead.tasks.bundle", run, "--pair", "en-de", "--into", here]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["pair"] == ["en", "de"] and translators.pairs() == [("en", "de")]
    pinned = tomllib.loads(done.stderr.partition(":\n")[2])["model"]["file"]
    assert {file["path"]: (file["size"], file["sha256"]) for file in pinned} == {
        path.name: (path.stat().st_size, sha256_of(path, Silent())) for path in (here / "en-de").iterdir()
    }
    wrong = subprocess.run([*command[:3], here, *command[4:]], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2 and wrong.stderr.startswith("bundle: error: ") and wrong.stderr.count("\n") == 1
