"""Rows in which only some places count: a label for each word, or an answer after its question.

Token classification (Devlin et al. 2018, section 5.3) scores the first piece of every word; instruction tuning scores
what the assistant says, and not what it was asked.

B rows, T ids of a row.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from clearhead.training.data.batches import Integers, by_tokens
from clearhead.training.data.store import Examples
from clearhead.training.objectives.batch import Batch, padded, places

NOWHERE = -1  # the label of a place that does not count
Answer = tuple[list[int], list[int]]  # ids to read, and for each what should follow it, or NOWHERE


@dataclass(frozen=True, kw_only=True, slots=True)
class Labels:
    """Rows with "ids" and, for each of them, "labels": what should be there, or NOWHERE."""

    train: Examples
    valid: Examples
    pad: int
    max_tokens: int
    seed: int

    def plan(self, epoch: int) -> list[Integers]:
        """Rows of about one length together."""
        lengths = self.train["ids"].lengths[:, None]
        return by_tokens(lengths, self.max_tokens, seed=self.seed, epoch=epoch)

    def batch(self, rows: Integers, epoch: int) -> Batch:
        """These rows."""
        return self.make(self.train, rows)

    def held_out(self) -> list[Batch]:
        """All of the others."""
        lengths = self.valid["ids"].lengths[:, None]
        return [self.make(self.valid, rows) for rows in by_tokens(lengths, self.max_tokens, seed=0, epoch=0)]

    def make(self, examples: Examples, rows: Integers) -> Batch:
        """These rows of some examples."""
        ids = [examples["ids"][i] for i in rows.tolist()]
        labels = padded([examples["labels"][i] for i in rows.tolist()], NOWHERE)
        scored = labels != NOWHERE
        return Batch(
            ids=padded(ids, self.pad), lengths=[len(row) for row in ids], places=places(scored), labels=labels[scored]
        )


def answered(asked: Sequence[int], whole: Sequence[int], ends: Sequence[int]) -> Answer:
    """A conversation as a row that scores its answer: from where the `whole` is no longer what was `asked`, which the
    model reads when it is to answer, to the last id that `ends` an answer, which it learns to say and to stop after.

    What a template writes after that is left out; one that writes no end gets the first of `ends`, where there are any.
    """
    start = next((i for i, (a, b) in enumerate(zip(asked, whole, strict=False)) if a != b), min(len(asked), len(whole)))
    last = max((i for i in range(start, len(whole)) if whole[i] in ends), default=None)
    ids = [*whole, *ends[:1]] if last is None else list(whole[: last + 1])
    return ids[:-1], [NOWHERE if i < start else ids[i] for i in range(1, len(ids))]
