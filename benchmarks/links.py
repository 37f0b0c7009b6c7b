"""How well it is told what rests on a text: summaries held against their own text, and against another one.

    python benchmarks/links.py DATA.jsonl [--limit 200]

prints, for each least score, how many reference sentences find a passage in their own text (they should) and in the
text of the row before (they should not), by meaning and by words; then how many of the latter are told as well by their
numbers and names.
"""

import argparse
from pathlib import Path

import numpy as np

from clearhead.tasks.embed import embed, open_encoder
from clearhead.tasks.evaluate.pairs import read_pairs
from clearhead.tasks.summarize.links import MEANING, WORDS, linked, shared
from clearhead.tasks.summarize.passages import passages
from clearhead.text.sentences import sentences


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--limit", type=int, default=200)
    options = parser.parse_args()
    pairs, encoder = read_pairs(options.data).first(options.limit), open_encoder()
    texts = [[passage.of(text) for passage in passages(text)] for text in pairs.inputs]
    units = [[sentence.strip() for sentence in sentences(summary)] for summary in pairs.expected]
    best: dict[str, list[float]] = {f"{way} {whose}": [] for way in ("meaning", "words") for whose in ("own", "other")}
    for i, said in enumerate(units):
        for whose, text in (("own", texts[i]), ("other", texts[i - 1])):
            vectors = embed([*said, *text], model=encoder)
            best[f"meaning {whose}"].extend((vectors[: len(said)] @ vectors[len(said) :].T).max(axis=1).tolist())
            best[f"words {whose}"].extend(shared(said, text).max(axis=1).tolist())
    print(f"{options.data.name} · {len(units)} texts · {len(best['words own'])} sentences · {encoder.name}")
    print("least   meaning: own other   words: own other")
    for least in np.arange(0.25, 0.75, 0.05):
        shares = [100 * float(np.mean(np.array(values) >= least)) for values in best.values()]
        print(f"{least:.2f}        {shares[0]:5.1f} {shares[1]:5.1f}        {shares[2]:5.1f} {shares[3]:5.1f}")
    for name, by in ((f"meaning {MEANING}", encoder), (f"words {WORDS}", None)):
        for whose, step in (("own", 0), ("other", 1)):
            made = [
                sentence
                for i, said in enumerate(units)
                for sentence in linked(said, pairs.inputs[i - step], passages(pairs.inputs[i - step]), by)
            ]
            told = 100 * float(np.mean([not sentence.supported for sentence in made]))
            print(f"{name}, {whose} text: {told:.1f} % of sentences are marked")


if __name__ == "__main__":
    main()
