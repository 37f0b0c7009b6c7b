"""YAML as its version 1.2 reads plain words: 1e-3 is a number, `no` a word, 010 is ten.

PyYAML follows version 1.1, by which 1e-3 is a text, `no`, the code of the Norwegian language, is false, and 010 is
eight. What a recipe never needs, and a mistake or an attack may hold, is refused: a key twice, aliases (a few lines of
which can stand for more than fits in memory), types beyond JSON's.
"""

import re
from collections.abc import Callable
from typing import Any

import yaml

CORE = "tag:yaml.org,2002:"
NUMBER = r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
FORMS = {  # of plain words by type, and what they may begin with (version 1.2.2, section 10.3.2)
    "null": (r"^(?:null|Null|NULL|~|)$", ["n", "N", "~", ""]),
    "bool": (r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    "int": (r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", list("-+0123456789")),
    "float": (rf"^(?:{NUMBER}|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$", list("-+.0123456789")),
}
DEEPEST = 50  # groups within groups


class Loader(yaml.SafeLoader):
    """PyYAML's reader with the words of version 1.2. It makes nodes; values are made of them here."""

    yaml_implicit_resolvers: dict[str, Any] = {first: [] for _, some in FORMS.values() for first in some}  # noqa: RUF012
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """A node; an alias is none."""
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            raise wrong(f"*{event.anchor} stands for something written elsewhere; write it out", event)
        if self.depth >= DEEPEST:
            raise wrong(f"there are more than {DEEPEST} groups within each other", event)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


for tag, (form, beginnings) in FORMS.items():
    for beginning in beginnings:
        Loader.yaml_implicit_resolvers[beginning].append((CORE + tag, re.compile(form)))


def parse(text: str) -> Any:
    """The value of a document: null, truth values, numbers, texts, lists, and dictionaries with texts for keys.

    Raises:
        yaml.YAMLError: it is none, or holds what is refused.
    """
    node = yaml.compose(text, Loader)
    return None if node is None else value(node)


def value(node: Any) -> Any:
    """What a node stands for."""
    kind = node.tag.removeprefix(CORE)
    if isinstance(node, yaml.SequenceNode) and kind == "seq":
        return [value(item) for item in node.value]
    if isinstance(node, yaml.MappingNode) and kind == "map":
        return mapping(node)
    if not isinstance(node, yaml.ScalarNode) or kind not in SCALARS:
        raise wrong(f"{node.tag} is a type that recipes have not", node)
    try:
        return SCALARS[kind](node.value)
    except ValueError:
        raise wrong(f"{node.value[:60]!r} is no {kind}", node) from None


def mapping(node: yaml.MappingNode) -> dict[str, Any]:
    """A group of keys, each once."""
    found: dict[str, Any] = {}
    for name, item in node.value:
        key = value(name)
        if not isinstance(key, str):
            raise wrong(f"the key {key!r} is no text; put it in quotes", name)
        if key in found:
            raise wrong(f"the key {key!r} stands twice in one group", name)
        found[key] = value(item)
    return found


def whole(word: str) -> int:
    """A whole number; a zero at its beginning means nothing."""
    return int(word, 0) if word[:2] in ("0o", "0x") else int(word)


def real(word: str) -> float:
    """Any number; YAML writes the infinite ones with a point before them."""
    return float(word.lower().replace(".inf", "inf").replace(".nan", "nan"))


SCALARS: dict[str, Callable[[str], Any]] = {
    "null": lambda word: None,
    "bool": lambda word: word.lower() == "true",
    "int": whole,
    "float": real,
    "str": str,
}


def wrong(what: str, place: Any) -> yaml.MarkedYAMLError:
    """An error at a node or an event."""
    return yaml.MarkedYAMLError(problem=what, problem_mark=place.start_mark)


def explain(error: yaml.YAMLError) -> str:
    """An error in one line, with the line it is about."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        problem = str(error.problem)
        told = f"{error.context}, {problem}" if problem.startswith("but ") else problem
        return f"line {error.problem_mark.line + 1}: {told}"
    return " ".join(str(error).split())
