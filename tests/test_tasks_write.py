"""Essays: what is refused, how the length is kept, and that nothing is said twice or left unended."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import clearhead as ch
from clearhead.errors import ContextWindowError, OptionError
from clearhead.tasks.write import begin, choosing
from clearhead.tasks.writing import plan, writer
from clearhead.tasks.writing.asking import request
from clearhead.tasks.writing.plan import again, alike, planned, read_outline, sections_of, tidy
from clearhead.tasks.writing.prose import clean, is_prose, is_whole, paragraph
from clearhead.tasks.writing.repetition import LOOP, Memory, repeated
from clearhead.tasks.writing.writer import Writing
from tiny import gpt2_folder

SENTENCE = st.lists(st.sampled_from(["aa", "bb", "cc", "dd", "ee", "ff"]), min_size=1, max_size=12).map(" ".join)


@given(st.lists(SENTENCE, max_size=12))
def test_what_a_memory_takes_has_no_repetition(said: list[str]) -> None:
    memory, taken = Memory(), []
    for sentence in said:
        if memory.is_new(sentence):
            memory.add(sentence)
            taken.append(sentence)
    assert repeated(taken) == []
    assert all(not memory.is_new(sentence) for sentence in taken)


def test_repetition_is_seen_within_and_across_sentences_whatever_the_case() -> None:
    eight = "one two three four five six seven eight"
    assert len(eight.split()) == LOOP
    assert repeated([f"{eight}.", f"And {eight.upper()}!"]) == [eight]
    assert repeated(["One two, three four.", "Five six seven eight.", "One two three four five, six seven eight."])
    assert repeated(["He sleeps.", "he sleeps!"]) == ["he sleeps!"]
    memory = Memory()
    memory.add("Libraries are good for all.")
    assert not memory.is_new("Libraries are good for all here.")
    assert memory.is_new("Libraries are old.")


@dataclass
class FakeStream:
    pieces: list[str]
    finish_reason: str = "stop"
    closed: bool = False

    @property
    def completion(self) -> Any:
        usage = SimpleNamespace(prompt_tokens=7, completion_tokens=len(self.pieces))
        return SimpleNamespace(finish_reason=self.finish_reason, usage=usage)

    def __iter__(self) -> Iterator[str]:
        return iter(self.pieces)

    def close(self) -> None:
        self.closed = True


def read(text: str, reason: str = "stop", step: int = 3) -> list[str]:
    return list(paragraph(FakeStream([text[i : i + step] for i in range(0, len(text), step)], reason)))  # type: ignore[arg-type]


def test_a_paragraph_is_its_whole_sentences() -> None:
    assert read("**One** thing. Two of them! And") == ["One thing.", "Two of them!"]
    assert read("One. Two.", "length") == ["One."]
    assert read("# Title\n\nHere it is:\n\nOne. Two.\n\nThree.") == ["One.", "Two."]
    assert read("") == [] == read("no end")
    endless = "word " * 100
    [only] = read(endless)
    assert not is_prose(only)


@given(st.text(alphabet="ab .!?\n", max_size=80), st.integers(1, 7))
def test_every_sentence_of_a_paragraph_is_whole(text: str, step: int) -> None:
    assert all(is_whole(sentence) for sentence in read(text, step=step))


@pytest.mark.parametrize(
    ("sentence", "good"),
    [
        ("It rains.", True),
        ('She said, "It rains."', True),
        ("It rains", False),
        ('"It rains.', False),
        ("- It rains.", False),
        ("1. It rains.", False),
        ("# Rain.", False),
        ("...", False),
        ("word " * 61 + ".", False),
        ("This paragraph has 75 words.", False),
        ("The conclusion of the essay is as follows.", False),
        ("Shall I begin an essay on this?", False),
        ("it rains.", False),
        ("雨が降る。", True),
    ],
)
def test_what_prose_is(sentence: str, good: bool) -> None:
    assert is_prose(sentence) is good


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("2**3 = 8 and 4**2 = 16.", "2**3 = 8 and 4**2 = 16."),
        ("It calls __init__ and **kwargs.", "It calls __init__ and **kwargs."),
        ("**It** is __very cold__ **today.**", "It is very cold today."),
        ("**It rains.", "It rains."),
        ("今天**很好**。", "今天很好。"),
    ],
)
def test_emphasis_is_a_pair_at_the_borders_of_words(said: str, kept: str) -> None:
    assert clean(said) == kept


def test_after_the_largest_seed_comes_0() -> None:
    assert again({"seed": 2**63 - 1}, 2)["seed"] == 1


def test_an_outline_is_its_lines() -> None:
    assert read_outline("1. Rain;\n\n - Snow and ice.\n* a) x\n(3) Hail") == ("Rain", "Snow and ice", "a) x", "Hail")
    with pytest.raises(OptionError, match="no points"):
        read_outline(" \n- \n")
    kept = ("U.S. trade", "3.5 million visitors", "10:30 train", "-5 degrees", "J. S. Bach's life", "Ann (b) Lee")
    assert read_outline("\n".join(kept)) == kept
    assert read_outline("A. Rain\n  a) drops\n-snow\nB. Hail") == ("Rain", "drops", "snow", "Hail")
    with pytest.raises(OptionError, match="101 points"):
        read_outline("point\n" * 101)


def test_sections_share_the_words() -> None:
    made = sections_of(("Rain", "Snow"), 300, framed=True)
    assert [each.role for each in made] == ["introduction", "body", "body", "conclusion"]
    assert [each.point for each in sections_of(("Rain", "Snow"), 300, framed=False)] == ["Rain", "Rain", "Snow", "Snow"]
    long = sections_of(("Rain",), 900, framed=True)
    assert sum(each.share for each in long if each.role == "body") == pytest.approx(1)


def test_points_are_a_few_words_and_differ() -> None:
    assert tidy(" **Free access**: for all of us.") == "Free access"
    assert tidy('1. "The rain" ') == "The rain"
    assert alike("Access to knowledge", "The access to knowledge") and not alike("Rain", "Snow")


@dataclass
class Script:
    """A model that says what comes next in a list, whatever it is asked."""

    said: Iterator[str]
    asked: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    name: str = "script"

    def request(self, _model: Any, instruction: str, said: str, options: Any) -> Any:
        self.asked.append((instruction, said, dict(options)))
        text = next(self.said)
        stream = FakeStream([text[i : i + 4] for i in range(0, len(text), 4)])
        return SimpleNamespace(
            stream=lambda _cancelled: stream,
            complete=lambda _cancelled: SimpleNamespace(new_text=text.split("\n")[0]),
        )


def numbered() -> Iterator[str]:
    """Paragraphs of three new sentences of ten words each, with a repetition after the second."""
    number = 0
    while True:
        said = []
        for _ in range(3):
            number += 1
            said.append(" ".join(f"w{number}x{i}" for i in range(10)).capitalize() + ".")
        yield f"{said[0]} {said[1]} {said[0]} {said[2]}"


def script(monkeypatch: pytest.MonkeyPatch, said: Iterator[str]) -> Script:
    made = Script(said)
    monkeypatch.setattr(writer, "request", made.request)
    monkeypatch.setattr(plan, "request", made.request)
    return made


def essay_of(model: Script, length: int, tone: str | None = None) -> Writing:
    return begin(
        model,  # type: ignore[arg-type]
        "Rain",
        "Rain\nSnow\nHail",
        length=length,
        tone=tone,
        drawing=choosing(0.0, 0, 1.0, 0.0, 1.0, 5),
        cancelled=lambda: False,
    )


@pytest.mark.parametrize("length", [60, 150, 300, 1000])
def test_an_essay_keeps_its_length_and_repeats_nothing(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    writing = essay_of(script(monkeypatch, numbered()), length)
    shown = "".join(writing)
    essay = writing.essay
    assert shown == essay.text and essay.complete and essay.refused >= (length > 60)
    assert abs(essay.words - length) <= 10
    sentences = [each for part in essay.paragraphs for each in part.sentences]
    assert repeated(sentences) == [] and all(map(is_whole, sentences))
    assert essay.outline == ("Rain", "Snow", "Hail") and essay.prompt_tokens > 0


def test_a_paragraph_goes_on_where_it_was_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = script(monkeypatch, numbered())
    "".join(essay_of(model, 300, tone="formal"))
    first, second = model.asked[0], model.asked[1]
    assert "formal tone" in first[0] and "about: Rain" in first[0] and first[1] == ""
    assert second[1].startswith("W1x0") and second[1].count(".") == 2  # the third sentence was a repetition
    assert second[2]["temperature"] > first[2]["temperature"] and second[2]["seed"] != first[2]["seed"]


def test_a_model_that_only_repeats_itself_is_told_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def same() -> Iterator[str]:
        while True:
            yield "It rains on all of us today. It rains on all of us today."

    writing = essay_of(script(monkeypatch, same()), 300)
    text = "".join(writing)
    assert text == "It rains on all of us today." and not writing.essay.complete


def test_a_plan_has_as_many_points_as_paragraphs_need(monkeypatch: pytest.MonkeyPatch) -> None:
    model = script(monkeypatch, iter(["Water falls down", "The water falls down", "People stay home", "End"]))
    made = planned(model, "Rain", 300, {"seed": 1}, lambda: False)  # type: ignore[arg-type]
    assert [each.point for each in made] == ["", "Water falls down", "People stay home", ""]
    assert model.asked[1][1] == "1. Water falls down\n2."


def test_cancelled_essays_hold_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    writing = essay_of(script(monkeypatch, numbered()), 300)
    parts = iter(writing)
    kept = next(parts)
    writing.cancelled = lambda: True
    rest = "".join(parts)
    assert writing.essay.text == kept + rest and writing.essay.words < 60


def test_an_answer_goes_on_after_what_was_said(tmp_path: Path) -> None:
    model = ch.load(gpt2_folder(tmp_path, chat=True))
    made = request(model, "Rain", "It is ", {"max_new_tokens": 4})
    alone = request(model, "Rain", "", {"max_new_tokens": 4})
    assert made.prompt.ids == [*alone.prompt.ids, *model.tokenizer.encode("It is ", add_special_tokens=False)]
    assert made.prompt.sent == alone.prompt.sent + "It is "
    with pytest.raises(ContextWindowError, match="shorten the title"):
        request(model, "Rain " * 20, "", {"max_new_tokens": 40})


@pytest.mark.parametrize(
    ("title", "options", "says"),
    [
        (None, {}, "nothing to write about"),
        (5, {}, "the title is 5"),
        ("Rain", {"tone": 5}, "the tone is 5"),
        ("  ", {}, "nothing to write about"),
        ("Rain", {"outline": " "}, "the outline is empty"),
        ("Rain", {"tone": ""}, "the tone is empty"),
        ("Rain", {"length": 5}, "length is 5"),
        ("Rain", {"length": 10**6}, "length is 1000000"),
        ("Rain" * 100, {}, "the title has 400 characters"),
        ("Ra\x00in", {}, "control characters"),
        ("Rain", {"temperature": -1.0}, "temperature is -1"),
        ("Rain", {"seed": -1}, "seed is -1"),
    ],
)
def test_an_impossible_wish_is_refused_before_a_model_is_loaded(title: Any, options: dict[str, Any], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        ch.write(title, model="no-such-model", **options)
