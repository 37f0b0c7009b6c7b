"""The bundled translators: a folder here for each pair of languages, with a card that says what it is.

    en-de/model.safetensors, config.json, tokenizer.json    a model in int8, as any folder that `clearhead.load` opens
    en-de/translator.json                                   pair, licence, data, parameters, scores

`python -m clearhead.tasks.bundle` writes them. In the catalogue each has the name of the recipe it was trained by,
such as everyday-en-de.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearhead.checkpoints.catalogue.entries import entries
from clearhead.checkpoints.companions import CARD
from clearhead.checkpoints.folder import read_json
from clearhead.errors import CheckpointError, OptionError, UnknownModelError

HERE = Path(__file__).parent
OTHERS = "any model that reads one text and writes another can be named instead, such as opus-mt-zh-en"


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """What a translator is, and what may be done with it."""

    pair: tuple[str, str]  # from, to
    licence: str
    data: tuple[dict[str, Any], ...]  # of each set learnt from: name, source, licence, rows
    parameters: int
    scores: dict[str, Any]  # by test; `quantisation` is what int8 cost


def pairs() -> list[tuple[str, str]]:
    """The pairs of languages there are, as (from, to)."""
    names = sorted(card.parent.name for card in HERE.glob(f"*/{CARD}"))
    return [(source, target) for source, _, target in (name.partition("-") for name in names)]


def find(from_: str, to: str | None) -> Path:
    """The folder of a pair.

    Raises:
        UnknownModelError: there is none; the message names those there are.
        OptionError: no language to translate into.
    """
    known = pairs()
    targets = [target for source, target in known if source == from_]
    if targets and to is None:
        raise OptionError(f"into which language? give to (on the command line --to): {' or '.join(targets)}")
    if (from_, to) in known:
        return HERE / f"{from_}-{to}"
    wanted = from_ if to is None else f"{from_} to {to}"
    if not known:
        raise UnknownModelError(
            f"no translator from {wanted}: this installation came without any (recipes everyday-en-de and "
            f"everyday-en-fr make them); {OTHERS}"
        )
    names = ", ".join(f"{source} to {target}" for source, target in known)
    raise UnknownModelError(f"no translator from {wanted} is bundled, only {names}; {OTHERS}")


def card_of(folder: Path) -> Card | None:
    """The card of a bundled translator, by its folder; of anything else None."""
    return read_card(folder) if folder.parent == HERE and (folder / CARD).is_file() else None


def name_of(folder: Path) -> str:
    """What the catalogue calls a translator, or the folder's own name where it is not pinned there yet."""
    return next((entry.name for entry in entries().values() if entry.part == folder), folder.name)


def read_card(folder: Path) -> Card:
    """The card of a translator's folder.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    raw = read_json(folder / CARD)
    try:
        source, target = raw["pair"]
        return Card(
            pair=(str(source), str(target)),
            licence=str(raw["licence"]),
            data=tuple(dict(each) for each in raw["data"]),
            parameters=int(raw["parameters"]),
            scores=dict(raw["scores"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder.name}/{CARD} is damaged ({error}); install Clearhead again") from None
