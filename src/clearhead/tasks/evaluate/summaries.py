"""Summaries measured: ROUGE over pairs of a text and its summary, beside the first sentences of the text.

For news the first sentence is a hard baseline to beat (Nenkova 2005), which is why it stands beside every figure.
"""

from collections.abc import Sequence

from clearhead.errors import DataError, OptionError
from clearhead.tasks.choice import instruction_model
from clearhead.tasks.evaluate.asked import Asked
from clearhead.tasks.evaluate.metrics.rouge import KINDS, check, rouge, signature
from clearhead.tasks.evaluate.pairs import read_pairs
from clearhead.tasks.evaluate.report import Evaluation, Figure, Item, mean_figure
from clearhead.tasks.summarize.passages import passages
from clearhead.tasks.summarize.summarize import open_summarizer
from clearhead.tasks.summarize.summarizer import check_text
from clearhead.tasks.summarize.wish import conversation

LENGTH = "short"  # one sentence: so are the references of XSum, and most of DialogSum's


def evaluate(asked: Asked) -> Evaluation:
    """ROUGE-1, -2 and -L of what people would get by `clearhead summarize --length short`.

    The figures of the first sentence of each text (`lead1`) and of its first three (`lead3`) stand beside it.

    Raises:
        DataError: data in no known form.
        OptionError, UnknownModelError, UnsupportedError: as `clearhead.summarize`.
        MissingDependencyError: rouge-score is not installed.
    """
    check()
    every = read_pairs(asked.data, references=asked.references, fields=asked.fields)
    pairs = every.first(asked.limit)
    for number, text in enumerate(pairs.inputs, start=1):
        try:
            check_text(text)
        except OptionError as error:
            raise DataError(f"{asked.data}, example {number}: {error}") from None
    model = instruction_model(asked.model, asked.machine)
    summarizer = open_summarizer(length=LENGTH, model=model, links="none")
    made = list(asked.watched(summarizer.many(pairs.inputs), len(pairs.inputs)))
    said = [each.text for each in made]
    scores = rouge(said, pairs.expected)
    return Evaluation(
        task="summarize",
        model=model.name,
        executor=model.executor.name,
        dtype=model.executor.dtype,
        figures=[*figures("", said, pairs.expected, asked.seed), *baselines(pairs.inputs, pairs.expected, asked.seed)],
        items=[
            Item(input=text, expected=expected, got=got, scores=score)
            for text, expected, got, score in zip(pairs.inputs, pairs.expected, said, scores, strict=True)
        ],
        files=pairs.files,
        counted="text",
        there=len(every.inputs),
        settings={
            "length": LENGTH,
            "decoding": "greedy",
            "prompt": conversation("TEXT", summarizer.wish, system=summarizer.system),
            "parts": sum(len(each.parts) for each in made),
            "words": sum(each.words for each in made) / max(1, len(made)),
        },
        by="rougeL",
    )


def baselines(texts: Sequence[str], references: Sequence[str], seed: int) -> list[Figure]:
    """The figures of the first sentence, and of the first three."""
    return [
        figure for n in (1, 3) for figure in figures(f"lead{n} ", [lead(text, n) for text in texts], references, seed)
    ]


def lead(text: str, n: int) -> str:
    """The first n sentences of a text."""
    return " ".join(passage.of(text) for passage in passages(text)[:n])


def figures(before: str, said: Sequence[str], references: Sequence[str], seed: int) -> list[Figure]:
    """The means with their intervals."""
    scores, how = rouge(said, references), signature()
    return [
        mean_figure(before + kind, [score[kind] for score in scores], unit="%", how=how, scale=100.0, seed=seed)
        for kind in KINDS
    ]
