"""`positions` and `neighbours`, and how verbs write pictures."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
from clearhead.cli import pictures
from clearhead.errors import OptionError, UnsupportedError
from clearhead.lens.positions import positional_encoding
from clearhead.lens.view import Board
from terminal import fails, invoke, on_terminal

STYLE = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    makers = {"gpt2": tiny.gpt2_folder, "t5": tiny.t5_folder, "bert": tiny.bert_folder}
    return {name: make(folder / name) for name, make in makers.items()}


@pytest.fixture(autouse=True)
def page(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts of a page are built from web/, which these tests need not have."""
    monkeypatch.setattr("clearhead.lens.page.built", lambda name: f"/* {name} */")


def printed(*args: str) -> tuple[list[str], np.ndarray]:
    """The words and numbers of a printed table."""
    result = invoke("positions", *args)
    assert result.exit_code == 0 and result.stderr == ""
    heading, *rows = [line.split() for line in result.stdout.splitlines()]
    assert heading[:2] == ["position", "word"]
    assert [row[0] for row in rows] == [str(k) for k in range(len(rows))]
    return [row[1] for row in rows], np.array([[float(cell) for cell in row[2:]] for row in rows])


@pytest.mark.parametrize(
    ("args", "text", "d", "n"),
    [
        ([], "I am a robot", 4, 100),
        (["one two  three", "--d", "7", "--n", "10000"], "one two three", 7, 10_000),
        (["a b c d e", "--n", "1.5"], "a b c d e", 4, 1.5),
        (["x " * 200, "--d", "2"], "x " * 200, 2, 100),
    ],
)
def test_a_pipe_gets_every_digit(args: list[str], text: str, d: int, n: float) -> None:
    words, matrix = printed(*args)
    assert words == text.split()
    for k, row in enumerate(matrix):
        for column, value in enumerate(row):
            angle = k / n ** (2 * (column // 2) / d)
            assert abs(value - (math.cos(angle) if column % 2 else math.sin(angle))) <= 1e-12
    assert matrix.shape == (len(words), d)


def test_json_is_as_exact() -> None:
    found = json.loads(invoke("positions", "I am", "--d", "3", "--json").stdout)
    assert (found["text"], found["words"], found["d_model"], found["n"]) == ("I am", ["I", "am"], 3, 100)
    assert np.array_equal(found["matrix"], positional_encoding("I am", 3, 100).matrix)
    assert found["divisors"] == pytest.approx([1, 100 ** (2 / 3)])


def test_text_through_a_pipe() -> None:
    assert invoke("positions", "-", input="from a pipe\n").stdout.splitlines()[3].split()[1] == "pipe"


def test_a_terminal_shows_the_table_and_a_heat_map() -> None:
    shown, status = on_terminal(["positions"])
    assert status == 0
    assert "\x1b[1mPositional encoding, d = 4, n = 100\x1b[0m" in shown and "\x1b[2mk  word" in shown
    plain = STYLE.sub("", shown)
    assert "robot  0.14112001  -0.98999250  0.29552021  0.95533649" in plain
    assert "robot ▒▒  ▓▓██" in plain
    assert max(map(len, plain.splitlines())) <= 80
    assert "\x1b" not in on_terminal(["positions"], env={"NO_COLOR": "1"})[0]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--n", "0"], "n is 0; it must be a number from 1"),
        (["--n", "nan"], "n is nan"),
        (["--n", "x"], "'x' is not a number"),
        (["--d", "0"], "d_model is 0; it must be a whole number from 1"),
        (["--d", "1.5"], "'1.5' is not a whole number"),
        (["--d", "99999999"], "d_model is 99999999"),
        ([""], "the text is empty"),
        (["  "], "no words"),
        (["--open"], "--open has no file to open"),
        (["--html", "/nowhere/at/all.html"], "there is no folder /nowhere/at"),
        (["--png", "/"], "/ is a folder"),
        (["--model", "m", "--n", "3"], "drop one of them"),
        (["--model", "m", "--d", "3"], "drop one of them"),
        (["--model", "/no/such/model", "--offline"], "/no/such/model"),
    ],
)
def test_what_cannot_be_done_is_one_line(args: list[str], message: str) -> None:
    assert message in fails("positions", *args)


