"""`clearhead trace`: what it shows and writes for every kind of model, and what it refuses."""

import json
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import clearhead as ch
import tiny
from terminal import fails, invoke

Folders = dict[str, Path]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    root = tmp_path_factory.mktemp("models")
    return {
        "decoder": tiny.gpt2_folder(root / "gpt2"),
        "chat": tiny.gpt2_folder(root / "chat", chat=True),
        "both": tiny.t5_folder(root / "t5"),
        "encoder": tiny.bert_folder(root / "bert"),
    }


def traced(*args: object) -> dict[str, object]:
    result = invoke("trace", *args, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("kind", "options", "written"),
    [
        ("decoder", [], 0),
        ("decoder", ["--max-new-tokens", "3"], 3),
        ("chat", ["--chat", "--max-new-tokens", "2"], 2),
        ("both", ["--target", "ok"], 0),
        ("both", ["--max-new-tokens", "4"], 4),
        ("encoder", [], 0),
    ],
)
@pytest.mark.parametrize("text", ["the teacher", "a", "<img src=x onerror=alert(1)>\u202e"])
def test_every_kind_of_model_makes_a_page(
    folders: Folders, tmp_path: Path, kind: str, options: list[str], written: int, text: str
) -> None:
    page = tmp_path / "page.html"
    found = traced(text, "--model", folders[kind], *options, "--html", page)
    ids = found["ids"]["decoder" if kind != "encoder" else "encoder"]
    assert len(ids) - found["n_prompt"] == written or kind == "encoder"
    assert all(shape for shape in found["arrays"].values())
    html = page.read_text(encoding="utf-8")
    assert "Content-Security-Policy" in html and "<img src=x" not in html


def test_beside_an_encoder_the_model_speaks_unless_told_what_to_say(folders: Folders) -> None:
    found = traced("hello", "--model", folders["both"])
    assert 1 <= len(found["ids"]["decoder"]) - found["n_prompt"] <= 64


