"""BLEU and chrF of a corpus, each with its interval and, for every sentence, its own score.

BLEU is Papineni et al. 2002, chrF is Popovic 2015, both as sacreBLEU computes them (Post 2018, 1804.08771), by its
counts of each sentence: the score of a draw of sentences is made from the sum of their counts (Koehn 2004, W04-3250),
which is what the score of the whole corpus is as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearhead.errors import MissingDependencyError
from clearhead.tasks.evaluate.metrics.bootstrap import interval_of
from clearhead.tasks.evaluate.report import Figure

Lines = Sequence[str]
OWN_TOKENS = {"zh": "zh", "ja": "char", "th": "char"}  # languages without spaces; the signature says which was used


@dataclass(frozen=True, slots=True)
class Counted:
    """A corpus as a metric counts it: a row of counts for each sentence [R, counts]."""

    metric: Any  # sacreBLEU's BLEU or CHRF
    counts: NDArray[np.int64]

    def score(self, rows: NDArray[np.int64] | None = None) -> float:
        """Of the whole corpus, or of these rows of it."""
        some = self.counts if rows is None else self.counts[rows]
        return float(self.metric._compute_score_from_stats(some.sum(axis=0).tolist()).score)


def bleu(hypotheses: Lines, references: Lines, language: str = "", seed: int = 0) -> Figure:
    """sacreBLEU's BLEU of plain text, with its interval of 95 %.

    Raises:
        MissingDependencyError: sacreBLEU is not installed.
        OptionError: no sentence.
    """
    metric = metrics().BLEU(tokenize=OWN_TOKENS.get(language))
    return figure("bleu", counted(metric, hypotheses, references), seed)


def chrf(hypotheses: Lines, references: Lines, seed: int = 0) -> Figure:
    """chrF of plain text, with its interval of 95 %; errors as `bleu`."""
    return figure("chrf", counted(metrics().CHRF(), hypotheses, references), seed)


def sentence_chrf(hypotheses: Lines, references: Lines) -> list[float]:
    """chrF of each sentence: it ranks single sentences, which BLEU was not made for."""
    both = counted(metrics().CHRF(), hypotheses, references)
    return [both.score(np.array([i])) for i in range(len(both.counts))]


def counted(metric: Any, hypotheses: Lines, references: Lines) -> Counted:
    """What a metric counts, sentence by sentence."""
    rows = metric._extract_corpus_statistics(list(hypotheses), [list(references)])
    return Counted(metric, np.array(rows, np.int64))


def figure(name: str, both: Counted, seed: int) -> Figure:
    """A corpus score and its interval."""
    low, high = interval_of(both.score, len(both.counts), seed=seed)
    return Figure(name=name, value=both.score(), low=low, high=high, how=str(both.metric.get_signature()))


def metrics() -> Any:
    """sacreBLEU's metrics.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import sacrebleu.metrics as found
    except ImportError:
        raise MissingDependencyError(
            "BLEU and chrF need sacreBLEU; install it with: pip install 'clearhead[evaluate]'"
        ) from None
    return found
