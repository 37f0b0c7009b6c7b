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
    tests = "def test_one(): assert add(1, 1) == 2\ndef test_two(tmp_path): assert False\ndef test_three(): yield 1"
    made = tried(ADD, tests)
    assert made.passed and made.count == 2 and set(made.skipped) == {"test_two", "test_three"}


@pytest.mark.parametrize(
    "tests",
    [
        "def test_a(n): assert False",
        "def test_a():\n    yield 1\n    assert False",
        "async def test_a():\n    yield 1\n    assert False",
        "class Checks:\n    def test_a(self): assert False",
        "def check_add(a): assert False",
        "if __name__ == '__main__':\n    assert add(1, 2) == 4",
        "import unittest as u\nclass A(u.TestCase):\n    @u.skip('later')\n    def test_a(self): assert False",
        "import unittest\ndef test_a(): raise unittest.SkipTest('later')",
        "for case in []:\n    assert False",
    ],
)
def test_tests_that_never_run_pass_nothing(tests: str) -> None:
    made = tried(ADD, tests)
    assert not made.passed and made.nothing_ran and made.count == 0 and made.why.startswith("no test was run")


@pytest.mark.parametrize(
    "tests",
    [
        "async def test_a():\n    assert add(1, 2) == 3",
        "def check(candidate):\n    'As HumanEval has it.'\n    assert candidate(1, 2) == 3",
        "def check(candidate):\n    assert candidate(1, 2) == 3\ncheck(add)",
        "def check():\n    assert add(1, 2) == 3",
        "try:\n    1 / (add(1, 2) == 3)\nexcept ZeroDivisionError:\n    raise TypeError",
        "for i in range(3):\n    if add(i, 1) != i + 1:\n        raise ValueError",
        "class TestAdd:\n    test_data = [1]\n    async def test_add(self):\n        assert add(1, 2) == 3",
    ],
)
def test_tests_of_less_common_kinds_are_run(tests: str) -> None:
    good, bad = tried(ADD, tests), tried(WRONG, tests)
    assert good.passed and good.count > 0 and good.skipped == ()
    assert not bad.passed and not bad.nothing_ran and bad.why


def test_a_check_is_given_the_function_that_the_tests_name() -> None:
    two = f"def helper(a):\n    return a\n{ADD}"
    check = "def check(candidate):\n    assert candidate(1, 2) == 3\n"
    assert tried(two, f"{check}ENTRY = 'add'").passed
    unknown = tried(two, check)
    assert unknown.nothing_ran and unknown.skipped == ("check",)
    assert tried(two, f"{check}check(add)").count == 1
    assert tried(f"class Adder: pass\n{ADD}\ndef _own(): pass", check).count == 2  # its assert, and itself


def test_an_assert_that_is_come_to_in_the_code_is_no_test() -> None:
    assert tried("assert 1 == 1", "def check(a, b): assert False").nothing_ran


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


def test_definitions_know_every_way_of_bringing_a_name() -> None:
    code = "try:\n    import numpy\nexcept ImportError:\n    numpy = None\nTABLE = [0]\nTABLE += [1]\nprint(TABLE)\n"
    assert definitions(code) == code.replace("print(TABLE)\n", "")
    assert definitions("import os; print('hi'); x = 1\n") == "import os\nx = 1\n"
    assert definitions("try:\n    main()\nexcept ValueError:\n    pass\n") == ""


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
