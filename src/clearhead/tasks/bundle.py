"""A finished training run made into a bundled translator: python -m clearhead.tasks.bundle RUN --pair en-de

The model is quantised to int8, what that costs is measured on the run's own held-out sentences, and a card is written
that names pair, licence, data, size and scores. The folder appears in `tasks/translators/` whole, in place of an
earlier one, or not at all. The catalogue pins its files, so what is printed last belongs in catalogue.toml.
"""

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from clearhead.checkpoints.catalogue.hashing import sha256_of
from clearhead.checkpoints.catalogue.progress import Silent
from clearhead.checkpoints.companions import CARD, pair_of
from clearhead.checkpoints.export import export, write_json
from clearhead.checkpoints.folder import read_json
from clearhead.checkpoints.opening import open_checkpoint
from clearhead.engine.loading import load
from clearhead.engine.model import Model
from clearhead.errors import CheckpointError, ClearheadError, OptionError
from clearhead.families.layout import count, layout
from clearhead.tasks.lines import BEAMS, Search, Translator
from clearhead.tasks.translators import HERE
from clearhead.text.tokenizer import Tokenizer

LARGEST = 10_000_000  # bytes of a folder
SENTENCES = 1000  # that the loss is measured on
LICENCE = "Apache-2.0"
NEEDED = ("model/config.json", "recipe.yaml", "report.json", "results.json", "data/dev/about.json")
PAIR = re.compile(r"[a-z]{2,3}-[a-z]{2,3}")
COUNTED = ("bleu", "chrf")
WHOLE = ("translations", "predictions")  # of a test: what was said, sentence by sentence

# What is known of the sets that recipes name, by the folder in which they expect them.
KNOWN: dict[str, dict[str, str]] = {
    "tatoeba-en-de": {
        "name": "Tatoeba, English and German",
        "source": "sentences by the contributors of tatoeba.org, as chosen for the test sets of OPUS-MT",
        "licence": "CC-BY 2.0",
    },
    "tatoeba-en-fr": {
        "name": "Tatoeba, English and French",
        "source": "sentences by the contributors of tatoeba.org, as collected by manythings.org/anki",
        "licence": "CC-BY 2.0",
    },
    "wikiann": {
        "name": "WikiANN, English",
        "source": "sentences of Wikipedia, annotated by Pan et al. 2017; split by Rahimi et al. 2019",
        "licence": "none stated; Wikipedia's text is CC-BY-SA 3.0",
    },
    "wnut17": {
        "name": "WNUT-17, emerging entities",
        "source": "github.com/leondz/emerging_entities_17 (Derczynski et al. 2017)",
        "licence": "CC-BY 4.0",
    },
    "multi30k": {
        "name": "Multi30k",
        "source": "github.com/multi30k/dataset (Elliott et al. 2016, 2017)",
        "licence": "none stated; for research",
    },
}


def bundle(
    run: Path, pair: str, *, into: Path = HERE, licence: str = LICENCE, sentences: int = SENTENCES
) -> dict[str, Any]:
    """Make the translator of a pair such as "en-de" from the folder of a run; its card.

    Raises:
        OptionError: no such pair, no finished run of a translation recipe, or data whose licence is not known.
        CheckpointError: the folder would take more than LARGEST bytes.
    """
    if not PAIR.fullmatch(pair):
        raise OptionError(f"pair is {pair!r}; give two codes of languages, such as en-de")
    if absent := [name for name in NEEDED if not (run / name).is_file()]:
        raise OptionError(f"{run} has no {absent[0]}; give the folder of a finished run of a translation recipe")
    checkpoint = open_checkpoint(run / "model")
    if checkpoint.tokenizer is None or checkpoint.config.kind != "encoder-decoder":
        raise OptionError(f"{run / 'model'} does not translate; give a run with an encoder, a decoder and a vocabulary")
    stated = pair_of(checkpoint)
    if stated is not None and "-".join(stated) != pair:
        raise OptionError(f"pair is {pair!r}, but {run / 'model'} translates {stated[0]} to {stated[1]}")
    data = learnt_from(run)
    with tempfile.TemporaryDirectory(prefix=f".{pair}-", dir=into) as place:
        made, tokenizer = Path(place) / pair, checkpoint.tokenizer()
        export(
            made, checkpoint.config, checkpoint.weights(), dtype="int8", special=checkpoint.special, tokenizer=tokenizer
        )
        compact(made / "tokenizer.json")
        card = {
            "pair": pair.split("-"),
            "licence": licence,
            "data": data,
            "parameters": count(layout(checkpoint.config)),
            "scores": {**results(run), "quantisation": cost(run, made, tokenizer, pair, sentences)},
        }
        write_json(made / CARD, card)
        check_size(made)
        swap(made, into / pair, Path(place) / "earlier")
    return card


def swap(made: Path, there: Path, aside: Path) -> None:
    """Move a folder to its place; what was there before goes aside, and comes back if that fails."""
    if not there.exists():
        made.rename(there)
        return
    there.rename(aside)
    try:
        made.rename(there)
    except OSError:
        aside.rename(there)
        raise


