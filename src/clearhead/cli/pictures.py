"""Pictures as files: the options that several verbs share, and writing that leaves a whole file or none."""

import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clearhead.errors import OptionError

if TYPE_CHECKING:
    from clearhead.lens.view import Board, View

PICTURES = "Pictures"

Html = Annotated[
    Path | None,
    typer.Option(
        "--html", metavar="FILE", help="Write a page for a browser; it needs no network.", rich_help_panel=PICTURES
    ),
]
Png = Annotated[Path | None, typer.Option("--png", metavar="FILE", help="Write a picture.", rich_help_panel=PICTURES)]
Svg = Annotated[
    Path | None, typer.Option("--svg", metavar="FILE", help="Write a vector drawing.", rich_help_panel=PICTURES)
]
Open = Annotated[bool, typer.Option("--open", help="Open the written file, the page first.", rich_help_panel=PICTURES)]


def check(*, html: Path | None = None, png: Path | None = None, svg: Path | None = None, open: bool = False) -> None:
    """Refuse what cannot be written before any work is done.

    Raises:
        OptionError: a path that cannot be written, one named twice, or nothing to open.
    """
    paths = [path for path in (html, png, svg) if path is not None]
    if open and not paths:
        raise OptionError("--open has no file to open; name one with --html FILE")
    if len({path.absolute() for path in paths}) < len(paths):
        raise OptionError(f"{paths[0]} is named for two kinds of picture; give each a file of its own")
    for path in paths:
        if path.is_dir():
            raise OptionError(f"{path} is a folder; name a file in it")
        if not path.parent.is_dir():
            raise OptionError(f"{path} cannot be written: there is no folder {path.parent}; make it first")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise OptionError(f"{path} cannot be written: permission denied; choose another place")


def save(
    view: "View | Board",
    *,
    html: Path | None = None,
    png: Path | None = None,
    svg: Path | None = None,
    open: bool = False,
) -> None:
    """Write the pictures asked for, say so on standard error, and open the first of them where asked to.

    All are drawn before the first is written, so that a drawing that fails leaves no file behind.

    Raises:
        OptionError: as `check`, and where the disk refuses.
        UnsupportedError: PNG or SVG of several views, or without matplotlib.
    """
    check(html=html, png=png, svg=svg, open=open)
    data: dict[Path, bytes] = {}
    with told():
        if html is not None:
            data[html] = view.html().encode("utf-8")
        if png is not None:
            data[png] = one(view).png()
        if svg is not None:
            data[svg] = one(view).svg().encode("utf-8")
    write(data)
    if open:
        show(next(iter(data)))


@contextmanager
def told() -> Iterator[None]:
    """What Python would warn of, as one line each: a font that is missing."""
    from clearhead.cli.screen import note

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        yield
    for text in dict.fromkeys(str(warning.message) for warning in said):
        note(f"warning: {text}")


def show(path: Path) -> None:
    """Open a file in the browser."""
    import webbrowser

    from clearhead.cli.screen import note

    if not webbrowser.open(path.absolute().as_uri()):
        note(f"no browser was found; open {path} yourself")


def one(view: "View | Board") -> "View":
    """A single view, which has a drawing."""
    from clearhead.errors import UnsupportedError
    from clearhead.lens.view import View

    if not isinstance(view, View):
        raise UnsupportedError("several views have one page but no one drawing; write them with --html FILE")
    return view


def write(data: Mapping[Path, bytes]) -> None:
    """Each file whole or not at all; what each became is said on standard error."""
    from clearhead.cli.quantities import size
    from clearhead.cli.screen import note

    for path, content in data.items():
        try:
            replace(path, content)
        except OSError as error:
            raise OptionError(f"{path} cannot be written: {error.strerror or error}; choose another place") from None
        note(f"wrote {path} ({size(len(content))})")


def replace(path: Path, content: bytes) -> None:
    """Write beside the file and then take its place; a device such as /dev/stdout is written as it is."""
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    target = path.resolve()  # a link stays one
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~umask()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:64]}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        Path(name).chmod(mode)
        Path(name).replace(target)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def umask() -> int:
    """The permissions that new files of this process go without; there is no way to ask but to set it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
