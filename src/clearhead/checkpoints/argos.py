"""An Argos Translate package: a zip that holds a CTranslate2 model, a SentencePiece model and a language pair.

Format: github.com/argosopentech/argos-translate, `argostranslate/package.py`. Members are looked up by their exact
names and none is unpacked under its own; what else a package carries (sentence splitters as pickles) is never touched.
"""

import re
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from mmap import mmap
from pathlib import Path
from typing import IO
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from clearhead.checkpoints.checkpoint import Checkpoint
from clearhead.checkpoints.ctranslate2 import read_ctranslate2, read_json
from clearhead.checkpoints.cursor import map_handle
from clearhead.checkpoints.parts import LARGEST_PART, Folder, Parts, Within
from clearhead.errors import CheckpointError

LARGEST_MODEL = 2**33  # bytes
MOST_MEMBERS = 10_000
HIGHEST_RATIO = 100  # unpacked to packed; weights and vocabularies stay under 5
SLACK = 2**20  # bytes a member may unpack to whatever its ratio
STEP = 2**20  # bytes unpacked at a time
TOP = re.compile(r"([^/]+/)?metadata\.json")
LANGUAGES = ("from_code", "from_name", "to_code", "to_name", "target_prefix")


def open_argos(path: Path) -> Checkpoint:
    """The checkpoint in a package, or in the folder of one that is installed. `generation` names the language pair.

    Raises:
        CheckpointError: no such package, or one whose members are missing, damaged or out of proportion.
        ConfigError: switches that describe no model Clearhead computes.
    """
    files: Parts = Folder(path) if path.is_dir() else open_package(path)
    metadata = read_json(files, "metadata.json")
    if not isinstance(metadata, dict):
        raise CheckpointError(f"{path.name}: metadata.json holds {type(metadata).__name__}, not an object")
    if not files.has("sentencepiece.model"):
        raise CheckpointError(f"{path.name} has no sentencepiece.model; packages that cut text otherwise are not read")
    checkpoint = read_ctranslate2(Within(files, "model/"), (partial(files.read, "sentencepiece.model"),))
    languages = {key: metadata[key] for key in LANGUAGES if isinstance(metadata.get(key), str)}
    return replace(checkpoint, source=path, generation=languages)


@dataclass(frozen=True, slots=True)
class Package:
    """Parts that are members of a zip, by their names inside its one top folder."""

    where: Path
    members: dict[str, ZipInfo]

    def has(self, part: str) -> bool:
        return part in self.members

    def read(self, part: str) -> bytes:
        with self.open(part, LARGEST_PART) as stream:
            return b"".join(iter(partial(stream.read, STEP), b""))

    def map(self, part: str) -> mmap:
        """A member in a nameless temporary file: the system may drop its pages from memory and read them again."""
        with self.open(part, LARGEST_MODEL) as stream, tempfile.TemporaryFile() as file:
            for piece in iter(partial(stream.read, STEP), b""):
                file.write(piece)
            file.flush()
            return map_handle(file, f"{self.where.name}: {part}")

    @contextmanager
    def open(self, part: str, limit: int) -> Iterator[IO[bytes]]:
        """A member as a stream that gives no more than its stated, plausible size, and checks its sum at the end."""
        if part not in self.members:
            raise CheckpointError(
                f"{self.where.name} has no {part}; it is no Argos Translate package of a kind read here"
            )
        info = self.members[part]
        if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise CheckpointError(f"{self.where.name}: {part} is packed in a way that is not read; zip it with deflate")
        if info.file_size > min(limit, HIGHEST_RATIO * info.compress_size + SLACK):
            raise CheckpointError(
                f"{self.where.name}: {part} would unpack from {info.compress_size} to {info.file_size} bytes; refused"
            )
        with reading(self.where), ZipFile(self.where) as package, package.open(info) as stream:
            yield stream


def open_package(path: Path) -> Package:
    """The members of a package by their names below its top folder, which is the one that has metadata.json."""
    with reading(path), ZipFile(path) as package:
        members = package.infolist()
    if len(members) > MOST_MEMBERS:
        raise CheckpointError(f"{path.name} has {len(members)} members; no Argos Translate package has so many")
    name, times = Counter(info.filename for info in members).most_common(1)[0] if members else ("", 0)
    if times > 1:
        raise CheckpointError(f"{path.name}: member {name} is repeated; one must go")
    tops = [info.filename for info in members if TOP.fullmatch(info.filename)]
    if len(tops) != 1:
        raise CheckpointError(f"{path.name} is no Argos Translate package: {len(tops)} folders have metadata.json")
    top = tops[0].removesuffix("metadata.json")
    inside = [info for info in members if info.filename.startswith(top) and not info.is_dir()]
    return Package(path, {info.filename.removeprefix(top): info for info in inside})


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever the zip library raises over a damaged package becomes one CheckpointError."""
    try:
        yield
    except (BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise CheckpointError(f"{path.name} cannot be unpacked: {reason}; download it again") from None
