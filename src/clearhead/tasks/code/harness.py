"""Code and its tests, run one after the other. This file runs inside the sandbox, on its own, and knows no Clearhead.

The code is module `solution`; the tests see its names, and may import it as well. Plain asserts are tests, and so are
functions `test_*` without parameters, their like in classes `Test*`, unittest's cases, and a function
`check(candidate)`, as HumanEval has it (Chen et al. 2021, 2107.03374). What ran is counted, for tests that never run
pass nothing. Only when all have run is the secret word, which came first on standard input, written to the third
output: code that ends early passes none.
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
from typing import Any, TypeGuard

VERDICT = 3
PIPE = 65536  # bytes that it holds until this has ended
SIGNS = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.In: "in"}
LONGEST = 300  # characters of a value that are told
CHECK = "check"  # what HumanEval calls the function that is given the candidate
DEFINES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
PARTS = (ast.ExceptHandler, ast.match_case)  # of a statement, with statements of their own


class Telling(ast.NodeTransformer):
    """Asserts that count themselves, and whose comparisons keep both sides, so that a failure can tell them.

    A statement with a `raise` in one of its branches is a test as well, and counts where it is come to.
    """

    def visit_Assert(self, node: ast.Assert) -> list[ast.stmt]:
        """`assert a == b` as `_counted()` and `assert (l := a) == (r := b), told("==", l, r)`."""
        test = node.test
        if node.msg is None and isinstance(test, ast.Compare) and len(test.ops) == 1 and type(test.ops[0]) in SIGNS:
            sides = [("_left", test.left), ("_right", test.comparators[0])]
            left, right = (ast.NamedExpr(ast.Name(name, ast.Store()), side) for name, side in sides)
            node.test = ast.Compare(left, test.ops, [right])
            names: list[ast.expr] = [ast.Name(name, ast.Load()) for name, _side in sides]
            node.msg = ast.Call(ast.Name("_told", ast.Load()), [ast.Constant(SIGNS[type(test.ops[0])]), *names], [])
        return [noting("_counted", node), ast.fix_missing_locations(node)]

    def generic_visit(self, node: ast.AST) -> Any:
        """A statement with a `raise` in a branch as `_counted()` and that statement."""
        super().generic_visit(node)
        if not isinstance(node, ast.stmt) or isinstance(node, DEFINES):
            return node
        parts = [node, *(part for part in ast.iter_child_nodes(node) if isinstance(part, PARTS))]
        raises = any(isinstance(inner, ast.Raise) for part in parts for inner in ast.iter_child_nodes(part))
        return [noting("_counted", node), node] if raises else node


def noting(name: str, place: ast.stmt) -> ast.stmt:
    """A call without arguments, as a statement at a place."""
    call = ast.copy_location(ast.Expr(ast.Call(ast.Name(name, ast.Load()), [], [])), place)
    return ast.fix_missing_locations(call)


def telling(tree: ast.Module) -> ast.Module:
    """Tests that tell what ran, and whether their function `check` did."""
    Telling().visit(tree)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == CHECK:
            node.body.insert(0, noting("_checked", node.body[0]))
    return tree


class Counter:
    """What ran."""

    def __init__(self) -> None:
        self.count = 0  # asserts that were come to, and tests that ended well
        self.checked = False  # whether `check` was called
        self.skipped: list[str] = []  # tests that were not run

    def counted(self) -> None:
        """One more."""
        self.count += 1

    def has_checked(self) -> None:
        """`check` was called."""
        self.checked = True

    @property
    def names(self) -> dict[str, object]:
        """What tests need that tell what ran."""
        return {"_told": told, "_counted": self.counted, "_checked": self.has_checked}


class TellingLoader(SourceFileLoader):
    """Loads tests whose asserts tell what they compared."""

    def source_to_code(self, data: Any, path: Any, *, _optimize: int = -1) -> CodeType:  # type: ignore[override]
        """As code, by way of its tree."""
        return super().source_to_code(telling(ast.parse(data, path)), path)


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
            for method in [each for each in dir(value) if each.startswith("test_") and callable(getattr(value, each))]:
                yield f"{name}.{method}", getattr(value(), method)


def is_unittest(found: type) -> bool:
    """Whether unittest runs this class."""
    return any(base.__module__.startswith("unittest") for base in found.__mro__)


def needed(function: Callable[..., Any]) -> int:
    """How many parameters a function cannot do without."""
    every = inspect.signature(function).parameters.values()
    return len([p for p in every if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)])


def run_function(name: str, function: Callable[..., Any], given: tuple[object, ...], seen: Counter) -> None:
    """Run a test; one that needs other parameters, that yields, or that skips itself was not run.

    Raises:
        BaseException: whatever it raises.
    """
    if needed(function) != len(given):
        seen.skipped.append(name)
        return
    try:
        result = function(*given)
        if inspect.iscoroutine(result):
            import asyncio

            asyncio.run(result)
    except BaseException as error:
        if not (type(error).__name__ == "SkipTest" and type(error).__module__.startswith("unittest")):
            raise
        seen.skipped.append(name)
        return
    if inspect.isgenerator(result) or inspect.isasyncgen(result):
        seen.skipped.append(name)
    else:
        seen.counted()


def run_unittest(module: ModuleType, seen: Counter) -> None:
    """Run the cases of unittest, where there are any.

    Raises:
        AssertionError: one failed.
    """
    if "unittest" not in sys.modules:
        return
    import unittest

    suite = unittest.defaultTestLoader.loadTestsFromModule(module)
    result = unittest.TextTestRunner(stream=sys.stderr, verbosity=0).run(suite)
    if not result.wasSuccessful():
        broken = [*result.failures, *result.errors]
        raise AssertionError(broken[0][1].strip().splitlines()[-1] if broken else "a case passed that should not")
    seen.skipped += [case.id().removeprefix(f"{module.__name__}.").replace(" ", "_") for case, _why in result.skipped]
    seen.count += max(0, result.testsRun - len(result.skipped))


def run_check(tests: ModuleType, solution: ModuleType, seen: Counter) -> None:
    """Run the function `check` of the tests, where they did not call it themselves."""
    check = vars(tests).get(CHECK)
    if seen.checked or not inspect.isfunction(check) or check.__module__ != tests.__name__:
        return
    found = candidate(solution, ast.parse(Path(str(tests.__file__)).read_text(encoding="utf-8")))
    run_function(CHECK, check, () if found is None or not needed(check) else (found,), seen)


def candidate(solution: ModuleType, tests: ast.Module) -> object | None:
    """The one function that the code defines, or of several the one that the tests name; None where it is not one."""
    own = {
        name: value
        for name, value in vars(solution).items()
        if callable(value) and getattr(value, "__module__", None) == solution.__name__ and not name.startswith("_")
    }
    own = {name: value for name, value in own.items() if not inspect.isclass(value)} or own
    if len(own) > 1:
        words = {n.id if isinstance(n, ast.Name) else n.value for n in ast.walk(tests) if is_word(n)}
        own = {name: value for name, value in own.items() if name in words}
    return next(iter(own.values())) if len(own) == 1 else None


def is_word(node: ast.AST) -> TypeGuard[ast.Name | ast.Constant]:
    """Whether a node can name a function, as a name or in quotes."""
    return isinstance(node, ast.Name) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def main() -> None:
    """Run it all; exit status 0 where no test failed, 1 where one did."""
    secret = sys.stdin.readline().strip()
    folder, output = str(Path(__file__).resolve().parent), os.dup(VERDICT)
    os.close(VERDICT)
    seen = Counter()
    try:
        solution = load("solution", SourceFileLoader("solution", f"{folder}/solution.py"), {})
        names = {name: value for name, value in vars(solution).items() if not name.startswith("__")}
        tests = load("tests", TellingLoader("tests", f"{folder}/tests.py"), {**names, **seen.names})
        for name, function in cases(tests):
            run_function(name, function, (), seen)
        run_unittest(tests, seen)
        run_check(tests, solution, seen)
    except BaseException as error:
        explain(error, folder)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)
    sys.stdout.flush()
    os.write(output, f"{secret} {seen.count} {' '.join(seen.skipped)}".encode()[:PIPE])
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
