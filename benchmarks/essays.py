"""Essays held against what is promised of them: no loop, no cut sentence, length within 20 %.

    python benchmarks/essays.py MODEL [--words 300] [--seeds 3]

prints a line for each of five titles and each seed, and how many keep all three.
"""

import argparse
import time

import clearhead as ch
from clearhead.tasks.writing.prose import is_whole
from clearhead.tasks.writing.repetition import repeated

TITLES = (
    "The value of public libraries",
    "Why we sleep",
    "Cities and the car",
    "What a garden teaches",
    "Should homework be abolished?",
)


def main() -> None:
    """Write, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--words", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--show", action="store_true", help="print the essays as well")
    options = parser.parse_args()
    model, kept, many = ch.load(options.model), 0, 0
    for seed in range(options.seeds):
        for title in TITLES:
            begun = time.perf_counter()
            essay = ch.write(title, length=options.words, model=model, seed=seed)
            seconds = time.perf_counter() - begun
            sentences = [each for paragraph in essay.paragraphs for each in paragraph.sentences]
            loops, cut = repeated(sentences), [each for each in sentences if not is_whole(each)]
            good = essay.complete and not loops and not cut
            kept, many = kept + good, many + 1
            print(
                f"{title:32} seed {seed}  {essay.words:4} words  {len(loops)} loops  {len(cut)} cut  "
                f"{essay.refused:3} refused  {seconds:5.1f} s  {'kept' if good else 'NOT KEPT'}",
                flush=True,
            )
            if options.show:
                print("\n".join(essay.outline), essay.text, sep="\n\n")
    print(f"{options.model}: {kept} of {many} essays of {options.words} words keep all three")


if __name__ == "__main__":
    main()
