"""Tokens as words: found, whole, labelled."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearhead.errors import OptionError
from clearhead.lens.payload import Token
from clearhead.lens.words import bytes_of, find, label, occurrences, text_of, words
from clearhead.text.printable import one_line, spelled
from lens_traces import BOOK
from lens_views import listed, said


def test_tokens_make_words() -> None:
    tokens = listed(
        "[CLS]", " book", "keeping", ",", " don", "'t", " ", "a", " $", "5", "[SEP]", special=("[CLS]", "[SEP]")
    )
    expected = ["[CLS]", "bookkeeping", ",", "don", "'t", "␣", "a", "$", "5", "[SEP]"]
    assert said(tokens, words(tokens)) == expected
    chinese = listed("老师", "用", "书", "。")
    assert said(chinese, words(chinese)) == ["老师", "用", "书", "。"]
    assert words([]) == []


@given(st.lists(st.text(alphabet="ab .'老師\u200b\n", max_size=4), max_size=12))
def test_every_token_is_in_one_word(texts: list[str]) -> None:
    tokens = listed(*texts)
    found = words(tokens)
    assert [i for indices in found for i in indices] == list(range(len(tokens)))
    assert all(find(tokens, indices) == indices for indices in found)


@given(
    st.lists(st.sampled_from(["The", " the", " book", "keep", "ing", ".", " ", "老师", " teach", "er"]), max_size=9),
    st.data(),
)
def test_what_stands_in_the_text_is_found(texts: list[str], data: st.DataObject) -> None:
    tokens = listed(*texts)
    for indices in words(tokens):
        text = text_of(tokens, indices)
        if text.strip() and "␣" not in text:
            assert indices in occurrences(tokens, text)
    for run in occurrences(tokens, data.draw(st.sampled_from(["the", "book", "bookkeeping", "teacher", "teach"]))):
        assert run == list(range(run[0], run[-1] + 1))


def test_words_are_found_by_text_and_index() -> None:
    tokens = listed(*BOOK)
    assert find(tokens, "book") == [7] and find(tokens, " Book ") == [7] and find(tokens, "The") == [0]
    assert find(tokens, 7) == find(tokens, -2) == find(tokens, np.int64(7)) == [7]  # type: ignore[arg-type]
    assert find(tokens, [1, 2]) == [1, 2] and find(tokens, "the student") == [3, 4]
    with pytest.raises(OptionError, match="'the' stands at tokens 3, 6"):
        find(tokens, "the")
    with pytest.raises(OptionError, match="no word 'pencil' in the text; its words are The, teacher, taught"):
        find(tokens, "pencil")
    for wrong in (9, -10, [], [3, 99], "", "  "):
        with pytest.raises(OptionError):
            find(tokens, wrong)


def test_whole_words_come_before_parts_of_words() -> None:
    tokens = listed(" teach", "er", " Teach", " book", "keeping", " book", "s")
    assert find(tokens, "teach") == [2] and find(tokens, "teacher") == [0, 1]
    assert find(tokens, "keeping") == [4] and find(tokens, "bookkeeping") == [3, 4]
    with pytest.raises(OptionError, match="3, 5"):
        find(tokens, "book")
    with pytest.raises(OptionError, match="no word"):
        find(tokens, "boo")
    several = listed(" book", "keeping", " and", " book", "keeping")
    with pytest.raises(OptionError, match=re.escape("[0, 1], [3, 4]")):
        find(several, "bookkeeping")


def test_labels_show_blanks() -> None:
    assert [label(t) for t in listed(" a", " ", "  ", "\n")] == ["a", "␣", "␣␣", "\\n"]
    assert label(Token("", "▁", 3)) == "▁"


def bytewise(text: str, *cuts: int) -> list[Token]:
    """Tokens of a byte-level vocabulary that cuts a text's bytes at these places."""
    data = text.encode()
    parts = [data[a:b] for a, b in zip((0, *cuts), (*cuts, len(data)), strict=True)]
    return [Token(spelled(part), f"piece{n}", n) for n, part in enumerate(parts)]


def test_characters_that_are_cut_into_tokens_are_words() -> None:
    tokens = bytewise("我喜欢吃苹果，你呢", 2, 3, 5, 9, 12, 14, 15, 17, 18, 20, 22, 25)
    assert tokens[0].text == "<E6><88>"
    assert said(tokens, words(tokens))[:2] == ["我", "喜欢"]
    assert text_of(tokens, find(tokens, "苹果")) == "苹果" and find(tokens, "苹果")[0] == 5
    assert text_of(tokens, range(len(tokens))) == "我喜欢吃苹果，你呢"
    latin = bytewise("un café noir", 6, 7, 8)
    assert said(latin, words(latin)) == ["un café", "noir"] or said(latin, words(latin)) == ["un café noir"]
    split = bytewise("caf\u00e9s", 3, 4, 5)
    assert said(split, words(split)) == ["cafés"] and find(split, "cafés") == [0, 1, 2, 3]
    with pytest.raises(OptionError, match="no word"):
        find(bytewise("苹", 1, 2), "果")


def test_what_the_vocabulary_spells_like_an_escape_is_text() -> None:
    literal = [Token("<E6>", "<E6>", 1), Token("<88>", "<88>", 2), Token("<91>", "<91>", 3)]
    assert text_of(literal, [0, 1, 2]) == "<E6><88><91>"
    real = [Token("<E6>", "æ", 1), Token("<88>", "Ī", 2), Token("<91>", "ĳ", 3)]
    assert text_of(real, [0, 1, 2]) == "我" and text_of(real, [0, 1]) == "<E6><88>"


@given(st.text(alphabet="ab é我喜<E6>\n", max_size=9), st.lists(st.integers(0, 30), max_size=6))
def test_words_of_cut_bytes_are_whole(text: str, cuts: list[int]) -> None:
    n = len(text.encode())
    tokens = bytewise(text, *sorted(c for c in {*cuts} if 0 < c < n))
    found = words(tokens)
    assert [i for indices in found for i in indices] == list(range(len(tokens)))
    whole = b"".join(bytes_of(token) for token in tokens)
    assert one_line(whole.decode()) == one_line(text)
