"""Translation measured: BLEU and chrF of a translator over pairs of sentences."""

from collections.abc import Sequence

from clearhead.engine.model import Model
from clearhead.tasks.evaluate.asked import Asked
from clearhead.tasks.evaluate.metrics.translation import bleu, chrf, metrics, sentence_chrf
from clearhead.tasks.evaluate.pairs import Pairs, read_pairs
from clearhead.tasks.evaluate.report import Evaluation, Item
from clearhead.tasks.lines import Search
from clearhead.tasks.translate import open_translator


def evaluate(asked: Asked) -> Evaluation:
    """BLEU and chrF of what people would get by `clearhead translate`, line by line.

    Raises:
        DataError: data in no known form.
        OptionError, UnknownModelError, UnsupportedError: as `clearhead.translate`.
        MissingDependencyError: sacreBLEU is not installed.
    """
    every = read_pairs(asked.data, references=asked.references, fields=asked.fields, from_=asked.from_, to=asked.to)
    metrics()  # a package that is missing is told before a model is loaded
    pairs, how = every.first(asked.limit), Search()
    translator = open_translator(
        asked.to,
        from_=asked.from_,
        model=asked.model if asked.model is None or isinstance(asked.model, Model) else asked.loaded(""),
        machine=asked.machine,
    )
    made = translator.lines(pairs.inputs, how)
    said = [each.text for each in asked.watched(made, len(pairs.inputs))]
    return Evaluation(
        task="translate",
        model=translator.model.name,
        executor=translator.model.executor.name,
        dtype=translator.model.executor.dtype,
        figures=[
            bleu(said, pairs.expected, translator.to, asked.seed),
            chrf(said, pairs.expected, asked.seed),
        ],
        items=items(pairs, said),
        files=pairs.files,
        counted="line",
        there=len(every.inputs),
        settings={
            "from": translator.from_,
            "to": translator.to,
            "beams": how.beams,
            "length_penalty": how.length_penalty,
        },
    )


def items(pairs: Pairs, said: Sequence[str]) -> list[Item]:
    """Each line by its own chrF."""
    scores = sentence_chrf(said, pairs.expected)
    return [
        Item(input=source, expected=expected, got=got, scores={"chrf": score})
        for source, expected, got, score in zip(pairs.inputs, pairs.expected, said, scores, strict=True)
    ]
