"""`clearhead chat`: turns from a pipe or a terminal, commands, and Ctrl-C that ends an answer and not the session."""

import json
import re
from pathlib import Path

import pytest

import clearhead as ch
import tiny
from clearhead.cli.conversation import Conversation
from clearhead.errors import OptionError
from terminal import fails, invoke, on_terminal

SHORT = ("--max-new-tokens", "4", "--ignore-eos")
STYLE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")

SLOW = """
import time
import clearhead.cli.screen as screen

class Slow(screen.Writer):
    def write(self, text, style=""):
        super().write(text, style)
        time.sleep(0.2)

screen.Writer = Slow
"""


@pytest.fixture(scope="module")
def instruct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.gpt2_folder(tmp_path_factory.mktemp("models") / "instruct", chat=True)


def answers(model: ch.Model, *asked: str, system: str | None = None) -> list[str]:
    """What the model says, turn by turn, through the library."""
    messages = [] if system is None else [{"role": "system", "content": system}]
    said = []
    for text in asked:
        messages.append({"role": "user", "content": text})
        done = model.chat(messages, max_new_tokens=4, ignore_eos=True)
        messages.append(done.message)
        said.append(done.new_text)
    return said


def test_every_line_of_a_pipe_is_a_turn(instruct: Path) -> None:
    result = invoke("chat", "-m", instruct, *SHORT, input="Hi\n\nOh?\r\n")
    said = answers(ch.load(instruct), "Hi", "Oh?")
    assert result.exit_code == 0
    assert result.stdout == "".join(f"{text}\n" for text in said)
    assert [line.startswith("4 tokens") and "context" in line for line in result.stderr.splitlines()] == [True, True]
    assert invoke("chat", "-m", instruct, *SHORT, "-q", input="Hi").stderr == ""


def test_json_is_one_line_an_answer(instruct: Path) -> None:
    result = invoke("chat", "-m", instruct, *SHORT, "--json", "--system", "Be brief.", input="Hi\nOh?\n")
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [one["new_text"] for one in found] == answers(ch.load(instruct), "Hi", "Oh?", system="Be brief.")
    assert "Be brief." in found[0]["sent"] and found[1]["sent"].count("<|im_start|>") == 5
    assert result.stderr == ""


def test_commands(instruct: Path, tmp_path: Path) -> None:
    file = tmp_path / "talk.json"
    lines = ["/system Be brief.", "Hi", f"/save {file}", "/reset", "Hi", f"/load {file}", "Oh?", "/system", "/help"]
    result = invoke("chat", "-m", instruct, *SHORT, "--json", input="\n".join([*lines, "/exit", "never"]))
    found = [json.loads(line) for line in result.stdout.splitlines()]
    said = answers(ch.load(instruct), "Hi", "Oh?", system="Be brief.")
    assert [one["new_text"] for one in found] == [said[0], said[0], said[1]]
    assert json.loads(file.read_text()) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": said[0]},
    ]
    assert "3 messages saved" in result.stderr and "/reset" in result.stderr and "no system message" in result.stderr


def test_lines_between_quotation_marks_are_one_turn(instruct: Path) -> None:
    text = 'Hi\n"""\nline one\n/reset\n"""\n"""one\ntwo"""\n//etc\n'
    result = invoke("chat", "-m", instruct, *SHORT, "--json", input=text)
    assert [json.loads(line)["prompt"] for line in result.stdout.splitlines()] == [
        "Hi", "line one\n/reset", "one\ntwo", "/etc",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("/nonsense", "/nonsense is no command"),
        ("/save", "needs the name of a file"),
        ("/load /nonexistent/x", "cannot be read"),
        ("x" * 200, "context window"),
    ],
)
def test_a_script_ends_at_its_first_error(line: str, says: str, instruct: Path) -> None:
    assert says in fails("chat", "-m", instruct, *SHORT, input=f"{line}\nnever\n")


def test_a_model_without_a_template_is_refused(tmp_path: Path) -> None:
    folder = tiny.gpt2_folder(tmp_path / "base")
    assert "use clearhead complete" in fails("chat", "-m", folder, input="Hi\n")


@pytest.mark.parametrize(
    "content", ["{", "{}", '[{"role": "root", "content": "x"}]', '[{"role": "user"}]', "[1]", "[" * 9999]
)
def test_a_file_that_holds_no_conversation_is_refused(content: str, tmp_path: Path) -> None:
    file = tmp_path / "talk.json"
    file.write_text(content)
    talk = Conversation("kept")
    with pytest.raises(OptionError, match=re.escape(str(file))):
        talk.load(file)
    assert talk.messages == [{"role": "system", "content": "kept"}]


def test_only_its_own_file_is_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "diary.txt"
    file.write_text("dear diary")
    talk = Conversation()
    with pytest.raises(OptionError, match="exists"):
        talk.save(file)
    assert file.read_text() == "dear diary"
    talk.save(tmp_path / "talk.json")
    talk.answer("Hi", "Hello")
    talk.save(tmp_path / "talk.json")
    other = Conversation()
    other.load(tmp_path / "talk.json")
    assert other.messages == talk.messages


def test_on_a_terminal(instruct: Path, tmp_path: Path) -> None:
    env = {"XDG_STATE_HOME": str(tmp_path)}
    script = [
        ("> ", "Hi\n"),
        ("finish", ""),
        ("> ", "/nonsense\n"),
        ("is no command", ""),
        ("> ", "half a line"),
        ("half a line", "\x03"),
        ("(Ctrl-D leaves)", ""),
        ("> ", "x" * 300 + "\n"),
        ("room for", ""),
        ("> ", "\x04"),
    ]
    shown, status = on_terminal(["chat", "-m", instruct, *SHORT], script, env)
    plain = STYLE.sub("", shown)
    assert status == 0 and "Traceback" not in plain, shown
    assert plain.count("clearhead: error: ") == 2
    history = tmp_path / "clearhead" / "chat_history"
    assert history.read_text().splitlines()[-3:][0] == "Hi" and history.stat().st_mode & 0o777 == 0o600


def test_ctrl_c_ends_the_answer_and_not_the_session(instruct: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SLOW)
    env = {"XDG_STATE_HOME": str(tmp_path), "PYTHONPATH": str(tmp_path)}
    script = [("> ", "Hi\n"), ("Hi\r\n", ""), ("aaa", "\x03"), ("cancelled", ""), ("> ", "\x04")]
    letter = ch.load_tokenizer(instruct).token_id("a")
    arguments = ["chat", "-m", instruct, "--ignore-eos", "--max-new-tokens", "90", "--logit-bias", f"{letter}=1000"]
    shown, status = on_terminal(arguments, script, env)
    assert status == 0 and "finish cancelled" in STYLE.sub("", shown) and "Traceback" not in shown
