"""HTTP as the user's pip settings have it: certificates, proxy, credentials, and no way down from https to http.

An address in plain http is used only for this machine itself or for a host the user's settings trust, as pip does. A
redirect may lead to http(s) only, never from https to http, and takes no credentials to another host.
"""

import base64
import http.client
import ipaddress
import netrc
import os
import ssl
import urllib.request
from contextlib import suppress
from http.client import HTTPMessage, HTTPResponse
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from clearhead.checkpoints.catalogue.pip_settings import PipSettings
from clearhead.errors import DownloadError


class RefusedError(DownloadError):
    """The server answered, and asking again would bring the same answer."""


class BrokenLineError(DownloadError):
    """The line broke, or the server is busy: worth another try."""


class Web:
    """Opens addresses; made once per pull."""

    def __init__(self, settings: PipSettings) -> None:
        self.settings = settings
        self.known = dict(filter(None, map(credentials_in, settings.indexes)))
        proxies = dict.fromkeys(("http", "https"), settings.proxy) if settings.proxy else None
        self.opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(proxies),  # None: HTTPS_PROXY, NO_PROXY and their like
            urllib.request.HTTPHandler(),
            Https(settings),
            urllib.request.HTTPErrorProcessor(),
            urllib.request.HTTPDefaultErrorHandler(),
            CarefulRedirects(self),
        ):
            self.opener.add_handler(handler)

    def open(self, url: str, headers: dict[str, str]) -> HTTPResponse:
        """The answer to a GET, its body unread.

        Raises:
            RefusedError: the address is not safe, or the server says no.
            BrokenLineError: no connection, or the server asks to come back later.
        """
        where = urlsplit(url)
        self.check(where)
        request = urllib.request.Request(without_credentials(where), headers=headers)
        if authorization := self.authorization(where):
            request.add_unredirected_header("Authorization", authorization)
        try:
            answer: HTTPResponse = self.opener.open(request, timeout=self.settings.timeout)
        except HTTPError as error:
            error.close()
            kind = BrokenLineError if error.code in (408, 425, 429) or error.code >= 500 else RefusedError
            raise kind(f"{where.hostname} answered {error.code} {error.reason}") from None
        except (OSError, http.client.HTTPException) as error:
            raise BrokenLineError(f"{where.hostname} cannot be reached ({cause(error)})") from None
        return answer

    def check(self, where: SplitResult) -> None:
        """Refuse every address but https, and http to a host that pip would call secure."""
        host = (where.hostname or "").lower()
        plain = where.scheme == "http" and (is_loopback(host) or is_trusted(where, self.settings))
        if not host or not (where.scheme == "https" or plain):
            raise RefusedError(
                f"{where.scheme or 'an address without scheme'} of {host!r} is not safe; use an https address"
            )

    def authorization(self, where: SplitResult) -> str | None:
        """The header's value from the address itself, the index settings or the user's netrc file."""
        found = credentials_in(where.geturl())
        pair = found[1] if found else self.known.get(origin(where)) or netrc_entry(where.hostname or "")
        return "Basic " + base64.b64encode(":".join(pair).encode()).decode() if pair else None


class Https(urllib.request.HTTPSHandler):
    """TLS with the user's certificates; unverified only for hosts the user's settings trust."""

    def __init__(self, settings: PipSettings) -> None:
        super().__init__()
        self.settings = settings
        self.verified = verified_context(settings)
        self.unverified = ssl._create_unverified_context() if settings.trusted_hosts else self.verified

    def https_open(self, request: urllib.request.Request) -> HTTPResponse:
        """Called by the opener."""
        trusted = is_trusted(urlsplit(request.full_url), self.settings)
        context = self.unverified if trusted else self.verified
        return self.do_open(http.client.HTTPSConnection, request, context=context)


class CarefulRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only where the web may go."""

    def __init__(self, web: Web) -> None:
        self.web = web

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        """Called by the opener; unredirected headers (credentials) are not copied to the new request."""
        old, new = urlsplit(req.full_url), urlsplit(urljoin(req.full_url, newurl))
        try:
            if old.scheme == "https" and new.scheme != "https":
                raise RefusedError(f"{old.hostname} redirects from https to {new.scheme}, which is not safe")
            self.web.check(new)
        except RefusedError:
            fp.close()
            raise
        request = super().redirect_request(req, fp, code, msg, headers, without_credentials(new))
        if request and (authorization := self.web.authorization(new)):
            request.add_unredirected_header("Authorization", authorization)
        return request


def verified_context(settings: PipSettings) -> ssl.SSLContext:
    """Certificates from the settings, else the system's and, where installed, those of `certifi`."""
    try:
        context = ssl.create_default_context(cafile=settings.cert)
        if settings.cert is None:
            with suppress(ImportError):
                import certifi

                context.load_verify_locations(certifi.where())
        if settings.client_cert:
            context.load_cert_chain(settings.client_cert)
    except (OSError, ssl.SSLError) as error:
        files = " or ".join(name for name in (settings.cert, settings.client_cert) if name)
        raise DownloadError(f"the certificates {files} of the pip settings cannot be used: {cause(error)}") from None
    return context


def credentials_in(url: str) -> tuple[str, tuple[str, str]] | None:
    """An address's origin with the user and password written in it."""
    where = urlsplit(url)
    if where.username is None:
        return None
    return origin(where), (unquote(where.username), unquote(where.password or ""))


def netrc_entry(host: str) -> tuple[str, str] | None:
    """User and password of the netrc file for `host`; a broken file holds none."""
    try:
        found = netrc.netrc(os.environ.get("NETRC")).authenticators(host)
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
        return None
    return (found[0], found[2] or "") if found else None


def origin(where: SplitResult) -> str:
    """Scheme, host and port: what credentials belong to."""
    return f"{where.scheme}://{where.netloc.rpartition('@')[2].lower()}"


def without_credentials(where: SplitResult) -> str:
    """The address as it may be sent and shown; its fragment stays here."""
    return where._replace(netloc=where.netloc.rpartition("@")[2], fragment="").geturl()


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_trusted(where: SplitResult, settings: PipSettings) -> bool:
    """Whether the user's settings name this host, with or without its port."""
    host = (where.hostname or "").lower()
    return not settings.trusted_hosts.isdisjoint({host, f"{host}:{where.port}"})


def cause(error: BaseException) -> str:
    """What went wrong underneath, in one line."""
    inner = error.reason if isinstance(error, URLError) else error
    text = str(getattr(inner, "strerror", None) or inner or type(inner).__name__)
    return text.splitlines()[0]
