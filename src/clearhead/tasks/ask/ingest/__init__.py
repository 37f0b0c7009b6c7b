"""Documents as text with its structure: one page a format, chosen by the ending of the file's name."""

from clearhead.tasks.ask.ingest.block import Block
from clearhead.tasks.ask.ingest.reading import FORMATS, read

__all__ = ["FORMATS", "Block", "read"]
