"""pass@k against its definition, and an evaluation of code as a whole."""

import json
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import clearhead as ch
from clearhead.errors import DataError, OptionError
from clearhead.tasks.evaluate.asked import Asked
from clearhead.tasks.evaluate.code import evaluate, prompt
from clearhead.tasks.evaluate.files import read
from clearhead.tasks.evaluate.metrics.code import pass_at_k
from clearhead.tasks.evaluate.problems import Problem, asked_of, problem, problems
from code_answers import chat_folder, scripted

ROWS = [
    {"text": "Add two numbers.", "task_id": 1, "test_setup_code": "", "test_list": ["assert add(1, 2) == 3"]},
    {"text": "Twice.", "task_id": 2, "test_list": ["assert twice(1) == 2", "assert twice(x) == 6"], "code": "..."},
]
ROWS[1]["test_setup_code"] = "x = 3"
HUMAN: dict[str, object] = {
    "task_id": "HumanEval/0",
    "prompt": 'def next(x):\n    return x + 1\n\n\ndef add_two(x):\n    """Two more."""\n',
    "entry_point": "add_two",
    "canonical_solution": "    return next(next(x))\n",
    "test": "def check(candidate):\n    assert candidate(2) == next(next(2))\n",
}
GOOD = ["def add(a, b):\n    return a + b\nassert add(1, 1) == 3\n```\nDone", "def twice(x):\n    return 2 * x\n"]


@given(st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_is_the_share_of_draws_with_a_pass(numbers: tuple[int, int, int]) -> None:
    n, c, k = numbers
    draws = list(combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, draws)) / len(draws))


def test_pass_at_k_of_many_and_of_the_impossible() -> None:
    assert pass_at_k(200, 1, 100) == pytest.approx(0.5) and pass_at_k(10_000, 9_999, 1) == pytest.approx(0.9999)
    for wrong in ((0, 0, 1), (1, 2, 1), (2, 1, 3), (2, 1, 0), (2, -1, 1)):
        with pytest.raises(OptionError, match="pass@"):
            pass_at_k(*wrong)


def write(folder: Path, rows: list[dict[str, object]], *, array: bool = False) -> Path:
    file = folder / "problems.jsonl"
    file.write_text(json.dumps(rows, indent=1) if array else "\n".join(map(json.dumps, rows)))
    return file


def test_an_evaluation_runs_every_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = ch.load(chat_folder(tmp_path / "model"))
    asked = scripted(monkeypatch)(GOOD[0], "def twice(x):\n    return x\n")
    done: list[tuple[int, int]] = []
    made = evaluate(Asked(data=write(tmp_path, ROWS), model=model, progress=lambda row, of: done.append((row, of))))
    [figure] = made.figures
    assert (figure.name, figure.value, figure.unit) == ("pass@1", 50.0, "%") and figure.low == 0 and figure.high == 100
    assert [item.scores["passed"] for item in made.items] == [1.0, 0.0]
    assert made.items[0].got == "def add(a, b):\n    return a + b\n" and made.items[0].note == ""
    assert "got 1, which is not == 2" in made.items[1].note and made.items[1].expected == "..."
    assert (
        asked[0].endswith("```python\n") and "assert add(1, 2) == 3" in asked[0] and asked[0].startswith("<|im_start|>")
    )
    assert done == [(1, 2), (2, 2)] and "network" in made.settings["held"] and made.settings["decoding"] == "greedy"


def test_several_samples_give_pass_at_k(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = ch.load(chat_folder(tmp_path / "model"))
    scripted(monkeypatch)("x = 1", GOOD[1], GOOD[0], GOOD[1])  # problem by problem, twice
    done: list[tuple[int, int]] = []
    told = Asked(data=write(tmp_path, ROWS), model=model, samples=2, progress=lambda row, of: done.append((row, of)))
    made = evaluate(told)
    assert done == [(n, 4) for n in range(1, 5)] and (made.counted, made.there) == ("problem", 2)
    assert {figure.name: figure.value for figure in made.figures} == {"pass@1": 75.0, "pass@2": 100.0}


def test_a_limit_takes_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch)(GOOD[0])
    model = ch.load(chat_folder(tmp_path / "model"))
    assert evaluate(Asked(data=write(tmp_path, ROWS), model=model, limit=1)).figures[0].value == 100


def test_both_editions_are_read(tmp_path: Path) -> None:
    sanitized = {
        "prompt": "Add.",
        "task_id": 7,
        "test_imports": ["import math"],
        "test_list": ["assert 1"],
        "code": "x",
    }
    [found] = problems(read(write(tmp_path, [sanitized], array=True)))
    text = '"""\nAdd.\nassert 1\n"""'
    assert found == Problem(number=7, text=text, tests="import math\nassert 1", solution="x")


def test_a_problem_of_humaneval_goes_on_with_its_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = ch.load(chat_folder(tmp_path / "model"))
    asked = scripted(monkeypatch)("def add_two(x):\n    return next(x) + 1\n", "def add_two(x):\n    return x\n")
    made = evaluate(Asked(data=write(tmp_path, [HUMAN, HUMAN]), model=model))
    assert [item.scores["passed"] for item in made.items] == [1.0, 0.0]
    assert '"""Two more."""\n```\n' in asked[0] and "candidate" not in asked[0]
    assert made.items[1].expected == f"{HUMAN['prompt']}{HUMAN['canonical_solution']}"


def test_no_answer_to_humaneval_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its head is a program already, whose function gives nothing."""
    model = ch.load(chat_folder(tmp_path / "model"))
    scripted(monkeypatch)("")
    assert evaluate(Asked(data=write(tmp_path, [HUMAN]), model=model)).figures[0].value == 0


def test_of_the_whole_of_mbpp_its_test_part_is_taken() -> None:
    every = [Problem(number=number, text="", tests="assert 1") for number in range(1, 975)]
    part = asked_of(every)
    assert (len(part), part[0].number, part[-1].number) == (500, 11, 510)
    assert asked_of(every[:20]) == every[:20]


def test_the_prompt_is_that_of_evalplus() -> None:
    [first, _] = map(problem, ROWS, "ab")
    assert prompt(first.text).endswith('block:\n```\n"""\nAdd two numbers.\nassert add(1, 2) == 3\n"""\n```\n')


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"text": "x"}], "test_list"),
        ([{"test_list": ["assert 1"]}], "'text'"),
        ([{"text": "x", "test_list": [1]}], "test_list"),
        ([{"text": "x", "test_list": ["assert 1"], "test_setup_code": 3}], "test_setup_code"),
        ([HUMAN | {"prompt": 1}], "'prompt'"),
        ([HUMAN | {"test": " "}], "'test'"),
        ([HUMAN | {"entry_point": "add one"}], "'add one'; give the name of a function"),
    ],
)
def test_data_in_another_format_is_refused(tmp_path: Path, rows: list[dict[str, object]], says: str) -> None:
    with pytest.raises(DataError, match=says):
        problems(read(write(tmp_path, rows)))


def test_a_file_that_is_no_list_is_refused(tmp_path: Path) -> None:
    for text in ("[1]", "[]", '"x"', "plain"):
        (tmp_path / "x").write_text(text)
        with pytest.raises(DataError):
            problems(read(tmp_path / "x"))
