"""What every view can do: show itself in a notebook and a terminal, and become HTML, JSON, PNG or SVG.

A kind of view says three things: what it shows as data (`fill`), as a drawing for papers (`draw`), and in a terminal
(`terminal`). All else follows from these.
"""

import io
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from rich.console import Console
from rich.text import Text

from clearhead.errors import OptionError, UnsupportedError
from clearhead.lens.page import frame, page
from clearhead.lens.payload import ROOM, SHORT, Payload
from clearhead.text.printable import one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OTHER_SCRIPTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei"),
    *("Microsoft YaHei", "SimHei", "PingFang SC", "Hiragino Sans GB", "Heiti SC", "Arial Unicode MS"),
    *("Noto Sans", "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari", "Noto Sans Thai", "Noto Emoji"),
)
MISSING = re.compile(r"Glyph (\d+) .*missing from font")  # how matplotlib says that it draws an empty box
WIDTH = 80  # columns of a terminal view, unless asked otherwise


class View(ABC):
    """One picture of a model or of what it did."""

    type: ClassVar[str]  # the page's name for this kind of view
    label = ""  # on its tab among others; its type in words, where that says enough
    height: ClassVar[int] = 560  # pixels of its frame in a notebook
    size: ClassVar[tuple[float, float]] = (6.4, 4.8)  # inches of its drawing
    title: str

    @abstractmethod
    def fill(self, payload: Payload) -> dict[str, Any]:
        """Put what the view shows into a payload; the fields of the view itself, which name it."""

    @abstractmethod
    def draw(self, figure: "Figure") -> None:
        """Draw on a matplotlib figure."""

    @abstractmethod
    def terminal(self, width: int = WIDTH) -> Text:
        """The view in characters, at most `width` columns wide."""

    @property
    def model(self) -> dict[str, Any]:
        """What the page says of the model; nothing where the view needs none."""
        return {}

    @property
    @abstractmethod
    def figures(self) -> dict[str, Any]:
        """What it says, as plain data for other programs: words and numbers, no arrays."""

    @property
    def tab(self) -> str:
        """What its tab says."""
        return self.label or self.type.replace("-", " ").capitalize()

    def named(self, label: str) -> Self:
        """The same view under another name on its tab."""
        other = copy(self)
        object.__setattr__(other, "label", label)  # some views are frozen; this is no part of what they show
        return other

    def payload(self, room: int = ROOM) -> Payload:
        """The view alone, as a page gets it; in `room` bytes, where it can leave something out."""
        return gather([self], self.title, room)

    def json(self, path: str | Path | None = None) -> str:
        """The view as JSON, for other programs (`clearhead.lens.payload` explains it); also written to `path`."""
        return written(self.payload().to_json(), path)

    def html(self, path: str | Path | None = None) -> str:
        """One HTML page that needs no network; also written to `path`."""
        return written(page(self.payload()), path)

    def svg(self, path: str | Path | None = None) -> str:
        """A vector drawing for papers; also written to `path`. Needs matplotlib (`pip install "clearhead[lens]"`)."""
        return written(self.drawn("svg").decode("utf-8"), path)

    def png(self, path: str | Path | None = None, *, dpi: int = 150) -> bytes:
        """A picture; also written to `path`. Needs matplotlib (`pip install "clearhead[lens]"`)."""
        data = self.drawn("png", dpi)
        if path is not None:
            with writing(path):
                Path(path).write_bytes(data)
        return data

    def drawn(self, format: str, dpi: int = 150) -> bytes:
        """The drawing in one of matplotlib's formats; the same view gives the same bytes."""
        try:
            import matplotlib
            from matplotlib.figure import Figure
        except ImportError:
            raise UnsupportedError('drawing PNG and SVG needs matplotlib: pip install "clearhead[lens]"') from None
        with (
            matplotlib.rc_context(
                {"svg.hashsalt": "clearhead", "svg.fonttype": "none", "font.size": 9, "font.family": fonts()}
            ),
            glyphs(format),
        ):
            figure = Figure(figsize=self.size, layout="constrained")
            self.draw(figure)
            out = io.BytesIO()
            figure.savefig(out, format=format, dpi=dpi, metadata={"Date": None} if format == "svg" else None)
        return out.getvalue()

    def __rich__(self) -> Text:
        return self.terminal()

    def __str__(self) -> str:
        console = Console(
            width=10_000, color_system=None, file=io.StringIO(), markup=False, highlight=False, force_jupyter=False
        )
        console.print(self.terminal(), soft_wrap=True, end="")
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.title}>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What a Python console shows, and a notebook where pages are not allowed: the view in characters."""
        printer.text(repr(self) if cycle or printer.indentation else str(self))

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return frame(self.payload(SHORT), self.height, self.terminal().plain)


@dataclass(repr=False)
class Board:
    """Several views on one page, each under a tab of its own."""

    views: Sequence[View]
    title: str

    def payload(self, room: int = ROOM) -> Payload:
        """All views, sharing tokens and arrays; each in `room` bytes, where it can leave something out."""
        return gather(self.views, self.title, room)

    def html(self, path: str | Path | None = None) -> str:
        """One HTML page that needs no network; also written to `path`."""
        return written(page(self.payload()), path)

    def json(self, path: str | Path | None = None) -> str:
        """The same as JSON; also written to `path`."""
        return written(self.payload().to_json(), path)

    def __repr__(self) -> str:
        return f"<{self.title}: {', '.join(view.type for view in self.views)}>"

    def _repr_html_(self) -> str:
        height = max((view.height for view in self.views), default=0) + 60
        return frame(self.payload(SHORT), height, "\n".join([self.title, *(view.title for view in self.views)]))


@cache
def fonts() -> list[str]:
    """matplotlib's own font, and those of this machine that have other scripts."""
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in OTHER_SCRIPTS if name in installed)]


@contextmanager
def glyphs(format: str) -> Iterator[None]:
    """One warning that says what helps where characters have no font; none for SVG, whose reader has its own fonts."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield
    missing = {int(match[1]): "" for w in found if (match := MISSING.match(str(w.message)))}
    for warning in found:
        if not MISSING.match(str(warning.message)):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    if missing and format != "svg":
        some = one_line("".join(map(chr, list(missing)[:20])))
        warnings.warn(
            f"this machine has no font for {some}; install one, such as Noto Sans CJK, or draw SVG", stacklevel=4
        )


def gather(views: Sequence[View], title: str, room: int = ROOM) -> Payload:
    """One payload of several views."""
    payload = Payload(title=title, model=next((view.model for view in views if view.model), {}), room=room)
    for view in views:
        fields = view.fill(payload)
        payload.views.append({"type": view.type, "label": view.tab, "title": view.title, **fields})
    return payload


def written(text: str, path: str | Path | None) -> str:
    """The text, written to a file where one is named."""
    if path is not None:
        with writing(path):
            Path(path).write_text(text, encoding="utf-8", newline="\n")
    return text


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Name the file that cannot be written.

    Raises:
        OptionError: see above.
    """
    try:
        yield
    except OSError as error:
        raise OptionError(f"cannot write {one_line(str(path))}: {error.strerror or error}") from None
