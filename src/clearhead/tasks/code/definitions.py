"""What a Python program defines, without what it does: for tests that bring their own calls.

Models like to show how their code is used, and what such lines print or assert is no part of the answer. So an
evaluation keeps imports, functions, classes and assignments, as EvalPlus does (Liu et al. 2023, 2305.01210), and where
the answer was cut the longest beginning of it that is Python.
"""

import ast
import warnings

KEPT = (
    ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    | ast.Assign | ast.AnnAssign | ast.AugAssign
)  # fmt: skip


def definitions(code: str) -> str:
    """The definitions of a program, line by line as they stand; all of it where no beginning of it is Python."""
    lines = code.replace("\r\n", "\n").split("\n")
    for end in range(len(lines), 0, -1):
        if lines[end - 1].strip() and (tree := parsed("\n".join(lines[:end]))) is not None:
            return "".join(source(lines, tree.body, node) + "\n" for node in tree.body if defines(node))
    return code


def defines(node: ast.stmt) -> bool:
    """Whether a statement brings names; so does an import that has a way out where it fails."""
    if isinstance(node, ast.Try):
        inside = [*node.body, *(each for handler in node.handlers for each in handler.body), *node.orelse]
        return all(defines(each) or isinstance(each, ast.Pass) for each in inside) and not node.finalbody
    return isinstance(node, KEPT)


def parsed(code: str) -> ast.Module | None:
    """The tree of a program, or None where it is none."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def source(lines: list[str], body: list[ast.stmt], node: ast.stmt) -> str:
    """The lines of a statement, its decorators included; written anew where it shares one with another."""
    if any(each is not node and shares(each, node) for each in body):
        return ast.unparse(node)
    return "\n".join(lines[first_line(node) - 1 : node.end_lineno])


def shares(one: ast.stmt, other: ast.stmt) -> bool:
    """Whether two statements stand on one line, with a semicolon between."""
    return one.end_lineno == first_line(other) or other.end_lineno == first_line(one)


def first_line(node: ast.stmt) -> int:
    """The line a statement begins on, with its decorators."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(each.lineno for each in decorators)])
