"""A text in as few pieces of a vocabulary as will spell it, for a language whose own SentencePiece model is missing.

Packages for Argos Translate bring the source language's model alone. It knows half of the vocabulary, and cuts English
by Chinese statistics: *Teachers* into four pieces where the model itself always writes one. The fewest pieces, and
among as few the most uneven, are what a unigram model (Kudo 2018, 1804.10959) nearly always prefers: of 50 translations
by OPUS-MT zh-en they are the pieces that the model wrote in 46, those of the source's model in none
(`pytest tests/test_real_opus_mt.py -k cut_as -s`).
"""

from collections.abc import Collection
from typing import Any

LONGEST = 64  # characters of a piece that is looked for
UNKNOWN = 1_000_000  # what a character costs that no piece spells


class FewestPieces:
    """Cuts texts as a SentencePiece processor does; `normaliser` is one, for what it makes of characters and blanks."""

    def __init__(self, normaliser: Any, vocabulary: Collection[str]) -> None:
        self.normaliser, self.vocabulary = normaliser, vocabulary

    def encode(self, text: str, out_type: type = str) -> list[str]:
        """The pieces of a text, words marked by `▁`; a character that no piece spells is a piece of its own."""
        spelled = self.normaliser.normalize(text)
        best = [(0, 0, 0)]  # at each place: pieces to there, minus the squares of their lengths, where the last begins
        for end in range(1, len(spelled) + 1):
            best.append(min(self.ways(spelled, best, end)))
        cuts, place = [], len(spelled)
        while place:
            cuts.append(spelled[best[place][2] : place])
            place = best[place][2]
        return cuts[::-1]

    def ways(self, spelled: str, best: list[tuple[int, int, int]], end: int) -> list[tuple[int, int, int]]:
        """Every last piece that ends at a place, with what the text to there costs."""
        found = [(best[end - 1][0] + UNKNOWN, best[end - 1][1], end - 1)]
        for start in range(max(0, end - LONGEST), end):
            if spelled[start:end] in self.vocabulary:
                pieces, evenness, _ = best[start]
                found.append((pieces + 1, evenness - (end - start) ** 2, start))
        return found
