"""One file of known size and SHA-256 fetched over a line that may break.

Bytes go to `<name>.partial`. A broken line is taken up where it broke (RFC 9110, section 14: Range), in this process or
a later one; the file gets its name only when its size and hash are right.
"""

import http.client
import re
import time
from collections.abc import Sequence
from http.client import HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

from clearhead.checkpoints.catalogue.disk import NoSpaceError, size_of
from clearhead.checkpoints.catalogue.entries import Archive
from clearhead.checkpoints.catalogue.hashing import CHUNK, sha256_of
from clearhead.checkpoints.catalogue.progress import Progress, Silent
from clearhead.checkpoints.catalogue.simple_index import local_path
from clearhead.checkpoints.catalogue.web import BrokenLineError, RefusedError, Web, cause
from clearhead.errors import DownloadError

TRIES = 5  # in a row that bring no byte
CONNECTIONS = 500  # in all, for a server that breaks off again and again
PAUSE = 0.5  # seconds before the second try, doubled before each further one
CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


def fetch(web: Web, addresses: Sequence[str], archive: Archive, target: Path, progress: Progress) -> None:
    """Bring `archive` to `target` from the first address that has it; the others are tried in turn.

    Raises:
        NoSpaceError: the disk is full.
        DownloadError: no address gave the promised bytes.
    """
    faults = []
    for address in addresses:
        try:
            return fetch_from(web, address, archive, target, progress)
        except NoSpaceError:
            raise
        except DownloadError as error:
            faults.append(str(error))
    raise DownloadError("; ".join(faults))


def fetch_from(web: Web, address: str, archive: Archive, target: Path, progress: Progress) -> None:
    """Fetch, check, and put in place; bytes kept from an earlier run that turn out wrong are fetched anew, once."""
    partial = target.with_name(target.name + ".partial")
    if size_of(partial) > archive.size:
        partial.unlink()
    kept = max(size_of(partial), 0)
    progress.advance(kept)
    receive(web, address, archive, partial, progress)
    found = sha256_of(partial, Silent())
    if found != archive.sha256:
        partial.unlink()
        progress.advance(-archive.size)
        if kept:
            return fetch_from(web, address, archive, target, progress)
        raise DownloadError(
            f"{archive.name} from {place(address)} has the SHA-256 {found[:12]}..., not {archive.sha256[:12]}... as "
            "the catalogue says; it was discarded"
        )
    partial.replace(target)


def receive(web: Web, address: str, archive: Archive, partial: Path, progress: Progress) -> None:
    """Append to `partial` until it has the archive's size, through as many connections as that takes."""
    if path := local_path(address):
        return copy_local(path, archive, partial, progress)
    idle = 0
    for _ in range(CONNECTIONS):
        have = max(size_of(partial), 0)
        if have == archive.size:
            return None
        try:
            receive_some(web, address, archive, partial, progress)
        except BrokenLineError as error:
            idle = 0 if size_of(partial) > have else idle + 1
            if idle == TRIES:
                raise DownloadError(f"{archive.name}: {error}; {TRIES} tries in a row brought nothing") from None
            time.sleep(PAUSE * 2**idle)
    raise DownloadError(f"{archive.name}: {CONNECTIONS} connections to {place(address)} did not bring it whole")


def receive_some(web: Web, address: str, archive: Archive, partial: Path, progress: Progress) -> None:
    """One connection: the bytes after those already there, as many as come."""
    have = max(size_of(partial), 0)
    headers = {"Accept-Encoding": "identity", "User-Agent": "clearhead"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        response = web.open(address, headers)
    except RefusedError as error:
        if not have:
            raise
        restart(partial, progress)  # 416, or a server at odds with ranges: a plain request will tell
        raise BrokenLineError(str(error)) from None
    with response:
        if (start := starts_at(response, archive)) != have:
            restart(partial, progress)
        if start not in (0, have):
            raise BrokenLineError("the server sent a part that was not asked for")
        append(response, archive, partial, progress)


def starts_at(response: HTTPResponse, archive: Archive) -> int:
    """Where in the file the body begins, -1 where the answer fits no request of ours.

    Raises:
        RefusedError: the server's file has another size, or its body is encoded.
    """
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise RefusedError(f"{archive.name}: the server sends it encoded; its bytes cannot be checked")
    if response.status == 206:
        found = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        return int(found[1]) if found and found[2] in ("*", str(archive.size)) else -1
    length = response.headers.get("Content-Length", str(archive.size))
    if length != str(archive.size):
        raise RefusedError(
            f"{archive.name}: the server's file has {length} bytes, not {archive.size} as the catalogue says"
        )
    return 0


def append(response: HTTPResponse, archive: Archive, partial: Path, progress: Progress) -> None:
    """Write the body, never past the archive's size.

    Raises:
        BrokenLineError: it ended early.
    """
    left = archive.size - max(size_of(partial), 0)
    with partial.open("ab") as file:
        while left:
            try:
                chunk = response.read1(min(CHUNK, left))  # what has come, so that a broken line loses little
            except (OSError, http.client.HTTPException) as error:
                raise BrokenLineError(f"the connection broke ({cause(error)})") from None
            if not chunk:
                raise BrokenLineError(f"the connection ended {left} bytes early")
            file.write(chunk)
            left -= len(chunk)
            progress.advance(len(chunk))


def copy_local(path: Path, archive: Archive, partial: Path, progress: Progress) -> None:
    """The archive from a folder of the user's own (an index or find-links on this machine)."""
    if size_of(path) != archive.size:
        raise RefusedError(f"{path} has {size_of(path)} bytes, not {archive.size} as the catalogue says")
    restart(partial, progress)
    with path.open("rb") as source, partial.open("wb") as file:
        while chunk := source.read(CHUNK):
            file.write(chunk)
            progress.advance(len(chunk))


def restart(partial: Path, progress: Progress) -> None:
    """Give up what has arrived."""
    progress.advance(-max(size_of(partial), 0))
    partial.unlink(missing_ok=True)


def place(address: str) -> str:
    """An address as it may be shown: its host, or this machine."""
    return urlsplit(address).hostname or "this machine"
