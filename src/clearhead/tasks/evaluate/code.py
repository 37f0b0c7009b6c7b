"""A model's code measured: pass@k over problems with tests, in the format of MBPP (Austin et al. 2021, 2108.07732).

A problem is shown as EvalPlus shows one (Liu et al. 2023, 2305.01210): its text and its tests in a docstring, inside
the model's chat template, and the answer is begun for the model, so that it goes on with code. EvalPlus shows the first
test alone; MBPP's paper shows all, and so do we. Programs are run in the sandbox, followed by all tests.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from clearhead.engine.model import Model
from clearhead.engine.options import Options
from clearhead.errors import DataError
from clearhead.tasks.choice import instruction_model
from clearhead.tasks.code.definitions import definitions
from clearhead.tasks.code.trial import Trial, try_out
from clearhead.tasks.evaluate.asked import Asked
from clearhead.tasks.evaluate.files import Text, is_json_lines, objects, read
from clearhead.tasks.evaluate.metrics.code import pass_at_k
from clearhead.tasks.evaluate.report import Evaluation, Figure, Item, mean_figure
from clearhead.text.chat_template import render

ALL, TEST_PART = range(1, 975), range(11, 511)  # numbers of MBPP's problems; those of its test part
# EvalPlus' two sentences, word for word: figures are comparable only where prompts are.
ASK = "Please provide a self-contained Python script that solves the following problem in a markdown code block:"
BEGIN = (
    "Below is a Python script with a self-contained function that solves the problem and passes corresponding tests:"
)
ROOM, STOP = 768, "\n```"  # tokens of an answer, as there; what ends its code
WARM = 0.8  # the temperature of several samples (Chen et al. 2021, section 3.3)


@dataclass(frozen=True, slots=True)
class Problem:
    """A task with its tests."""

    number: int | str
    text: str
    tests: tuple[str, ...]  # a statement each
    setup: str  # what the tests need before them
    solution: str  # the author's; empty where there is none

    @property
    def program(self) -> str:
        """The tests as a program."""
        return "\n".join(part for part in (self.setup, *self.tests) if part)


def evaluate(asked: Asked) -> Evaluation:
    """pass@1, greedy; with several `samples` of each problem pass@k as well, drawn at temperature 0.8.

    Of the whole of MBPP its test part is taken, problems 11 to 510. Programs are run in the sandbox.

    Raises:
        DataError: data in another format.
        UnsupportedError: a machine that cannot shut programs in, or a model that follows no instructions.
    """
    text = read(asked.data)
    every = problems(text)
    some = mbpp_part(every)[: asked.limit]
    probe = try_out("", "assert True")  # what cannot be is refused before a model is loaded
    model = instruction_model(asked.model, asked.machine)
    counts, tried = sampled(some, model, asked)
    return Evaluation(
        task="code",
        model=model.name,
        executor=model.executor.name,
        dtype=model.executor.dtype,
        figures=figures(counts, asked),
        items=[item(each, count / asked.samples, *last) for each, count, last in zip(some, counts, tried, strict=True)],
        files=[text.file(len(every))],
        counted="problem",
        there=len(every),
        settings={
            "problems": f"{len(some)}: {some[0].number} to {some[-1].number}",
            "prompt": prompt("TEXT", ("TESTS",)) + BEGIN,
            "decoding": "greedy" if asked.samples == 1 else f"temperature {WARM}, {asked.samples} samples",
            "max_new_tokens": ROOM,
            "kept": "imports, functions, classes and assignments up to the end of the first block",
            "held": dict(probe.held),
            "not_held": dict(probe.missing),
        },
    )


def sampled(some: Sequence[Problem], model: Model, asked: Asked) -> tuple[list[int], list[tuple[str, Trial]]]:
    """How many answers to each problem passed, and the last answer to each with what came of it."""
    counts, tried = [0] * len(some), list[tuple[str, Trial]]()
    for sample in range(asked.samples):
        before, of = sample * len(some), asked.samples * len(some)
        answers = asked.watched(answered(some, model, asked, sample), of, before)
        tried = [(code, try_out(code, each.program)) for each, code in zip(some, answers, strict=True)]
        counts = [count + trial.passed for count, (_code, trial) in zip(counts, tried, strict=True)]
    return counts, tried


def item(problem: Problem, share: float, code: str, trial: Trial) -> Item:
    """One problem, by the share of answers that passed; shown is the last."""
    scores = {"passed": share}
    return Item(
        input=f"{problem.text}\n{problem.program}", expected=problem.solution, got=code, scores=scores, note=trial.why
    )


def figures(counts: Sequence[int], asked: Asked) -> list[Figure]:
    """pass@k of every k that is customary and possible."""
    n = asked.samples
    how = f"all tests of a problem; {'greedy' if n == 1 else f'unbiased, n = {n}, temperature {WARM}'}"
    return [
        mean_figure(f"pass@{k}", [pass_at_k(n, c, k) for c in counts], unit="%", how=how, scale=100.0, seed=asked.seed)
        for k in sorted({1, n, *(k for k in (10, 100) if k < n)})
    ]


def answered(some: Sequence[Problem], model: Model, asked: Asked, sample: int) -> Iterator[str]:
    """The code of one answer to each problem, in order."""
    assert model.chat_template is not None
    template, frame = model.chat_template, model.prompter.frame()
    prompts = (
        render(template, [{"role": "user", "content": prompt(each.text, each.tests)}], **frame)
        + f"{BEGIN}\n```python\n"
        for each in some
    )
    options: Options = {"max_new_tokens": ROOM, "stop": (STOP,)}
    if asked.samples > 1:
        options |= {"temperature": WARM, "seed": asked.seed + sample}
    else:
        options |= {"temperature": 0.0}
    for done in model.complete_many(prompts, raw=True, **options):
        yield definitions(done.new_text.split(STOP)[0])


def prompt(text: str, tests: Sequence[str]) -> str:
    """What the model is asked."""
    inside = "\n".join(('"""', text, *tests, '"""'))
    return f"{ASK}\n```\n{inside}\n```\n"


def problems(text: Text) -> list[Problem]:
    """The problems of a file, of JSON Lines or one JSON array.

    Raises:
        DataError: neither, or a problem without a text and tests.
    """
    rows = objects(text) if is_json_lines(text) else array(text)
    found = [problem(row, f"{text.path}:{place}") for place, row in rows]
    if not found:
        raise DataError(f"{text.path} holds no problem")
    return found


def array(text: Text) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file that is one JSON array, each with its place in it, from 1.

    Raises:
        DataError: it is none.
    """
    try:
        rows = json.loads(text.text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{text.path} is no JSON: {str(error)[:80]}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{text.path} is no list of problems; give JSON Lines or a JSON array, as MBPP comes")
    yield from enumerate(rows, start=1)


def problem(row: dict[str, Any], place: str) -> Problem:
    """One of them, in the words of MBPP or of its sanitized edition.

    Raises:
        DataError: a field is missing or of another kind.
    """
    said, tests = row.get("text", row.get("prompt")), row.get("test_list")
    setup = row.get("test_setup_code") or row.get("test_imports") or ""
    setup = "\n".join(map(str, setup)) if isinstance(setup, list) else setup
    if not isinstance(said, str) or not isinstance(setup, str):
        raise DataError(f"{place}: a problem needs a 'text', and texts as its 'test_setup_code'")
    if not isinstance(tests, list) or not tests or not all(isinstance(each, str) for each in tests):
        raise DataError(f"{place}: a problem needs a 'test_list', a list of Python statements")
    lines = tuple(each.replace("\r\n", "\n") for each in tests)
    solution = str(row.get("code", "")).replace("\r\n", "\n")
    return Problem(row.get("task_id", place), said, lines, setup.replace("\r\n", "\n"), solution)


def mbpp_part(every: Sequence[Problem]) -> list[Problem]:
    """MBPP's test part where this is the whole of it; otherwise all."""
    whole = [each.number for each in every] == list(ALL)
    return [each for each in every if not whole or each.number in TEST_PART]
