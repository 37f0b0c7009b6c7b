"""Code from requests: what the model is told, when its answer is run, and what comes back."""

from pathlib import Path
from typing import Any

import pytest

import clearhead as ch
from clearhead.engine.model import Model
from clearhead.errors import ContextWindowError, DataError, OptionError, UnsupportedError
from clearhead.tasks.code import coder
from clearhead.tasks.code.coder import open_coder, remarks
from code_answers import BAD, GOOD, TESTS, Script, chat_folder, completion, scripted
from tiny import gpt2_folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model that can be asked; what it answers is scripted."""
    return ch.load(chat_folder(tmp_path_factory.mktemp("chat") / "model"))


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Script:
    """Script answers; the conversations that they answer."""
    return scripted(monkeypatch)


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Running anything is a failure of the test."""

    def forbidden(*_args: Any, **_options: Any) -> None:
        raise AssertionError("something was run")

    monkeypatch.setattr(coder, "try_out", forbidden)
    for name in ("Popen", "run"):
        monkeypatch.setattr(f"subprocess.{name}", forbidden)


@pytest.mark.usefixtures("nothing_runs")
def test_without_tests_nothing_is_run(model: Model, says: Script, tmp_path: Path) -> None:
    asked = says(f"Here:\n```python\nopen({str(tmp_path / 'ran')!r}, 'w')\n```")
    made = ch.code("write a file", model=model)
    assert made.text == f"open({str(tmp_path / 'ran')!r}, 'w')\n" and made.explanation == "Here:"
    assert (made.passed, made.trial, made.complete, str(made)) == (None, None, True, made.text)
    assert not (tmp_path / "ran").exists() and len(asked) == 1


def test_tests_that_pass_end_it(model: Model, says: Script) -> None:
    asked = says(GOOD)
    made = ch.code("add two numbers", tests=TESTS, model=model)
    assert made.passed and len(made.attempts) == 1 and made.trial is not None and "network" in made.trial.held
    assert TESTS in asked[0][0]["content"]


def test_a_failure_is_told_once_and_the_second_answer_counts(model: Model, says: Script) -> None:
    asked = says(BAD, GOOD)
    made = ch.code("add two numbers", tests=TESTS, show_tests=False, model=model)
    assert made.passed and [each.trial and each.trial.passed for each in made.attempts] == [False, True]
    assert TESTS not in asked[0][0]["content"]
    assert [message["role"] for message in asked[1]] == ["user", "assistant", "user"]
    assert asked[1][1]["content"] == BAD and "got -1, which is not == 3" in asked[1][2]["content"]


def test_there_is_one_retry(model: Model, says: Script) -> None:
    says(BAD, BAD, GOOD)
    made = ch.code("add two numbers", tests=TESTS, model=model)
    assert made.passed is False and len(made.attempts) == 2


def test_an_answer_without_code_is_asked_again(model: Model, says: Script) -> None:
    asked = says("I would rather not.", GOOD)
    made = ch.code("add two numbers", tests=TESTS, model=model)
    assert made.passed and "no code block" in asked[1][2]["content"] and made.attempts[0].trial is None


def test_remarks_tell_what_is_wrong(model: Model, says: Script) -> None:
    says(
        "No.", completion("```python\nx = (1,", "length"), "```python\nx = = 1\n```", "def f(): pass", GOOD, GOOD + BAD
    )
    found = [list(remarks(ch.code("something", model=model))) for _ in range(6)]
    assert "wrote no code" in found[0][0]
    assert "cut after 3 tokens" in found[1][0] and "--max-new-tokens" in found[1][0] and len(found[1]) == 1
    assert "no valid Python (line 1" in found[2][0]
    assert "no code block" in found[3][0]
    assert found[4] == [] and "2 code blocks" in found[5][0]


def test_an_explanation_that_was_cut_leaves_the_code_whole(model: Model, says: Script) -> None:
    says(completion(GOOD, "length"))
    assert ch.code("add", model=model).complete


def test_many_requests_come_back_in_order(model: Model, says: Script) -> None:
    says(GOOD, BAD)
    made = list(open_coder(model=model).many(["add", "subtract"]))
    assert [(each.request, "a + b" in each.text) for each in made] == [("add", True), ("subtract", False)]


def test_a_real_model_of_no_skill_gives_no_error(model: Model) -> None:
    made = ch.code("add", model=model, max_new_tokens=2)
    assert made.last.new_tokens <= 2 and made.model == model.name


def test_what_cannot_be_is_refused(model: Model, tmp_path: Path) -> None:
    for request, error in (("", "no words"), ("a\0b", "binary"), (" ?! ", "no words"), (b"add", "give a string")):
        with pytest.raises(OptionError, match=error):
            ch.code(request, model=model)  # type: ignore[arg-type]
    with pytest.raises(ContextWindowError):
        ch.code("add " * 200, model=model)
    with pytest.raises(OptionError, match="tests of Rust cannot be run"):
        ch.code("add", "rust", tests=TESTS, model=model)
    with pytest.raises(DataError, match="no test in it"):
        ch.code("add", tests="add(1, 2)", model=model)
    with pytest.raises(OptionError, match="max_new_tokens"):
        ch.code("add", model=model, max_new_tokens=0)
    with pytest.raises(UnsupportedError, match="not trained to follow instructions"):
        ch.code("add", model=gpt2_folder(tmp_path / "base"))
