"""A terminal shows colours, and nothing from outside may steer it: no prompt, no model, no vocabulary and no name."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clearhead as ch
import tiny
from clearhead.model.executor import TorchExecutor
from clearhead.text.printable import one_line, printable, spelled
from terminal import fails, invoke, on_terminal

STYLE = re.compile(r"\x1b\[[0-9;]*m")
HOSTILE = {
    "title": "\x1b]0;pwned\x07",
    "clear": "\x1b[2J\x1b[H",
    "colour": "\x1b[31mred",
    "eight-bit control": "\x9b31mred",
    "device string": "\x90q\x9c",
    "backspaces": "rm -rf\x08\x08\x08\x08\x08\x08ls    ",
    "carriage return": "bad\rgood",
    "bell and null": "\x07\x00\x7f",
    "hyperlink": "\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\",
    "shift out": "\x0e\x0f",
}
CONTROLS = {chr(c) for c in (*range(0x20), *range(0x7F, 0xA0))}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.gpt2_folder(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process's output counts as a terminal."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr("clearhead.cli.screen.is_terminal", lambda file: True)


def say(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the model answer the prompt `abc` with this text, byte by byte."""
    ids = ch.load_tokenizer(folder).encode(text)

    def decode(self: TorchExecutor, tokens: Any, cache: Any = None, *_: Any, **__: Any) -> list[np.ndarray]:
        cache.lengths = [n + len(row) for n, row in zip(cache.lengths, tokens, strict=True)]
        rows = []
        for length, row in zip(cache.lengths, tokens, strict=True):
            logits = np.full((max(1, len(row)), 300), -50, np.float32)
            for back in range(len(logits)):
                logits[-1 - back, ids[max(0, min(length - back - 3, len(ids) - 1))]] = 0
            rows.append(logits)
        return rows

    monkeypatch.setattr(TorchExecutor, "decode", decode)


