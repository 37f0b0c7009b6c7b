"""A model's code measured: pass@k over problems with tests, those of MBPP, HumanEval or one's own.

A problem is shown as EvalPlus shows one (Liu et al. 2023, 2305.01210), inside the model's chat template, and the answer
is begun for the model, so that it goes on with code. Of MBPP EvalPlus shows the text and the first test; MBPP's paper
shows all tests, and so do we. Programs are run in the sandbox, followed by all tests.
"""

from collections.abc import Iterator, Sequence

from clearhead.engine.model import Model
from clearhead.engine.options import Options
from clearhead.tasks.choice import instruction_model
from clearhead.tasks.code.definitions import definitions
from clearhead.tasks.code.trial import Trial, try_out
from clearhead.tasks.evaluate.asked import Asked
from clearhead.tasks.evaluate.files import read
from clearhead.tasks.evaluate.metrics.code import pass_at_k
from clearhead.tasks.evaluate.problems import Problem, asked_of, problems
from clearhead.tasks.evaluate.report import Evaluation, Figure, Item, mean_figure
from clearhead.text.chat_template import render

# EvalPlus' two sentences, word for word: figures are comparable only where prompts are.
ASK = "Please provide a self-contained Python script that solves the following problem in a markdown code block:"
BEGIN = (
    "Below is a Python script with a self-contained function that solves the problem and passes corresponding tests:"
)
ROOM, STOP = 768, "\n```"  # tokens of an answer, as there; what ends its code
WARM = 0.8  # the temperature of several samples (Chen et al. 2021, section 3.3)


def evaluate(asked: Asked) -> Evaluation:
    """pass@1, greedy; with several `samples` of each problem pass@k as well, drawn at temperature 0.8.

    Of the whole of MBPP its test part is taken, problems 11 to 510. Programs are run in the sandbox.

    Raises:
        DataError: data in another format.
        UnsupportedError: a machine that cannot shut programs in, or a model that follows no instructions.
    """
    text = read(asked.data)
    every = problems(text)
    some = asked_of(every)[: asked.limit]
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
            "prompt": prompt("TEXT") + BEGIN,
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
        tried = [(code, try_out(f"{each.begun}\n{code}", each.tests)) for each, code in zip(some, answers, strict=True)]
        counts = [count + trial.passed for count, (_code, trial) in zip(counts, tried, strict=True)]
    return counts, tried


def item(problem: Problem, share: float, code: str, trial: Trial) -> Item:
    """One problem, by the share of answers that passed; shown is the last."""
    scores = {"passed": share}
    return Item(
        input=f"{problem.text}\n{problem.tests}", expected=problem.solution, got=code, scores=scores, note=trial.why
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
        render(template, [{"role": "user", "content": prompt(each.text)}], **frame) + f"{BEGIN}\n```python\n"
        for each in some
    )
    options: Options = {"max_new_tokens": ROOM, "stop": (STOP,)}
    if asked.samples > 1:
        options |= {"temperature": WARM, "seed": asked.seed + sample}
    else:
        options |= {"temperature": 0.0}
    for done in model.complete_many(prompts, raw=True, **options):
        yield definitions(done.new_text.split(STOP)[0])


def prompt(text: str) -> str:
    """What the model is asked."""
    return f"{ASK}\n```\n{text}\n```\n"
