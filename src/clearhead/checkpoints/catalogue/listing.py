"""Which models there are, which of them are here, and under which licence."""

from dataclasses import dataclass
from pathlib import Path

from clearhead.checkpoints.catalogue import store
from clearhead.checkpoints.catalogue.entries import Entry, entries
from clearhead.checkpoints.catalogue.names import HubName
from clearhead.checkpoints.catalogue.store import Pulled


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelStatus:
    """A model of the catalogue, or one pulled from the Hub, and whether it is here.

    `size` counts the bytes of its files, `on_disk` those it takes now (of an unfinished pull too). `family` is empty
    and `parameters` 0 for a model that is not in the catalogue: its own configuration says.
    """

    name: str
    description: str
    family: str
    parameters: int
    licence: str
    licence_from: str
    size: int
    on_disk: int
    source: str
    path: Path | None
    bundled: bool = False  # a part of this package, and not in the cache


def list_models() -> list[ModelStatus]:
    """The catalogue in its own order, then what else was pulled."""
    known = [status_of_entry(entry) for entry in entries().values()]
    return known + [status_of_pulled(pulled) for pulled in store.all_pulled() if pulled.key not in entries()]


def find_current(model: Entry | HubName) -> Pulled | None:
    """The model in the cache, if it is whole and what the catalogue means today."""
    pulled = store.find_pulled(store.key_of(model))
    if pulled is None or not pulled.is_whole:
        return None
    same = not isinstance(model, Entry) or set(pulled.manifest.files) == set(model.files)
    return pulled if same else None


def status_of_entry(entry: Entry) -> ModelStatus:
    """A catalogue entry and whether it is here."""
    pulled = find_current(entry)
    return ModelStatus(
        name=entry.name,
        description=entry.description,
        family=entry.family,
        parameters=entry.parameters,
        licence=entry.licence,
        licence_from=entry.licence_from,
        size=entry.size,
        on_disk=store.bytes_taken(entry.name),
        source=pulled.manifest.source if pulled else "",
        path=pulled.path if pulled else None,
        bundled=entry.part is not None,
    )


def status_of_pulled(pulled: Pulled) -> ModelStatus:
    """A model of the Hub that was pulled."""
    manifest = pulled.manifest
    return ModelStatus(
        name=manifest.name,
        description="",
        family="",
        parameters=0,
        licence=manifest.licence,
        licence_from=manifest.licence_from,
        size=sum(file.size for file in manifest.files),
        on_disk=store.bytes_taken(pulled.key),
        source=manifest.source,
        path=pulled.path if pulled.is_whole else None,
    )
