"""The lines of a file, one at a time: hashed as they pass, never longer than a limit, decompressed with a limit.

A line ends at a newline alone, as other programs count lines; U+2028 and its like are characters of it.
"""

import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from clearhead.digests import sha256_of
from clearhead.errors import DataError
from clearhead.training.data.records import Fault
from clearhead.training.data.report import Report

CHUNK = 2**20
FREE = 2**26  # bytes that any compressed file may become
RATIO = 200  # beyond that, times its size; text becomes 3 to 20 times as large
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """A line without its newline, or what is wrong with it; `ended` where there was one."""

    number: int  # from 1
    text: str
    ended: bool
    fault: Fault | None = None


class Hashed(io.RawIOBase):
    """A raw file, every byte hashed on its way."""

    def __init__(self, raw: io.FileIO) -> None:
        self.raw, self.hash, self.size = raw, hashlib.sha256(), 0

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        """The next bytes, into `buffer`."""
        count = self.raw.readinto(buffer) or 0
        self.hash.update(memoryview(buffer)[:count])
        self.size += count
        return count


def lines(path: Path, *, max_bytes: int, report: Report) -> Iterator[Line]:
    """The lines of a UTF-8 file, `.gz` or not; a faulty one comes as its fault.

    Raises:
        DataError: the file cannot be opened, is damaged, or is compressed beyond reason.
    """
    with opened(path, report) as (file, whole):
        for number, raw in enumerate(pieces(path, file, max_bytes), start=1):
            yield decoded(number, raw, max_bytes)
        whole.append(True)


@contextmanager
def opened(path: Path, report: Report) -> Iterator[tuple[BinaryIO, list[bool]]]:
    """The bytes of a file, decompressed; put something in the list when all are read, and the digest is noted."""
    whole: list[bool] = []
    try:
        with io.FileIO(path) as raw:
            hashed = Hashed(raw)
            buffered = io.BufferedReader(hashed, CHUNK)
            file = io.BufferedReader(gzip.GzipFile(fileobj=buffered), CHUNK) if path.suffix == ".gz" else buffered
            try:
                yield file, whole
            finally:
                report.file(path, hashed.hash.hexdigest() if whole else None, hashed.size)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is no whole gzip file ({error}); fetch it again") from None
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError) -> DataError:
    """An error about a file that cannot be read."""
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path}: there is no such file; say with --data where the data lies, or fetch it first")
    return DataError(f"{path} cannot be read: {error.strerror or error}")


def pieces(path: Path, file: BinaryIO, max_bytes: int) -> Iterator[bytes]:
    """Lines as bytes, newlines kept; of an endless one just more than `max_bytes`."""
    size = path.stat().st_size if path.suffix == ".gz" else 0
    total = 0
    while line := file.readline(max_bytes + 2):
        yield line
        total += len(line)
        while len(line) > max_bytes + 1 and not line.endswith(b"\n"):  # passed over only when the caller goes on
            rest = file.readline(CHUNK)
            total += len(rest)
            check_ratio(path, size, total)
            line = line if rest and not rest.endswith(b"\n") else b""
        check_ratio(path, size, total)


def check_ratio(path: Path, size: int, total: int) -> None:
    """Refuse a file that becomes far larger than text does.

    Raises:
        DataError: it has.
    """
    if size and total > max(FREE, RATIO * size):
        raise DataError(f"{path}: {size} bytes became more than {total}; decompress it by hand if you trust it")


def decoded(number: int, raw: bytes, max_bytes: int) -> Line:
    """One line as text."""
    ended = raw.endswith(b"\n")
    body = raw[:-1] if ended else raw
    if number == 1:
        body = body.removeprefix(BOM)
    if len(body) > max_bytes:
        return Line(number, "", ended, Fault("endless", f"the line has more than {max_bytes} bytes"))
    try:
        return Line(number, body.decode("utf-8"), ended)
    except UnicodeDecodeError as error:
        detail = f"byte {error.start + 1} of the line, 0x{body[error.start]:02x}, is not UTF-8"
        return Line(number, "", ended, Fault("broken_utf8", detail))


def count_lines(path: Path) -> int:
    """How many lines a file has, the last one with its newline or without.

    Raises:
        DataError: as `lines`.
    """
    count, last, total = 0, b"\n", 0
    with opened(path, Report()) as (file, _):
        size = path.stat().st_size if path.suffix == ".gz" else 0
        while chunk := file.read(CHUNK):
            count, last, total = count + chunk.count(b"\n"), chunk[-1:], total + len(chunk)
            check_ratio(path, size, total)
    return count + (last != b"\n")


def verify(path: Path, expected: str | None) -> None:
    """Compare a file with the digest that a recipe states for it, if it states one.

    Raises:
        DataError: the file is another one.
    """
    if expected is None:
        return
    found = digest(path)
    if found != expected:
        raise DataError(
            f"{path} has the sha256 {found}, the recipe says {expected}; fetch the file it means, or correct it"
        )


def digest(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    try:
        return sha256_of(path)
    except OSError as error:
        raise unreadable(path, error) from None
