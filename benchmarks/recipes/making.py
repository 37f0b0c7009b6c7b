"""A file or folder made once: nothing is seen under its name before it is whole."""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path


def make(path: Path, build: Callable[[Path], object]) -> None:
    """Let `build` write to a path of this name; move what it wrote, with the files beside it, to where it belongs."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as name:
        folder = Path(name)
        build(folder / path.name)
        for made in sorted(folder.iterdir(), key=lambda made: made.name == path.name):
            made.replace(path.parent / made.name)
    print(f"made {path}", flush=True)


def main(recipe: Callable[[Path], None]) -> None:
    """The command line of a recipe: the folder to make its files in."""
    recipe(Path(sys.argv[1]))
