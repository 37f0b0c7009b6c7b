"""Tasks by the names that users of transformers know, three of which its version 5 has taken out.

    translate = ch.pipeline("translation_en_to_de")
    translate("A man is riding a bike.")       # [{"translation_text": "Ein Mann fährt Fahrrad."}]

Results have the form that they had there: a dictionary, or a list of them, for each text.
"""

import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from clearhead.engine.machine import ANY
from clearhead.engine.model import Model
from clearhead.errors import OptionError
from clearhead.tasks.choice import instruction_model
from clearhead.tasks.texts import texts_of

TRANSLATION = re.compile(r"translation_([a-z]{2,3})_to_([a-z]{2,3})")
Named = str | Path | Model | None
Work = Callable[..., Any]  # a text, or several, and the task's options -> results as dictionaries


def pipeline(task: str, model: Named = None) -> Work:
    """What does a task; its options are those of the function of that name in `clearhead`.

    Tasks: text-generation, translation_xx_to_yy (or translation, with the languages of the model), summarization, ner
    (token-classification), feature-extraction, fill-mask, zero-shot-classification, question-answering. The model is
    loaded when the task is first used, and then kept.

    Raises:
        OptionError: another task.
        UnknownModelError, DownloadError, CheckpointError: the model cannot be had, when the task is first used.
    """
    pair = TRANSLATION.fullmatch(task) if isinstance(task, str) else None
    if pair is not None:
        return translation(model, pair[1], pair[2])
    if not isinstance(task, str) or task not in MAKERS:
        raise OptionError(f"there is no task {task!r:.40}; choose from translation_en_to_de, {', '.join(MAKERS)}")
    return MAKERS[task](model)


def loaded(model: Named, load: Callable[[Named], Model]) -> Callable[[], Model]:
    """A model that is loaded when it is first asked for."""
    return cache(lambda: load(model))


def by_name(default: str) -> Callable[[Named], Model]:
    """What loads a model, or the default where none is named."""
    return lambda model: model if isinstance(model, Model) else ANY.load(default if model is None else model)


def each(text: str | Sequence[str], of_many: Callable[[list[str]], list[Any]]) -> Any:
    """The results of several texts, or of one."""
    found = of_many(texts_of(text))
    return found[0] if isinstance(text, str) else found


def translation(model: Named, source: str | None = None, target: str | None = None) -> Work:
    """As `ch.translate`. Where neither a model nor a language is named, each text says which model it is."""
    from clearhead.tasks.translate import open_translator, translate

    def load(model: Named) -> Model:
        return open_translator(target, from_=source).model if model is None else by_name("")(model)

    chosen = loaded(model, load)

    def work(text: str | Sequence[str], **options: Any) -> list[dict[str, str]]:
        named = None if model is None and source is None else chosen()
        said = translate(texts_of(text), target, from_=source, model=named, **options)
        return [{"translation_text": each_one} for each_one in said]

    return work


def generation(model: Named) -> Work:
    """As `Model.complete`: the prompt with its completion."""
    chosen = loaded(model, by_name("smollm2-135m-instruct"))

    def work(text: str | Sequence[str], **options: Any) -> Any:
        return each(
            text, lambda several: [[{"generated_text": c.text}] for c in chosen().complete_many(several, **options)]
        )

    return work


def summarization(model: Named) -> Work:
    """As `ch.summarize`."""
    from clearhead.tasks.summarize.summarize import summarize

    chosen = loaded(model, instruction_model)

    def work(text: str | Sequence[str], **options: Any) -> list[dict[str, str]]:
        return [{"summary_text": made.text} for made in summarize(texts_of(text), model=chosen(), **options)]

    return work


def entities(model: Named) -> Work:
    """As `ch.entities`: whole entities, which there is called aggregation_strategy="first"."""
    from clearhead.tasks.entities.find import open_tagger

    tagger = cache(lambda: open_tagger(model))

    def work(text: str | Sequence[str]) -> Any:
        return each(
            text,
            lambda several: [
                [
                    {"entity_group": e.type, "score": e.score, "word": e.text, "start": e.start, "end": e.end}
                    for e in found
                ]
                for found in tagger().find(several)
            ],
        )

    return work


def embeddings(model: Named) -> Work:
    """As `ch.embed`: one vector a text, pooled."""
    from clearhead.tasks.embed import embed, open_encoder

    chosen = loaded(model, open_encoder)

    def work(text: str | Sequence[str]) -> Any:
        return each(text, lambda several: embed(several, model=chosen()).tolist())

    return work


def filling(model: Named) -> Work:
    """As `ch.fill_mask`."""
    from clearhead.tasks.fill import DEFAULT, fill_mask

    chosen = loaded(model, by_name(DEFAULT))

    def work(text: str | Sequence[str], top_k: int = 5) -> Any:
        def of(one: str) -> Any:
            blanks = [
                [{"score": c.probability, "token_str": c.word, "sequence": c.text} for c in candidates]
                for candidates in fill_mask(one, model=chosen(), top=top_k)
            ]
            return blanks[0] if len(blanks) == 1 else blanks

        return each(text, lambda several: [of(one) for one in several])

    return work


def choosing(model: Named) -> Work:
    """As `ch.classify`."""
    from clearhead.tasks.classify import open_classifier

    chosen = loaded(model, instruction_model)

    def work(text: str | Sequence[str], candidate_labels: Sequence[str] | str, **options: Any) -> Any:
        names = candidate_labels.split(",") if isinstance(candidate_labels, str) else candidate_labels
        classifier = open_classifier(names, model=chosen(), **options)

        def of(one: str) -> dict[str, Any]:
            found = classifier.of(one)
            return {"sequence": one, "labels": [f.name for f in found], "scores": [f.probability for f in found]}

        return each(text, lambda several: [of(one) for one in several])

    return work


def answering(model: Named) -> Work:
    """As `ch.ask`, of one text."""
    chosen = loaded(model, instruction_model)

    def work(question: str, context: str, **options: Any) -> dict[str, Any]:
        for name, given in (("question", question), ("context", context)):
            if not isinstance(given, str):
                raise OptionError(f"{name} is {given!r:.40}; give a string")
        asked = (
            f'Text: """{context}"""\n\nAnswer the question with words of the text alone, as shortly as possible. '
            f"Question: {question}"
        )
        return {"answer": chosen().complete(asked, max_new_tokens=64, **options).new_text.strip()}

    return work


MAKERS: dict[str, Callable[[Named], Work]] = {
    "text-generation": generation,
    "translation": translation,
    "summarization": summarization,
    "ner": entities,
    "token-classification": entities,
    "feature-extraction": embeddings,
    "fill-mask": filling,
    "zero-shot-classification": choosing,
    "question-answering": answering,
}
