"""`ch.ask(question, documents)`: documents indexed as far as need be, passages found, an answer with its sources."""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import overload

from clearhead.checkpoints.catalogue.store import cache_root
from clearhead.config import check_number
from clearhead.engine.machine import ANY, Machine
from clearhead.engine.model import Model
from clearhead.errors import DataError, OptionError
from clearhead.generation.prefill import Cancelled, never
from clearhead.tasks.ask import found
from clearhead.tasks.ask.asker import FEW, PASSAGES, Answer, Asker
from clearhead.tasks.ask.index import Gathered, Indexed, check_lost, gather, update
from clearhead.tasks.ask.passages import SIZE
from clearhead.tasks.ask.postgres import PostgresStore, is_address
from clearhead.tasks.ask.prompt import HOW, Length
from clearhead.tasks.ask.rerank import open_scorer
from clearhead.tasks.ask.retrieve import Hit, Retriever
from clearhead.tasks.ask.sqlite import SqliteStore
from clearhead.tasks.ask.store import Store
from clearhead.tasks.ask.watch import Watch, silent
from clearhead.tasks.choice import advice, instruction_model
from clearhead.tasks.embed import DEFAULT, open_encoder
from clearhead.tasks.summarize.summarize import takes_system
from clearhead.tasks.texts import texts_of

Documents = str | Path | Sequence[str | Path]


@overload
def ask(  # type: ignore[overload-overlap]  # a string is a sequence of strings too; the first fit counts
    question: str,
    documents: Documents | None = None,
    *,
    store: str | Path | None = None,
    passages: int | None = None,
    length: Length = "sentences",
    model: str | Path | Model | None = None,
    encoder: str | Path | Model | None = None,
    reranker: str | Path | None = None,
) -> Answer: ...


@overload
def ask(
    question: Sequence[str],
    documents: Documents | None = None,
    *,
    store: str | Path | None = None,
    passages: int | None = None,
    length: Length = "sentences",
    model: str | Path | Model | None = None,
    encoder: str | Path | Model | None = None,
    reranker: str | Path | None = None,
) -> list[Answer]: ...


def ask(
    question: str | Sequence[str],
    documents: Documents | None = None,
    *,
    store: str | Path | None = None,
    passages: int | None = None,
    length: Length = "sentences",
    model: str | Path | Model | None = None,
    encoder: str | Path | Model | None = None,
    reranker: str | Path | None = None,
) -> Answer | list[Answer]:
    """An answer from files and folders, with its sources; `print(ch.ask("Who made the bell?", "notes/").cited)`.

    Text, Markdown, HTML, PDF and CSV are read. What is new or changed in `documents` is indexed first, into `store`: a
    file of SQLite, or a PostgreSQL address; without one a file in the cache, of these documents. With a store and no
    documents it is asked as it is. The model reads the best `passages` (3, a small one 1) and answers with `length`
    "short" (a few words) or "sentences". `answer.found` is False where the documents do not seem to hold the answer.
    `reranker` names a cross-encoder, "none" for none; without it that of the catalogue is used where it was pulled.

    Raises:
        OptionError: an empty question, neither documents nor a store, or an impossible value.
        DataError: documents or a store that cannot be read.
        ContextWindowError: a question that leaves no room for a passage.
        UnsupportedError: a model that follows no instructions, or an encoder that is none.
        MissingDependencyError: PostgreSQL without psycopg.
    """
    questions = check(question, passages, length)
    files = gathered(documents, store, encoder)
    with open_store(store, documents, encoder) as kept:
        retriever, _ = opened(kept, files, encoder=encoder, reranker=reranker)
        asker = open_asker(retriever, model=model, passages=passages, length=length)
        answers = list(asker.many(questions))
    return answers[0] if isinstance(question, str) else answers


def check(question: str | Sequence[str], passages: int | None, length: str) -> list[str]:
    """The questions, as a list; errors as `ask`."""
    questions = texts_of(question, "the question")
    if not questions:
        raise OptionError("there is no question; ask something")
    for each in questions:
        if not each.strip():
            raise OptionError(f"the question is {each!r:.40}; ask something in words")
        if "\0" in each:
            raise OptionError("the question is binary (it holds zero bytes); ask something in words")
    if passages is not None:
        check_number("passages", passages, 1, 100, whole=True)
    check_length(length)
    return questions


def check_length(length: str) -> Length:
    """A length by its name; errors as `ask`."""
    for known in HOW:
        if known == length:
            return known
    raise OptionError(f"length is {length!r}; choose one of {', '.join(HOW)}")


