"""`clearhead summarize`: standard output is the summary; what it rests on is shown when asked for, doubts always."""

import json
import re
import shlex
from pathlib import Path

import pytest

from real import find
from terminal import fails, invoke, on_terminal

WITH = pytest.mark.weights
TEXT = (
    "The old bridge over the river was closed on Monday. Engineers of the city had found cracks in two of its pillars. "
    "Until repairs begin, drivers must use the motorway bridge, which adds six kilometres.\n\n"
    "The mayor, Ann Lee, said that the work would take six weeks and cost 1.2 million euros."
)


@pytest.fixture
def small() -> Path:
    """The default model; the sentence encoder is here as well."""
    find("minilm-l6-v2")
    return find("smollm2-135m-instruct")


@WITH
def test_the_example_of_the_help_works(small: Path) -> None:
    found = re.search(r"Example: clearhead (summarize .*?)\n\n", invoke("summarize", "--help").stdout, re.DOTALL)
    assert found is not None
    result = invoke(*shlex.split(" ".join(found[1].split())), "-m", small)
    assert result.exit_code == 0 and "bridge" in result.stdout and result.stdout.count("\n") == 1
    assert re.search(r"· 1 text of \d+ tokens read in 1 part · sources by minilm-l6-v2 · \d+\.\d\d s\n$", result.stderr)


@WITH
def test_sources_are_numbered_passages_of_the_text(small: Path) -> None:
    result = invoke("summarize", TEXT, "-m", small, "--sources", "-q")
    found = json.loads(invoke("summarize", TEXT, "-m", small, "--json").stdout)
    first, *rest = result.stdout.splitlines()
    assert first == " ".join(f"{each['text']} [{i}]" for i, each in enumerate(found["sentences"], start=1))
    places = [(source, i) for i, each in enumerate(found["sentences"], start=1) for source in each["sources"]]
    assert places
    for source, i in places:
        assert TEXT[source["start"] : source["end"]] == source["text"]
        assert f"[{i}] {source['score']:.2f} {source['start']}-{source['end']} {source['text']}" in rest


@WITH
def test_json_is_everything(small: Path) -> None:
    result = invoke("summarize", "--json", "--length", "short", "--links", "words", "-m", small, input=TEXT)
    found = json.loads(result.stdout)
    assert (found["style"], found["length"], found["links"], found["levels"]) == ("paragraph", 25, "words", 0)
    assert found["parts"] == [{"start": 0, "end": len(TEXT), "tokens": found["parts"][0]["tokens"]}]
    assert all({"text", "sources", "unknown", "supported"} <= each.keys() for each in found["sentences"])


@WITH
def test_a_long_text_is_read_in_parts_and_said_to_be(small: Path, tmp_path: Path) -> None:
    file = tmp_path / "long.txt"
    file.write_text("\n\n".join(f"Chapter {i}. {TEXT}" for i in range(8)))
    result = invoke("summarize", "--file", file, "--part", "200", "-m", small, "--links", "words")
    assert result.exit_code == 0 and result.stdout.strip()
    assert re.search(r"reading \d+ parts\n", result.stderr) and re.search(r"read in [4-9] parts", result.stderr)


@WITH
def test_lines_are_texts_of_their_own(small: Path) -> None:
    lines = "It rained for a week in Rome.\n\nTwo dogs ran through the old park.\n"
    common = ("--lines", "--length", "short", "--links", "none", "-m", small)
    rows = [json.loads(line) for line in invoke("summarize", *common, "--json", input=lines).stdout.splitlines()]
    assert len(rows) == 2 and rows[0]["links"] == "none"
    plain = invoke("summarize", *common, input=lines)
    assert plain.stdout == "".join(row["text"] + "\n" for row in rows)
    assert "2 texts" in plain.stderr


@WITH
@pytest.mark.parametrize("style", ["bullets", "headline"])
def test_styles(small: Path, style: str) -> None:
    result = invoke("summarize", TEXT, "--style", style, "--links", "none", "-m", small)
    assert result.exit_code == 0 and (style != "bullets" or result.stdout.startswith("- "))
    assert style != "headline" or result.stdout.count("\n") == 1


@WITH
def test_the_page_is_one_file(small: Path, tmp_path: Path) -> None:
    file = tmp_path / "summary.html"
    result = invoke("summarize", TEXT, "--html", file, "--links", "words", "-m", small)
    shown = file.read_text()
    assert result.exit_code == 0 and f"wrote {file}" in result.stderr
    assert "default-src 'none'" in shown and "<script" not in shown and '<mark id="p0">' in shown


@WITH
def test_on_a_terminal_the_summary_is_bold(small: Path) -> None:
    shown, status = on_terminal(["summarize", TEXT, "--length", "short", "--links", "none", "-m", small])
    assert status == 0 and re.search(r"\x1b\[1m[A-Z]", shown)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("Some text.", "--length", "huge"), "length is 'huge'"),
        (("Some text.", "--length", "1"), "length is 1"),
        (("Some text.", "--style", "poem"), "style is 'poem'"),
        (("Some text.", "--style", "headline", "--length", "short"), "leave out length"),
        (("Some text.", "--links", "magic"), "links is 'magic'"),
        (("Some text.", "--part", "3"), "part is 3"),
        (("Some text.", "--html", "/nonexistent/x.html"), "no folder /nonexistent"),
        (("Some text.", "--lines", "--html", "x.html"), "drop one"),
        (("Some text.", "--file", "/nonexistent"), "given twice"),
        (("Some text.", "-m", "no-such-model"), "no model is called 'no-such-model'"),
        (("...",), "has no words"),
    ],
)
def test_a_request_that_cannot_be_met_is_one_line(
    arguments: tuple[str, ...], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert says in fails("summarize", *arguments)


def test_a_text_that_is_none_is_refused(tmp_path: Path) -> None:
    assert "is empty" in fails("summarize", "-", input="\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8" in fails("summarize", "--file", tmp_path / "binary")
    (tmp_path / "zeros").write_bytes(b"words \x00\x01")
    assert "is binary" in fails("summarize", "--file", tmp_path / "zeros")


def test_a_model_that_follows_no_instructions_is_refused(folders: dict[str, Path]) -> None:
    assert "no chat template" in fails("summarize", "Some text.", "-m", folders["gpt2_folder"])
