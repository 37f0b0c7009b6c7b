"""Small files beside a model's weights that say what it is for, and that a copy of the model keeps.

translator.json names the languages of a translator, {"pair": ["en", "de"]}, trees.json how a parser writes trees, and
prefixes.json what a model of several tasks is told before a text, {"translation_en_to_de": "translate ..."}. The last
stands in config.json too, as `task_specific_params`, where the model came so (Raffel et al. 2020, 1910.10683, 2.4).
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from clearhead.checkpoints.folder import read_json
from clearhead.errors import CheckpointError, OptionError
from clearhead.trees.stored import TREES

CARD = "translator.json"
PREFIXES = "prefixes.json"
TRANSLATION = re.compile(r"translation_([a-z]{2,3})_to_([a-z]{2,3})")
LANGUAGE = re.compile(r"[a-z]{2,3}")


class Described(Protocol):
    """What is read of a checkpoint."""

    @property
    def source(self) -> Path:
        """The file or folder it lies in."""

    @property
    def generation(self) -> Mapping[str, Any]:
        """What it says of generation; an Argos package names its languages here."""


def language(code: str, what: str) -> str:
    """A code in lower case, without a country: DE and de-AT are de.

    Raises:
        OptionError: it is none.
    """
    short = code.casefold().replace("_", "-").partition("-")[0] if isinstance(code, str) else ""
    if not LANGUAGE.fullmatch(short):
        raise OptionError(f"{what} is {code!r:.40}; give a language by its code of two or three letters, such as de")
    return short


def pair_file(source: str, target: str) -> dict[str, str]:
    """The file of a translator from one language to another, by its name."""
    return {CARD: json.dumps({"pair": [source, target]}) + "\n"}


def read_pair(folder: Path) -> tuple[str, str] | None:
    """Codes of source and target, where the folder names them.

    Raises:
        CheckpointError: the file is damaged.
    """
    if not (folder / CARD).is_file():
        return None
    pair = read_json(folder / CARD).get("pair")
    if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(code, str) for code in pair):
        raise CheckpointError(f'{folder.name}/{CARD} is damaged; it should say "pair": ["en", "de"], source and target')
    return pair[0], pair[1]


def pair_of(checkpoint: Described) -> tuple[str, str] | None:
    """The languages of a model that names them: in an Argos package's metadata, or in translator.json."""
    match [checkpoint.generation.get(key) for key in ("from_code", "to_code")]:
        case [str(source), str(target)]:
            return source, target
    return read_pair(checkpoint.source)


def prefixes_of(checkpoint: Described) -> dict[str, str]:
    """What a model was trained to find before a text, by the name of the task, such as `summarization`.

    Raises:
        CheckpointError: the file is damaged.
    """
    folder = checkpoint.source
    if (folder / PREFIXES).is_file():
        found: Any = read_json(folder / PREFIXES)
    elif (folder / "config.json").is_file():
        tasks = read_json(folder / "config.json").get("task_specific_params")
        given = tasks.items() if isinstance(tasks, dict) else ()
        found = {name: task["prefix"] for name, task in given if isinstance(task, dict) and task.get("prefix")}
    else:
        found = {}
    if not all(isinstance(prefix, str) for prefix in found.values()):
        raise CheckpointError(f"{folder.name} names prefixes that are no texts; they should be, by the task's name")
    return dict(found)


def translation_prefixes(checkpoint: Described) -> dict[tuple[str, str], str]:
    """The prefixes for translation, by source and target; errors as `prefixes_of`."""
    matches = ((TRANSLATION.fullmatch(name), prefix) for name, prefix in prefixes_of(checkpoint).items())
    return {(match[1], match[2]): prefix for match, prefix in matches if match}


def companions(checkpoint: Described) -> dict[str, str]:
    """The files by name, as a copy of the model should have them."""
    found = {
        name: path.read_text(encoding="utf-8") for name in (CARD, TREES) if (path := checkpoint.source / name).is_file()
    }
    if prefixes := prefixes_of(checkpoint):
        found[PREFIXES] = json.dumps(prefixes) + "\n"
    pair = pair_of(checkpoint)
    return found if pair is None else pair_file(*pair) | found
