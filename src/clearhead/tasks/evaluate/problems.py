"""Programming problems with tests: the formats of MBPP (Austin et al. 2021, 2108.07732), the whole or its sanitized
edition, and of HumanEval (Chen et al. 2021, 2107.03374).
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from clearhead.errors import DataError
from clearhead.tasks.evaluate.files import Text, is_json_lines, objects

ALL, TEST_PART = range(1, 975), range(11, 511)  # numbers of MBPP's problems; those of its test part


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A task with its tests."""

    number: int | str
    text: str  # what the model is shown
    tests: str  # a program that fails where the answer before it is wrong
    begun: str = ""  # what comes before the answer: a program already, whose definitions the tests may need
    solution: str = ""  # the author's; empty where there is none


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
    """One of them; errors as `problems`."""
    return of_human_eval(row, place) if "entry_point" in row else of_mbpp(row, place)


def of_mbpp(row: dict[str, Any], place: str) -> Problem:
    """A description and a list of statements. The model is shown both, in a docstring."""
    said, tests = row.get("text", row.get("prompt")), row.get("test_list")
    setup = row.get("test_setup_code") or row.get("test_imports") or ""
    setup = "\n".join(map(str, setup)) if isinstance(setup, list) else setup
    if not isinstance(said, str) or not isinstance(setup, str):
        raise DataError(f"{place}: a problem needs a 'text', and texts as its 'test_setup_code'")
    if not isinstance(tests, list) or not tests or not all(isinstance(each, str) for each in tests):
        raise DataError(f"{place}: a problem needs a 'test_list', a list of Python statements")
    lines = [plain(each) for each in tests]
    return Problem(
        number=row.get("task_id", place),
        text="\n".join(('"""', said, *lines, '"""')),
        tests="\n".join(part for part in (plain(setup), *lines) if part),
        solution=plain(str(row.get("code", ""))),
    )


def of_human_eval(row: dict[str, Any], place: str) -> Problem:
    """A function's head with its docstring, and a function `check` for it. The model is shown the head alone."""
    fields = {name: row.get(name) for name in ("prompt", "entry_point", "test")}
    for name, value in fields.items():
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"{place}: a problem with an 'entry_point' needs a '{name}' that is a text")
    head, function, check = (plain(str(value)) for value in fields.values())
    if not function.isidentifier():
        raise DataError(f"{place}: the 'entry_point' is {function!r:.40}; give the name of a function")
    return Problem(
        number=row.get("task_id", place),
        text=head.strip(),
        tests=f"{check}\ncheck({function})",
        begun=head,
        solution=head + plain(str(row.get("canonical_solution", ""))),
    )


def plain(code: str) -> str:
    """Code with one kind of line ends."""
    return code.replace("\r\n", "\n")


def asked_of(every: Sequence[Problem]) -> list[Problem]:
    """MBPP's test part where this is the whole of it; otherwise all."""
    whole = [each.number for each in every] == list(ALL)
    return [each for each in every if not whole or each.number in TEST_PART]
