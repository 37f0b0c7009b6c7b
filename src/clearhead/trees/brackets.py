"""Trees as the Penn Treebank writes them, `(S (NP (DT The) (NN cat)) (VP (VBZ sleeps)))`, read and written.

The outermost bracket of a sentence has no label there, or one of a few that mean the same; `cleaning` takes it off.
Brackets in the text itself are words like -LRB-, and are left so.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from clearhead.errors import DataError
from clearhead.trees.tree import Tree

ATOM = re.compile(r"[()]|[^\s()]+")
ESCAPES = {"-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]", "-LCB-": "{", "-RCB-": "}"}


class Open:
    """A bracket whose end has not been read yet."""

    __slots__ = ("children", "label", "line", "word")

    def __init__(self, line: int) -> None:
        self.line = line
        self.label: str | None = None
        self.word: str | None = None
        self.children: list[Tree] = []


class Reader:
    """The state between two atoms of a text, whose name stands in errors."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.opened: list[Open] = []

    def take(self, atom: str, line: int) -> Tree | None:
        """Read one bracket, label or word; a tree where it ends one."""
        if atom != "(" and not self.opened:
            remedy = "take it out, or open its bracket" if atom == ")" else "put it into a bracket with its tag"
            raise self.error(line, f"{atom!r:.40} stands outside every bracket; {remedy}")
        if atom == ")":
            return self.end(line)
        if atom == "(":
            self.begin(line)
        else:
            self.name_or_word(atom, line)
        return None

    def begin(self, line: int) -> None:
        """Read an opening bracket."""
        if self.opened and self.opened[-1].word is not None:
            raise self.error(line, f"a bracket opens beside the word {self.opened[-1].word!r:.40}; give the word a tag")
        if self.opened and self.opened[-1].label is None:
            self.opened[-1].label = ""
        self.opened.append(Open(line))

    def name_or_word(self, atom: str, line: int) -> None:
        """Read what is no bracket: a label where one opened, else a word."""
        top = self.opened[-1]
        if top.label is None:
            top.label = atom
        elif top.children or top.word is not None:
            raise self.error(line, f"{atom!r:.40} stands beside other children of {top.label!r:.40}; give it a tag")
        else:
            top.word = atom

    def end(self, line: int) -> Tree | None:
        """Read a closing bracket."""
        top = self.opened.pop()
        if top.word is None and not top.children:
            raise self.error(line, f"the bracket {top.label or ''!r:.40} is empty; a tag needs a word")
        tree = Tree(label=top.label or "", children=tuple(top.children), word=top.word)
        if not self.opened:
            return tree
        self.opened[-1].children.append(tree)
        return None

    def error(self, line: int, problem: str) -> DataError:
        """What is wrong, and where."""
        return DataError(f"{self.name}, line {line}: {problem}")


def read_trees(text: str, name: str = "text") -> Iterator[Tree]:
    """Every tree of a text, in order; they may span lines and share them.

    Raises:
        DataError: brackets that do not match, an empty one, or a word without a tag of its own; with `name` and line.
    """
    reader = Reader(name)
    for number, line in enumerate(text.split("\n"), 1):
        for atom in ATOM.findall(line):
            tree = reader.take(atom, number)
            if tree is not None:
                yield tree
    if reader.opened:
        raise reader.error(
            reader.opened[0].line, "the bracket that opens here is never closed; the text may be cut off"
        )


def read_file(path: Path) -> list[Tree]:
    """Every tree of a UTF-8 file.

    Raises:
        DataError: see `read_trees`; also a file that cannot be read or is no UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as UTF-8 text: {error}") from error
    return list(read_trees(text, str(path)))


def bracketed(tree: Tree) -> str:
    """A tree on one line, as `read_trees` reads it; round brackets in words become -LRB- and -RRB-.

    Raises:
        DataError: a label or word that is empty or holds a blank, or a label with a bracket, which nobody could read.
    """
    parts: list[str] = []
    waiting: list[Tree | str] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, str):
            parts.append(node)
        elif node.word is not None:
            parts.append(f" ({atom(node.label)} {atom(node.word.replace('(', '-LRB-').replace(')', '-RRB-'))})")
        else:
            parts.append(f" ({atom(node.label) if node.label else ''}")
            waiting += [")", *reversed(node.children)]
    return "".join(parts)[1:]


def atom(text: str) -> str:
    """A label or word, if it can stand in a bracket."""
    if ATOM.fullmatch(text) is None or text in "()":
        raise DataError(f"{text!r:.40} cannot stand in a bracketed tree; labels and words have no blanks in them")
    return text


def plain(word: str) -> str:
    """A treebank's word as others write it: -LRB- is a bracket again, slashes and asterisks lose their backslash."""
    return ESCAPES.get(word, word).replace("\\/", "/").replace("\\*", "*")
