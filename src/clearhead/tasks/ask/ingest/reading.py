"""Which format a file has, by the ending of its name, and what is refused whatever it is."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from clearhead.errors import DataError
from clearhead.tasks.ask.ingest import html, markdown, pdf, plain, table
from clearhead.tasks.ask.ingest.block import Block

LARGEST = 64 * 2**20  # bytes of one document
Reader = Callable[[bytes], Iterator[Block]]
FORMATS: Mapping[str, Reader] = {
    ".txt": plain.blocks, ".text": plain.blocks, ".log": plain.lines, ".rst": plain.blocks,
    ".md": markdown.blocks, ".markdown": markdown.blocks,
    ".html": html.blocks, ".htm": html.blocks, ".xhtml": html.blocks,
    ".pdf": pdf.blocks,
    ".csv": table.blocks, ".tsv": table.tabbed,
}  # fmt: skip


def read(path: Path, data: bytes) -> list[Block]:
    """A document as blocks, in order.

    Raises:
        DataError: a format that is not read, or a file that is not what its name says; the message names the file.
    """
    reader = FORMATS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: documents of this kind are not read; give {', '.join(FORMATS)}")
    if len(data) > LARGEST:
        raise DataError(f"{path} is larger than {LARGEST // 2**20} MiB; split it")
    try:
        return list(reader(data))
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
