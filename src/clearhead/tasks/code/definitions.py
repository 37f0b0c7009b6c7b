"""What a Python program defines, without what it does: for tests that bring their own calls.

Models like to show how their code is used, and what such lines print or assert is no part of the answer. So an
evaluation keeps imports, functions, classes and assignments, as EvalPlus does (Liu et al. 2023, 2305.01210), and where
the answer was cut the longest beginning of it that is Python.
"""

import ast
import warnings

KEPT = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


def definitions(code: str) -> str:
    """The definitions of a program, line by line as they stand; all of it where no beginning of it is Python."""
    lines = code.replace("\r\n", "\n").split("\n")
    for end in range(len(lines), 0, -1):
        if lines[end - 1].strip() and (tree := parsed("\n".join(lines[:end]))) is not None:
            kept = (source(lines, node) for node in tree.body if isinstance(node, KEPT))
            return "".join(line + "\n" for each in kept for line in each)
    return code


def parsed(code: str) -> ast.Module | None:
    """The tree of a program, or None where it is none."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def source(lines: list[str], node: ast.stmt) -> list[str]:
    """The lines of a statement, its decorators included."""
    first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])
    return lines[first - 1 : node.end_lineno]
