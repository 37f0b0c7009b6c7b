"""ROUGE of a summary against a reference (Lin 2004, W04-1013), as Google's `rouge-score` computes it.

ROUGE-1 and -2 count the words and pairs of words that both have; ROUGE-L is the longest common subsequence of words of
the whole texts (not `rougeLsum`, which goes line by line). Each is F1, between 0 and 1; words are in small letters and
cut to their Porter stems.
"""

from collections.abc import Mapping, Sequence
from importlib.metadata import version

from clearhead.errors import MissingDependencyError, OptionError

KINDS = ("rouge1", "rouge2", "rougeL")


def rouge(hypotheses: Sequence[str], references: Sequence[str], *, stem: bool = True) -> list[Mapping[str, float]]:
    """F1 of each kind, for each pair.

    Raises:
        MissingDependencyError: rouge-score is not installed.
        OptionError: two numbers of texts.
    """
    if len(hypotheses) != len(references):
        raise OptionError(f"{len(hypotheses)} summaries are compared with {len(references)} references")
    check()
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(list(KINDS), use_stemmer=stem)
    scored = (scorer.score(expected, got) for got, expected in zip(hypotheses, references, strict=True))
    return [{kind: float(each[kind].fmeasure) for kind in KINDS} for each in scored]


def signature(*, stem: bool = True) -> str:
    """All that two figures must share to be compared."""
    check()
    return f"F1|L:whole text|stem:{'porter' if stem else 'no'}|tokens:[a-z0-9]+|rouge-score:{version('rouge-score')}"


def check() -> None:
    """Refuse to begin without the package; errors as `rouge`."""
    try:
        import rouge_score  # noqa: F401
    except ImportError:
        raise MissingDependencyError("ROUGE needs the rouge-score package: pip install 'clearhead[evaluate]'") from None
