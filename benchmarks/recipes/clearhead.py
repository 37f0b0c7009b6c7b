"""The models that Clearhead's catalogue knows, where and how the peers find them."""

import json
import shutil
import tempfile
import zipfile
from functools import partial
from pathlib import Path

import clearhead as ch
from benchmarks.recipes.making import main, make
from benchmarks.sentences import CHINESE
from clearhead.checkpoints.catalogue import resolve


def recipe(folder: Path) -> None:
    """SmolLM2 and MiniLM for transformers' readers, OPUS-MT for CTranslate2."""
    smol = "smollm2-135m-instruct"
    make(folder / "smollm2" / "Q4_1.gguf", lambda path: path.symlink_to(resolve(smol).absolute()))
    make(folder / "smollm2" / "hf", lambda path: ch.load(smol, dtype="float32").save(path))
    make(folder / "minilm" / "hf", lambda path: path.symlink_to(resolve("minilm-l6-v2").absolute()))
    opus = folder / "opus-mt"
    make(opus / "model.argosmodel", lambda path: shutil.copy(resolve("opus-mt-zh-en"), path))
    make(opus / "ctranslate2", partial(unpack, opus / "model.argosmodel"))
    make(opus / "sources.json", partial(write_sources, opus / "model.argosmodel"))


def unpack(package: Path, folder: Path) -> None:
    """The part of an Argos package that CTranslate2 reads."""
    with tempfile.TemporaryDirectory(dir=folder.parent.parent) as name, zipfile.ZipFile(package) as archive:
        archive.extractall(name)
        (model,) = Path(name).glob("*/model")
        model.rename(folder)


def write_sources(package: Path, path: Path) -> None:
    """The sentences as pieces, which CTranslate2 takes, and as ids, which Clearhead does."""
    tokenizer = ch.load_tokenizer(package)
    ids = [tokenizer.encode(sentence) for sentence in CHINESE]
    pieces = [[piece for piece in tokenizer.pieces(row) if piece != "</s>"] for row in ids]
    path.write_text(json.dumps({"pieces": pieces, "ids": ids}, ensure_ascii=False))


if __name__ == "__main__":
    main(recipe)
