"""`clearhead translate`: standard output is the translation, line by line, exactly; all else goes elsewhere."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

import clearhead as ch
from clearhead.checkpoints.export import write_json
from clearhead.tasks import lines as through
from clearhead.tasks import translators
from clearhead.tasks.lines import Translator, search
from overfitted import PAIRS
from terminal import fails, invoke, on_terminal

TEXT, SAID = "\n".join(PAIRS), "\n".join(PAIRS.values())


@pytest.fixture
def bundled(translator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundled translator, of five sentences."""
    folder = tmp_path / "en-de"
    shutil.copytree(translator, folder)
    data = [{"name": "five", "source": "here", "licence": "CC0", "rows": 5}]
    card = {"pair": ["en", "de"], "licence": "CC0", "data": data, "parameters": 5, "scores": {}}
    write_json(folder / translators.CARD, card)
    monkeypatch.setattr(translators, "HERE", tmp_path)
    return folder


@pytest.fixture
def nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No translator is bundled."""
    monkeypatch.setattr(translators, "HERE", tmp_path)


@pytest.mark.usefixtures("bundled")
def test_the_example_of_the_help_works() -> None:
    match = re.search(r"Example: clearhead (translate .*)", invoke("translate", "--help").stdout)
    assert match is not None
    result = invoke(*shlex.split(match[1]))
    assert (result.exit_code, result.stdout) == (0, "Ein Mann fährt Fahrrad.\n")


def test_text_comes_from_an_argument_a_file_or_a_pipe(bundled: Path, tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_bytes(b"\xef\xbb\xbf" + TEXT.encode() + b"\n")
    results = [
        invoke("translate", TEXT, "--to", "de"),
        invoke("translate", "--file", file, "--to", "de"),
        invoke("translate", "-", "--to", "de", input=TEXT + "\n"),
        invoke("translate", "--to", "de", input=TEXT),
        invoke("translate", TEXT, "--to", "DE", "--from", "en-GB", "-m", bundled),
    ]
    assert {result.stdout for result in results} == {SAID + "\n"}


@pytest.mark.usefixtures("bundled")
def test_lines_stay_lines() -> None:
    text = "He sleeps. Two dogs run.\n\n\tHe sleeps.\n \nHe sleeps."
    said = "Er schläft. Zwei Hunde laufen.\n\n\tEr schläft.\n \nEr schläft.\n"
    assert invoke("translate", "--to", "de", input=text).stdout == said
    windows = invoke("translate", "--to", "de", input="He sleeps.\r\n\r\nHe sleeps.\r\n")
    assert windows.stdout_bytes.decode() == "Er schläft.\r\n\r\nEr schläft.\n"


@pytest.mark.usefixtures("bundled")
def test_figures_are_one_line_on_standard_error() -> None:
    result = invoke("translate", "He sleeps. Two dogs run.\n\nHe sleeps.", "--to", "de")
    assert re.fullmatch(r"en-de · en to de · 3 lines · 3 sentences · \d+\.\d\d s\n", result.stderr)
    assert invoke("translate", "He sleeps.", "--to", "de", "-q").stderr == ""


def test_alternatives_are_numbered_below_their_source(bundled: Path) -> None:
    result = invoke("translate", "He sleeps.\n\nTwo dogs run.", "--to", "de", "--alternatives", "2")
    german = Translator(model=ch.load(bundled), from_="en", to="de")
    one, two = german.lines(["He sleeps.", "Two dogs run."], search(alternatives=2))
    shown = [
        [each.source, *(f"[{i}] {way.score:.3f} {way.text}" for i, way in enumerate(each.alternatives, start=1))]
        for each in (one, two)
    ]
    assert result.stdout == "\n".join([*shown[0], "", *shown[1], ""])
    assert len(shown[0]) == 3


def test_json_is_everything(bundled: Path) -> None:
    result = invoke("translate", "He sleeps. Two dogs run.", "--to", "de", "--json", "--alternatives", "2")
    found = json.loads(result.stdout)
    assert result.stderr == ""
    assert (found["model"], found["from"], found["to"], found["executor"]) == ("en-de", "en", "de", "native")
    assert found["text"] == "Er schläft. Zwei Hunde laufen."
    assert found["card"]["licence"] == "CC0" and found["card"]["data"][0]["rows"] == 5
    [line] = found["lines"]
    assert (line["source"], line["parts"], line["complete"]) == ("He sleeps. Two dogs run.", 2, True)
    assert line["text"] == line["alternatives"][0]["text"] and len(line["alternatives"]) == 2
    named = json.loads(invoke("translate", "He sleeps.", "--to", "de", "-m", bundled, "--json").stdout)
    assert (named["model"], named["from"], named["card"]) == (str(bundled), "en", found["card"])


@pytest.mark.usefixtures("bundled")
@pytest.mark.parametrize("more", [("--executor", "torch"), ("--dtype", "int8"), ("--beams", "1"), ("--threads", "1")])
def test_options_reach_what_computes(more: tuple[str, str]) -> None:
    assert invoke("translate", TEXT, "--to", "de", *more).stdout == SAID + "\n"


@pytest.mark.usefixtures("bundled")
def test_a_cut_translation_is_told_even_in_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(through, "EXTRA", -4)
    result = invoke("translate", "A man is riding a bike.", "--to", "de", "--quiet")
    assert result.exit_code == 0 and "'A man is riding a bike.' was cut" in result.stderr
    assert json.loads(invoke("translate", "He sleeps.", "--to", "de", "--json").stdout)["lines"][0]["complete"] is False


@pytest.mark.usefixtures("bundled")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--to", "es"), "no translator from en to es is bundled, only en to de"),
        (("--from", "fr"), "no translator from fr is bundled, only en to de"),
        (("--to", "de", "--from", "fr"), "no translator from fr to de is bundled"),
        (("--to", "German"), "give a language by its code"),
        ((), "into which language? give to (on the command line --to): de"),
        (("--to", "de", "--beams", "0"), "beams is 0"),
        (("--to", "de", "--beams", "many"), "'many' is not a whole number"),
        (("--to", "de", "--beams", "2", "--alternatives", "3"), "alternatives 3 exceed beams 2"),
        (("--to", "de", "--alternatives", "0"), "alternatives is 0"),
        (("--to", "de", "--length-penalty", "nan"), "length_penalty is nan"),
        (("--to", "de", "--model", "no-such-model"), "no model is called 'no-such-model'"),
        (("--to", "de", "--dtype", "int3"), "'int3'"),
        (("--to", "de", "--file", "/nonexistent"), "given twice"),
    ],
)
def test_a_request_that_cannot_be_met_is_one_line(arguments: tuple[str, ...], says: str) -> None:
    assert says in fails("translate", "He sleeps.", *arguments)


@pytest.mark.usefixtures("bundled")
def test_a_text_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin1.txt").write_bytes("für".encode("latin-1"))
    assert "not UTF-8 (byte 1)" in fails("translate", "--file", tmp_path / "latin1.txt", "--to", "de")
    assert "is empty" in fails("translate", "-", "--to", "de", input="\n")


def test_a_model_without_two_stacks_is_refused(folders: dict[str, Path]) -> None:
    message = fails("translate", "He sleeps.", "--to", "de", "-m", folders["gpt2_folder"])
    assert "a translator reads one text and writes another" in message


@pytest.mark.usefixtures("nothing")
def test_an_installation_without_translators_says_so() -> None:
    message = fails("translate", "He sleeps.", "--to", "de")
    assert message.startswith("no translator from en to de: this installation came without any")


def test_on_a_terminal_what_was_found_is_bold(translator: Path) -> None:
    shown, status = on_terminal(["translate", "He sleeps.", "--to", "de", "-m", translator])
    assert status == 0 and "\x1b[1mEr schläft.\x1b[0m" in shown
