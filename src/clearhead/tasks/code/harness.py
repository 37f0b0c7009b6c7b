"""Code and its tests, run one after the other. This file runs inside the sandbox, on its own, and knows no Clearhead.

The code is module `solution`; the tests see its names, and may import it as well. Plain asserts are tests, and so are
functions `test_*` without parameters, their like in classes `Test*`, and unittest's cases. Only when all have run is
the secret word, which came first on standard input, written to the third output: code that ends early passes none.
"""

import ast
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

VERDICT = 3
SIGNS = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.In: "in"}
LONGEST = 300  # characters of a value that are told


class Telling(ast.NodeTransformer):
    """Comparisons in asserts keep both sides, so that a failure can tell them."""

    def visit_Assert(self, node: ast.Assert) -> ast.Assert:
        """`assert a == b` as `assert (l := a) == (r := b), told("==", l, r)`."""
        test = node.test
        if node.msg is None and isinstance(test, ast.Compare) and len(test.ops) == 1 and type(test.ops[0]) in SIGNS:
            sides = [("_left", test.left), ("_right", test.comparators[0])]
            left, right = (ast.NamedExpr(ast.Name(name, ast.Store()), side) for name, side in sides)
            node.test = ast.Compare(left, test.ops, [right])
            names: list[ast.expr] = [ast.Name(name, ast.Load()) for name, _side in sides]
            node.msg = ast.Call(ast.Name("_told", ast.Load()), [ast.Constant(SIGNS[type(test.ops[0])]), *names], [])
        return ast.fix_missing_locations(node)


class TellingLoader(SourceFileLoader):
    """Loads tests whose asserts tell what they compared."""

    def source_to_code(self, data: Any, path: Any, *, _optimize: int = -1) -> CodeType:  # type: ignore[override]
        """As code, by way of its tree."""
        return super().source_to_code(Telling().visit(ast.parse(data, path)), path)


def told(sign: str, left: object, right: object) -> str:
    """What an assert compared."""
    return f"got {short(left)}, which is not {sign} {short(right)}"


def short(value: object) -> str:
    """A value as a person would read it."""
    text = repr(value)
    return text if len(text) <= LONGEST else text[:LONGEST] + "..."


def load(name: str, loader: SourceFileLoader, names: dict[str, Any]) -> ModuleType:
    """A file of this folder as a module, which begins with `names`."""
    spec = importlib.util.spec_from_file_location(name, loader.path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    vars(module).update(names)
    sys.modules[name] = module
    loader.exec_module(module)
    return module


def cases(module: ModuleType) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The test functions that a module defines, and the methods of its test classes; not what it imports."""
    for name, value in list(vars(module).items()):
        if getattr(value, "__module__", None) != module.__name__:
            continue
        if name.startswith("test_") and inspect.isfunction(value):
            yield name, value
        elif name.startswith("Test") and inspect.isclass(value) and not is_unittest(value):
            for method in [each for each in dir(value) if each.startswith("test_")]:
                yield f"{name}.{method}", getattr(value(), method)


def is_unittest(found: type) -> bool:
    """Whether unittest runs this class."""
    return any(base.__module__.startswith("unittest") for base in found.__mro__)


def takes_nothing(function: Callable[[], Any]) -> bool:
    """Whether a function can be called as it is, and is done when it returns."""
    needed = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    return not inspect.iscoroutinefunction(function) and all(
        p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in needed
    )


def run_unittest(module: ModuleType) -> int:
    """Run the cases of unittest, where there are any; how many.

    Raises:
        AssertionError: one failed.
    """
    if "unittest" not in sys.modules:
        return 0
    import unittest

    suite = unittest.defaultTestLoader.loadTestsFromModule(module)
    result = unittest.TextTestRunner(stream=sys.stderr, verbosity=0).run(suite)
    if not result.wasSuccessful():
        broken = [*result.failures, *result.errors]
        raise AssertionError(broken[0][1].strip().splitlines()[-1] if broken else "a case passed that should not")
    return result.testsRun


def main() -> None:
    """Run it all; exit status 0 where every test passed, 1 where not."""
    secret = sys.stdin.readline().strip()
    folder, output = str(Path(__file__).resolve().parent), os.dup(VERDICT)
    os.close(VERDICT)
    skipped = []
    count = 0
    try:
        solution = load("solution", SourceFileLoader("solution", f"{folder}/solution.py"), {})
        names = {name: value for name, value in vars(solution).items() if not name.startswith("__")}
        tests = load("tests", TellingLoader("tests", f"{folder}/tests.py"), {**names, "_told": told})
        for name, function in cases(tests):
            if takes_nothing(function):
                function()
                count += 1
            else:
                skipped.append(name)
        count += run_unittest(tests)
    except BaseException as error:
        explain(error, folder)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)
    sys.stdout.flush()
    os.write(output, f"{secret} {count} {' '.join(skipped)}".encode())
    os._exit(0)


def explain(error: BaseException, folder: str) -> None:
    """The traceback, without the parts of it that are not the user's."""
    trace = error.__traceback__
    own = str(Path(__file__).resolve())
    while trace is not None and trace.tb_next is not None and not mine(trace.tb_frame.f_code.co_filename, folder, own):
        trace = trace.tb_next
    if isinstance(error, SystemExit):
        sys.stderr.write("the code ended the program by itself\n")
    text = "".join(traceback.format_exception(type(error), error, trace))
    sys.stderr.write(text.replace(folder + os.sep, ""))


def mine(file: str, folder: str, own: str) -> bool:
    """Whether a frame is of the code or of the tests."""
    return file.startswith(folder) and file != own


if __name__ == "__main__":
    main()
