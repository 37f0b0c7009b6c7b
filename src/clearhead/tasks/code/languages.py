"""Programming languages: what people call them, and what a Markdown fence calls them."""

import re
from dataclasses import dataclass

from clearhead.errors import OptionError

PYTHON = "python"


@dataclass(frozen=True, slots=True)
class Language:
    """A programming language."""

    name: str  # in lower case, as a fence has it
    title: str  # as a sentence has it


KNOWN: dict[str, tuple[str, tuple[str, ...]]] = {  # name: title, other names
    "bash": ("Bash", ("sh", "shell", "zsh", "console")),
    "c": ("C", ("h",)),
    "cpp": ("C++", ("c++", "cc", "cxx", "hpp")),
    "csharp": ("C#", ("c#", "cs")),
    "css": ("CSS", ()),
    "go": ("Go", ("golang",)),
    "haskell": ("Haskell", ("hs",)),
    "html": ("HTML", ()),
    "java": ("Java", ()),
    "javascript": ("JavaScript", ("js", "node", "mjs", "jsx")),
    "julia": ("Julia", ("jl",)),
    "kotlin": ("Kotlin", ("kt",)),
    "lua": ("Lua", ()),
    "perl": ("Perl", ("pl",)),
    "php": ("PHP", ()),
    PYTHON: ("Python", ("py", "python3", "py3")),
    "r": ("R", ()),
    "ruby": ("Ruby", ("rb",)),
    "rust": ("Rust", ("rs",)),
    "scala": ("Scala", ()),
    "sql": ("SQL", ("sqlite", "postgresql", "mysql")),
    "swift": ("Swift", ()),
    "typescript": ("TypeScript", ("ts", "tsx")),
}
NAMES = {alias: name for name, (_title, others) in KNOWN.items() for alias in (name, *others)}
WORD = re.compile(r"[A-Za-z][\w.+# -]{0,29}", re.ASCII)


def language(text: str) -> Language:
    """A language by any of its names; one that is not listed is taken as it is spelled.

    Raises:
        OptionError: what cannot be the name of a language.
    """
    spelled = text.strip() if isinstance(text, str) else ""
    if WORD.fullmatch(spelled) is None:
        raise OptionError(f"language is {text!r:.40}; give the name of a programming language, such as {PYTHON}")
    name = named(spelled)
    return Language(name, KNOWN[name][0]) if name in KNOWN else Language(name, spelled)


def named(label: str) -> str:
    """The name of a language that is called `label`, at a fence for instance."""
    lower = label.strip().lower()
    return NAMES.get(lower, lower)
