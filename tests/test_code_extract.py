"""Code in answers: fences of every kind, prose around them, and none at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearhead.errors import OptionError
from clearhead.tasks.code.extract import Extracted, extract, split
from clearhead.tasks.code.languages import Language, language, named
from clearhead.tasks.code.prompts import LONGEST, failure_message, fenced, request_message

PYTHON = language("python")


def test_one_block_among_prose() -> None:
    answer = "Sure!\n\n```python\ndef f():\n    return 1\n```\n\nIt returns one."
    assert extract(answer, "python") == Extracted(
        "def f():\n    return 1\n", "Sure!\n\nIt returns one.", 1, 1, closed=True
    )


def test_a_block_that_was_left_open_is_told() -> None:
    made = extract("```python\ndef f():\n    return 1 +", "python")
    assert made.code == "def f():\n    return 1 +\n" and not made.closed


def test_blocks_of_one_language_are_joined_and_others_left() -> None:
    answer = "```bash\npip install x\n```\n```py\nA = 1\n```\nThen:\n```Python3\nB = 2\n```\n```\noutput\n```"
    made = extract(answer, "python")
    assert (made.code, made.blocks, made.used, made.prose) == ("A = 1\n\nB = 2\n", 4, 2, "Then:")
    assert extract(answer, "bash").code == "pip install x\n"


def test_a_block_without_a_name_counts_where_none_is_named() -> None:
    assert extract("```\nx = 1\n```", "python").code == "x = 1\n"
    assert extract("```c\nint x;\n```", "python").code == ""
    assert extract("```text\ndef f(): pass\n```", "python").code == "def f(): pass\n"


def test_of_two_tries_the_last_counts() -> None:
    answer = "```python\ndef f():\n    return 1\n```\nBetter:\n```python\ndef f():\n    return 2\n```"
    made = extract(answer, "python")
    assert (made.code, made.blocks, made.used) == ("def f():\n    return 2\n", 2, 1)
    helper = "```python\ndef g(): pass\n```\n```python\ndef f(): return g()\n```"
    assert extract(helper, "python").used == 2


def test_an_answer_without_blocks_is_code_only_where_it_looks_like_it() -> None:
    assert extract("def f():\n    return 1", "python") == Extracted("def f():\n    return 1\n", "", 0, 0, closed=True)
    assert extract("I cannot do that.", "python") == Extracted("", "I cannot do that.", 0, 0, closed=True)
    assert extract("", "python").code == ""


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("~~~python\nx = 1\n~~~", "x = 1\n"),
        ("````python\n```\nx\n```\n````", "```\nx\n```\n"),
        ("  ```python\n  def f():\n      pass\n  ```", "def f():\n    pass\n"),
        ("```python\r\nx = 1\r\n```\r\nDone.", "x = 1\n"),
        ("``` python title=a.py\nx = 1\n```", "x = 1\n"),
        ("```{.python}\nx = 1\n```", "x = 1\n"),
        ('```python\nx = """\n    ```inside\n"""\n```', 'x = """\n    ```inside\n"""\n'),
        ("Use `x` and ```y``` inline.\n```python\nx = 1\n```", "x = 1\n"),
        ("```python\n```\n```python\nx = 1\n```", "x = 1\n"),
    ],
)
def test_fences_as_markdown_has_them(answer: str, code: str) -> None:
    assert extract(answer, "python").code == code


@given(st.text(alphabet=st.characters(exclude_characters="\r", codec="utf-8")))
def test_whatever_is_fenced_comes_out_again(text: str) -> None:
    blocks, prose = split(f"Before.\n{fenced(text, PYTHON)}\nAfter.")
    assert [block.code for block in blocks] == [text.strip("\n")] and blocks[0].closed
    assert prose == "Before.\nAfter."


@given(st.text(alphabet="`~\n pydef:()#1", max_size=60))
def test_no_answer_breaks_it(answer: str) -> None:
    made = extract(answer, "python")
    assert made.used <= made.blocks and (made.code == "" or made.code.endswith("\n"))


def test_languages_by_any_name() -> None:
    assert language("C++") == language("cpp") == Language("cpp", "C++")
    assert language(" JS ").title == "JavaScript" and named("py3") == "python"
    assert language("Zig") == Language("zig", "Zig")
    for wrong in ("", "???", "a" * 40, "py\nthon"):
        with pytest.raises(OptionError, match="language"):
            language(wrong)


def test_prompts_hold_request_tests_and_failure() -> None:
    said = request_message(" a function f ", PYTHON, "assert f() == 1\n")["content"]
    assert "a function f\n" in said and "```python\nassert f() == 1\n```" in said and "Python" in said
    assert "tests:" not in request_message("a function f", language("go"), None)["content"]
    told = failure_message("it failed", "x" * 3 * LONGEST + "the end", PYTHON)["content"]
    assert "it failed" in told and "the end" in told and "characters left out]" in told and len(told) < 2 * LONGEST


def test_a_fence_that_stands_further_in_is_text() -> None:
    """CommonMark 4.5: a closing fence is indented at most three blanks."""
    answer = "```python\ndef f():\n    '''Doc.\n    ```\n    x\n    ```\n    '''\n```\n"
    found = extract(answer, "python")
    assert found.closed and found.code.count("```") == 2 and found.code.endswith("'''\n")


def test_a_transcript_of_use_is_no_part_of_the_code() -> None:
    found = extract("```python\ndef add(a, b):\n    return a + b\n```\n\n```pycon\n>>> add(1, 2)\n3\n```\n", "python")
    assert found.code == "def add(a, b):\n    return a + b\n"
