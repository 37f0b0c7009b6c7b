"""Where a package index keeps a file: the simple repository API, as JSON or HTML, and folders of files.

https://packaging.python.org/en/latest/specifications/simple-repository-api/. An index is asked for an address only:
the file's size and hash are already known, so no index can pass off another file.
"""

import json
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit
from urllib.request import url2pathname

from clearhead.checkpoints.catalogue.entries import Archive
from clearhead.checkpoints.catalogue.web import RefusedError, Web
from clearhead.errors import DownloadError

ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
LARGEST_PAGE = 2**26  # bytes; the longest page of PyPI has a few million
SHA256 = re.compile(r"sha256=([0-9a-f]{64})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """A file an index offers: its name, its address, and its SHA-256 where the index states one."""

    name: str
    address: str
    sha256: str | None


def addresses_of(web: Web, archive: Archive) -> list[str]:
    """Addresses of `archive` in the order of the user's settings: find-links, the index, the extra indexes.

    Raises:
        DownloadError: no place offers it; the message says what each place answered.
    """
    found, faults = [], []
    project = re.sub(r"[-_.]+", "-", archive.project).lower()
    pages = [*web.settings.find_links, *(f"{index.rstrip('/')}/{project}/" for index in web.settings.indexes)]
    for page in pages:
        try:
            links = [link for link in links_on(web, page, archive) if link.name == archive.name]
        except DownloadError as error:
            faults.append(str(error))
            continue
        right = [link.address for link in links if link.sha256 in (None, archive.sha256)]
        if links and not right:
            faults.append(f"{urlsplit(page).hostname} lists another file under that name (its SHA-256 differs)")
        found += right
    if not found:
        answers = f" ({'; '.join(faults)})" if faults else ""
        raise DownloadError(f"no package index of the pip settings offers {archive.name}{answers}")
    return found


def links_on(web: Web, page: str, archive: Archive) -> list[Link]:
    """What one page or folder offers."""
    if folder := local_path(page):
        return local_links(folder, archive)
    with web.open(page, {"Accept": ACCEPT, "User-Agent": "clearhead"}) as response:
        body = response.read(LARGEST_PAGE + 1)
        kind, address = response.headers.get_content_type(), response.geturl()
    if len(body) > LARGEST_PAGE:
        raise RefusedError(f"{urlsplit(page).hostname} sends a page of more than {LARGEST_PAGE} bytes")
    links = json_links(body, address) if kind.endswith("json") else html_links(body, address)
    return [link for link in links if urlsplit(link.address).scheme in ("http", "https")]


def json_links(body: bytes, address: str) -> list[Link]:
    """The files of a JSON page (PEP 691)."""
    try:
        files = json.loads(body)["files"]
        return [
            Link(name=f["filename"], address=urljoin(address, f["url"]), sha256=f.get("hashes", {}).get("sha256"))
            for f in files
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise RefusedError(f"{urlsplit(address).hostname} sends a page that is no package index") from None


def html_links(body: bytes, address: str) -> list[Link]:
    """The files of an HTML page (PEP 503)."""
    parser = Anchors()
    parser.feed(body.decode("utf-8", "replace"))
    links = []
    for reference in parser.references:
        target, fragment = urldefrag(urljoin(urljoin(address, parser.base), reference))
        stated = SHA256.fullmatch(fragment)
        name = unquote(urlsplit(target).path.rsplit("/", 1)[-1])
        links.append(Link(name=name, address=target, sha256=stated[1] if stated else None))
    return links


class Anchors(HTMLParser):
    """Collects what the links of a page refer to."""

    def __init__(self) -> None:
        super().__init__()
        self.base = ""
        self.references: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called for every tag that opens."""
        reference = dict(attrs).get("href")
        if reference and tag == "a":
            self.references.append(reference)
        elif reference and tag == "base":
            self.base = reference


def local_links(folder: Path, archive: Archive) -> list[Link]:
    """The archive itself in a folder of this machine, or what the folder's index.html lists."""
    if (folder / archive.name).is_file():
        return [Link(name=archive.name, address=(folder / archive.name).absolute().as_uri(), sha256=None)]
    page = folder / "index.html" if folder.is_dir() else folder
    if not page.is_file() or page.stat().st_size > LARGEST_PAGE:
        return []
    return html_links(page.read_bytes(), page.absolute().as_uri())


def local_path(address: str) -> Path | None:
    """The path an address means on this machine: `file:` or no scheme at all; None for the web."""
    where = urlsplit(address)
    if where.scheme == "file":
        return Path(url2pathname(where.path))
    return Path(address).expanduser() if len(where.scheme) < 2 else None  # one letter is a Windows drive