def learnt_from(run: Path) -> list[dict[str, Any]]:
    """Name, source, licence and rows of each set that a run learnt from; a row in capitals is one more.

    Raises:
        OptionError: one of which nothing is known here.
    """
    from clearhead.training.recipe.recipe import read_recipe

    recipe, counts = read_recipe(run), read_json(run / "report.json")["sources"]
    rows: dict[str, int] = {}
    counted = set[str]()  # a file that is several sources, as in other cases, is counted as one
    for data in (recipe.data.train, recipe.data.extra):
        for source in () if data is None else data.sources:
            folder = next((part for part in re.split(r"[/\\]", source.where) if part in KNOWN), None)
            if folder is None:
                raise OptionError(
                    f"nothing is known of {source.where}; name the set, its source and its licence in KNOWN, {__file__}"
                )
            if source.title not in counted:
                counted.add(source.title)
                rows[folder] = rows.get(folder, 0) + counts[source.title]["kept"]
    return [{**KNOWN[folder], "rows": n} for folder, n in rows.items()]


def results(run: Path) -> dict[str, Any]:
    """What the run scored, without what was said."""
    scores = read_json(run / "results.json")["scores"]
    return {test: {key: v for key, v in found.items() if key not in WHOLE} for test, found in scores.items()}


def cost(run: Path, made: Path, tokenizer: Tokenizer, pair: str, sentences: int) -> dict[str, Any]:
    """Scores before and after quantising, on held-out sentences of the run, and how many translations stay the same."""
    from clearhead.training.data import store

    dev, target = store.read(run / "data" / "dev"), pair.partition("-")[2]
    rows = range(min(sentences, len(dev["source"])))
    texts, references = ([tokenizer.decode(dev[side][i].tolist()) for i in rows] for side in ("source", "target"))
    found: dict[str, Any] = {"set": "dev", "sentences": len(texts), "beams": BEAMS}
    said = {}
    for name, folder, dtype in (("float32", run / "model", "float32"), ("int8", made, "auto")):
        said[name] = translations(load(folder, executor="native", dtype=dtype), target, texts)
        found[name] = scored(said[name], references, target)
    found["unchanged"] = round(sum(map(str.__eq__, said["float32"], said["int8"])) / max(1, len(texts)), 4)
    return found


def translations(model: Model, target: str, texts: Sequence[str]) -> list[str]:
    """What a model makes of texts, as its users get it."""
    return [each.text for each in Translator(model=model, from_=None, to=target).lines(texts, Search())]


def scored(said: Sequence[str], references: Sequence[str], target: str) -> dict[str, Any]:
    """BLEU and chrF, where what counts them is installed."""
    if find_spec("sacrebleu") is None:
        return {}
    from clearhead.training.metrics.texts import SCORES

    made: dict[str, Any] = {}
    for name in COUNTED:
        score = SCORES[name](said, references, target)
        made |= {name: round(score.value, 2), f"{name}_counted": f"{score.detail}; {score.signature}"}
    return made


def compact(path: Path) -> None:
    """JSON without a space that is not needed."""
    value = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")


def check_size(folder: Path) -> None:
    """Refuse a folder that is too large to be bundled."""
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    if (total := sum(sizes.values())) > LARGEST:
        parts = ", ".join(f"{name} {size:,}" for name, size in sorted(sizes.items(), key=lambda item: -item[1])[:2])
        raise CheckpointError(
            f"{folder.name} takes {total:,} bytes, more than {LARGEST:,} ({parts}); train a smaller one"
        )


def pinned(folder: Path) -> str:
    """The files of a translator as catalogue.toml has them."""
    tables = (
        f'[[model.file]]\npath = "{path.name}"\nsize = {path.stat().st_size:_}\n'
        f'sha256 = "{sha256_of(path, Silent())}"\n'
        for path in sorted(folder.iterdir())
    )
    return "\n".join(tables)


def main() -> None:
    """Run with the arguments of this process."""
    parser = argparse.ArgumentParser(prog="python -m clearhead.tasks.bundle", description=bundle.__doc__)
    parser.add_argument("run", type=Path, help="the folder of a finished run")
    parser.add_argument("--pair", required=True, help="the languages, such as en-de")
    parser.add_argument("--into", type=Path, default=HERE, help="where translators lie")
    parser.add_argument("--licence", default=LICENCE, help=f"of the weights; {LICENCE} unless given")
    parser.add_argument("--sentences", type=int, default=SENTENCES, help="held-out sentences that are measured")
    given = parser.parse_args()
    try:
        card = bundle(given.run, given.pair, into=given.into, licence=given.licence, sentences=given.sentences)
    except ClearheadError as error:
        sys.stderr.write(f"bundle: error: {error}\n")
        sys.exit(error.exit_status)
    print(json.dumps(card, indent=2, ensure_ascii=False))
    sys.stderr.write(f"\nfor everyday-{given.pair} in catalogue.toml:\n\n{pinned(given.into / given.pair)}")


if __name__ == "__main__":
    main()
