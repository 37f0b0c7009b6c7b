"""Documents of a measured search: into a store as a person's own would be, cut into passages under their titles."""

from collections.abc import Iterable

from clearhead.engine.model import Model
from clearhead.tasks.ask.index import meanings, tokens
from clearhead.tasks.ask.ingest import Block
from clearhead.tasks.ask.passages import SIZE, passages
from clearhead.tasks.ask.store import File, Kind, Store


def fill(store: Store, encoder: Model, documents: Iterable[tuple[str, str, str]]) -> None:
    """Every document, given as its name, its title and its text; one without either is passed over."""
    store.begin(Kind(encoder=encoder.name, width=encoder.config.d_model, size=SIZE))
    for name, title, text in documents:
        block = Block(text=text or title, headings=(title,) if title and text else ())
        cut = list(passages(name, [block] if block.text else [], lambda part: tokens(encoder, part)))
        if cut:
            store.replace(File(path=name, size=0, mtime_ns=0, sha256=""), cut, meanings(encoder, cut))
