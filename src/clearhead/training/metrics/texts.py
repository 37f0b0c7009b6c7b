"""Scores of generated text, each with everything that decides it: without that, two BLEU scores are two numbers.

BLEU is Papineni et al. 2002, as sacreBLEU computes it (Post 2018, 1804.08771); chrF is Popovic 2015. What the Multi30k
literature reports is BLEU on lower-cased text that Moses has normalised and tokenised; it is never to be compared with
sacreBLEU's own, which tokenises by itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from clearhead.errors import MissingDependencyError, OptionError

Lines = Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """A figure, and how it was made."""

    name: str
    value: float
    signature: str  # sacreBLEU's: references, case, tokeniser, smoothing, version
    detail: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For a file of results."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.name} {self.value:.2f} ({'; '.join(filter(None, (self.detail, self.signature)))})"


def bleu(hypotheses: Lines, references: Lines, language: str, *, lowercase: bool = False) -> Score:
    """sacreBLEU's BLEU of plain text."""
    from sacrebleu.metrics.bleu import BLEU

    metric = BLEU(lowercase=lowercase)
    score = metric.corpus_score(list(hypotheses), [list(references)])
    return Score(name="bleu", value=score.score, signature=str(metric.get_signature()), detail="detokenised")


def lower_bleu(hypotheses: Lines, references: Lines, language: str) -> Score:
    """The same of lower-cased text."""
    score = bleu(hypotheses, references, language, lowercase=True)
    return Score(name="lower_bleu", value=score.value, signature=score.signature, detail="detokenised, lower-cased")


def tokenised_bleu(hypotheses: Lines, references: Lines, language: str) -> Score:
    """BLEU of text lower-cased, then normalised and tokenised by Moses' rules for the language."""
    from sacrebleu.metrics.bleu import BLEU

    prepare = moses(language)
    metric = BLEU(tokenize="none", force=True)
    score = metric.corpus_score([prepare(line) for line in hypotheses], [[prepare(line) for line in references]])
    detail = f"lower-cased, Moses-normalised and -tokenised ({language})"
    return Score(name="tokenised_bleu", value=score.score, signature=str(metric.get_signature()), detail=detail)


def moses(language: str) -> Callable[[str], str]:
    """A line lower-cased, normalised and tokenised."""
    try:
        from sacremoses import MosesPunctNormalizer, MosesTokenizer
    except ImportError:
        raise MissingDependencyError(
            "tokenised BLEU needs sacremoses; install it with: pip install 'clearhead[train]'"
        ) from None
    normaliser, tokenizer = MosesPunctNormalizer(lang=language), MosesTokenizer(lang=language)
    return lambda line: tokenizer.tokenize(normaliser.normalize(line.lower()), return_str=True, escape=False)


def chrf(hypotheses: Lines, references: Lines, language: str) -> Score:
    """Character n-grams' F-score."""
    from sacrebleu.metrics.chrf import CHRF

    metric = CHRF()
    score = metric.corpus_score(list(hypotheses), [list(references)])
    return Score(name="chrf", value=score.score, signature=str(metric.get_signature()), detail="detokenised")


SCORES: dict[str, Callable[[Lines, Lines, str], Score]] = {
    "bleu": bleu,
    "lower_bleu": lower_bleu,
    "tokenised_bleu": tokenised_bleu,
    "chrf": chrf,
}


OF_LABELS = ("f1", "accuracy")  # of entities (chunks.py), and of words
OF_TREES = ("f1",)  # of brackets (trees/f1.py)
BY_TASK: dict[str, Sequence[str]] = {"translation": tuple(SCORES), "labels": OF_LABELS, "parsing": OF_TREES}


def check_scores(names: Sequence[str], task: str = "translation") -> None:
    """Refuse a score that a task does not have, before a run and not after it.

    Raises:
        OptionError: its name, and those there are.
    """
    known = BY_TASK.get(task)
    if known is not None and (unknown := [name for name in names if name not in known]):
        raise OptionError(f"there is no score {unknown[0]!r} for task {task}; choose from {', '.join(known)}")
