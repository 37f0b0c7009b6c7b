"""The catalogue's entries: which files each name stands for, and where those files may lie.

An entry is defined by its files' SHA-256; sources are hints. Whatever a source delivers is compared with the entry
before anything can see it, so a name means the same model from every source. `catalogue.toml` states the rule in full.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

CATALOGUE = Path(__file__).with_name("catalogue.toml")
PACKAGE = Path(__file__).parents[2]  # clearhead itself
DEFAULT_MODEL = "smollm2-135m-instruct"


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """One file of a model: its path inside the model's folder, its size in bytes, its SHA-256 in hexadecimal."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A file inside an archive that is the whole of a model's file, or the next piece of it."""

    name: str
    file: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Archive:
    """A wheel or source archive of one PyPI project, known by name, size in bytes and SHA-256."""

    project: str
    version: str
    name: str
    size: int
    sha256: str
    members: tuple[Member, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class HubSource:
    """A repository of the Hugging Face Hub that holds the entry's files under the entry's own paths."""

    repo: str
    revision: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PypiSource:
    """Archives whose members, in order, are the entry's files or the pieces to join. `written` are small files that
    they lack, by the paths of this catalogue's copies of them.
    """

    archives: tuple[Archive, ...]
    written: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class PackageSource:
    """A folder of this package: the model is bundled, and is neither fetched nor removed."""

    folder: Path


Source = HubSource | PypiSource | PackageSource


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One model of the catalogue. `sources` stand in the order in which they are tried."""

    name: str
    description: str
    family: str
    parameters: int
    licence: str
    licence_from: str
    files: tuple[File, ...]
    sources: tuple[Source, ...]

    @property
    def part(self) -> Path | None:
        """The folder of a bundled model."""
        return next((source.folder for source in self.sources if isinstance(source, PackageSource)), None)

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.size for file in self.files)


def entries() -> Mapping[str, Entry]:
    """Every entry by name, in the catalogue's order."""
    return read_catalogue(CATALOGUE)


@cache
def read_catalogue(path: Path) -> Mapping[str, Entry]:
    """The entries of a catalogue file, which ships with the package and is trusted."""
    models = tomllib.loads(path.read_text(encoding="utf-8"))["model"]
    return {model["name"]: entry_of(model) for model in models}


def entry_of(model: Mapping[str, Any]) -> Entry:
    """One entry from its table."""
    files = {file["path"]: File(**file) for file in model["file"]}
    return Entry(
        name=model["name"],
        description=model["description"],
        family=model["family"],
        parameters=model["parameters"],
        licence=model["licence"],
        licence_from=model["licence_from"],
        files=tuple(files.values()),
        sources=tuple(source_of(source, files) for source in model["source"]),
    )


def source_of(source: Mapping[str, Any], files: Mapping[str, File]) -> Source:
    """One source; a member that is a whole file takes its size and hash from that file."""
    if "package" in source:
        return PackageSource(folder=PACKAGE / source["package"])
    if "hub" in source:
        return HubSource(repo=source["hub"], revision=source["revision"])
    archives = []
    for archive in source["archive"]:
        members = tuple(member_of(member, files[member["file"]]) for member in archive["members"])
        archives.append(Archive(**{**archive, "members": members}))
    written = {path: CATALOGUE.parent / own for path, own in source.get("written", {}).items()}
    return PypiSource(archives=tuple(archives), written=written)


def member_of(member: Mapping[str, Any], whole: File) -> Member:
    """One member of an archive."""
    return Member(
        name=member["name"],
        file=whole.path,
        size=member.get("size", whole.size),
        sha256=member.get("sha256", whole.sha256),
    )