def test_a_models_own_positions(models: dict[str, Path]) -> None:
    found = json.loads(invoke("positions", "ab", "--model", models["gpt2"], "--json").stdout)
    [view] = found["views"]
    assert (view["scheme"], view["positions"], view["d_model"]) == ("learned", 128, 24)
    t5 = json.loads(invoke("positions", "ab", "--model", models["t5"], "--json").stdout)
    assert [view["stack"] for view in t5["views"]] == ["encoder", "decoder"]
    shown = invoke("positions", "--model", models["t5"])
    assert shown.exit_code == 0 and shown.stderr == ""
    assert "Relative positions of the encoder" in shown.stdout
    assert "Relative positions of the decoder" in shown.stdout


def test_pictures_of_positions(tmp_path: Path, models: dict[str, Path]) -> None:
    pytest.importorskip("matplotlib")
    html, png, svg = (tmp_path / f"a.{kind}" for kind in ("html", "png", "svg"))
    result = invoke("positions", "--html", html, "--png", png, "--svg", svg)
    assert result.exit_code == 0
    assert [line.split()[1] for line in result.stderr.splitlines()] == [str(html), str(png), str(svg)]
    assert html.read_text() == positional_encoding().html()
    assert png.read_bytes().startswith(b"\x89PNG") and "robot" in svg.read_text()
    assert result.stdout == invoke("positions").stdout

    assert invoke("positions", "--model", models["t5"], "--html", html).exit_code == 0
    assert html.read_text().count('"type":"positions"') == 2
    line = fails("positions", "--model", models["t5"], "--svg", tmp_path / "b.svg")
    assert "several views have one page but no one drawing" in line
    assert not (tmp_path / "b.svg").exists()


# neighbours


def rows(text: str) -> list[list[str]]:
    """A printed table."""
    return [line.split() for line in text.splitlines()]


def test_the_neighbours_of_a_word(models: dict[str, Path]) -> None:
    result = invoke("neighbours", "book", "--model", models["bert"], "--executor", "torch", "--top", "2")
    assert result.exit_code == 0 and result.stderr == ""
    found = json.loads(
        invoke("neighbours", "book", "-m", models["bert"], "--executor", "torch", "--top", "2", "--json").stdout
    )
    table = rows(result.stdout)
    assert table[0] == ["word", "neighbour", "cosine", "piece", "id"] and len(table) == 3
    for row, near in zip(table[1:], found["neighbours"][0], strict=True):
        assert row == ["book", near["label"], f"{near['cosine']:.6f}", near["piece"], str(near["id"])]
    assert found["words"] == ["book", *(near["label"] for near in found["neighbours"][0])]


def test_several_words_are_compared(models: dict[str, Path]) -> None:
    args = ["book", "teacher", "with", "-m", models["bert"], "--executor", "torch", "--top", "1"]
    first, second, third = invoke("neighbours", *args, "--analogy", "the", "book", "with").stdout.split("\n\n")
    found = json.loads(invoke("neighbours", *args, "--json").stdout)
    pairs = rows(first)[1:]
    assert [pair[:2] for pair in pairs] == [["book", "teacher"], ["book", "with"], ["teacher", "with"]]
    for (_, _, cosine, angle, distance), (i, j) in zip(pairs, [(0, 1), (0, 2), (1, 2)], strict=True):
        assert float(cosine) == pytest.approx(found["cosines"][i][j], abs=1e-6)
        assert float(angle.rstrip("°")) == pytest.approx(math.degrees(math.acos(found["cosines"][i][j])), abs=0.01)
        assert float(distance) == pytest.approx(found["distances"][i][j], rel=1e-5)
    assert [row[0] for row in rows(second)[1:]] == ["book", "teacher", "with"]
    assert rows(third)[1][:7] == ["the", "is", "to", "book", "as", "with", "is"]


