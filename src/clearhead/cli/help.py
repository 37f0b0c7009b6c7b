"""The text of `--help`: what a verb does, an example, and its options in groups, aligned and wrapped, nothing else.

Typer's own pages draw boxes; this one needs no imports and fits 80 columns with every name on one line.
"""

import inspect
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable
from typing import Any

from typer.core import TyperCommand, TyperGroup

LEFT = 27  # columns of the names at most
OTHERS = "Other"


class VerbHelp(TyperCommand):
    """A verb with our page of help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page."""
        formatter.write(page(self, ctx))


class GroupHelp(TyperGroup):
    """The list of verbs with our page of help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page."""
        formatter.write(page(self, ctx))


def page(command: Any, context: Any) -> str:
    """The whole page."""
    parameters = [p for p in command.get_params(context) if not getattr(p, "hidden", False)]
    arguments = [p for p in parameters if p.param_type_name == "argument"]
    options = [p for p in parameters if p.param_type_name == "option"]
    verbs = getattr(command, "commands", {})
    usage = [context.command_path, *(["VERB"] if verbs else []), *map(argument_name, arguments), "[options]"]
    blocks = [f"{heading('Usage')} {' '.join(usage)}", description(command.help or "")]
    names = max(map(len, verbs), default=0)
    for group, rows in grouped((panel(v), (v.name, first_line(v))) for v in verbs.values()):
        blocks.append(section(group, rows, names))
    if arguments:
        blocks.append(section("Arguments", [(argument_name(p), about(p)) for p in arguments]))
    for group, rows in grouped((panel(p), (option_names(p), about(p))) for p in options):
        blocks.append(section(group, rows))
    if command.epilog:
        blocks.append(description(command.epilog))
    return "\n\n".join(blocks) + "\n"


def grouped(rows: Iterable[tuple[str, tuple[str, str]]]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Rows by group, groups in the order they first appear, the rest at the end."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for group, row in rows:
        groups.setdefault(group, []).append(row)
    return sorted(groups.items(), key=lambda item: item[0] == OTHERS)


def panel(item: Any) -> str:
    """The group of an option or a verb."""
    name = getattr(item, "rich_help_panel", None)
    return name if isinstance(name, str) else OTHERS


def section(title: str, rows: list[tuple[str, str]], left: int = LEFT) -> str:
    """A heading and two columns."""
    return "\n".join([heading(title), *(line for name, text in rows for line in entry(name, text, left))])


def entry(name: str, text: str, left: int) -> list[str]:
    """A name and its explanation, which begins on the next line where the name is long."""
    wrapped = textwrap.wrap(text, width() - left - 4) or [""]
    indent = " " * (left + 4)
    if len(name) > left:
        return [f"  {name}", *(indent + line for line in wrapped)]
    return [f"  {name.ljust(left)}  {wrapped[0]}".rstrip(), *(indent + line for line in wrapped[1:])]


def description(text: str) -> str:
    """Paragraphs, wrapped; indented lines stay as they are."""
    blocks = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(block if block.startswith("    ") else textwrap.fill(block, width()) for block in blocks)


def first_line(command: Any) -> str:
    """A verb in a few words."""
    return str(inspect.cleandoc(command.help or "").partition("\n")[0].rstrip("."))


def argument_name(parameter: Any) -> str:
    """An argument as the usage line shows it."""
    name = parameter.metavar or parameter.name.upper()
    name = name + "..." if parameter.nargs == -1 else name
    return name if parameter.required else f"[{name}]"


def option_names(parameter: Any) -> str:
    """`-t, --temperature T`."""
    names = sorted([*parameter.opts, *parameter.secondary_opts], key=lambda name: name.startswith("--"))
    value = "" if parameter.is_flag else f" {parameter.metavar or parameter.type.name.upper()}"
    return ", ".join(names) + value


def about(parameter: Any) -> str:
    """The explanation, and the default where there is one worth showing."""
    default = parameter.default
    shown = isinstance(default, str | int | float) and not isinstance(default, bool) and parameter.show_default
    value = f"{default:g}" if isinstance(default, float) else default
    return f"{parameter.help or ''} [default: {value}]" if shown else str(parameter.help or "")


def heading(text: str) -> str:
    """Bold on a terminal."""
    bold = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return f"\x1b[1m{text}:\x1b[0m" if bold else f"{text}:"


def width() -> int:
    """Columns of the terminal, kept where lines read well."""
    return max(60, min(100, shutil.get_terminal_size((80, 24)).columns))
