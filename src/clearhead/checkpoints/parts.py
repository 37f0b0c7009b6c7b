"""Where the parts of a model lie when it has several: in a folder, or in something that stands for one."""

from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from typing import Protocol

from clearhead.checkpoints.cursor import map_file
from clearhead.errors import CheckpointError

LARGEST_PART = 2**26  # bytes of a configuration, a vocabulary or a SentencePiece model; the largest take a few million


class Parts(Protocol):
    """Files by name. `CheckpointError` where one is absent or cannot be read."""

    @property
    def where(self) -> Path:
        """What a person would call their place."""

    def has(self, part: str) -> bool:
        """Whether there is a part of this name."""

    def read(self, part: str) -> bytes:
        """A small part, whole."""

    def map(self, part: str) -> mmap:
        """A large part, as read-only memory."""


@dataclass(frozen=True, slots=True)
class Folder:
    """Parts that are files of a folder."""

    where: Path

    def has(self, part: str) -> bool:
        return (self.where / part).is_file()

    def read(self, part: str) -> bytes:
        data = self.map(part)
        if len(data) > LARGEST_PART:
            raise CheckpointError(f"{self.where.name}/{part} has {len(data)} bytes; it is damaged")
        return data[:]

    def map(self, part: str) -> mmap:
        return map_file(self.where / part)


@dataclass(frozen=True, slots=True)
class Within:
    """The parts of a folder among other parts."""

    parts: Parts
    folder: str  # with a slash at its end

    @property
    def where(self) -> Path:
        return self.parts.where

    def has(self, part: str) -> bool:
        return self.parts.has(self.folder + part)

    def read(self, part: str) -> bytes:
        return self.parts.read(self.folder + part)

    def map(self, part: str) -> mmap:
        return self.parts.map(self.folder + part)