def test_the_page_is_written_where_nothing_else_is_asked_for(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke("trace", "hello", "--model", folders["decoder"])
    assert result.exit_code == 0 and "wrote trace.html" in result.stderr
    assert (tmp_path / "trace.html").stat().st_size > 50_000
    traced("hello", "--model", folders["decoder"], "--max-new-tokens", "1")
    assert [path.name for path in tmp_path.iterdir()] == ["trace.html"]


def test_the_choice_of_layers_heads_and_kinds(folders: Folders, tmp_path: Path) -> None:
    file = tmp_path / "kept.safetensors"
    chosen = ["--layers", "-1", "--heads", "0,-1", "--kinds", "weights,head.logits"]
    found = traced("hello", "--model", folders["decoder"], *chosen, "--save", file)
    assert found["arrays"] == {"decoder.layers.1.attention.weights": [2, 5, 5], "head.logits": [5, 300]}
    kept, again = load_file(file), ch.Trace.load(file)
    assert sorted(kept) == sorted(found["arrays"])
    assert np.array_equal(kept["head.logits"], again["head.logits"]) and again.texts["decoder"] == list("hello")


def test_a_head_that_is_switched_off_changes_what_comes_next(folders: Folders) -> None:
    found = traced("hello", "--model", folders["decoder"], "--ablate", "0.-1", "--ablate", "1.2")
    assert found["edits"] == [
        "head -1 of decoder.layers.0.attention off",
        "head 2 of decoder.layers.1.attention off",
    ]
    assert traced("hello", "--model", folders["decoder"], "--ablate", "0.1,0.2")["edits"] == [
        "head 1 of decoder.layers.0.attention off",
        "head 2 of decoder.layers.0.attention off",
    ]
    for module in ("encoder.attention", "decoder.cross_attention"):
        stack, kind = module.split(".")
        other = traced("hello", "--model", folders["both"], "--target", "ok", "--ablate", "1.2", "--module", module)
        assert other["edits"] == [f"head 2 of {stack}.layers.1.{kind} off"]
    result = invoke("trace", "hello", "--model", folders["decoder"], "--ablate", "0.1", "--png", "/dev/null")
    assert result.exit_code == 0 and result.stdout.startswith("Before and after")


def test_who_a_word_attends_to_by_word_and_by_place(folders: Folders, tmp_path: Path) -> None:
    options = ["--model", folders["encoder"], "--html", tmp_path / "a.html"]
    by_word = invoke("trace", "the teacher taught the student", "--who", "teacher", *options)
    by_place = invoke("trace", "the teacher taught the student", "--who", "@2", *options)
    assert by_word.exit_code == 0 and by_word.stdout == by_place.stdout
    assert "teacher" in by_word.stdout.splitlines()[0]
    assert re.search(r"student\s+5\s+\d", by_word.stdout)


def test_a_missing_font_is_one_line(folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(view: object, format: str, dpi: int = 150) -> bytes:
        warnings.warn("this machine has no font for 茶", stacklevel=1)
        return b"png"

    monkeypatch.setattr("clearhead.lens.view.View.drawn", drawn)
    result = invoke("trace", "hello", "--model", folders["decoder"], "--png", tmp_path / "a.png")
    assert "warning: this machine has no font for 茶\n" in result.stderr and "UserWarning" not in result.stderr


def test_cross_attention_of_one_head(folders: Folders, tmp_path: Path) -> None:
    one = ["--module", "decoder.cross_attention", "--layer", "1", "--head", "2"]
    result = invoke("trace", "hello", "--model", folders["both"], "--target", "ok", *one, "--svg", tmp_path / "a.svg")
    assert result.exit_code == 0, result.stderr
    assert "cross-attention, head 2" in result.stdout.splitlines()[0]
    assert (tmp_path / "a.svg").read_text(encoding="utf-8").startswith("<?xml")


@pytest.mark.parametrize(
    ("kind", "args", "message"),
    [
        ("decoder", ["--layers", "x"], "--layers is 'x'; it must be whole numbers, such as 0,5,-1"),
        ("decoder", ["--layers", "7"], "layers names 7; this model has layers 0 to 1"),
        ("decoder", ["--kinds", "nothing"], "kinds names 'nothing'"),
        ("decoder", ["--kinds", "logits", "--who", "h"], "trace with --kinds weights"),
        ("decoder", ["--who", "dog"], "there is no word 'dog'"),
        ("decoder", ["--who", "@99"], "99"),
        ("decoder", ["--layer", "0", "--head", "9"], "head"),
        ("decoder", ["--ablate", "x"], "--ablate is 'x'; name a layer and a head, such as 3.2"),
        ("decoder", ["--ablate", "9.0"], "--ablate is '9.0'; the decoder has layers 0 to 1"),
        ("decoder", ["--ablate", "0.9"], "--ablate is '0.9'; this model has heads 0 to 5"),
        ("decoder", ["--ablate", "0.1", "--module", "encoder.attention"], "--module is 'encoder.attention'"),
        ("decoder", ["--target", "ok"], "target is for a model that reads one text and writes another"),
        ("decoder", ["--max-new-tokens", "1000"], "do not fit the context window of 128; ask for at most 123"),
        ("encoder", ["--max-new-tokens", "2"], "leave out --max-new-tokens and --chat"),
        ("encoder", ["--chat"], "leave out --max-new-tokens and --chat"),
        ("both", ["--layer", "0", "--head", "0"], "name one as --module: encoder.attention"),
        ("decoder", ["--html", "/nowhere/a.html"], "there is no folder /nowhere"),
        ("decoder", ["--save", "/nowhere/a.trace"], "/nowhere/a.trace cannot be written"),
        ("decoder", ["--open", "--json"], "--open has no file to open"),
    ],
)
def test_what_cannot_be_is_one_line(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, args: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in fails("trace", "hello", "--model", folders[kind], *args)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_text_and_one_that_does_not_fit(folders: Folders) -> None:
    assert "is empty" in fails("trace", "", "--model", folders["decoder"])
    assert "the context window holds 128" in fails("trace", "x" * 200, "--model", folders["decoder"])


def test_a_file_that_is_there_is_not_written_over(folders: Folders, tmp_path: Path) -> None:
    kept = tmp_path / "kept.trace"
    kept.write_text("mine")
    assert "exists" in fails("trace", "hello", "--model", folders["decoder"], "--save", kept)
    assert kept.read_text() == "mine"
