"""A package index and a Hugging Face Hub on this machine, with the faults that a network has."""

import hashlib
import io
import json
import re
import ssl
import tarfile
import threading
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def wheel(members: Mapping[str, bytes]) -> bytes:
    """A zip file of these members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return buffer.getvalue()


def sdist(members: Mapping[str, bytes]) -> bytes:
    """A compressed tar file of these members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@dataclass
class Fault:
    """What happens to one GET instead of the right answer."""

    after: int | None = None  # the line breaks after so many bytes of the body
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    hold: threading.Event | None = None  # where the line would break, wait for this first
    body: bytes | None = None


class Site:
    """Paths, what lies there, and what was asked for. `address` is the site's own."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        self.asked: list[tuple[str, str, str | None]] = []  # method, path, Range
        self.seen_headers: list[Mapping[str, str]] = []
        self.allowed: Callable[[Mapping[str, str]], bool] = lambda headers: True
        self.ranges = True
        self.address = ""

    def put(self, path: str, data: bytes, **headers: str) -> None:
        self.pages[path] = data, {name.replace("_", "-"): value for name, value in headers.items()}

    def gets(self, path: str) -> list[str | None]:
        """The Range of each GET of `path`, in order."""
        return [asked_range for method, asked, asked_range in self.asked if (method, asked) == ("GET", path)]

    def offer(self, project: str, *files: tuple[str, bytes], html: bool = False, **claimed: str) -> None:
        """List and hold a project's files; `claimed` gives the index another SHA-256 to state."""
        rows = []
        for name, data in files:
            self.put(f"/files/{name}", data, Content_Type="application/octet-stream")
            rows.append((name, f"../../files/{name}", claimed.get("stated", sha256(data))))
        if html:
            links = "".join(f'<a href="{url}#sha256={digest}">{name}</a>' for name, url, digest in rows)
            self.put(f"/simple/{project}/", f"<html><body>{links}</body></html>".encode(), Content_Type="text/html")
            return
        files_json = [{"filename": name, "url": url, "hashes": {"sha256": digest}} for name, url, digest in rows]
        page = json.dumps({"meta": {"api-version": "1.0"}, "name": project, "files": files_json}).encode()
        self.put(f"/simple/{project}/", page, Content_Type="application/vnd.pypi.simple.v1+json")


class Handler(BaseHTTPRequestHandler):
    """Answers for one site, which `serving` sets."""

    protocol_version = "HTTP/1.1"
    site: Site

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, *, with_body: bool) -> None:
        site, path, wanted = self.site, unquote(urlsplit(self.path).path), self.headers.get("Range")
        site.asked.append((self.command, path, wanted))
        site.seen_headers.append(dict(self.headers))
        if not site.allowed(self.headers):
            return self.reply(401, {"WWW-Authenticate": "Basic"})
        if path not in site.pages:
            return self.reply(404, {"X-Error-Code": "RepoNotFound"})
        data, headers = site.pages[path]
        fault = site.faults[path].pop(0) if with_body and site.faults[path] else Fault()
        if fault.status:
            return self.reply(fault.status, fault.headers)
        data = fault.body if fault.body is not None else data
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and site.ranges else 0
        if start and start >= len(data):
            return self.reply(416, {})
        part = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        length = {} if "Transfer-Encoding" in headers else {"Content-Length": str(len(data) - start)}
        self.head(206 if start else 200, {**length, **headers, **part, **fault.headers})
        if with_body:
            self.body(data[start:], fault)

    def reply(self, status: int, headers: Mapping[str, str]) -> None:
        self.head(status, {"Content-Length": "0", **headers})

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def body(self, data: bytes, fault: Fault) -> None:
        self.wfile.write(data[: fault.after])
        if fault.after is not None:
            self.wfile.flush()
            self.close_connection = True
        if fault.hold:
            fault.hold.wait(30)

    def log_message(self, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args: object) -> None:
        pass  # a client that was killed


@contextmanager
def serving(site: Site, tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    """Serve the site on a free port of 127.0.0.1 until the end of the block."""
    server = Server(("127.0.0.1", 0), type("SiteHandler", (Handler,), {"site": site}))
    site.address = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def hub_repository(site: Site, repo: str, files: Mapping[str, bytes], *, tags: list[str] | None = None) -> None:
    """A model on the Hub at COMMIT, also as its main branch; safetensors and GGUF files as large ones."""
    siblings = []
    for name, data in files.items():
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        large = name.endswith((".safetensors", ".gguf", ".bin"))
        lfs = {"lfs": {"sha256": sha256(data), "size": len(data), "pointerSize": 134}} if large else {}
        siblings.append({"rfilename": name, "size": len(data), "blobId": blob, **lfs})
        etag = f'"{sha256(data) if large else blob}"'
        for revision in ("main", COMMIT):
            site.put(f"/{repo}/resolve/{revision}/{name}", data, ETag=etag, X_Repo_Commit=COMMIT)
    info = {"id": repo, "modelId": repo, "sha": COMMIT, "siblings": siblings, "tags": tags or [], "private": False}
    for path in (f"/api/models/{repo}", *(f"/api/models/{repo}/revision/{r}" for r in ("main", COMMIT))):
        site.put(path, json.dumps(info).encode(), Content_Type="application/json")
