"""What a person may call a model: a path that exists, a name of the catalogue, or a Hugging Face id.

The grammar is strict because a name becomes part of addresses and of paths in the cache: letters, digits, `-`, `_` and
`.` between slashes, nothing that climbs, hides, or names a device. A name of the catalogue wins over a folder that
happens to be called the same; `./name` always means the folder.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clearhead.checkpoints.catalogue.entries import Entry
from clearhead.errors import UnknownModelError

LONGEST = 4096  # characters, as of a path on most systems
SEGMENT = r"[A-Za-z0-9_][A-Za-z0-9_.+-]*"
HUB_ID = re.compile(
    rf"(?P<owner>{SEGMENT})/(?P<name>{SEGMENT})(?P<inner>(?:/{SEGMENT})*\.gguf)?"
    rf"(?:@(?P<revision>{SEGMENT}(?:/{SEGMENT})*))?(?::(?P<file>{SEGMENT}(?:/{SEGMENT})*))?"
)
DEVICE = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)  # Windows opens these anywhere
PATH_LIKE = re.compile(r"/|\.{1,2}(?:/|$)|~|[A-Za-z]:[\\/]|.*\\")
MODEL_FILE = re.compile(r".*\.(?:gguf|safetensors|argosmodel|bin|pt|pth|npz|onnx|json)", re.IGNORECASE)
RUN = "recipe.yaml"  # what `clearhead train` keeps in the folder of a run
LISTING = "`clearhead models` lists those with a name; any other is given as owner/name on Hugging Face, or as a path"


@dataclass(frozen=True, kw_only=True, slots=True)
class HubName:
    """A model on the Hugging Face Hub: `owner/name`, a branch, tag or commit, and one file or quantisation in it."""

    owner: str
    name: str
    revision: str | None = None
    file: str | None = None

    @property
    def repo(self) -> str:
        """The repository's id on the Hub."""
        return f"{self.owner}/{self.name}"

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return self.repo + revision + (f":{self.file}" if self.file else "")


def parse(request: str | Path, catalogue: Mapping[str, Entry]) -> Path | Entry | HubName:
    """What `request` stands for. A `Path` object, unlike a string, is never a name.

    Raises:
        UnknownModelError: it is none of the three; the message gives near names.
    """
    if isinstance(request, Path):
        return existing(request)
    if not request.strip():
        raise UnknownModelError(f"the model's name is empty; {LISTING}")
    if len(request) > LONGEST:
        raise UnknownModelError(f"the model's name has {len(request)} characters, more than {LONGEST}; {LISTING}")
    if entry := catalogue.get(request.casefold()):
        return entry
    if PATH_LIKE.match(request) or exists(Path(request)):
        return existing(Path(request))
    hub = HUB_ID.fullmatch(request)
    if hub and is_safe(hub) and (hub["inner"] or not MODEL_FILE.fullmatch(hub["name"])):
        return HubName(
            owner=hub["owner"],
            name=hub["name"],
            revision=hub["revision"],
            file=hub["inner"][1:] if hub["inner"] else hub["file"],
        )
    if MODEL_FILE.fullmatch(request) or request.count("/") > 1:  # which no name has
        return existing(Path(request))
    raise UnknownModelError(f"no model is called {shown(request)}{near(request, catalogue)} {LISTING}")


def existing(path: Path) -> Path:
    """`path`, its `~` expanded, if something is there; of a training run its model.

    Raises:
        UnknownModelError: nothing is there.
    """
    try:
        path = path.expanduser()
    except (RuntimeError, ValueError):  # ValueError: a NUL character
        raise UnknownModelError(f"{shown(str(path))}: there is no such home folder; give the path in full") from None
    if not exists(path):
        if exists(path.parent / RUN):
            raise UnknownModelError(
                f"{path.parent} is a run without a model yet; clearhead train {path.parent} --resume"
            )
        raise UnknownModelError(f"there is no file or folder {shown(str(path))}; check the path; {LISTING}")
    return existing(path / "model") if exists(path / RUN) else path


def exists(path: Path) -> bool:
    """Whether something is there; a path no file system takes is nowhere."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def is_safe(hub: re.Match[str]) -> bool:
    """What a pattern says less well: no `..` or `--`, no name a device answers to, no contradiction."""
    segments = re.split(r"[/@:]", hub[0])
    if any(len(s) > 96 or ".." in s or s.endswith((".", ".git", ".lock")) or DEVICE.fullmatch(s) for s in segments):
        return False
    if any("--" in s or s.endswith("-") for s in segments[:2]) or len(segments) > 12:
        return False
    return not (hub["inner"] and hub["file"])


def near(request: str, catalogue: Mapping[str, Entry]) -> str:
    """The names a misspelt one may have meant, as the rest of a sentence."""
    wanted = request.casefold().rsplit("/", 1)[-1]
    alike = [name for name in catalogue if len(wanted) > 2 and wanted in name]
    alike += [n for n in difflib.get_close_matches(wanted, list(catalogue), n=3, cutoff=0.5) if n not in alike]
    return f"; did you mean {' or '.join(alike[:3])}?" if alike else ";"


def shown(text: str) -> str:
    """A stranger's text as it can stand in one line of a message."""
    return repr(text if len(text) <= 80 else text[:77] + "...")
