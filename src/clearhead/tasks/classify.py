"""Which of some labels fits a text, by a model that was never trained on them: zero-shot, by likelihood.

An instruction model is asked for the label, and each label is scored as the answer: the sum of its tokens'
log-probabilities (Brown et al. 2020, 2005.14165, section 2.4). Labels that are likely whatever the text says would win
too often, so the same question without the text is asked as well, and what it says is taken off (domain-conditional
PMI: Holtzman et al. 2021, 2104.08315). The result is a softmax over the labels.

A model that was trained to label texts answers with its own labels.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clearhead.engine.machine import ANY, Machine
from clearhead.engine.model import Model
from clearhead.errors import OptionError
from clearhead.generation.prompts import check_ids
from clearhead.generation.sampling import log_softmax
from clearhead.generation.score import score_continuations
from clearhead.tasks.choice import instruction_model
from clearhead.tasks.texts import texts_of

Doubles = NDArray[np.float64]
ABOUT = "What is this text about?"
UNKNOWN = "(the text is not shown)"  # what stands for a text when labels are weighed by themselves


@dataclass(frozen=True, kw_only=True, slots=True)
class Label:
    """A label and its probability among those asked for."""

    name: str
    probability: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Classifier:
    """A model, and the labels to choose from. Made by `open_classifier`."""

    model: Model
    labels: tuple[str, ...]
    question: str
    prior: tuple[float, ...]  # of each label without a text; empty where the model has labels of its own

    def of(self, text: str) -> list[Label]:
        """The labels of a text, the likeliest first.

        Raises:
            OptionError: an empty text.
            ContextWindowError: a text that does not fit.
        """
        if not text.strip():
            raise OptionError("the text is empty; give some text to classify")
        if not self.prior:
            return self.own(text)
        scores = scored(self.model, self.question, text, self.labels) - np.array(self.prior)
        return ranked(self.labels, np.exp(log_softmax(scores)))

    def own(self, text: str) -> list[Label]:
        """By a model that was trained to label texts."""
        executor = self.model.executor
        ids = check_ids(self.model.tokenizer.encode(text, parse_special=False), self.model.config, "text")
        [logits] = executor.head(executor.encode([ids]))
        return ranked(self.labels, np.exp(log_softmax(logits[0].astype(np.float64))))


def classify(
    text: str | Sequence[str],
    labels: Sequence[str] | None = None,
    *,
    model: str | Path | Model | None = None,
    about: str = ABOUT,
) -> list[Label] | list[list[Label]]:
    """The labels of a text, the likeliest first: `ch.classify("The match ended 2:1.", ["sport", "politics"])`; of
    several texts, a list for each. `about` is the question that the labels answer.

    Raises:
        OptionError: fewer than two labels, the same one twice, an empty text, or something that is no text.
        UnsupportedError: a model without a chat template, and without labels of its own.
        ContextWindowError: a text that does not fit.
    """
    texts = texts_of(text)
    classifier = open_classifier(labels, model=model, about=about)
    found = [classifier.of(each) for each in texts]
    return found[0] if isinstance(text, str) else found


def open_classifier(
    labels: Sequence[str] | None,
    *,
    model: str | Path | Model | None = None,
    about: str = ABOUT,
    machine: Machine = ANY,
) -> Classifier:
    """What classifies; errors as `classify`."""
    if labels is None and model is not None:
        model = model if isinstance(model, Model) else machine.load(model)
        if model.config.head == "sequence_labels":
            return Classifier(model=model, labels=model.config.labels, question="", prior=())
    names = check_labels(labels)
    loaded = instruction_model(model, machine)
    question = f"{about} Answer with one of: {', '.join(names)}."
    prior = scored(loaded, question, UNKNOWN, names)
    return Classifier(model=loaded, labels=names, question=question, prior=tuple(float(p) for p in prior))


def check_labels(labels: Sequence[str] | None) -> tuple[str, ...]:
    """Two labels or more, each once.

    Raises:
        OptionError: anything else.
    """
    names = tuple(labels) if isinstance(labels, Iterable) and not isinstance(labels, str) else ()
    if wrong := [name for name in names if not isinstance(name, str) or not name.strip()]:
        raise OptionError(f"a label is {wrong[0]!r:.40}; give words")
    names = tuple(name.strip() for name in names)
    if len(names) < 2 or len(set(names)) < len(names):
        raise OptionError(f"labels are {labels!r:.60}; give two or more different ones, such as sport, politics")
    return names


def scored(model: Model, question: str, text: str, labels: Sequence[str]) -> Doubles:
    """The log-probability of each label as the answer [labels]; the text is quoted, and no instruction."""
    asked = f'Text: """{text}"""\n\n{question}'
    prompt = model.prompter.encode_chat([{"role": "user", "content": asked}])
    ids = check_ids(prompt, model.config, "text")
    answers = [model.tokenizer.encode(name, add_special_tokens=False, parse_special=False) for name in labels]
    [found] = score_continuations(model.executor, [ids], [answers])
    return np.array([sum(own) for own in found], dtype=np.float64)


def ranked(labels: Sequence[str], shares: Doubles) -> list[Label]:
    """Labels by probability, the highest first."""
    order = np.argsort(-shares, kind="stable")
    return [Label(name=labels[i], probability=float(shares[i])) for i in order]
