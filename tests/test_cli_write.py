"""`clearhead write`: standard output is the essay; what it took goes elsewhere, and impossible wishes are one line."""

import json
import re
import shlex
from pathlib import Path

import pytest

import clearhead as ch
from clearhead.tasks.writing.prose import is_whole
from clearhead.tasks.writing.repetition import repeated
from real import find
from terminal import fails, invoke

SMALL = "smollm2-135m-instruct"
WITH = pytest.mark.weights


@pytest.fixture
def small() -> Path:
    """The default model."""
    return find(SMALL)


@WITH
def test_the_example_of_the_help_works(small: Path) -> None:
    match = re.search(r"Example: clearhead (write .*)", invoke("write", "--help").stdout)
    assert match is not None
    result = invoke(*shlex.split(match[1]), "-m", small, "--seed", "3")
    assert result.exit_code == 0 and 120 <= len(result.stdout.split()) <= 180
    assert result.stdout.endswith(".\n")
    assert re.search(r"· \d+ words · \d+ paragraphs · \d+ sentences? refused · seed 3 · \d+\.\d\d s\n$", result.stderr)
    assert "is small for essays" in result.stderr


@WITH
@pytest.mark.parametrize("title", ["The value of public libraries", "Why we sleep"])
def test_an_essay_has_no_loop_no_cut_sentence_and_its_length(small: Path, title: str) -> None:
    essay = ch.write(title, length=300, model=small, seed=1)
    sentences = [each for paragraph in essay.paragraphs for each in paragraph.sentences]
    assert essay.complete and abs(essay.words - 300) <= 60
    assert repeated(sentences) == [] and all(map(is_whole, sentences))
    assert essay.text == ch.write(title, length=300, model=small, seed=1).text


@WITH
def test_json_is_everything_and_lines_are_titles(small: Path) -> None:
    common = ("--length", "40", "--seed", "2", "-m", small, "--json")
    one = json.loads(invoke("write", "Rain", *common).stdout)
    assert (one["title"], one["length"], one["seed"], one["complete"]) == ("Rain", 40, 2, True)
    assert one["text"] == "\n\n".join(part["text"] for part in one["paragraphs"])
    result = invoke("write", "--lines", *common, input="Rain\n\nSnow\n")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["title"] for row in rows] == ["Rain", "Snow"] and rows[0]["text"] == one["text"]
    plain = invoke("write", "--lines", *common[:-1], input="Rain\nSnow")
    assert plain.stdout == "".join(f"# {row['title']}\n\n{row['text']}\n\n" for row in rows)[:-1]


@WITH
def test_an_outline_comes_from_a_file_or_in_words(small: Path, tmp_path: Path) -> None:
    (tmp_path / "outline.txt").write_text("1. Rain\n2. Snow\n")
    common = ("--length", "60", "--seed", "2", "-m", small, "--json", "--tone", "friendly")
    by_file = json.loads(invoke("write", "Weather", "--outline", tmp_path / "outline.txt", *common).stdout)
    by_text = json.loads(invoke("write", "Weather", "--outline", "Rain\nSnow", *common).stdout)
    assert by_file["outline"] == ["Rain", "Snow"] and by_file["text"] == by_text["text"]
    assert [part["point"] for part in by_file["paragraphs"]] == ["Rain", "Snow"]
    assert json.loads(invoke("write", "--outline", "Rain\nSnow", *common).stdout)["title"] == "Rain"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("Rain", "--length", "3"), "length is 3"),
        (("Rain", "--length", "many"), "'many' is not a whole number"),
        (("Rain", "--outline", "\n"), "the outline is empty"),
        (("Rain", "--tone", "x" * 100), "the tone has 100 characters"),
        (("Rain", "--temperature", "-1"), "temperature is -1"),
        (("x" * 1000,), "the title has 1000 characters"),
        (("Rain", "--file", "/nonexistent"), "given twice"),
        (("Rain", "-m", "no-such-model"), "no model is called 'no-such-model'"),
    ],
)
def test_a_request_that_cannot_be_met_is_one_line(arguments: tuple[str, ...], says: str) -> None:
    assert says in fails("write", *arguments)


def test_a_title_that_is_none_is_refused(tmp_path: Path) -> None:
    assert "is empty" in fails("write", "-", input="\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8" in fails("write", "--file", tmp_path / "binary")
    (tmp_path / "zeros").write_bytes(b"\x00\x01")
    assert "control characters" in fails("write", "--file", tmp_path / "zeros")


def test_a_model_that_follows_no_instructions_is_refused(folders: dict[str, Path]) -> None:
    assert "no chat template" in fails("write", "Rain", "-m", folders["gpt2_folder"])
