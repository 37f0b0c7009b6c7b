"""`clearhead code`: standard output is the code and nothing else; nothing runs unless tests are given."""

import json
import os
import re
import shlex
import threading
from pathlib import Path

import pytest

from code_answers import BAD, GOOD, TESTS, Script, chat_folder, completion, scripted
from real import find
from terminal import fails, invoke, on_terminal

ADD = "def add(a, b):\n    return a + b\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chat_folder(tmp_path_factory.mktemp("chat") / "model")


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Script:
    return scripted(monkeypatch)


@pytest.fixture
def tests(tmp_path: Path) -> Path:
    (tmp_path / "tests.py").write_text(TESTS + "\n")
    return tmp_path / "tests.py"


@pytest.mark.weights
def test_the_example_of_the_help_works() -> None:
    match = re.search(r"Example: clearhead (code .*)", " ".join(invoke("code", "--help").stdout.split()))
    assert match is not None
    words = shlex.split(match[1])[:2]
    result = invoke(*words, "-m", find("smollm2-135m-instruct"))
    assert result.exit_code == 0 and "def add(a, b):" in result.stdout and "```" not in result.stdout
    assert "is small for writing code and often wrong" in result.stderr


def test_standard_output_is_the_code(folder: Path, says: Script) -> None:
    says(GOOD)
    result = invoke("code", "add two numbers", "-m", folder)
    assert (result.exit_code, result.stdout) == (0, ADD)
    advice, explanation, figures = result.stderr.splitlines()
    assert "is small for writing code" in advice and explanation == "It adds."
    assert re.fullmatch(re.escape(str(folder)) + r" · python · 3 tokens · \d+\.\d\d s", figures)


def test_requests_come_from_a_file_or_a_pipe(folder: Path, says: Script, tmp_path: Path) -> None:
    asked = says(GOOD, GOOD)
    (tmp_path / "request.txt").write_text("add two numbers\n")
    assert invoke("code", "-f", tmp_path / "request.txt", "-m", folder, "-q").stderr == ""
    invoke("code", "-", "-m", folder, input="add two numbers\n")
    assert asked[0] == asked[1] and "add two numbers" in asked[0][0]["content"]


def test_nothing_is_run_without_the_flag(folder: Path, says: Script, tmp_path: Path) -> None:
    says(f"```python\nopen({str(tmp_path / 'ran')!r}, 'w')\n```")
    assert invoke("code", "write a file", "-m", folder).exit_code == 0
    assert not (tmp_path / "ran").exists()


def test_tests_are_run_and_the_exit_status_tells(folder: Path, says: Script, tests: Path) -> None:
    says(BAD, GOOD)
    result = invoke("code", "add two numbers", "-m", folder, "--run-tests", tests)
    assert (result.exit_code, result.stdout) == (0, ADD)
    assert "attempt 1: the tests failed: AssertionError: got -1, which is not == 3" in result.stderr
    assert "attempt 2: the tests passed" in result.stderr and "network" in result.stderr
    asked = says(BAD, BAD)
    failed = invoke("code", "add two numbers", "-m", folder, "--run-tests", tests, "--hide-tests", "-q")
    assert failed.exit_code == 1 and "a - b" in failed.stdout and failed.stderr.count("the tests failed") == 2
    assert TESTS not in asked[0][0]["content"]


def test_tests_that_never_run_fail_once(folder: Path, says: Script, tests: Path) -> None:
    asked = says(GOOD)  # a second answer could not mend the tests
    tests.write_text("def test_add(n):\n    assert False\n")
    result = invoke("code", "add two numbers", "-m", folder, "--run-tests", tests)
    assert (result.exit_code, result.stdout, len(asked)) == (1, ADD, 1)
    assert "the tests failed: no test was run" in result.stderr and "not run, for they need parameters" in result.stderr


def test_limits_reach_the_tests(folder: Path, says: Script, tests: Path) -> None:
    says("```python\ndef add(a, b):\n    while True: pass\n```", "```python\nx = bytearray(2**28)\n```")
    limits = ("--time-limit", "0.5", "--memory-limit", "100")
    result = invoke("code", "add", "-m", folder, "--run-tests", tests, *limits)
    assert result.exit_code == 1
    assert "ran longer than 0.5 s" in result.stderr and "more than 100 MiB of memory" in result.stderr


def test_json_is_everything(folder: Path, says: Script, tests: Path) -> None:
    says(BAD, GOOD)
    result = invoke("code", "add", "-m", folder, "--run-tests", tests, "--json", "-q")
    found = json.loads(result.stdout)
    assert (found["code"], found["passed"], found["complete"], found["language"]) == (ADD, True, True, "python")
    assert found["explanation"] == "It adds." and found["remarks"] == [] and found["model"] == str(folder)
    first, second = found["attempts"]
    assert first["answer"] == BAD and not first["trial"]["passed"] and "network" in second["trial"]["held"]


