"""What a run of rows is: its task and options, its input files with their digests, and the parts it is cut into.

The manifest is written before the first part and never changed. The same command finds it, and goes on; another one is
refused, for half of the rows would be one thing and half another.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clearhead import __version__
from clearhead.digests import sha256_of
from clearhead.errors import DataError, OptionError
from clearhead.tasks.batch.files import replace
from clearhead.tasks.batch.inputs import Format
from clearhead.tasks.batch.rows import Part, Source, scan, seen

NAME = "manifest.json"
LAYOUT = 2  # of this file and of the folder


@dataclass(frozen=True, slots=True)
class Manifest:
    """A run, as it was begun."""

    options: Mapping[str, Any]  # the task's, and the field that is read
    sources: Sequence[Source]
    parts: Sequence[Part]
    version: str = __version__  # of Clearhead

    @property
    def rows(self) -> int:
        """Of all files."""
        return sum(source.rows for source in self.sources)

    @property
    def format(self) -> Format:
        """Of the files that are read, and of those that are written."""
        return self.sources[0].format

    def output(self, part: Part) -> str:
        """The name of the file that holds a part's results; it is there once the part is done."""
        return f"part-{part.number:05d}.{self.format}"


def begin(files: Sequence[Path], options: Mapping[str, Any], size: int) -> Manifest:
    """Count the files and cut them into parts of `size` rows.

    Raises:
        DataError: a file that cannot be read, or none with a row.
    """
    sources, parts = list[Source](), list[Part]()
    for number, path in enumerate(files):
        source, own = scan(path, size, len(parts), number)
        sources.append(source)
        parts += own
    if not parts:
        raise DataError(f"{files[0]} has no row; give files with rows")
    return Manifest(options, sources, parts)


def write(folder: Path, manifest: Manifest) -> None:
    """Keep it, whole or not at all."""
    value = {
        "layout": LAYOUT,
        "clearhead": manifest.version,
        "options": dict(manifest.options),
        "sources": [asdict(source) for source in manifest.sources],
        "parts": [asdict(part) for part in manifest.parts],
    }
    text = json.dumps(value, ensure_ascii=False, indent=1) + "\n"
    replace(folder / NAME, text.encode("utf-8", "backslashreplace"))  # a file's name may be no UTF-8; JSON has escapes


def read(folder: Path) -> Manifest | None:
    """The manifest of a folder; None where there is none.

    Raises:
        DataError: it is damaged, or of another layout.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if value["layout"] != LAYOUT:
            raise DataError(f"{path} is of another version of Clearhead; start again with another --output")
        sources = [Source(**source) for source in value["sources"]]
        return Manifest(value["options"], sources, [Part(**part) for part in value["parts"]], value["clearhead"])
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise DataError(f"{path} is damaged ({str(error)[:80]}); start again with another --output") from None


def go_on(folder: Path, known: Manifest, files: Sequence[Path], options: Mapping[str, Any]) -> Manifest:
    """The run that a folder holds, with its files where they lie now.

    Raises:
        OptionError: another option, or another version of Clearhead.
        DataError: other files, or a file that has changed.
    """
    if known.version != __version__:
        raise OptionError(
            f"{folder} was begun by Clearhead {known.version}, and this is {__version__}, whose results may differ; "
            f"install that version, or give another --output"
        )
    for name in sorted(known.options.keys() | options.keys()):  # the model before its files
        if known.options.get(name) != options.get(name):
            before, now = known.options.get(name), options.get(name)
            if name == "model_files":
                raise OptionError(
                    f"{folder} was begun when {options['model']} had other files; bring them back, or give another "
                    "--output"
                )
            raise OptionError(
                f"{folder} was begun with {name} {before!r}, not {now!r}; give the same options, or another --output"
            )
    if [path.name for path in files] != [source.name for source in known.sources]:
        raise DataError(
            f"{folder} was begun with {len(known.sources)} files, {names(known.sources)}; the input is now "
            f"{len(files)} others; give the same files, or another --output"
        )
    sources = [unchanged(folder, path, source) for path, source in zip(files, known.sources, strict=True)]
    return Manifest(known.options, sources, known.parts, known.version)


def unchanged(folder: Path, path: Path, source: Source) -> Source:
    """A file of the run where it lies now; it is read again unless path, size and time are what they were.

    Raises:
        DataError: it is another.
    """
    try:
        now = seen(path.stat())
        same = (str(path.absolute()), *now) == (source.path, source.size, source.mtime_ns)
        if not same and (now[0] != source.size or sha256_of(path) != source.sha256):
            raise DataError(
                f"{path} has changed since {folder} was begun, or stands where another file stood; restore it, or "
                f"start again with another --output"
            )
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    return Source(**{**asdict(source), "path": str(path.absolute()), "mtime_ns": now[1]})


def names(sources: Sequence[Source]) -> str:
    """The first few names."""
    return ", ".join(source.name for source in sources[:3]) + (", ..." if len(sources) > 3 else "")
