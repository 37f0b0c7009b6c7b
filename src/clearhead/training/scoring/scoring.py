"""What a trained model scores on a recipe's tests, by task."""

import math
from collections.abc import Callable
from typing import Any

from clearhead.model.transformer import Transformer
from clearhead.training.data.records import Record
from clearhead.training.metrics.chunks import COUNTED, ChunkScore, Counts, chunk_score
from clearhead.training.metrics.texts import SCORES
from clearhead.training.metrics.trees import readable, tree_scores
from clearhead.training.models.learners import executor_of
from clearhead.training.recipe.recipe import Recipe
from clearhead.training.runs.prepare import Prepared, Say
from clearhead.training.scoring.decoding import translate
from clearhead.training.scoring.labelling import label_words
from clearhead.training.tasks.parsing import parse
from clearhead.training.tasks.tasks import labelled
from clearhead.training.tasks.treebanks import tree_in
from clearhead.training.tasks.words import Cutter
from clearhead.training.trainer import Trainer
from clearhead.trees.brackets import bracketed

Found = dict[str, Any]


def score(recipe: Recipe, trainer: Trainer, prepared: Prepared, tests: dict[str, list[Record]], say: Say) -> Found:
    """Every test's scores by its name."""
    found: Found = {}
    unasked = recipe.task == "translation" and not recipe.evaluation.scores
    scorer = None if unasked else BY_TASK.get(recipe.task)
    for name, records in tests.items() if scorer is not None else ():
        assert scorer is not None
        found[name] = scorer(recipe, trainer, prepared, records)
        say(f"{name}: " + ", ".join(f"{key} {value}" for key, value in found[name].items() if isinstance(value, float)))
    return found


def likelihood(trainer: Trainer) -> Found:
    """Loss and perplexity per scored token of the held-out data of the run itself; all ranks take part."""
    nll = trainer.evaluate()
    return {"nll": round(nll, 5), "perplexity": round(math.exp(min(nll, 700)), 4)}


def translations(recipe: Recipe, trainer: Trainer, prepared: Prepared, records: list[Record]) -> Found:
    """Scores of what the model makes of a test's sources."""
    e, language = recipe.evaluation, prepared.language
    sources, references = ([str(record[side]) for record in records] for side in ("source", "target"))
    said = translate(
        executor_of(trainer.model),
        language.tokenizer,
        language.special,
        sources,
        beams=e.beams,
        length_penalty=e.length_penalty,
        extra=e.extra,
    )
    made: Found = {"sentences": len(said), "beams": e.beams, "length_penalty": e.length_penalty}
    for name in e.scores:
        result = SCORES[name](said, references, recipe.target_language)
        made[name] = round(result.value, 2)
        made[f"{name}_counted"] = "; ".join(filter(None, (result.detail, result.signature)))
    made["translations"] = said
    return made


def labels(recipe: Recipe, trainer: Trainer, prepared: Prepared, records: list[Record]) -> Found:
    """Scores of the labels that the model gives a test's words, and the labels themselves."""
    language, model = prepared.language, trainer.model
    assert isinstance(model, Transformer)
    words, gold = (list(side) for side in zip(*(labelled(record) for record in records), strict=True))
    cutter = Cutter(language.tokenizer, language.window)
    given = label_words(model, cutter, language.labels, words, pad=language.pad, max_tokens=recipe.training.max_tokens)
    made: Found = {"sentences": len(words), "words": sum(map(len, words))}
    if "accuracy" in recipe.evaluation.scores:
        right = sum(a == b for sides in zip(gold, given, strict=True) for a, b in zip(*sides, strict=True))
        made["accuracy"] = round(100 * right / made["words"], 2)
    if "f1" in recipe.evaluation.scores:
        made |= entities(chunk_score(gold, given))
    rows = ((" ".join(line) for line in sides) for sides in zip(words, gold, given, strict=True))
    made["predictions"] = [dict(zip(("words", "labels", "predicted"), row, strict=True)) for row in rows]
    return made


def entities(score: ChunkScore) -> Found:
    """F1, precision and recall of all entities, and of each type."""

    def figures(counts: Counts) -> Found:
        named = {"f1": counts.f1, "precision": counts.precision, "recall": counts.recall}
        return {name: round(value, 2) for name, value in named.items()} | {"entities": counts.gold}

    by_type = {kind: figures(counts) for kind, counts in sorted(score.by_type.items())}
    return figures(score.all) | {"f1_counted": COUNTED, "by_type": by_type}


def trees(recipe: Recipe, trainer: Trainer, prepared: Prepared, records: list[Record]) -> Found:
    """Scores of the trees that the model gives a test's sentences, and the trees themselves."""
    e, language = recipe.evaluation, prepared.language
    gold, known = list(map(tree_in, records)), language.trees
    words = [tree.words for tree in gold]
    found = parse(
        executor_of(trainer.model),
        known,
        language.special,
        words,
        beams=e.beams,
        length_penalty=e.length_penalty,
        extra=e.extra,
    )
    said = list(map(bracketed, found))
    made: Found = {"sentences": len(said), "beams": e.beams, "length_penalty": e.length_penalty}
    if "f1" in e.scores:
        made |= tree_scores(gold, found, known.scheme)
    return made | readable(said, words) | {"trees": said}


BY_TASK: dict[str, Callable[[Recipe, Trainer, Prepared, list[Record]], Found]] = {
    "translation": translations,
    "labels": labels,
    "parsing": trees,
}
