"""How often a word that stands in a text and in its translation alike, a name or a number, is aligned with itself.

    python benchmarks/alignments.py MODEL FILE [--to de] [--limit 2400]

translates lines drawn from the file, greedily, and prints how many such words there are and the share that is right.
"""

import argparse
import random
import re
from pathlib import Path

from clearhead.tasks.lines import search
from clearhead.tasks.translate import open_translator
from clearhead.tasks.translation.records import Translation

WORD = re.compile(r"\d+|[A-Za-z\u00c0-\u024f]+")


def names(text: str) -> set[str]:
    """The names and numbers that occur once in a text."""
    words = WORD.findall(text)
    return {w for w in words if words.count(w) == 1 and (w.isdigit() or (w[0].isupper() and len(w) > 2))}


def counted(line: Translation) -> tuple[int, int]:
    """How many words occur once on either side, and how many of them come from themselves."""
    best = {word.text: word.sources[0].text for word in line.alignment or () if word.sources}
    same = names(line.source) & names(line.text)
    return len(same), sum(best.get(word) == word for word in same)


def main() -> None:
    """Translate, align, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("file", type=Path)
    parser.add_argument("--to")
    parser.add_argument("--limit", type=int, default=2400)
    asked = parser.parse_args()
    translator = open_translator(asked.to, model=asked.model)
    lines = asked.file.read_text(encoding="utf-8").splitlines()
    drawn = random.Random(3).sample(lines, min(asked.limit, len(lines)))
    found = [counted(line) for line in translator.lines(drawn, search(1, aligned=True))]
    words, right = (sum(column) for column in zip(*found, strict=True))
    print(f"{translator.model.name}: {words} words, {right / max(1, words):.1%} aligned with themselves")


if __name__ == "__main__":
    main()
