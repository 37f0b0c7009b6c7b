"""How `clearhead translate` shows which words of the source each word of a translation comes from."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clearhead.cli import pictures as p

if TYPE_CHECKING:
    from clearhead.cli.screen import Writer
    from clearhead.tasks.lines import Translator
    from clearhead.tasks.translation.alignment import Aligned
    from clearhead.tasks.translation.records import Translation


def show(translation: "Translation", writer: "Writer") -> None:
    """A line for each word of the translation: the words it comes from, the heaviest first, with their weights."""
    from rich.cells import cell_len

    words = translation.alignment or ()
    width = max((cell_len(word.text) for word in words), default=0)
    for word in words:
        writer.write(f"  {word.text}{' ' * (width - cell_len(word.text))}  ", "")
        writer.write(origins(word) + "\n", "dim")


def origins(word: "Aligned") -> str:
    """The words that a word comes from."""
    return ", ".join(f"{origin.text} {origin.weight:.2f}" for origin in word.sources) or "-"


def write_page(path: Path, made: "Sequence[Translation]", translator: "Translator", *, open: bool) -> None:
    """The page, whole or not at all."""
    from clearhead.tasks.translation.page import page

    p.write({path: page(made, translator.from_, translator.to, translator.model.name).encode("utf-8")})
    if open:
        p.show(path)
