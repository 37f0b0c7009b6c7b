"""The training rows of translation, cut into other pieces in each epoch.

The texts are those of the rows themselves, said by the vocabulary, so that nothing is read or dropped a second time.
"""

from collections.abc import Iterator, Mapping

from clearhead.errors import TokenizerError
from clearhead.text.tokenizer import Tokenizer
from clearhead.training.data.sampling import Segmentations
from clearhead.training.data.store import Examples, Ragged

SIDES = ("source", "target")
Ends = tuple[int | None, int | None]


class Resegmented:
    """An epoch's rows: a function of seed and epoch. The newest epoch is kept.

    `unknown` is the id of what the vocabulary cannot spell, `ends` the ids that begin and end the rows of each side,
    where any do. A row that would become longer than the longest was stays as it is: batches and models have room for
    that one.

    Raises:
        OptionError: p out of range.
        TokenizerError: a vocabulary of another kind than BPE, or rows that it cannot say again.
    """

    def __init__(
        self,
        rows: Examples,
        tokenizer: Tokenizer,
        *,
        p: float,
        seed: int,
        ends: Mapping[str, Ends],
        unknown: int | None,
    ) -> None:
        self.sides: dict[str, Segmentations] = {}
        for i, side in enumerate(SIDES):
            check(rows[side], unknown)
            texts = said(rows[side], tokenizer)
            first, last = ends[side]
            self.sides[side] = Segmentations(tokenizer, texts, p=p, seed=2 * seed + i, first=first, last=last)
        self.plain = self.rows = rows
        self.newest = -1

    def __call__(self, epoch: int) -> Examples:
        """The rows of an epoch."""
        if epoch != self.newest:
            self.rows = {name: bounded(side.epoch(epoch), self.plain[name]) for name, side in self.sides.items()}
            self.newest = epoch
        return self.rows


def check(rows: Ragged, unknown: int | None) -> None:
    """Refuse rows whose text is lost."""
    if unknown is not None and (rows.flat == unknown).any():
        raise TokenizerError(
            "data.resegment: the training rows have tokens that the vocabulary cannot spell; "
            "set vocabulary.byte_fallback, or learn the vocabulary from all of the text"
        )


def bounded(made: Ragged, plain: Ragged) -> Ragged:
    """Rows of which none is longer than the longest of the plain ones, which stand in for those."""
    longer = made.lengths > plain.lengths.max(initial=0)
    if not longer.any():
        return made
    return Ragged.of((plain if longer[i] else made)[i].tolist() for i in range(len(made)))


def said(rows: Ragged, tokenizer: Tokenizer) -> Iterator[str]:
    """The text of each row."""
    for i in range(len(rows)):
        yield tokenizer.decode(rows[i].tolist())
