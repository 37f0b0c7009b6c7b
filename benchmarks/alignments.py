"""How often a word that stands in a text and in its translation alike, a name or a number, is aligned with itself.

python benchmarks/alignments.py MODEL FILE [--to de] [--limit 2000]    prints words, and the share aligned with themselves
"""

import argparse
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from clearhead.tasks.lines import search
from clearhead.tasks.translate import open_translator
from clearhead.tasks.translation.records import Translation
from clearhead.text.words import words_of


def names(words: Iterable[str]) -> set[str]:
    """The names and numbers that occur once."""
    every = list(words)
    return {word for word in every if every.count(word) == 1 and (word[0].isdigit() or word[:1].isupper())}


def counted(line: Translation) -> tuple[int, int]:
    """How many words occur once on either side, and how many of them come from themselves."""
    aligned = line.alignment or ()
    same = names(word.text for word in aligned) & names(word.text for word in words_of(line.source))
    same = {word for word in same if len(word) > 2 or word.isdigit()}
    right = sum(word.text in same and bool(word.sources) and word.sources[0].text == word.text for word in aligned)
    return len(same), right


def main() -> None:
    """Translate, align, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("file", type=Path)
    parser.add_argument("--to")
    parser.add_argument("--limit", type=int, default=2000)
    asked = parser.parse_args()
    translator = open_translator(asked.to, model=asked.model)
    lines = islice(asked.file.read_text(encoding="utf-8").splitlines(), asked.limit)
    found = [counted(line) for line in translator.lines(lines, search(1, aligned=True))]
    words, right = (sum(column) for column in zip(*found, strict=True))
    print(f"{translator.model.name}: {words} words, {right / max(1, words):.1%} aligned with themselves")


if __name__ == "__main__":
    main()
