"""`clearhead index`: folders read, cut into passages and kept in a store, so that they can be asked at once."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from clearhead.cli import arguments as a
from clearhead.cli.failures import INTERRUPTED
from clearhead.engine.machine import Machine

if TYPE_CHECKING:
    from clearhead.tasks.ask.index import Indexed

Documents = Annotated[
    list[str],
    typer.Argument(metavar="PATH", help="Files and folders: text, Markdown, HTML, PDF, CSV.", show_default=False),
]
Store = Annotated[
    str,
    typer.Option(
        "--store",
        metavar="FILE|ADDRESS",
        help="Where to keep the index: a file, or postgresql://... of a server with pgvector.",
        show_default=False,
    ),
]


def index(
    documents: Documents,
    store: Store,
    quiet: a.Quiet = False,
    json: a.Json = False,
    threads: a.Threads = None,
    offline: a.Offline = False,
) -> None:
    """Index documents, to ask them later.

    Only what is new or changed is read; what is gone from the folders leaves the store. `clearhead ask --store` then
    answers from it.

    Example: clearhead index notes/ --store notes.index
    """
    from clearhead.cli.asking import fetch, prepared, tell
    from clearhead.cli.interrupt import interruptible
    from clearhead.cli.stages import watching
    from clearhead.tasks.ask.ask import gathered, open_store
    from clearhead.tasks.ask.index import check_lost

    machine = Machine(threads=threads, offline=offline)
    begun, files = time.perf_counter(), gathered(documents, store)
    with open_store(store, documents) as kept, interruptible() as interrupt:
        check_lost(kept, files)
        fetch(kept, "none", offline=offline)
        with watching(quiet) as watch:
            retriever, done = prepared(kept, files, "none", machine, watch, interrupt)
        tell(done)
        assert done is not None  # documents were given
        report(done, kept.name, retriever.encoder.name, json=json, seconds=time.perf_counter() - begun, quiet=quiet)
    if interrupt.pressed:
        raise typer.Exit(INTERRUPTED)


def report(done: "Indexed", store: str, encoder: str, *, json: bool, seconds: float, quiet: bool) -> None:
    """What became of the documents: the result, and in one line on standard error which model and how long."""
    from clearhead.cli.json_output import plain, print_json
    from clearhead.cli.quantities import plural
    from clearhead.cli.screen import note, show_lines

    if json:
        print_json({"store": store, "model": encoder, **plain(done)})
        return
    parts = [f"{done.new} new", f"{done.changed} changed", f"{done.unchanged} unchanged", f"{done.removed} removed"]
    show_lines([f"{store}: {plural(done.passages, 'passage')} · files: {', '.join(parts)}"])
    if not quiet:
        note(f"{encoder} · {seconds:.2f} s")
