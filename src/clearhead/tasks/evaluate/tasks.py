"""The tasks that `clearhead evaluate` knows, what data each reads, and where its page is.

A task is a page beside this one with a function `evaluate`. Pages are imported when they are asked for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from clearhead.errors import OptionError
from clearhead.tasks.evaluate.asked import Asked
from clearhead.tasks.evaluate.report import Evaluation


@dataclass(frozen=True, slots=True)
class Task:
    """One of them."""

    run: Callable[[Asked], Evaluation]
    data: str  # what its examples are
    figures: str  # what is counted
    options: tuple[str, ...] = ()  # of `OWN`, those that it reads


def translate(asked: Asked) -> Evaluation:
    """See `translations`."""
    from clearhead.tasks.evaluate.translations import evaluate

    return evaluate(asked)


def summarize(asked: Asked) -> Evaluation:
    """See `summaries`."""
    from clearhead.tasks.evaluate.summaries import evaluate

    return evaluate(asked)


def entities(asked: Asked) -> Evaluation:
    """See `entities`."""
    from clearhead.tasks.evaluate.entities import evaluate

    return evaluate(asked)


def code(asked: Asked) -> Evaluation:
    """See `code`; the programs that a model writes are run, shut in."""
    from clearhead.tasks.evaluate.code import evaluate

    return evaluate(asked)


def retrieval(asked: Asked) -> Evaluation:
    """See `retrieval`."""
    from clearhead.tasks.evaluate.retrieval import evaluate

    return evaluate(asked)


def answers(asked: Asked) -> Evaluation:
    """See `answers`."""
    from clearhead.tasks.evaluate.answers import evaluate

    return evaluate(asked)


def perplexity(asked: Asked) -> Evaluation:
    """See `perplexities`."""
    from clearhead.tasks.evaluate.perplexities import evaluate

    return evaluate(asked)


PAIRS = "two files line by line, a table with tabs, or JSON Lines"
TASKS: Mapping[str, Task] = {
    "translate": Task(translate, PAIRS, "BLEU, chrF", ("references", "fields", "from_", "to")),
    "summarize": Task(summarize, PAIRS, "ROUGE-1, -2, -L", ("references", "fields")),
    "entities": Task(entities, "columns of CoNLL, a word and its label on each line", "F1 of spans"),
    "code": Task(code, "problems with tests, in MBPP's format or HumanEval's", "pass@1, pass@k", ("samples",)),
    "retrieval": Task(retrieval, "a folder with documents, queries and judgements, such as Cranfield", "nDCG@10"),
    "answers": Task(
        answers, "questions over paragraphs, in SQuAD's format", "exact match, F1, not found", ("references",)
    ),
    "perplexity": Task(perplexity, "plain text", "perplexity, bits per byte"),
}
OWN = {"references": None, "fields": None, "from_": None, "to": None, "samples": 1}  # options that some task reads


def task(name: str) -> Task:
    """A task by its name.

    Raises:
        OptionError: there is none.
    """
    if name not in TASKS:
        raise OptionError(f"there is no evaluation of {name!r}; choose from {', '.join(TASKS)}")
    return TASKS[name]


def check_options(name: str, options: Mapping[str, object]) -> None:
    """Refuse what is another task's; of `OWN`, `options` has those that were given.

    Raises:
        OptionError: it is so, or there is no such task.
    """
    chosen = task(name)
    for option, value in options.items():
        if value != OWN[option] and option not in chosen.options:
            raise OptionError(f"--{option.strip('_')} is no option of {name}; drop it")
