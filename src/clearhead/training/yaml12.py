"""YAML as its version 1.2 reads plain words: 1e-3 is a number, `no` a word.

PyYAML follows version 1.1, by which 1e-3 is a text and `no`, the code of the Norwegian language, is false.
"""

import re
from typing import Any

import yaml


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the core schema of version 1.2 (section 10.3.2)."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  PyYAML's own way to say it


def resolve(tag: str, pattern: str, first: str) -> None:
    """Read plain words of this form as a tag."""
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), list(first))


resolve("null", r"^(?:null|Null|NULL|~|)$", "nN~\0")
resolve("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF")
resolve("int", r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", "-+0123456789")
resolve("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789")


def parse(text: str) -> Any:
    """The value of a document.

    Raises:
        yaml.YAMLError: it is none.
    """
    return yaml.load(text, Loader)  # noqa: S506  a subclass of the safe loader