def test_lines_are_requests_of_their_own(folder: Path, says: Script) -> None:
    says(GOOD, BAD)
    result = invoke("code", "--lines", "--json", "-m", folder, input="add\n\nsubtract\n")
    first, second = map(json.loads, result.stdout.splitlines())
    assert (first["request"], second["request"]) == ("add", "subtract") and "a - b" in second["code"]
    assert "--lines makes many programs" in fails("code", "add", "--lines", "-m", folder)
    assert "drop --lines" in fails("code", "add", "--lines", "--json", "-o", "x.py", "-m", folder)


def test_a_file_is_written_whole_and_not_over_another(folder: Path, says: Script, tmp_path: Path) -> None:
    says(GOOD, GOOD)
    file = tmp_path / "add.py"
    result = invoke("code", "add", "-m", folder, "-o", file)
    assert (result.exit_code, result.stdout, file.read_text()) == (0, "", ADD)
    file.write_text("mine")
    assert "is there already" in fails("code", "add", "-m", folder, "-o", file) and file.read_text() == "mine"
    assert invoke("code", "add", "-m", folder, "-o", file, "--force").exit_code == 0 and file.read_text() == ADD
    assert [path.name for path in tmp_path.iterdir()] == ["add.py"]
    assert "no folder" in fails("code", "add", "-m", folder, "-o", tmp_path / "no" / "add.py")
    assert "is a folder" in fails("code", "add", "-m", folder, "-o", tmp_path, "--force")


def test_a_link_stays_one_and_a_pipe_is_written_as_it_is(folder: Path, says: Script, tmp_path: Path) -> None:
    says(GOOD, GOOD)
    target, link, pipe = tmp_path / "target.py", tmp_path / "link.py", tmp_path / "pipe"
    target.write_text("old")
    link.symlink_to(target)
    assert invoke("code", "add", "-m", folder, "-o", link, "--force").exit_code == 0
    assert link.is_symlink() and target.read_text() == ADD
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    assert invoke("code", "add", "-m", folder, "-o", pipe).exit_code == 0
    reader.join(timeout=10)
    assert read == [ADD] and pipe.is_fifo()


def test_an_answer_without_code_fails(folder: Path, says: Script) -> None:
    says("I would rather not.")
    result = invoke("code", "add", "-m", folder)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "I would rather not." in result.stderr and "wrote no code" in result.stderr


def test_code_that_was_cut_is_told_even_in_quiet(folder: Path, says: Script) -> None:
    says(completion("```python\ndef add(a", "length"))
    result = invoke("code", "add", "-m", folder, "-q")
    assert result.stdout == "def add(a\n" and "was cut after 3 tokens" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("",), "the request is empty"),
        (("?!",), "no words"),
        (("add", "--language", "???"), "give the name of a programming language"),
        (("add", "--max-new-tokens", "0"), "max_new_tokens is 0"),
        (("add", "--time-limit", "0"), "time_limit is 0"),
        (("add", "--memory-limit", "1"), "memory_limit is 1"),
        (("add", "--run-tests", "/nonexistent"), "cannot be read"),
        (("add", "--temperature", "-1"), "temperature is -1"),
        (("add", "--file", "x"), "given twice"),
    ],
)
def test_a_request_that_cannot_be_met_is_one_line(folder: Path, arguments: tuple[str, ...], says: str) -> None:
    assert says in fails("code", *arguments, "-m", folder)


def test_files_that_are_no_tests_are_refused(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "tests.py"
    for data, said in ((b"x = 1", "no test in it"), (b"\xff\xfe", "not UTF-8"), (b"assert (", "no Python")):
        file.write_bytes(data)
        assert said in fails("code", "add", "-m", folder, "--run-tests", file)
    file.write_text(TESTS)
    assert "tests of Go cannot be run" in fails("code", "add", "-m", folder, "--run-tests", file, "-l", "go")


def test_binary_and_long_requests_are_refused(folder: Path) -> None:
    assert "binary" in fails("code", "-", "-m", folder, input="a\0b")
    result = invoke("code", "add " * 300, "-m", folder, "-q")
    assert result.exit_code == 2 and "context window" in result.stderr


def test_a_seed_that_was_drawn_is_told_and_repeats(folder: Path) -> None:
    drawn = ("code", "add", "-m", folder, "-t", "1", "--max-new-tokens", "8")
    seed = re.search(r"seed (\d+)", invoke(*drawn).stderr)
    assert seed is not None
    again = [json.loads(invoke(*drawn, "--seed", seed[1], "--json").stdout)["attempts"][0] for _ in range(2)]
    assert again[0] == again[1] and again[0]["seed"] == int(seed[1])


def test_on_a_terminal_the_code_is_bold(folder: Path) -> None:
    shown, status = on_terminal(["code", "add", "-m", folder, "--max-new-tokens", "4"])
    assert status in (0, 1) and "is small for writing code" in " ".join(shown.split())
