"""Words as a model with a label for each reads them: cut into pieces, of which the first carries the word's label.

Devlin et al. 2018 (1810.04805), section 5.3. A sentence longer than the window is read in several, cut between words;
an entity across the cut goes on with I-. A word that leaves no piece (it holds nothing but what the vocabulary's
normaliser removes) has no place and no label.
"""

import sys
from collections.abc import Iterator, Sequence

from clearhead.errors import ConfigError
from clearhead.text.framing import frame, space_belongs_to_words
from clearhead.text.tokenizer import Tokenizer
from clearhead.training.objectives.labels import NOWHERE

Window = tuple[list[int], list[int]]  # ids of a row, and for each the number of the word that begins there, or NOWHERE


class Cutter:
    """Cuts sentences that are lists of words. What a word spells is text, even where it spells a special token.

    Raises:
        ConfigError: a window with no room inside its frame.
    """

    def __init__(self, tokenizer: Tokenizer, window: int | None = None) -> None:
        self.tokenizer = tokenizer
        self.first, self.last = frame(tokenizer)
        self.room = sys.maxsize if window is None else window - len(self.first) - len(self.last)
        if self.room < 1:
            raise ConfigError(f"windows of {window} tokens have no room for words; raise data.max_length")
        self.spaced = space_belongs_to_words(tokenizer)
        self.known: dict[str, list[int]] = {}

    def windows(self, words: Sequence[str]) -> Iterator[Window]:
        """A sentence as rows to read, each framed as the model was trained; none where no word leaves a piece."""
        ids: list[int] = []
        at: list[int] = []
        for number, word in enumerate(words):
            pieces = self.pieces(" " * (self.spaced and number > 0) + word)
            if len(ids) + len(pieces) > self.room:
                yield self.framed(ids, at)
                ids, at = [], []
            ids = ids + pieces
            at = at + [number, *[NOWHERE] * (len(pieces) - 1)][: len(pieces)]
        if ids:
            yield self.framed(ids, at)

    def pieces(self, text: str) -> list[int]:
        """Ids of a word, as many of them as a window holds."""
        if text not in self.known:
            ids = self.tokenizer.encode(text, add_special_tokens=False, parse_special=False)
            self.known[text] = ids[: self.room]
        return self.known[text]

    def framed(self, ids: list[int], at: list[int]) -> Window:
        """A row with what stands around a text."""
        around = [NOWHERE] * len(self.first), [NOWHERE] * len(self.last)
        return [*self.first, *ids, *self.last], [*around[0], *at, *around[1]]
