"""Translations and their speed beside CTranslate2's, which is given the same weights, sentences and search.

    python benchmarks/translation.py everyday-en-de SENTENCES.en --references SENTENCES.de --to de --dtype int8
    python benchmarks/translation.py opus-mt-zh-en SENTENCES.zh --dtype float32

Lines are cut into sentences by our rules, and both get the same sentences, 4 beams, length penalty 1, and as many
sentences at a time. CTranslate2 stops once as many hypotheses as beams have ended; ours goes on while a better one may
come. Its patience (Kasai et al. 2022, 2204.05424) of 2 comes to the same; --patience 1 is its default. They take turns,
so that a machine with other work slows both. Without references the translations of the one are scored against those of
the other.
"""

import argparse
import json
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ctranslate2

from clearhead.checkpoints.catalogue import resolve
from clearhead.engine.loading import load
from clearhead.engine.model import Model
from clearhead.processor import processor_name
from clearhead.tasks.evaluate.metrics.bootstrap import draws
from clearhead.tasks.evaluate.metrics.translation import bleu, chrf, counted, metrics
from clearhead.tasks.translate import open_translator
from clearhead.text.sentences import sentences

TURN, TOGETHER, BEAMS, LONGEST = 256, 64, 4, 256
Say = Callable[[Sequence[str]], list[str]]


def main() -> None:
    """Run with the arguments of this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("text", type=Path)
    parser.add_argument("--references", type=Path)
    parser.add_argument("--to")
    parser.add_argument("--dtype", default="int8")
    parser.add_argument("--patience", type=float, default=2.0)
    parser.add_argument("--limit", type=int)
    given = parser.parse_args()
    lines = given.text.read_text(encoding="utf-8").splitlines()[: given.limit]
    with tempfile.TemporaryDirectory() as place:
        ours, theirs = sayers(given, Path(place))
        report(ours, theirs, lines, given)


def sayers(given: argparse.Namespace, place: Path) -> tuple[Say, Say]:
    """Clearhead and CTranslate2, each as sentences in, translations out."""
    model = load(given.model, executor="native", dtype=given.dtype)
    translator = open_translator(given.to, model=model)
    return (lambda some: [each.text for each in translator.lines(some)]), peer(model, given, place)


def peer(model: Model, given: argparse.Namespace, place: Path) -> Say:
    """CTranslate2 with a model's weights: of a package as they are packed, of a folder by its own converter."""
    path = resolve(given.model, offline=True)
    if path.suffix == ".argosmodel":
        with zipfile.ZipFile(path) as archive:
            archive.extractall(place)
        folder = next(place.iterdir()) / "model"
        pieces = json.loads((folder / "shared_vocabulary.json").read_text(encoding="utf-8"))
    else:
        folder, pieces = converted(model, place), [f"t{i}" for i in range(model.config.vocab_size)]
    native = ctranslate2.Translator(str(folder), compute_type=given.dtype, intra_threads=1, inter_threads=1)
    end = set(model.special.eos)
    never = None if path.suffix == ".argosmodel" else [[pieces[model.special.decoder_start or 0]]]

    def say(some: Sequence[str]) -> list[str]:
        ids = [model.tokenizer.encode(text.strip(), parse_special=False) for text in some]
        sources = [[pieces[i] for i in row if path.suffix != ".argosmodel" or i not in end] for row in ids]
        done = native.translate_batch(
            sources,
            beam_size=BEAMS,
            length_penalty=1,
            patience=given.patience,
            max_batch_size=TOGETHER,
            max_decoding_length=LONGEST,
            suppress_sequences=never,
        )
        known = {piece: i for i, piece in enumerate(pieces)}
        return [model.tokenizer.decode([known[p] for p in each.hypotheses[0] if p in known]).strip() for each in done]

    return say


def converted(model: Model, place: Path) -> Path:
    """A folder that CTranslate2 reads, by its converter for Marian."""
    import transformers
    from ctranslate2.converters.transformers import MarianMTLoader

    model.save(place / "folder")

    class Loader(MarianMTLoader):  # type: ignore[misc]
        """Keeps the first piece, which starts ours; of Marian's own models it drops the last."""

        def _remove_pad_weights(self, spec: Any) -> None:
            spec.decoder.start_from_zero_embedding = False

    spec: Any = Loader().get_model_spec(transformers.MarianMTModel.from_pretrained(place / "folder"))
    start = model.special.decoder_start
    spec.config.decoder_start_token, spec.config.eos_token = f"t{start}", f"t{model.special.eos[0]}"
    spec.config.add_source_eos = False
    names = [f"t{i}" for i in range(model.config.vocab_size)]
    spec.register_source_vocabulary(names)
    spec.register_target_vocabulary(names)
    spec.validate()
    spec.optimize(quantization=None)
    (place / "peer").mkdir()
    spec.save(str(place / "peer"))
    return place / "peer"


def report(ours: Say, theirs: Say, lines: Sequence[str], given: argparse.Namespace) -> None:
    """Turns, then figures."""
    apart = [[part.strip() for part in sentences(line) if part.strip()] for line in lines]
    flat = [part for parts in apart for part in parts]
    said: dict[str, list[str]] = {"clearhead": [], "ctranslate2": []}
    seconds = {"clearhead": 0.0, "ctranslate2": 0.0}
    ways = {"clearhead": ours, "ctranslate2": theirs}
    for way in ways.values():
        way(flat[:8])
    for number, first in enumerate(range(0, len(flat), TURN)):
        for name in sorted(ways, reverse=bool(number % 2)):
            begun = time.perf_counter(), time.process_time()
            said[name] += ways[name](flat[first : first + TURN])
            seconds[name] += time.process_time() - begun[1]
    joined = {name: together(apart, texts) for name, texts in said.items()}
    same = sum(map(str.__eq__, said["clearhead"], said["ctranslate2"]))
    print(f"{given.model} {given.dtype}; {given.text.name}: {len(lines)} lines, {len(flat)} sentences")
    print(f"{processor_name()}; ctranslate2 {ctranslate2.__version__}, patience {given.patience:g}")
    print(f"same translation: {same} of {len(flat)} sentences ({100 * same / len(flat):.1f} %)")
    for name in ways:
        print(f"{name}: {len(flat) / seconds[name]:.1f} sentences a second of the processor")
    print(f"clearhead at {seconds['ctranslate2'] / seconds['clearhead']:.2f} times ctranslate2's speed")
    if given.references is None:
        print(f"BLEU of one against the other: {bleu(joined['clearhead'], joined['ctranslate2']).value:.2f}")
        return
    references = given.references.read_text(encoding="utf-8").splitlines()[: len(lines)]
    for name, texts in joined.items():
        of_words, of_letters = bleu(texts, references, given.to or ""), chrf(texts, references)
        print(f"{name}: BLEU {of_words.value:.2f} ({of_words.low:.2f} to {of_words.high:.2f}), ", end="")
        print(f"chrF {of_letters.value:.2f}; {of_words.how}")
    one, other = (counted(metrics().BLEU(), joined[name], references) for name in ways)
    gaps = sorted(one.score(rows) - other.score(rows) for rows in draws(len(lines)))
    print(f"BLEU, clearhead less ctranslate2: {one.score() - other.score():+.2f} ({gaps[25]:+.2f} to {gaps[974]:+.2f})")


def together(apart: Sequence[Sequence[str]], said: Sequence[str]) -> list[str]:
    """Sentences as the lines they are of."""
    following = iter(said)
    return [" ".join(next(following) for _ in parts) for parts in apart]


if __name__ == "__main__":
    main()
