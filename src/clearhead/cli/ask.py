"""`clearhead ask`: a question in, an answer from the user's own documents out, each sentence with its source."""

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from clearhead.cli import arguments as a
from clearhead.cli.failures import INTERRUPTED
from clearhead.cli.on_machine import on_machine
from clearhead.engine.machine import Machine

if TYPE_CHECKING:
    from clearhead.cli.sources import Given
    from clearhead.engine.model import Model as Loaded
    from clearhead.tasks.ask.asker import Answer
    from clearhead.tasks.ask.retrieve import Hit, Retriever

DOCUMENTS = "Documents"

Question = Annotated[
    str | None,
    typer.Argument(metavar="QUESTION|-", help="The question; - reads standard input.", show_default=False),
]
Documents = Annotated[
    list[str] | None,
    typer.Option(
        "--documents",
        "-d",
        metavar="PATH",
        help="A file or folder to answer from: text, Markdown, HTML, PDF, CSV. May be repeated. What is new or changed "
        "is indexed first.",
        show_default=False,
        rich_help_panel=DOCUMENTS,
    ),
]
StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="FILE|ADDRESS",
        help="Where the index is: a file, or postgresql://...; without it a file in the cache. What `clearhead index` "
        "made can be asked without --documents.",
        show_default=False,
        rich_help_panel=DOCUMENTS,
    ),
]
Passages = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        parser=a.whole,
        help="Passages that the model reads, or that are shown; 3, for a small model 1.",
        show_default=False,
        rich_help_panel=DOCUMENTS,
    ),
]
Reranker = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL|none",
        help="What reads the best passages beside the question to rank them; without it reranker-l4 where it was "
        "pulled.",
        show_default=False,
        rich_help_panel=DOCUMENTS,
    ),
]
RetrieveOnly = Annotated[
    bool, typer.Option("--retrieve-only", help="Show the passages; write no answer.", rich_help_panel=a.OUTPUT)
]
Length = Annotated[
    str, typer.Option(metavar="short|sentences", help="A few words, or sentences.", rich_help_panel=a.OUTPUT)
]


@on_machine
def ask(
    question: Question = None,
    documents: Documents = None,
    store: StoreOption = None,
    file: a.File = None,
    lines: a.Lines = False,
    passages: Passages = None,
    reranker: Reranker = None,
    retrieve_only: RetrieveOnly = False,
    length: Length = "sentences",
    model: a.InstructionModel = None,
    quiet: a.Quiet = False,
    json: a.Json = False,
    *,
    machine: Machine,
) -> None:
    """Ask your own documents.

    The passages nearest to the question are found by words and by meaning, and a model answers from them alone. Every
    sentence names the passages it rests on; where the documents do not seem to hold the answer, it says: not found.

    Example: clearhead ask "Who cast the bell?" --documents notes/
    """
    from clearhead.cli.asking import fetch, prepared, tell
    from clearhead.cli.interrupt import interruptible
    from clearhead.cli.opening import load_instruction_model
    from clearhead.cli.sources import read_texts
    from clearhead.cli.stages import watching
    from clearhead.tasks.ask.ask import check, check_length, gathered, open_asker, open_store
    from clearhead.tasks.ask.asker import PASSAGES
    from clearhead.tasks.ask.index import check_lost

    given = read_texts(question, file, "question", lines=lines)
    questions = [each.text for each in given]
    check(questions, passages, length)
    files = gathered(documents or None, store)
    with ExitStack() as stack:
        kept = stack.enter_context(open_store(store, documents))
        check_lost(kept, files)
        fetch(kept, reranker, offline=machine.offline)
        answering = None
        if not retrieve_only:
            answering = load_instruction_model(model, machine, "answers from documents", quiet=quiet)
        interrupt = stack.enter_context(interruptible())
        watch = stack.enter_context(watching(quiet))
        begun = time.perf_counter()
        retriever, done = prepared(kept, files, reranker, machine, watch, interrupt)
        tell(done)
        if not quiet:
            tell_language(questions, retriever)
        if answering is None:
            for each in given:
                if interrupt.pressed:
                    break
                show_passages(each, retriever.find(each.text, passages or PASSAGES), json=json)
        elif not interrupt.pressed and answering is not None:
            asker = open_asker(retriever, model=answering, passages=passages, length=check_length(length))
            for each, answer in zip(given, asker.many(questions, cancelled=interrupt), strict=False):
                show(answer, each.line, json=json)
        if not quiet and not json and not interrupt.pressed:
            report(retriever, answering, time.perf_counter() - begun)
    if interrupt.pressed:
        raise typer.Exit(INTERRUPTED)


