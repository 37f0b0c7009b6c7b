"""The training rows of translation, cut into other pieces in each epoch.

The texts are those of the rows themselves, said by the vocabulary, so that nothing is read or dropped a second time.
"""

from collections.abc import Iterator, Mapping

from clearhead.errors import TokenizerError
from clearhead.text.tokenizer import Tokenizer
from clearhead.training.data.sampling import Segmentations
from clearhead.training.data.store import Examples, Ragged

SIDES = ("source", "target")


class Resegmented:
    """An epoch's rows: a function of seed and epoch. The newest epoch is kept.

    `unknown` is the id of what the vocabulary cannot spell, `ends` the id that ends the rows of each side, where one
    does.

    Raises:
        OptionError: p out of range.
        TokenizerError: a vocabulary of another kind than BPE, or rows that it cannot say again.
    """

    def __init__(
        self, rows: Examples, tokenizer: Tokenizer, *, p: float, seed: int, ends: Mapping[str, int], unknown: int | None
    ) -> None:
        self.sides: dict[str, Segmentations] = {}
        for i, side in enumerate(SIDES):
            check(rows[side], unknown)
            texts = said(rows[side], tokenizer)
            self.sides[side] = Segmentations(tokenizer, texts, p=p, seed=2 * seed + i, last=ends.get(side))
        self.newest, self.rows = -1, rows

    def __call__(self, epoch: int) -> Examples:
        """The rows of an epoch."""
        if epoch != self.newest:
            self.newest, self.rows = epoch, {name: side.epoch(epoch) for name, side in self.sides.items()}
        return self.rows


def check(rows: Ragged, unknown: int | None) -> None:
    """Refuse rows whose text is lost."""
    if unknown is not None and (rows.flat == unknown).any():
        raise TokenizerError(
            "data.resegment: the training rows have tokens that the vocabulary cannot spell; "
            "set vocabulary.byte_fallback, or learn the vocabulary from all of the text"
        )


def said(rows: Ragged, tokenizer: Tokenizer) -> Iterator[str]:
    """The text of each row."""
    for i in range(len(rows)):
        yield tokenizer.decode(rows[i].tolist())
