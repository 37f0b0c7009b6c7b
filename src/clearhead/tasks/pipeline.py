"""Tasks by the names that users of transformers know, three of which its version 5 has taken out.

    translate = ch.pipeline("translation_en_to_de")
    translate("A man is riding a bike.")       # [{"translation_text": "Ein Mann fährt Fahrrad."}]

Results have the form that they had there: a dictionary, or a list of them, for each text.
"""

import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from clearhead.engine.machine import ANY
from clearhead.engine.model import Model
from clearhead.engine.prompt import Message
from clearhead.errors import OptionError
from clearhead.generation.prompts import check_ids
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
        return told(task, translation(model, pair[1], pair[2]))
    if not isinstance(task, str) or task not in MAKERS:
        raise OptionError(f"there is no task {task!r:.40}; choose from translation_en_to_de, {', '.join(MAKERS)}")
    return told(task, MAKERS[task](model))


def told(task: str, work: Work) -> Work:
    """The same work, where what it is not made for is one clear error."""

    def checked(*given: Any, **options: Any) -> Any:
        try:
            inspect.signature(work).bind(*given, **options)
        except TypeError as error:
            raise OptionError(f"{task} cannot be asked so: {error}") from None
        return work(*given, **options)

    return checked


FIXED = frozenset({"model", "from_", "raw"})  # what the pipeline itself says


def known(task: str, function: Callable[..., Any], options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Options that a function has.

    Raises:
        OptionError: another.
    """
    parameters = inspect.signature(function).parameters.items()
    names = [name for name, one in parameters if one.kind is one.KEYWORD_ONLY and name not in FIXED]
    if other := [name for name in options if name not in names]:
        raise OptionError(f"{task} has no option {other[0]!r}; it has {', '.join(names)}")
    return options


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
        known("translation", translate, options)
        said = translate(texts_of(text), target, from_=source, model=named, **options)
        return [{"translation_text": each_one} for each_one in said]

    return work


def generation(model: Named) -> Work:
    """As `Model.complete(raw=True)`: the prompt with its completion, or each of `n`; of a conversation, it with the
    answer.
    """
    chosen = loaded(model, by_name("smollm2-135m-instruct"))

    def answered(said: list[Message], options: Mapping[str, Any]) -> list[dict[str, Any]]:
        made = chosen().chat(said, **options)
        return [{"generated_text": [*said, {"role": "assistant", "content": one.new_text}]} for one in made.samples]

    def work(text: str | Sequence[str] | Sequence[Message] | Sequence[Sequence[Message]], **options: Any) -> Any:
        if fixed := FIXED.intersection(options):
            raise OptionError(f"text-generation has no option {min(fixed)!r}; prompts go on as they are")
        if is_conversation(text):
            return answered(text, options)
        if isinstance(text, list) and text and all(map(is_conversation, text)):
            return [answered(one, options) for one in text]
        return each(
            text if isinstance(text, str) else texts_of(text),
            lambda several: [
                [{"generated_text": made.prompt + made.separator + one.new_text} for one in made.samples]
                for made in chosen().complete_many(several, raw=True, **options)
            ],
        )

    return work


def is_conversation(text: object) -> TypeGuard[list[Message]]:
    """Whether this is a list of messages, and no list of texts."""
    return isinstance(text, list) and bool(text) and all(isinstance(one, dict) for one in text)


def summarization(model: Named) -> Work:
    """As `ch.summarize`."""
    from clearhead.tasks.summarize.summarize import summarize

    chosen = loaded(model, instruction_model)

    def work(text: str | Sequence[str], **options: Any) -> list[dict[str, str]]:
        known("summarization", summarize, options)
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
    """The state of every token, frame included, [1, T, C] of each text; `ch.embed` makes one vector of them."""
    from clearhead.tasks.embed import open_encoder

    chosen = loaded(model, open_encoder)

    def of(text: str) -> Any:
        encoder = chosen()
        ids = encoder.tokenizer.encode(text, parse_special=False)
        check_ids(ids, encoder.config, "the text")
        return [np.asarray(encoder.executor.encode([ids]).states[0], np.float32).tolist()]

    def work(text: str | Sequence[str]) -> Any:
        return each(text, lambda several: [of(one) for one in several])

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

    def work(
        text: str | Sequence[str], candidate_labels: Sequence[str] | str, *, about: str = "What is this text about?"
    ) -> Any:
        names = candidate_labels
        if isinstance(candidate_labels, str):
            names = [name for name in candidate_labels.split(",") if name.strip()]
        classifier = open_classifier(names, model=chosen(), about=about)

        def of(one: str) -> dict[str, Any]:
            found = classifier.of(one)
            return {"sequence": one, "labels": [f.name for f in found], "scores": [f.probability for f in found]}

        return each(text, lambda several: [of(one) for one in several])

    return work


def answering(model: Named) -> Work:
    """The answer to a question in the words of one text, where these stand, and how likely the model finds them; a
    text that does not hold it is no reason for a model to say nothing (`ch.ask` tells).
    """
    chosen = loaded(model, instruction_model)

    def work(question: str | dict[str, str], context: str | None = None, **options: Any) -> dict[str, Any]:
        if isinstance(question, dict):  # both in one
            context = question.get("context")
            question = question.get("question", "")
        for name, given in (("question", question), ("context", context)):
            if not isinstance(given, str):
                raise OptionError(f"{name} is {given!r:.40}; give a string")
        assert context is not None
        asked = (
            f'Text: """{context}"""\n\nAnswer the question with words of the text alone, as shortly as possible. '
            f"Question: {question}"
        )
        done = chosen().complete(asked, **{"max_new_tokens": 64, "logprobs": 0, **options})
        answer = done.new_text.strip().rstrip(".")
        start, end = span(answer, context)
        return {"score": math.exp(sum(done.logprobs or ())), "start": start, "end": end, "answer": answer}

    return work


def span(answer: str, context: str) -> tuple[int | None, int | None]:
    """Where an answer stands in a text, in large or small letters, as whole words if it does; nowhere, where it is in
    words of its own.
    """
    part = re.escape(answer)
    wholes = (rf"(?<!\w){part}(?!\w)", part) if answer else ()
    found = next((found for one in wholes if (found := re.search(one, context, re.IGNORECASE))), None)
    return (None, None) if found is None else found.span()


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
