"""Rows in which only some places count: a label for each word, or an answer after its question.

Token classification (Devlin et al. 2018, section 5.3) scores the first piece of every word; instruction tuning scores
what the assistant says, and not what it was asked.

B rows, T ids of a row.
"""

from dataclasses import dataclass


from clearhead.training.data.batches import Integers, by_tokens
from clearhead.training.data.store import Examples
from clearhead.training.objectives.batch import Batch, padded

NOWHERE = -1  # the label of a place that does not count


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
            ids=padded(ids, self.pad), lengths=[len(row) for row in ids], scored=scored, labels=labels[scored]
        )


def shifted(ids: list[int], said: list[bool]) -> tuple[list[int], list[int]]:
    """A row to read, and for each place the id that follows where it is `said`: a causal model's labels."""
    return ids[:-1], [i if wanted else NOWHERE for i, wanted in zip(ids[1:], said[1:], strict=True)]


