"""`clearhead ask` and `clearhead index`: the answer with its sources on standard output, all else elsewhere."""

import json
import re
import shlex
from pathlib import Path

import pytest

from real import find
from terminal import fails, invoke, on_terminal
from test_ask_answers import CAST, DOCUMENTS, INJECTED

QUICK = ("--reranker", "none", "--threads", "1")


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of documents, and a place of our own for what is indexed; models stay where they are."""
    from clearhead.tasks.ask import ask

    find("minilm-l6-v2")
    monkeypatch.setattr(ask, "cache_root", lambda: tmp_path / "cache")
    folder = tmp_path / "notes"
    folder.mkdir()
    for name, text in DOCUMENTS.items():
        (folder / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def small() -> Path:
    """The model that every machine has."""
    return find("smollm2-135m-instruct")


@pytest.mark.weights
@pytest.mark.usefixtures("notes")
@pytest.mark.parametrize("verb", ["index", "ask"])
def test_the_example_of_the_help_works(verb: str, small: Path) -> None:
    match = re.search(rf"Example: clearhead ({verb} .*)", invoke(verb, "--help").stdout)
    assert match is not None
    more = ["--model", str(small), "--reranker", "none"] if verb == "ask" else []
    result = invoke(*shlex.split(match[1]), *more)
    assert result.exit_code == 0, result.stderr
    assert ("4 new" if verb == "index" else "Petrov") in result.stdout


@pytest.mark.weights
def test_the_answer_names_its_passages(notes: Path, small: Path) -> None:
    result = invoke("ask", CAST, "--documents", notes, "-m", small, *QUICK)
    answer, blank, source = result.stdout.rstrip("\n").split("\n")
    assert "Petrov" in answer and "[1]" in answer and blank == ""
    assert source == "[1] notes/bell.md:3  The bell of Ples"
    *before, figures = result.stderr.strip().split("\n")
    assert "is small for answers from documents" in before[0] and before[1] == "indexing 4 of 4 documents"
    assert re.fullmatch(r".*smollm2\S* · 5 passages searched by words and meaning · \d+\.\d\d s", figures)
    quiet = invoke("ask", CAST, "-d", notes, "-m", small, *QUICK, "--quiet")
    assert (quiet.stdout, quiet.stderr) == (result.stdout, "")


@pytest.mark.weights
def test_json_is_everything(notes: Path, small: Path) -> None:
    found = json.loads(invoke("ask", CAST, "-d", notes, "-m", small, *QUICK, "--json").stdout)
    assert found["found"] is True and "Petrov" in found["text"] and 0.5 < found["confidence"] <= 1
    assert found["sentences"][0]["passages"] == [1]
    [passage] = found["passages"]
    assert passage["file"] == str(notes / "bell.md") and passage["line"] == 3
    assert passage["headings"] == ["The bell of Ples"] and passage["meaning"] > 0.3


@pytest.mark.weights
def test_questions_come_from_a_file_or_a_pipe_one_a_line(notes: Path, small: Path, tmp_path: Path) -> None:
    questions = f"{CAST}\n\nWhat is the rope made of?\n"
    (tmp_path / "questions.txt").write_text(questions)
    piped = invoke("ask", "--lines", "-d", notes, "-m", small, *QUICK, input=questions)
    filed = invoke("ask", "--lines", "--file", tmp_path / "questions.txt", "-d", notes, "-m", small, *QUICK)
    assert piped.stdout == filed.stdout and piped.stdout.count("\n") == 2
    assert "Petrov" in piped.stdout.split("\n")[0] and "hemp" in piped.stdout.split("\n")[1]
    assert piped.stdout.split("\n")[0].endswith("\t[1] notes/bell.md:3  The bell of Ples")
    assert "left out: 1 blank line" in piped.stderr
    asked = invoke("ask", "--lines", "-d", notes, "-m", small, *QUICK, "--json", input=questions)
    rows = [json.loads(line) for line in asked.stdout.splitlines()]
    assert [(row["line"], row["question"]) for row in rows] == [(1, CAST), (3, "What is the rope made of?")]


@pytest.mark.weights
def test_what_no_document_holds_is_not_found(notes: Path, small: Path) -> None:
    question = "Which submarine did Queen Elizabeth christen in Barrow?"
    result = invoke("ask", question, "-d", notes, "-m", small, *QUICK, "-q")
    assert (result.exit_code, result.stdout) == (0, "not found\n")


def test_a_question_in_another_language_is_told(notes: Path) -> None:
    question = "Wer hat eigentlich die große Glocke von Ples gegossen, und in welchem Jahr ist das gewesen?"
    result = invoke("ask", question, "-d", notes, "--retrieve-only", "--reranker", "none")
    assert result.exit_code == 0 and "in another language than English (de)" in result.stderr
    assert "another language" not in invoke("ask", CAST, "-d", notes, "--retrieve-only", "--reranker", "none").stderr


def test_passages_alone_need_no_model_that_writes(notes: Path) -> None:
    result = invoke("ask", CAST, "-d", notes, "--retrieve-only", "--passages", "2", "--reranker", "none")
    assert result.stdout.startswith("[1] notes/bell.md:3  The bell of Ples\nThe bell was cast by Ivan Petrov in 1881.")
    assert "\n\n[2] " in result.stdout and result.exit_code == 0
    assert "minilm-l6-v2 · 5 passages searched" in result.stderr
    found = json.loads(
        invoke("ask", CAST, "-d", notes, "--retrieve-only", "--passages", "2", "--reranker", "none", "--json").stdout
    )
    assert found["passages"][0]["line"] == 3 and found["question"] == CAST


def test_a_store_is_made_once_and_asked_without_documents(notes: Path, tmp_path: Path) -> None:
    store = tmp_path / "notes.index"
    first = invoke("index", notes, "--store", store)
    assert first.stdout == f"{store}: 5 passages · files: 4 new, 0 changed, 0 unchanged, 0 removed\n"
    assert re.search(r"minilm-l6-v2 · \d+\.\d\d s\n$", first.stderr)
    (notes / "rope.md").unlink()
    (notes / "bad.txt").write_bytes(b"\xff")
    (notes / "photo.jpg").touch()
    again = invoke("index", notes, "--store", store, "--json")
    found = json.loads(again.stdout)
    assert (found["new"], found["unchanged"], found["removed"], found["passages"]) == (0, 3, 1, 4)
    assert "left out: " in again.stderr and "bad.txt: it is not UTF-8" in again.stderr
    assert "passed over: 1 file of kinds that are not read" in again.stderr
    result = invoke("ask", CAST, "--store", store, "--retrieve-only", "--passages", "1", "--reranker", "none")
    assert result.stdout.startswith("[1] notes/bell.md:3")


def test_documents_cannot_steer_the_terminal(notes: Path) -> None:
    (notes / "evil.txt").write_text("The bell is \x1b[31mred\x07 and was cast by Ivan Petrov. " + INJECTED)
    result = invoke("ask", CAST, "-d", notes, "--retrieve-only", "--passages", "9", "--reranker", "none")
    assert "PWNED" in result.stdout and "\x1b" not in result.stdout and "\x07" not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--documents", "nowhere"), "nowhere: there is no such file or folder"),
        (("--documents", ""), "documents are ''; give the path"),
        ((), "there is nothing to search; give documents"),
        (("--store", "nowhere.index"), "there is no store nowhere.index"),
        (("--documents", "notes/photo.jpg"), "documents of this kind are not read"),
        (("--documents", "notes", "--passages", "0"), "passages is 0"),
        (("--documents", "notes", "--passages", "many"), "'many' is not a whole number"),
        (("--documents", "notes", "--length", "epic"), "length is 'epic'; choose one of short, sentences"),
        (("--documents", "notes", "--model", "no-such-model"), "no model is called 'no-such-model'"),
        (("--documents", "notes", "--reranker", "no-such-model"), "no model is called 'no-such-model'"),
        (("--documents", "notes", "--file", "notes/bell.md"), "given twice"),
        (("--store", "notes/rope.md"), "cannot be used"),
    ],
)
def test_a_request_that_cannot_be_met_is_one_line(notes: Path, arguments: tuple[str, ...], says: str) -> None:
    (notes / "photo.jpg").write_bytes(b"\xff")
    assert says in fails("ask", CAST, *arguments)


@pytest.mark.weights
@pytest.mark.usefixtures("notes")
def test_an_over_long_question_is_refused(small: Path) -> None:
    message = fails("ask", "who cast the bell " * 3000, "-d", "notes", "-m", small, *QUICK, "-q")
    assert "leaves no room for a passage in the context window" in message


@pytest.mark.usefixtures("notes")
def test_a_question_that_is_none_is_refused() -> None:
    assert "is empty" in fails("ask", "-", "-d", "notes", input="\n")
    assert "not UTF-8" in fails("ask", "-", "-d", "notes", input=b"\xff\xfe\xff")
    assert "zero bytes" in fails("ask", "a\0b", "-d", "notes")


@pytest.mark.weights
def test_on_a_terminal_the_answer_is_bold(notes: Path, small: Path) -> None:
    shown, status = on_terminal(["ask", CAST, "-d", notes, "--store", notes.parent / "s.sqlite", "-m", small, *QUICK])
    assert status == 0 and re.search(r"\x1b\[1m.*Petrov", shown)
