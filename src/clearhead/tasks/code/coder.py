"""Code from a request: an instruction model is asked, its answer taken apart, and where tests are given, tried out.

What a model writes is never run unless tests for it are given, and then only in the sandbox.
"""

import ast
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from clearhead.config import check_number
from clearhead.engine.completion import Completion
from clearhead.engine.machine import ANY, Machine
from clearhead.engine.model import Model
from clearhead.engine.options import Options, read_options
from clearhead.engine.prompt import Message
from clearhead.errors import OptionError
from clearhead.generation.prefill import Cancelled, never
from clearhead.tasks.choice import instruction_model
from clearhead.tasks.code.extract import Extracted, extract
from clearhead.tasks.code.languages import PYTHON, Language, language
from clearhead.tasks.code.prompts import failure_message, request_message
from clearhead.tasks.code.sandbox.limits import Limits
from clearhead.tasks.code.sandbox.run import DEFAULT
from clearhead.tasks.code.trial import Trial, check_tests, try_out

ROOM = 1024  # tokens of an answer, unless more are asked for
RETRIES = 1  # answers after the first, each told how the one before it failed


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One answer, and what came of it."""

    answer: str  # as the model wrote it
    code: str  # what of it is code
    explanation: str  # the prose around the code
    blocks: int  # fenced blocks in the answer
    ended: bool  # False: the limit on tokens ended the answer
    closed: bool  # False: the answer ended within its code
    prompt_tokens: int
    new_tokens: int
    seed: int | None = None  # of the draw, where there was one
    trial: Trial | None = None  # None: it was not run


@dataclass(frozen=True, kw_only=True, slots=True)
class Code:
    """The code for a request: that of the last attempt."""

    request: str
    language: str
    model: str
    attempts: tuple[Attempt, ...]

    @property
    def last(self) -> Attempt:
        """The attempt that counts."""
        return self.attempts[-1]

    @property
    def text(self) -> str:
        """The code; empty where the model wrote none."""
        return self.last.code

    @property
    def explanation(self) -> str:
        """What the model says of it."""
        return self.last.explanation

    @property
    def trial(self) -> Trial | None:
        """What came of its tests."""
        return self.last.trial

    @property
    def passed(self) -> bool | None:
        """Whether its tests passed; None where none were run."""
        return None if self.last.trial is None else self.last.trial.passed

    @property
    def complete(self) -> bool:
        """Whether the model came to the end of the code."""
        return bool(self.text) and self.last.closed and (self.last.ended or self.last.blocks > 0)

    def __str__(self) -> str:
        return self.text


def code(
    request: str,
    language: str = PYTHON,
    *,
    tests: str | None = None,
    show_tests: bool = True,
    model: str | Path | Model | None = None,
    max_new_tokens: int = ROOM,
    temperature: float = 0.0,
    seed: int | None = None,
    limits: Limits = DEFAULT,
    unconfined: bool = False,
) -> Code:
    """Code for a request: `ch.code("a function is_prime(n)").text`.

    With `tests` (Python code with asserts, test functions or unittest cases) **the answer is run**, in a sandbox with
    `limits` and without a network, followed by the tests; where it fails, the model is told and answers once more. The
    model sees the tests too, for they say what things are called, unless `show_tests` is False. `unconfined` runs them
    even where this machine cannot cut off the network and other files.

    Raises:
        OptionError: an empty request, an impossible option, or tests of another language than Python.
        DataError: tests that test nothing.
        ContextWindowError: request, tests and answer do not fit.
        UnsupportedError: a model that follows no instructions, or a machine that cannot shut programs in.
    """
    coder = open_coder(language, model=model, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed)
    return coder.write(request, tests, show_tests=show_tests, limits=limits, unconfined=unconfined)


def open_coder(
    language_name: str = PYTHON,
    *,
    model: str | Path | Model | None = None,
    max_new_tokens: int = ROOM,
    temperature: float = 0.0,
    seed: int | None = None,
    machine: Machine = ANY,
) -> "Coder":
    """What writes code; options and errors as `code`."""
    options = check_options(language_name, max_new_tokens, temperature, seed)
    return Coder(model=instruction_model(model, machine), language=language(language_name), options=options)


def check_options(language_name: str, max_new_tokens: int, temperature: float, seed: int | None) -> Options:
    """The options of generation; what cannot be is refused before a model is loaded. Errors as `code`."""
    language(language_name)
    options: Options = {"max_new_tokens": max_new_tokens, "temperature": temperature, "seed": seed}
    read_options(options)
    check_number("max_new_tokens", max_new_tokens, 1, sys.maxsize, whole=True)
    return options


def check_request(request: str) -> None:
    """Refuse what asks for nothing.

    Raises:
        OptionError: it has no words, or bytes that no text has.
    """
    if not isinstance(request, str):
        raise OptionError(f"the request is {request!r:.40}; give a string")
    if "\0" in request:
        raise OptionError("the request is binary (it holds zero bytes); say in words what the code is to do")
    if not any(letter.isalnum() for letter in request):
        raise OptionError("the request has no words; say what the code is to do")


def check_testable(language_name: str, tests: str, name: str = "the tests") -> None:
    """Refuse tests that cannot be run; errors as `code`."""
    if not isinstance(tests, str):
        raise OptionError(f"tests are {tests!r:.40}; give Python code as a string")
    if language(language_name).name != PYTHON:
        raise OptionError(f"tests of {language(language_name).title} cannot be run, only those of Python; drop them")
    check_tests(tests, name)


@dataclass(frozen=True, kw_only=True, slots=True)
class Coder:
    """A model that writes code in one language. Made by `open_coder`."""

    model: Model
    language: Language
    options: Options

    def write(
        self,
        request: str,
        tests: str | None = None,
        *,
        show_tests: bool = True,
        limits: Limits = DEFAULT,
        unconfined: bool = False,
        cancelled: Cancelled = never,
    ) -> Code:
        """The code for one request, tried out where tests are given; errors as `code`."""
        check_request(request)
        if tests is not None:
            check_testable(self.language.name, tests)
        messages = [request_message(request, self.language, tests if show_tests else None)]
        attempts: list[Attempt] = []
        while True:
            answer = self.model.chat(messages, cancelled=cancelled, **self.options)
            trial = None
            if tests is not None and not cancelled() and (found := self.taken_apart(answer).code):
                trial = try_out(found, tests, limits, unconfined=unconfined)
            attempts.append(self.attempt(answer, trial))
            settled = trial is not None and (trial.passed or trial.nothing_ran)  # a second answer would change nothing
            if tests is None or settled or len(attempts) > RETRIES or cancelled():
                return self.code(request, attempts)
            messages += [{"role": "assistant", "content": answer.new_text.strip()}, self.told(trial)]

    def many(self, requests: Iterable[str], cancelled: Cancelled = never) -> Iterator[Code]:
        """The code for each request, in order, many under way at a time; none of it is run. Errors as `code`."""

        def prompts() -> Iterator[list[Message]]:
            for request in asked:
                check_request(request)
                yield [request_message(request, self.language, None)]

        asked = list(requests)
        answers = self.model.complete_many(prompts(), cancelled=cancelled, **self.options)
        for request, answer in zip(asked, answers, strict=False):
            yield self.code(request, [self.attempt(answer, None)])

    def told(self, trial: Trial | None) -> Message:
        """What the model is told of a failure."""
        if trial is None:
            return failure_message("there is no code block in your answer", "", self.language)
        return failure_message(trial.why, trial.details, self.language)

    def taken_apart(self, answer: Completion) -> Extracted:
        """An answer's code and prose."""
        return extract(answer.new_text, self.language.name)

    def attempt(self, answer: Completion, trial: Trial | None) -> Attempt:
        """An answer as an attempt."""
        found = self.taken_apart(answer)
        return Attempt(
            answer=answer.new_text,
            code=found.code,
            explanation=found.prose,
            blocks=found.blocks,
            ended=answer.finish_reason == "stop",
            closed=found.closed,
            prompt_tokens=answer.usage.prompt_tokens,
            new_tokens=answer.usage.completion_tokens,
            seed=answer.seed,
            trial=trial,
        )

    def code(self, request: str, attempts: Sequence[Attempt]) -> Code:
        """All of it."""
        return Code(request=request, language=self.language.name, model=self.model.name, attempts=tuple(attempts))


def remarks(made: Code) -> Iterator[str]:
    """What to say of code that is not there, not whole, not valid or not made of one piece."""
    if not made.text:
        yield f"{made.model} wrote no code; say more exactly what is wanted, or choose a larger model with --model"
        return
    if not made.complete:
        yield (
            f"the code was cut after {made.last.new_tokens} tokens, for {made.model} did not end it; give it more room "
            "with --max-new-tokens"
        )
    elif made.language == PYTHON and (wrong := mistake(made.text)) is not None:
        yield f"the code is no valid Python ({wrong})"
    if made.last.blocks == 0:
        yield "the answer has no code block; all of it is taken for code"
    elif made.last.blocks > 1:
        yield f"the answer has {made.last.blocks} code blocks; see all of it with --json"


def mistake(text: str) -> str | None:
    """What makes a text no Python; None where nothing does. It is read, not run."""
    try:
        with warnings.catch_warnings(action="ignore"):
            ast.parse(text)
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}"
    except (ValueError, RecursionError, MemoryError) as error:
        return str(error)
    return None
