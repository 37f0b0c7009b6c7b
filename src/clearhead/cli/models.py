"""`clearhead models`, `pull` and `remove`: which models there are, and which of them are on this machine."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from clearhead.cli import arguments as a

if TYPE_CHECKING:
    from clearhead.checkpoints.catalogue import ModelStatus

Names = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL",
        help="A name that `clearhead models` lists, or a Hugging Face id.",
        autocompletion=a.model_names,
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def models(json: a.Json = False) -> None:
    """List the models that have a name, and those that were pulled.

    Any other model on Hugging Face is named by its id (owner/name), and any on this machine by its path.

    Example: clearhead models
    """
    from clearhead.checkpoints.catalogue import cache_root, list_models
    from clearhead.cli.json_output import print_json
    from clearhead.cli.screen import note, output

    known = list_models()
    if json:
        print_json([{**status_json(status)} for status in known])
    elif output().is_terminal:
        show_cards(known)
        note(f"● is on this machine, in {cache_root()}; clearhead pull NAME fetches another")
    else:
        show_rows(known)


def status_json(status: "ModelStatus") -> dict[str, object]:
    """One model as data."""
    from clearhead.cli.json_output import plain

    return {**plain(status), "installed": status.path is not None}


def show_rows(known: "list[ModelStatus]") -> None:
    """One line a model, for a file or a pipe."""
    from clearhead.cli.screen import columns, show_lines
    from clearhead.text.printable import one_line

    rows = [["name", "family", "parameters", "size", "licence", "installed", "what"]]
    rows += [[one_line(field) for field in fields(status)] for status in known]
    show_lines(columns(rows, right=frozenset({2, 3})))


def fields(status: "ModelStatus") -> list[str]:
    """The columns of one model."""
    from clearhead.cli.quantities import short, size

    parameters = short(status.parameters) if status.parameters else "-"
    installed = "yes" if status.path else "no"
    return [
        status.name,
        status.family or "-",
        parameters,
        size(status.size),
        status.licence,
        installed,
        status.description,
    ]


def show_cards(known: "list[ModelStatus]") -> None:
    """Two lines a model, within 80 columns: name and figures, and below them what it is."""
    from rich.text import Text

    from clearhead.cli.screen import NARROW, output, wrapped
    from clearhead.text.printable import one_line

    console = output()
    for status in known:
        name, family, parameters, size, licence, installed, what = (one_line(field) for field in fields(status))
        figures = f"{family}, {parameters}, {size}"
        line = Text().append("● " if installed == "yes" else "○ ", "green" if installed == "yes" else "dim")
        line.append(name, "bold").append(" " * max(2, NARROW - 2 - len(name) - len(figures))).append(figures)
        console.print(line, soft_wrap=True)
        for about in wrapped(f"{what or 'from Hugging Face'}; {licence}", 2):
            console.print(Text(f"  {about}", style="dim"), soft_wrap=True)


def pull(names: Names, json: a.Json = False) -> None:
    """Fetch models, check them, and keep them on this machine.

    An interrupted download goes on where it stopped. A model that is here already is checked and mended.

    Example: clearhead pull minilm-l6-v2
    """
    from clearhead.checkpoints.catalogue import pull as fetch
    from clearhead.cli.json_output import print_json
    from clearhead.cli.progress import progress
    from clearhead.cli.screen import show_lines

    done = []
    for name in names:
        with progress() as watcher:
            path = fetch(name, progress=watcher)
        done.append({"model": name, "path": path})
        if not json:
            show_lines([f"{name}  {path}"])
    if json:
        print_json(done)


def remove(names: Names, yes: Yes = False, json: a.Json = False) -> None:
    """Take models off this machine.

    Example: clearhead remove minilm-l6-v2
    """
    from clearhead.checkpoints.catalogue import remove as discard
    from clearhead.cli.json_output import print_json
    from clearhead.cli.quantities import size
    from clearhead.cli.screen import show_lines
    from clearhead.errors import OptionError
    from clearhead.text.printable import one_line

    if not yes:
        if not sys.stdin.isatty():
            raise OptionError("remove asks before it deletes and there is no terminal to ask on; add --yes")
        typer.confirm(f"Remove {one_line(', '.join(names))}?", abort=True, err=True)
    done = []
    for name in names:
        taken = discard(name)
        done.append({"model": name, "bytes": taken})
        if not json:
            show_lines([f"{one_line(name)}  {size(taken)} freed"])
    if json:
        print_json(done)
