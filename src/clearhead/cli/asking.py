"""What `ask` and `index` share: the store brought in step with documents, and what is said of it."""

from pathlib import Path
from typing import TYPE_CHECKING

from clearhead.engine.machine import Machine

if TYPE_CHECKING:
    from clearhead.cli.interrupt import Interrupt
    from clearhead.tasks.ask.index import Gathered, Indexed
    from clearhead.tasks.ask.passages import Passage
    from clearhead.tasks.ask.retrieve import Retriever
    from clearhead.tasks.ask.store import Store
    from clearhead.tasks.ask.watch import Watch

NAMED = 3  # files that could not be read, named one by one


def fetch(store: "Store", reranker: str | None, *, offline: bool) -> None:
    """Bring the models that search to this machine, with a bar."""
    from clearhead.cli.opening import find
    from clearhead.tasks.embed import DEFAULT

    kind = store.kind()
    for name in (reranker, DEFAULT if kind is None else kind.encoder):
        if name not in (None, "none"):
            find(str(name), offline=offline)


def prepared(
    store: "Store",
    documents: "Gathered | None",
    reranker: str | None,
    machine: Machine,
    watch: "Watch | None",
    interrupt: "Interrupt",
) -> "tuple[Retriever, Indexed | None]":
    """What searches, and what became of the documents."""
    from clearhead.tasks.ask.ask import opened
    from clearhead.tasks.ask.watch import silent

    # small models are done before a GPU is ready, and their numbers are not those that the answer's model was asked for
    small = Machine(executor="native", threads=machine.threads, offline=machine.offline)
    return opened(store, documents, reranker=reranker, machine=small, watch=watch or silent, cancelled=interrupt)


def tell(done: "Indexed | None") -> None:
    """On standard error: files that could not be read, and that an index is not whole."""
    from clearhead.cli.quantities import plural
    from clearhead.cli.screen import note

    if done is None:
        return
    for why in done.failed[:NAMED]:
        note(f"left out: {why}")
    if len(done.failed) > NAMED:
        note(f"left out as well: {plural(len(done.failed) - NAMED, 'file')} that cannot be read")
    for path in done.empty[:NAMED]:
        note(f"no text in {path}")
    if len(done.empty) > NAMED:
        note(f"no text either in {plural(len(done.empty) - NAMED, 'file')} more")
    if done.passed_over:
        note(f"passed over: {plural(done.passed_over, 'file')} of kinds that are not read")
    if not done.complete:
        note("the index is not whole yet; the same command goes on with it")


def shown(passage: "Passage") -> str:
    """Where a passage stands, by the path from here where that is shorter, and under which headings."""
    from dataclasses import replace

    path = Path(passage.file)
    here = Path.cwd()
    near = str(path.relative_to(here)) if path.is_relative_to(here) else passage.file
    place = replace(passage, file=near).place
    return f"{place}  {passage.title}" if passage.headings else place
