"""A question and a passage read side by side, by a small BERT that was trained to say whether one answers the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from clearhead.checkpoints.catalogue import list_models
from clearhead.engine.machine import ANY, Machine
from clearhead.engine.model import Model
from clearhead.errors import UnsupportedError

RERANKER = "reranker-l4"


class Scorer(Protocol):
    """Whatever can say how well passages answer a question."""

    def scores(self, question: str, passages: Sequence[str]) -> list[float]:
        """For each passage the logarithm of the odds that it answers; more is better."""


@dataclass(frozen=True, slots=True)
class CrossEncoder:
    """A sequence classifier of two labels, the second of which is yes (Nogueira and Cho 2019, 1901.04085).

    A passage is read as far as the window reaches; one of usual size fits as a whole.
    """

    model: Model

    def scores(self, question: str, passages: Sequence[str]) -> list[float]:
        """See `Scorer`."""
        model, tokenizer = self.model, self.model.tokenizer
        limit = model.config.max_positions
        texts = [f"Query: {question}\nSentence: {passage}" for passage in passages]
        rows = [tokenizer.encode(text, parse_special=False) for text in texts]
        kept = [row if len(row) <= limit else [*row[: limit - 1], row[-1]] for row in rows]
        return [float(row[-1, 1] - row[-1, 0]) for row in model.executor.head(model.executor.encode(kept))]


def open_scorer(name: str | Path | None = None, machine: Machine = ANY) -> CrossEncoder | None:
    """The cross-encoder that is named, else that of the catalogue if it is on this machine; "none" is none.

    Raises:
        UnsupportedError: a model that does not put texts in two classes.
        UnknownModelError, DownloadError, CheckpointError: as `clearhead.load`.
    """
    if name == "none" or (name is None and not is_here()):
        return None
    model = machine.load(RERANKER if name is None else name)
    if model.config.head != "sequence_labels" or len(model.config.labels) != 2:
        raise UnsupportedError(f"{model.name} does not say whether a passage answers a question, as {RERANKER} does")
    return CrossEncoder(model)


def is_here() -> bool:
    """Whether the catalogue's cross-encoder was pulled."""
    return any(status.name == RERANKER and status.path is not None for status in list_models())
