"""Code and its tests, run together: what counts as a pass, what is told of a failure."""

import sys

import pytest

from clearhead.errors import DataError
from clearhead.tasks.code.definitions import definitions
from clearhead.tasks.code.sandbox.limits import Limits
from clearhead.tasks.code.trial import Trial, check_tests, try_out

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="programs can be shut in on Linux only")
ADD = "def add(a, b):\n    return a + b\n"
WRONG = "def add(a, b):\n    return a - b\n"
SHORT = Limits(seconds=5)


def tried(code: str, tests: str) -> Trial:
    return try_out(code, tests, SHORT)


@pytest.mark.parametrize(
    "tests",
    [
        "assert add(1, 2) == 3",
        "def test_add():\n    assert add(1, 2) == 3",
        "class TestAdd:\n    def test_add(self):\n        assert add(1, 2) == 3",
        "import unittest as u\nclass Case(u.TestCase):\n    def test_a(self):\n        self.assertEqual(add(1, 2), 3)",
        "from solution import add as plus\nassert plus(1, 2) == 3",
        "import solution\ndef test_add():\n    assert solution.add(1, 2) == 3",
        "if add(1, 2) != 3: raise ValueError(add(1, 2))",
    ],
)
def test_every_kind_of_test_passes_and_fails(tests: str) -> None:
    good, bad = tried(ADD, tests), tried(WRONG, tests)
    assert good.passed and good.why == "" and good.skipped == ()
    assert not bad.passed and bad.why and "solution.py" not in bad.why


def test_a_failure_tells_both_sides_and_the_line() -> None:
    made = tried(WRONG, "x = 2\nassert add(1, x) == 3")
    assert made.why == "AssertionError: got -1, which is not == 3 (assert add(1, x) == 3)"
    assert 'File "tests.py", line 2' in made.details and "harness" not in made.details and "/tmp" not in made.details
    assert tried(ADD, "assert add(1, 2) == 4, 'own words'").why.startswith("AssertionError: own words")
    long = tried("def f(): return 'x' * 9999", "assert f() == ''").why
    assert len(long) < 700
    raised = tried("def f():\n    return 1 / 0", "assert f() == 1")
    assert raised.why == "ZeroDivisionError: division by zero" and 'File "solution.py", line 2, in f' in raised.details


def test_sides_are_computed_once() -> None:
    assert tried(
        "seen = []\ndef f():\n    seen.append(1)\n    return len(seen)", "assert f() == 1\nassert f() == 2"
    ).passed


@pytest.mark.parametrize(
    "way", ["import sys; sys.exit(0)", "import os; os._exit(0)", "raise SystemExit", "quit = exit"]
)
def test_code_that_ends_the_program_passes_nothing(way: str) -> None:
    made = tried(f"{ADD}\n{way}\n", "assert add(1, 2) == 4")
    assert not made.passed and made.why


def test_code_that_writes_to_the_third_output_passes_nothing() -> None:
    forged = (
        "import os\nfor fd in range(3, 10):\n    try: os.write(fd, b'passed 1')\n    except OSError: pass\nos._exit(0)"
    )
    assert tried(forged, "assert False").why == "it ended before its tests had run, with exit status 0"


def test_a_main_block_is_not_run_and_input_is_empty() -> None:
    assert tried(f"{ADD}\nif __name__ == '__main__':\n    raise ValueError\n", "assert add(1, 2) == 3").passed
    assert tried("name = input()", "assert True").why == "EOFError: EOF when reading a line"


def test_functions_that_need_parameters_are_told() -> None:
    tests = "def test_one(): assert add(1, 1) == 2\ndef test_two(tmp_path): assert False\nasync def test_three(): pass"
    assert set(tried(ADD, tests).skipped) == {"test_two", "test_three"}


def test_functions_of_the_code_are_no_tests() -> None:
    assert tried("def test_duplicate(x=None): raise ValueError\nok = 1", "assert ok").passed


def test_invalid_code_fails_with_its_line() -> None:
    made = tried("def f(:\n    pass", "assert True")
    assert made.why.startswith("SyntaxError") and "solution.py" in made.details


def test_limits_are_told_as_reasons() -> None:
    slow = try_out("def f():\n    while True: pass", "assert f()", Limits(seconds=0.5))
    assert not slow.passed and slow.why == "it ran longer than 0.5 s"
    assert "network" in slow.held


@pytest.mark.parametrize(
    ("tests", "says"),
    [
        ("print('hello')", "no test in it"),
        ("", "no test in it"),
        ("assert (", "no Python"),
        ("assert '\0'", "no Python"),
        ("(" * 5000 + ")" * 5000, "no Python"),
    ],
)
def test_what_tests_nothing_is_refused(tests: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        check_tests(tests, "tests.py")


def test_definitions_are_kept_and_uses_dropped() -> None:
    code = (
        "import math\n\n@cache\ndef f(x):\n    # twice\n    return 2 * x\n\nprint(f(2))\nassert f(2) == 5\nSIZE = 3\n"
        "class A: pass\nf(1)\nif True:\n    f(3)\n"
    )
    assert definitions(code) == (
        "import math\n@cache\ndef f(x):\n    # twice\n    return 2 * x\nSIZE = 3\nclass A: pass\n"
    )
    assert definitions("def f():\n    return 1\n\nassert f() == 'cut he") == "def f():\n    return 1\n"
    assert definitions("no python at all") == "no python at all"