def open_store(
    store: str | Path | None, documents: Documents | None, encoder: str | Path | Model | None = None
) -> Store:
    """The store that is named, or the cached one of these documents; errors as `ask`."""
    if store is None and documents is None:
        raise OptionError(
            "there is nothing to search; give documents (--documents), or a store that holds some (--store)"
        )
    if store is not None and is_address(str(store)):
        return PostgresStore(str(store))
    path = place(store, documents, encoder)
    if documents is None and not path.is_file():
        raise OptionError(f"there is no store {path}; make one with: clearhead index FOLDER --store {path}")
    return SqliteStore(path)


def cached(documents: Sequence[Path], encoder: str) -> Path:
    """Where the index of these documents lies when nobody says where: one file for each choice of paths and encoder.

    Raises:
        DataError: the cache cannot be written.
    """
    here = sorted(os.path.abspath(path) for path in documents)  # noqa: PTH100  links stay
    whole = json.dumps(here if encoder == DEFAULT else [encoder, *here])
    folder = cache_root() / "documents"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder} cannot be made: {error.strerror or error}; name a --store elsewhere") from None
    return folder / f"{hashlib.sha256(whole.encode()).hexdigest()[:24]}.sqlite"


def name_of(encoder: str | Path | Model | None) -> str:
    """How an encoder is called."""
    return DEFAULT if encoder is None else encoder.name if isinstance(encoder, Model) else str(encoder)


def paths(documents: Documents | None) -> list[Path]:
    """Documents as a list of paths; errors as `ask`."""
    if documents is None:
        return []
    several = documents if isinstance(documents, Iterable) and not isinstance(documents, str) else [documents]
    for each in several:
        if not isinstance(each, str | Path) or each == "":  # an empty path would be this folder
            raise OptionError(f"documents are {each!r:.40}; give the path of a file or a folder")
    return [Path(each) for each in several]


def gathered(
    documents: Documents | None, store: str | Path | None = None, encoder: str | Path | Model | None = None
) -> Gathered | None:
    """The files among documents, looked for before any model is; errors as `ask`."""
    if documents is None:
        return None
    found = gather(paths(documents))
    address = store is not None and is_address(str(store))
    if found.lost and not address and not place(store, documents, encoder).is_file():
        check_lost(None, found)
    return found


def place(store: str | Path | None, documents: Documents | None, encoder: str | Path | Model | None) -> Path:
    """Where the file of a store is, or would be; errors as `cached`."""
    if store is None:
        return cached(paths(documents), name_of(encoder))
    if not isinstance(store, str | Path):
        raise OptionError(f"store is {store!r:.40}; give a file, or the address of a server")
    return Path(store)


def opened(
    store: Store,
    documents: Gathered | None,
    *,
    encoder: str | Path | Model | None = None,
    reranker: str | Path | None = None,
    machine: Machine = ANY,
    watch: Watch = silent,
    cancelled: Cancelled = never,
) -> tuple[Retriever, Indexed | None]:
    """What searches a store, brought in step with documents first where there are any, and what became of these.

    Raises:
        OptionError: also a store that is empty, or that another encoder made.
        DataError: also a store of vectors that are no longer of that encoder's length.
    """
    check_lost(store, documents)
    kind = store.kind()
    if kind is None and documents is None:
        raise OptionError(f"the store {store.name} is empty; index some documents into it first")
    size = SIZE if kind is None else kind.size
    meaning = open_encoder((DEFAULT if kind is None else kind.encoder) if encoder is None else encoder, machine)
    done = None
    if documents is not None:
        done = update(store, meaning, documents, size=size, watch=watch, cancelled=cancelled)
    elif kind is not None and (kind.encoder, kind.width) != (meaning.name, meaning.config.d_model):
        raise OptionError(f"the store {store.name} was made with {kind.encoder}, not {meaning.name}; name that one")
    return Retriever(store=store, encoder=meaning, scorer=open_scorer(reranker, machine)), done


def open_asker(
    retriever: Retriever,
    *,
    model: str | Path | Model | None = None,
    passages: int | None = None,
    length: Length = "sentences",
    machine: Machine = ANY,
) -> Asker:
    """What answers from what a retriever finds; errors as `ask`."""
    read = instruction_model(model, machine)
    large = advice(read, "") is None
    return Asker(
        retriever=retriever,
        model=read,
        weights=found.LARGE if large else found.SMALL,
        passages=passages or (PASSAGES if large else FEW),
        length=length,
        system=takes_system(read),
    )


def search(
    question: str,
    documents: Documents | None = None,
    *,
    store: str | Path | None = None,
    passages: int = PASSAGES,
    encoder: str | Path | Model | None = None,
    reranker: str | Path | None = None,
) -> list[Hit]:
    """The passages that may answer a question, the best first, without an answer; arguments and errors as `ask`."""
    check(question, passages, "short")
    files = gathered(documents, store, encoder)
    with open_store(store, documents, encoder) as kept:
        retriever, _ = opened(kept, files, encoder=encoder, reranker=reranker)
        return retriever.find(question, passages)