def tell_language(questions: list[str], retriever: "Retriever") -> None:
    """That a question is surely not in English, which is all that the usual encoder knows."""
    from clearhead.cli.screen import note
    from clearhead.tasks.embed import DEFAULT
    from clearhead.tasks.translation.languages import another

    if retriever.encoder.name != DEFAULT:
        return
    for question in questions:
        if (code := another(question, "en")) is not None:
            note(
                f"{question[:40]!r} seems to be in another language than English ({code}); {DEFAULT} knows English "
                "alone, so that it is searched for by little more than its words"
            )
            return


def show(answer: "Answer", line: int | None, *, json: bool) -> None:
    """The answer with its citations, and what they name; one of many on a line, these behind a tab."""
    from clearhead.cli.asking import shown
    from clearhead.cli.screen import Writer, note

    if json:
        show_json(answer, line)
        return
    writer = Writer()
    writer.write(answer.cited, "bold" if answer.found else "")
    used = sorted({number for sentence in answer.sentences for number in sentence.passages})
    places = [f"[{number}] {shown(answer.passages[number - 1].passage)}" for number in used]
    if line is None:
        writer.write("\n" + ("\n" if places else ""))
        writer.write("".join(f"{place}\n" for place in places), "dim")
    else:
        writer.write(("\t" + "; ".join(places) if places else "") + "\n", "dim")
    for text in answer.unsupported:
        note(f"check {text[:60]!r}: it rests on no passage")
    if answer.left_out:
        note(f"{answer.left_out} of the passages did not fit the context window; ask for fewer with --passages")
    if not answer.complete:
        note(f"the answer was cut, for {answer.model} did not end it")


def show_passages(question: "Given", hits: "list[Hit]", *, json: bool) -> None:
    """The passages, the best first, each with its place and its text."""
    from clearhead.cli.asking import shown
    from clearhead.cli.json_output import print_result
    from clearhead.cli.screen import Writer

    if json:
        print_result({"question": question.text, "passages": [as_json(hit) for hit in hits]}, question.line)
        return
    writer = Writer()
    if question.line is not None:
        writer.write("; ".join(shown(hit.passage) for hit in hits) + "\n")
        return
    for number, hit in enumerate(hits, start=1):
        writer.write(f"[{number}] {shown(hit.passage)}\n", "dim")
        writer.write(hit.passage.text + "\n" + ("" if number == len(hits) else "\n"))


def report(retriever: "Retriever", answering: "Loaded | None", seconds: float) -> None:
    """On standard error, in one line: which model, what was searched, and how."""
    from clearhead.cli.quantities import plural
    from clearhead.cli.screen import note

    model = retriever.encoder.name if answering is None else answering.name
    reader = "" if retriever.scorer is None else ", reranked"
    searched = f"{plural(retriever.store.count(), 'passage')} searched by words and meaning{reader}"
    note(f"{model} · {searched} · {seconds:.2f} s")


def show_json(answer: "Answer", line: int | None) -> None:
    """Everything, as one object."""
    from clearhead.cli.json_output import plain, print_result

    body = {
        "text": answer.text,
        "cited": answer.cited,
        **plain(answer),
        "passages": [as_json(hit) for hit in answer.passages],
    }
    print_result(body, line)


def as_json(hit: "Hit") -> dict[str, object]:
    """A passage with its place and its scores, side by side."""
    from clearhead.cli.json_output import plain

    return {**plain(hit.passage), **{key: value for key, value in plain(hit).items() if key != "passage"}}