def controls(shown: str) -> set[str]:
    """Control characters that came through, our own styles and line ends aside."""
    return CONTROLS & set(STYLE.sub("", shown)) - {"\n", "\t"}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_prompt_cannot_steer_the_terminal(name: str, base: Path, watched: None) -> None:
    shown = invoke("complete", HOSTILE[name], "-m", base, "--max-new-tokens", "2", "--logit-bias", "65=1000").stdout
    assert not controls(shown)
    assert STYLE.sub("", shown).startswith(printable(HOSTILE[name]))
    assert STYLE.search(shown)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_model_cannot_steer_the_terminal(
    name: str, base: Path, watched: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(HOSTILE[name], base, monkeypatch)
    for more in ([], ["--n", "2", "-t", "1"], ["--beams", "2"], ["--logprobs", "1"], ["--draft-tokens", "2"]):
        length = str(len(HOSTILE[name].encode()))
        shown = invoke("complete", "abc", "-m", base, "--executor", "torch", "--max-new-tokens", length, *more)
        assert shown.exit_code == 0 and not controls(shown.stdout)
        assert printable(HOSTILE[name]) in STYLE.sub("", shown.stdout)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_pipe_gets_a_prompt_as_it_is(name: str, base: Path) -> None:
    result = invoke("complete", HOSTILE[name], "-m", base, "--max-new-tokens", "1")
    assert result.stdout_bytes.startswith(HOSTILE[name].encode())
    assert not controls(result.stderr)


@pytest.mark.parametrize("name", HOSTILE)
def test_json_is_safe_to_look_at(name: str, base: Path) -> None:
    result = invoke("complete", HOSTILE[name], "-m", base, "--max-new-tokens", "1", "--json")
    assert not controls(result.stdout)
    assert json.loads(result.stdout)["prompt"] == HOSTILE[name]


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("name", HOSTILE)
def test_tokens_are_shown_escaped(name: str, terminal: bool, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clearhead.cli.screen.is_terminal", lambda file: terminal)
    result = invoke("tokenize", HOSTILE[name] + "\t\n", "-m", base)
    assert result.exit_code == 0
    assert not controls(result.stdout)
    assert "\t" not in result.stdout


def test_a_hostile_vocabulary_is_shown_escaped(tmp_path: Path, watched: None) -> None:
    folder = tiny.gpt2_folder(tmp_path / "model")
    path = folder / "tokenizer.json"
    path.write_text(path.read_text().replace("<|im_start|>", "\\u001b]0;pwned\\u0007"))
    result = invoke("tokenize", "a\x1b]0;pwned\x07b", "-m", folder)
    assert "\\x1b]0;pwned\\x07" in result.stdout and not controls(result.stdout)
    plain = json.loads(invoke("tokenize", "a\x1b]0;pwned\x07b", "-m", folder, "--json").stdout)
    assert plain["ids"][1] == 257
    inspected = invoke("inspect", folder)
    assert not controls(inspected.stdout)


@pytest.mark.parametrize("name", HOSTILE)
def test_errors_stay_on_their_line(name: str, base: Path) -> None:
    assert not controls(fails("complete", "abc", "-m", HOSTILE[name].replace("\x00", "")))
    assert not controls(fails("complete", "abc", "-m", base, "--on-overflow", HOSTILE[name]))
    assert not controls(fails("complete", "abc", "-m", base, "--logit-bias", HOSTILE[name]))
    assert not controls(fails("complete", "abc", HOSTILE[name].replace("\x00", "") + "x"))


def test_hostile_tensor_names_stay_on_their_line(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder = tiny.gpt2_folder(tmp_path / "model")
    tensors = load_file(folder / "model.safetensors") | {"\x1b[2J\nevil": np.zeros(1, np.float32)}
    save_file(tensors, folder / "model.safetensors")
    line = fails("complete", "abc", "-m", folder)
    assert "\\x1b[2J\\nevil" in line


def test_markup_is_text(base: Path, watched: None) -> None:
    prompt = "[bold]x[/bold] [link=http://evil]y[/link] :smile: [/]"
    shown = STYLE.sub("", invoke("complete", prompt, "-m", base, "--max-new-tokens", "1").stdout)
    assert shown.startswith(prompt)
    assert "[red]" in fails("complete", "abc", "-m", "[red]name[/red]")


def test_no_color_means_no_escape_codes(base: Path, watched: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    for arguments in (["complete", "abc", "--max-new-tokens", "3"], ["tokenize", "abc"]):
        result = invoke(*arguments, "-m", base)
        assert "\x1b" not in result.stdout + result.stderr
    assert "\x1b" not in invoke("models").stdout


def test_a_pipe_has_no_colours_even_where_they_are_forced(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    for arguments in (["complete", "abc", "-m", base, "--max-new-tokens", "3"], ["inspect", base], ["models"]):
        result = invoke(*arguments)
        assert "\x1b" not in result.stdout + result.stderr


def test_on_a_real_terminal_the_prompt_is_dim_and_the_rest_bright(base: Path) -> None:
    shown, status = on_terminal(
        ["complete", "Once\x1b[31m", "-m", base, "--max-new-tokens", "3", "--logit-bias", "65=1000"]
    )
    assert status == 0
    assert "\x1b[2mOnce\\x1b[31m\x1b[0m" in shown
    assert shown.count("\x1b[1m") == 3
    assert "\x1b[31m" not in shown
    plain, status = on_terminal(["complete", "Once", "-m", base, "--max-new-tokens", "3"], env={"TERM": "dumb"})
    assert status == 0 and "\x1b" not in plain


def test_escapes_read_as_python_writes_them() -> None:
    assert printable("a\x1b\x9b\x7f\r\n\tb") == "a\\x1b\\x9b\\x7f\n\tb"
    assert one_line("a\n\t\u202e\u200b\u2028b") == "a\\n\\t\\u202e\\u200b\\u2028b"
    assert spelled(b"\xd0") == "<D0>" and spelled("да".encode()) == "да"
    assert printable("שלום 🙂 é") == "שלום 🙂 é"
