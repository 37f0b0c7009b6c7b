"""What a trained model scores on a recipe's tests, by task."""

import math
from collections.abc import Callable
from typing import Any

from clearhead.training.data.records import Record
from clearhead.training.decoding import translate
from clearhead.training.learners import executor_of
from clearhead.training.metrics import SCORES
from clearhead.training.prepare import Prepared, Say
from clearhead.training.recipe import Recipe
from clearhead.training.trainer import Trainer

Found = dict[str, Any]


def score(recipe: Recipe, trainer: Trainer, prepared: Prepared, tests: dict[str, list[Record]], say: Say) -> Found:
    """Every test's scores by its name, and what holds for the held-out data of the run itself."""
    found: Found = {"dev": likelihood(trainer, prepared)}
    scorer = BY_TASK.get(recipe.task)
    for name, records in tests.items() if scorer is not None else ():
        assert scorer is not None
        found[name] = scorer(recipe, trainer, prepared, records)
        say(f"{name}: " + ", ".join(f"{key} {value}" for key, value in found[name].items() if isinstance(value, float)))
    return found


def likelihood(trainer: Trainer, prepared: Prepared) -> Found:
    """Loss and perplexity per scored token."""
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
        result = SCORES[name](said, references, e.language)
        made[name] = round(result.value, 2)
        made[f"{name}_counted"] = "; ".join(filter(None, (result.detail, result.signature)))
    made["translations"] = said
    return made


BY_TASK: dict[str, Callable[[Recipe, Trainer, Prepared, list[Record]], Found]] = {"translation": translations}
