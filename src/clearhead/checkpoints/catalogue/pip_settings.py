"""The user's own pip settings: where packages come from and how to reach it.

Read from the places pip documents (https://pip.pypa.io/en/stable/topics/configuration/), in pip's order, each later one
overriding: system-wide files, the user's files, the environment's file, the file PIP_CONFIG_FILE names, then PIP_*
variables. The files are read here rather than asked of pip because an environment made by another installer has no pip.
"""

import configparser
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SECTIONS = ("global", "download")  # in pip's order: a command's own section wins


@dataclass(frozen=True, kw_only=True, slots=True)
class PipSettings:
    """Addresses may carry a user and a password; no message may repeat them."""

    indexes: tuple[str, ...]
    find_links: tuple[str, ...]
    cert: str | None
    client_cert: str | None
    proxy: str | None
    trusted_hosts: frozenset[str]
    timeout: float  # seconds


def read_pip_settings() -> PipSettings:
    """What `pip download` would go by, run by this interpreter."""
    settings = merged()
    extra = settings.get("extra-index-url", "").split()
    no_index = settings.get("no-index", "").lower() in ("1", "true", "yes", "on", "y", "t")
    return PipSettings(
        indexes=() if no_index else (settings.get("index-url", "https://pypi.org/simple"), *extra),
        find_links=tuple(settings.get("find-links", "").split()),
        cert=settings.get("cert") or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE"),
        client_cert=settings.get("client-cert"),
        proxy=settings.get("proxy"),
        trusted_hosts=frozenset(settings.get("trusted-host", "").lower().split()),
        timeout=seconds(settings.get("timeout", settings.get("default-timeout", ""))),
    )


def seconds(text: str) -> float:
    """pip's own default where the setting is absent or no number."""
    try:
        return max(1.0, float(text))
    except ValueError:
        return 15.0


def merged() -> dict[str, str]:
    """Every setting by its long option's name; an empty value, as in pip, says nothing."""
    layers: list[Mapping[str, str]] = []
    files = [read_file(path) for path in config_files()]
    for section in SECTIONS:
        layers += [file.get(section, {}) for file in files]
    layers.append({key[4:]: value for key, value in os.environ.items() if key.startswith("PIP_")})
    settings: dict[str, str] = {}
    for layer in layers:
        settings.update({key.lower().replace("_", "-"): value.strip() for key, value in layer.items() if value.strip()})
    return settings


def read_file(path: Path) -> dict[str, dict[str, str]]:
    """One file's sections; a file that is absent or cannot be read has none."""
    parser = configparser.RawConfigParser()
    try:
        parser.read(path)
    except (configparser.Error, UnicodeDecodeError, OSError):
        return {}
    return {section: dict(parser.items(section)) for section in parser.sections()}


def config_files() -> list[Path]:
    """The files pip would read, the weakest first."""
    named = os.environ.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return []
    name = "pip.ini" if os.name == "nt" else "pip.conf"
    files = [*system_files(name)]
    if not (named and Path(named).exists()):
        files += user_files(name)
    files.append(Path(sys.prefix) / name)
    return [*files, Path(named)] if named else files


def system_files(name: str) -> list[Path]:
    """The files of everyone on this machine."""
    if os.name == "nt":
        return [Path(os.environ.get("PROGRAMDATA", "C:/ProgramData")) / "pip" / name]
    if sys.platform == "darwin":
        return [Path("/Library/Application Support/pip") / name]
    folders = os.environ.get("XDG_CONFIG_DIRS", "").strip() or "/etc/xdg"
    return [*(Path(folder) / "pip" / name for folder in folders.split(os.pathsep)), Path("/etc") / name]


def user_files(name: str) -> list[Path]:
    """The user's files, the legacy one first."""
    home = Path.home()
    if os.name == "nt":
        return [home / "pip" / name, Path(os.environ.get("APPDATA", home)) / "pip" / name]
    modern = Path(os.environ.get("XDG_CONFIG_HOME", "").strip() or home / ".config") / "pip"
    if sys.platform == "darwin":
        library = home / "Library" / "Application Support" / "pip"
        modern = library if library.is_dir() else home / ".config" / "pip"
    return [home / ".pip" / name, modern / name]
