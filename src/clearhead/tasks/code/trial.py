"""A trial: code and the tests that judge it, run together in the sandbox.

Tests judge mistakes, not malice: code that sets out to can forge a pass from within (it runs in one process with its
tests), but it can do no harm outside.
"""

import ast
import secrets
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clearhead.errors import DataError
from clearhead.tasks.code.sandbox.limits import Limits, Ran
from clearhead.tasks.code.sandbox.run import DEFAULT, run

NOTHING_RAN = "no test was run; write asserts, functions test_... without parameters, or unittest cases"
HARNESS = Path(__file__).with_name("harness.py")


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """What came of the tests."""

    passed: bool
    why: str  # in a line, why they did not pass; empty where they did
    details: str  # what the program said on standard error: a traceback where one failed
    output: str  # what it printed
    seconds: float
    count: int  # asserts that were come to, and tests that ended well; 0 where one failed
    skipped: tuple[str, ...]  # tests that were not run: they need parameters, yield, or skip themselves
    held: Mapping[str, str]  # what the program was kept from, and by what
    missing: Mapping[str, str]  # what it could not be kept from here

    @property
    def nothing_ran(self) -> bool:
        """Whether it is the tests' fault that they did not pass: they ended, and tested nothing."""
        return self.why == NOTHING_RAN


def check_tests(tests: str, name: str = "the tests") -> None:
    """Refuse what tests nothing.

    Raises:
        DataError: it is no Python, or holds neither an assert nor a test function.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(tests)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        where = f" (line {error.lineno})" if isinstance(error, SyntaxError) and error.lineno else ""
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        raise DataError(f"{name}{where}: no Python: {said}; tests are Python code with asserts") from None
    if not any(isinstance(node, ast.Assert | ast.Raise) or is_case(node) for node in ast.walk(tree)):
        raise DataError(f"{name}: no test in it; write asserts, functions test_..., or unittest cases")


def is_case(node: ast.AST) -> bool:
    """Whether a node defines a test."""
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")


def try_out(code: str, tests: str, limits: Limits = DEFAULT, *, unconfined: bool = False) -> Trial:
    """Run the code followed by the tests.

    Raises:
        DataError: tests that test nothing.
        UnsupportedError: see `sandbox.run`.
    """
    check_tests(tests)
    secret = secrets.token_hex(16)
    files = {"solution.py": code, "tests.py": tests, "harness.py": HARNESS.read_text(encoding="utf-8")}
    ran = run(files, "harness.py", secret=secret, limits=limits, unconfined=unconfined)
    said = ran.verdict.split()
    ended = ran.status == 0 and said[:1] == [secret] and len(said) > 1 and said[1].isdecimal()
    count = int(said[1]) if ended else 0
    passed = ended and count > 0
    return Trial(
        passed=passed,
        why="" if passed else NOTHING_RAN if ended else reason(ran),
        details=ran.stderr,
        output=ran.stdout,
        seconds=ran.seconds,
        count=count,
        skipped=tuple(said[2:]) if ended else (),
        held=ran.held,
        missing=ran.missing,
    )


def reason(ran: Ran) -> str:
    """Why tests did not pass, in a line."""
    if ran.over is not None:
        return ran.over
    if ran.status < 0:
        return f"it was ended by signal {-ran.status}"
    lines = ran.stderr.strip().splitlines()
    if ran.status == 1 and lines:
        said = lines[-1].strip()
        tested = [line.strip() for line in lines if line.strip().startswith("assert ")]
        return f"{said} ({tested[-1][:200]})" if said.startswith("AssertionError") and tested else said
    return f"it ended before its tests had run, with exit status {ran.status}"