def test_words_after_a_layer(models: dict[str, Path]) -> None:
    args = ["-m", models["bert"], "--executor", "torch", "--layer", "-1", "--json"]
    found = json.loads(invoke("neighbours", "book", "with", *args).stdout)
    assert found["space"] == "layer 1"
    assert [near["label"] for near in found["neighbours"][0]] == ["with"]
    alone = json.loads(invoke("neighbours", "--analogy", "book", "with", "the", *args).stdout)
    assert alone["words"] == ["book", "with", "the"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "there is no word"),
        (["book", "--top", "0"], "top is 0"),
        (["book", "with", "--layer", "2"], "layer is 2; the encoder of"),
        (["book", "--layer", "0"], "give several"),
        (["zebra"], "no pieces that spell 'zebra'"),
        (["book", "--method", "tsne"], "method is 'tsne'; choose from pca, umap"),
        (["book", "--png", "/nowhere/a.png"], "there is no folder /nowhere"),
    ],
)
def test_impossible_questions_are_one_line(args: list[str], message: str, models: dict[str, Path]) -> None:
    assert message in fails("neighbours", *args, "-m", models["bert"], "--executor", "torch")


def test_a_page_of_words(tmp_path: Path, models: dict[str, Path]) -> None:
    file = tmp_path / "words.html"
    args = ["neighbours", "book", "with", "-m", models["bert"], "--executor", "torch", "--html", file]
    assert invoke(*args).exit_code == 0
    assert '"type":"space"' in file.read_text() and "/* space.js */" in file.read_text()


# Pictures as files


def names(folder: Path) -> list[str]:
    """All that lies in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_whole_or_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.html"
    file.write_text("before")
    file.chmod(0o640)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(OptionError, match=r"a\.html cannot be written: No space left on device"):
            pictures.save(positional_encoding(), html=file)
    assert file.read_text() == "before" and names(tmp_path) == ["a.html"]
    pictures.save(positional_encoding(), html=file)
    assert file.read_text().startswith("<!doctype html>") and names(tmp_path) == ["a.html"]
    assert file.stat().st_mode & 0o777 == 0o640


def test_a_drawing_that_fails_leaves_no_file(tmp_path: Path) -> None:
    board = Board([positional_encoding(), positional_encoding("b")], "two")
    with pytest.raises(UnsupportedError, match="several views"):
        pictures.save(board, html=tmp_path / "a.html", svg=tmp_path / "a.svg")
    assert names(tmp_path) == []
    pictures.save(board, html=tmp_path / "a.html")
    assert names(tmp_path) == ["a.html"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target = tmp_path / "there.html"
    link = tmp_path / "link.html"
    link.symlink_to(target)
    pictures.save(positional_encoding(), html=link)
    assert link.is_symlink() and target.read_text().startswith("<!doctype html>")


def test_a_device_is_written_as_it_is() -> None:
    pictures.save(positional_encoding(), html=Path("/dev/null"))
    assert not Path("/dev/null").is_file()


def test_what_cannot_be_written_is_refused_before_any_work(tmp_path: Path) -> None:
    same = tmp_path / "a"
    with pytest.raises(OptionError, match="named for two kinds of picture"):
        pictures.check(html=same, png=same)
    with pytest.raises(OptionError, match="is a folder"):
        pictures.check(svg=tmp_path)
    with pytest.raises(OptionError, match="there is no folder"):
        pictures.check(png=tmp_path / "no" / "a.png")
    pictures.check(html=same, png=tmp_path / "b")


def test_the_page_is_opened_once_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, opened = tmp_path / "a page.html", []

    def browser(address: str) -> bool:
        opened.append((address, file.exists()))
        return False

    monkeypatch.setattr("webbrowser.open", browser)
    result = invoke("positions", "--html", file, "--open")
    assert result.exit_code == 0
    assert opened == [(file.as_uri(), True)]
    assert f"open {file} yourself" in result.stderr
