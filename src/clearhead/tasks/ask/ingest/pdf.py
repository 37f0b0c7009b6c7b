"""PDF: the text of every page, by pypdf. Pages that are pictures of text have none, and are told."""

import io
import logging
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from clearhead.errors import DataError
from clearhead.tasks.ask.ingest.block import Block, tidy
from clearhead.tasks.ask.ingest.plain import paragraphs

if TYPE_CHECKING:
    from pypdf import PdfReader

HYPHEN = re.compile(r"(?<=[a-zà-ÿ])[-\u00ad\u2010]\n[ \t]*(?=[a-zà-ÿ])")  # a word that goes on in the next line


def blocks(data: bytes) -> Iterator[Block]:
    """The paragraphs of every page; chapters of the table of contents are headings.

    Raises:
        DataError: no PDF, a damaged or an encrypted one, or one without any text.
    """
    reader = opened(data)
    chapters = outline(reader)
    path: tuple[str, ...] = ()
    found = False
    for number in range(1, len(reader.pages) + 1):
        path = chapters.get(number, path)
        for _, paragraph in paragraphs(HYPHEN.sub("", page_text(reader, number))):
            if said := tidy(paragraph):
                found = True
                yield Block(text=said, headings=path, page=number)
    if not found:
        raise DataError("it holds no text, only pictures of it; run text recognition (OCR) first")


def opened(data: bytes) -> "PdfReader":
    """The document; errors as `blocks`."""
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, PyPdfError

    logging.getLogger("pypdf").setLevel(logging.ERROR)  # it warns of every small fault of a file that it can read
    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise DataError("it is encrypted; save it without a password first")
        len(reader.pages)
    except DataError:
        raise
    except DependencyError:
        raise DataError(
            "it is encrypted (AES); save it without a password, or install what reads it: pip install cryptography"
        ) from None
    except (PyPdfError, ValueError, KeyError, TypeError, RecursionError, OSError, AttributeError) as error:
        raise DataError(f"it is no PDF, or a damaged one: {tidy(str(error))[:80]}") from None
    return reader


def page_text(reader: "PdfReader", number: int) -> str:
    """The text of a page, counted from 1; errors as `blocks`."""
    try:
        return reader.pages[number - 1].extract_text()
    except Exception as error:  # a damaged page can fail anywhere in its fonts and streams
        raise DataError(f"its page {number} cannot be read: {tidy(str(error))[:80]}") from None


def outline(reader: "PdfReader") -> dict[int, tuple[str, ...]]:
    """The path of headings from each page on, by the table of contents; empty where there is none, or a damaged one."""
    found: dict[int, tuple[str, ...]] = {}

    def walk(entries: list[object], above: tuple[str, ...]) -> None:
        last = above
        for entry in entries:
            if isinstance(entry, list):
                walk(entry, last)
            else:
                last = (*above, tidy(str(getattr(entry, "title", "")))[:200])
                page = reader.get_destination_page_number(entry)  # type: ignore[arg-type]
                if page is not None:
                    found[page + 1] = last

    try:
        walk(list(reader.outline), ())
    except Exception:  # headings help, and the text is whole without them
        return {}
    return found
