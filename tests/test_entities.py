"""Entities are exact spans of the text as it was given, at any length; the verb shows them in four ways."""

import itertools
import json
import re
import shlex
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import clearhead as ch
import labeller
import real
from clearhead.errors import OptionError, UnsupportedError
from clearhead.tasks.entities.tagger import Entity, Tagger
from clearhead.tasks.entities.windows import SHARE, windows
from clearhead.text.words import words_of
from clearhead.text.wrapping import continued
from terminal import fails, invoke, on_terminal

TEXT = "Anna Karenina went to New York, and saw Sofia."
FOUND = [("PER", "Anna Karenina"), ("LOC", "New York"), ("LOC", "Sofia")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labeller.write(tmp_path_factory.mktemp("labeller") / "model")


@pytest.fixture(scope="module")
def tagger(folder: Path) -> Tagger:
    return Tagger(ch.load(folder, executor="native"))


def named(found: list[Entity]) -> list[tuple[str, str]]:
    return [(entity.type, entity.text) for entity in found]


def test_entities_are_spans_of_the_text(tagger: Tagger) -> None:
    found = ch.entities(TEXT, model=tagger.model)
    assert named(found) == FOUND
    assert all(TEXT[e.start : e.end] == e.text and 0.5 < e.score <= 1 for e in found)
    assert ch.entities([TEXT, "", "the"], model=tagger.model) == [found, [], []]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["Anna Karenina", "New York", "Sofia", "the", "went to", "🙂", "ﬁ", "\u200b", "\x00"])))
def test_no_character_around_an_entity_moves_it(tagger: Tagger, parts: list[str]) -> None:
    text = " and ".join(parts)
    [found] = tagger.find([text])
    names = [part for part in parts if part in ("Anna Karenina", "New York", "Sofia")]
    assert [entity.text for entity in found] == names
    assert all(text[e.start : e.end] == e.text for e in found)


@pytest.mark.parametrize("pad", range(8))
def test_nothing_is_lost_or_cut_where_windows_meet(tagger: Tagger, pad: int) -> None:
    text = "the " * pad + " ".join(["Anna Karenina saw New York of Sofia ."] * 200)
    [found] = tagger.find([text])
    assert named(found) == [FOUND[0], FOUND[1], FOUND[2]] * 200
    assert all(text[e.start : e.end] == e.text for e in found)


def test_a_text_alone_has_the_entities_it_has_among_others(tagger: Tagger) -> None:
    texts = [TEXT, "Sofia. " * 50, "to New York"]
    together = list(tagger.find(texts))
    assert together == [next(tagger.find([text])) for text in texts]


def test_what_looks_like_a_special_token_is_text(tagger: Tagger) -> None:
    text = "[SEP] Anna Karenina [MASK] went to [CLS] New York"
    assert named(next(tagger.find([text]))) == FOUND[:2]


@given(st.lists(st.integers(1, 12), max_size=60), st.integers(4, 20))
def test_windows_cover_every_word_once_with_room_to_read(sizes: list[int], room: int) -> None:
    cut = windows(sizes, room)
    counted = [i for window in cut for i in range(window.own, window.own_end)]
    assert counted == list(range(len(sizes)))
    for window in cut:
        inside = sizes[window.first : window.end]
        assert window.first <= window.own <= window.own_end <= window.end
        assert sum(inside) <= room or len(inside) == 1
    if max(sizes, default=0) * SHARE <= room:  # then an overlap holds a word at least
        assert all(a.end > b.first for a, b in itertools.pairwise(cut))


@given(st.text(max_size=60))
def test_words_hold_every_character_but_spaces(text: str) -> None:
    words = words_of(text)
    assert all(text[word.start : word.end] == word.text for word in words)
    assert "".join(word.text for word in words) == "".join(text.split())


def test_words_are_cut_as_annotators_cut_them() -> None:
    text = "Mr. O'Brien's U.S.-based firm paid 1,000.5% at AT&T (Hewlett-Packard), didn't it?"
    said = "Mr . O'Brien 's U.S. - based firm paid 1,000.5% at AT&T ( Hewlett-Packard ) , didn 't it ?"
    assert [word.text for word in words_of(text)] == said.split(" ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("José García's U.É. Ångström-Zürich", ["José", "García", "'s", "U.É.", "Ångström-Zürich"]),
        ("War\u00adsaw wide\u200bspread x\u00ad", ["War\u00adsaw", "wide\u200bspread", "x", "\u00ad"]),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627 \u0939\u093f\u0928\u094d\u0926\u0940", None),
        ("🇩🇪🇫🇷 👩\u200d👩\u200d👧 👍🏽 1\ufe0f\u20e3", ["🇩🇪", "🇫🇷", "👩\u200d👩\u200d👧", "👍🏽", "1\ufe0f\u20e3"]),
        ("\ue000\ue002a", ["\ue000", "\ue002", "a"]),  # characters that stand for others while a text is cut
    ],
)
def test_what_a_reader_sees_as_one_letter_is_not_cut(text: str, words: list[str] | None) -> None:
    wanted = text.split() if words is None else words
    assert [word.text for word in words_of(text)] == wanted
    apart = unicodedata.normalize("NFD", text)
    assert [word.text for word in words_of(apart)] == [unicodedata.normalize("NFD", word) for word in wanted]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["Ánna Karenina", "Néw York", "Sófia", "thé", "went tö", "é's", "🇩🇪"]), min_size=1))
def test_accents_apart_from_their_letters_change_no_span(tagger: Tagger, parts: list[str]) -> None:
    text = unicodedata.normalize("NFC", " and ".join(parts))
    apart = [unicodedata.normalize("NFD", letter) for letter in text]
    places = [0, *itertools.accumulate(map(len, apart))]
    whole, decomposed = tagger.find([text, "".join(apart)])
    assert [(e.type, places[e.start], places[e.end]) for e in whole] == [(e.type, e.start, e.end) for e in decomposed]
    assert len(whole) == sum(part in ("Ánna Karenina", "Néw York", "Sófia") for part in parts)


@pytest.mark.parametrize(
    "lines",
    [
        ["Anna", "Karenina", "Sofia"],
        ["- Anna", "- Karenina"],
        ["the the the the the and of the the the to New\nYork of Sofia"],  # the first line was full
        ["the the the the the and of the the the to\nNew", "York of Sofia the the the"],  # the second was not
    ],
)
@pytest.mark.parametrize("gap", ["\n", "\r\n", "\n \n"])
def test_a_name_ends_with_its_line_unless_the_line_was_full(tagger: Tagger, lines: list[str], gap: str) -> None:
    text = gap.join(lines)
    [together], alone = tagger.find([text]), tagger.find(lines)
    assert named(together) == [pair for found in alone for pair in named(found)]
    assert all(text[e.start : e.end] == e.text for e in together)


@given(st.text(alphabet="ab:-# .\r\n\f", max_size=200))
def test_lines_hold_all_of_a_text_but_spaces(text: str) -> None:
    lines = continued(text)
    assert "".join("".join(text[a:b].split()) for a, b in lines) == "".join(text.split())
    assert all(a < b for a, b in lines) and all(b <= c for (_, b), (c, _) in itertools.pairwise(lines))


def test_words_whose_pieces_are_remembered_have_a_limit(tagger: Tagger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clearhead.tasks.entities.tagger.SPELLED", 10)
    [found] = tagger.find([" ".join(f"x{i} Sofia" for i in range(100))])
    assert named(found) == [("LOC", "Sofia")] * 100 and len(tagger.known) <= 10


def test_models_without_labels_of_entities_are_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(UnsupportedError, match="entities-en"):
        ch.entities("Anna", model=folders["bert_folder"])
    with pytest.raises(OptionError, match="decode it"):
        ch.entities(b"Anna")  # type: ignore[call-overload]


def test_the_verb_in_a_pipe_prints_a_line_for_each_entity(folder: Path) -> None:
    lines = invoke("entities", TEXT, "-m", folder, "-q").stdout.splitlines()
    cells = [line.split("\t") for line in lines]
    assert [(cell[0], TEXT[int(cell[1]) : int(cell[2])]) for cell in cells] == FOUND
    numbered = invoke("entities", "--lines", "-m", folder, "-q", input=f"the\n{TEXT}\nSofia\n").stdout.splitlines()
    assert [line.split("\t")[0] for line in numbered] == ["2", "2", "2", "3"]


def test_the_verb_shows_colours_on_a_terminal(folder: Path) -> None:
    shown, status = on_terminal(["entities", TEXT, "-m", folder])
    assert status == 0
    assert "\x1b[1;36mAnna Karenina\x1b[0m" in shown and "\x1b[1;32mNew York\x1b[0m" in shown


def test_json_types_and_scores(folder: Path) -> None:
    said = json.loads(invoke("entities", TEXT, "-m", folder, "--json").stdout)
    assert [(e["type"], e["text"]) for e in said["entities"]] == FOUND and said["types"] == ["PER", "LOC"]
    only = json.loads(invoke("entities", TEXT, "-m", folder, "--json", "--type", "PER").stdout)
    assert [e["text"] for e in only["entities"]] == ["Anna Karenina"]
    assert invoke("entities", TEXT, "-m", folder, "--min-score", "1", "-q").stdout == ""
    rows = invoke("entities", "--lines", "--json", "-m", folder, input=f"{TEXT}\nthe\n").stdout.splitlines()
    assert [len(json.loads(row)["entities"]) for row in rows] == [3, 0]
    assert "finds PER, LOC" in fails("entities", TEXT, "-m", folder, "--type", "ORG")


def test_a_page_of_a_text_escapes_it(folder: Path, tmp_path: Path) -> None:
    text = f"<script>alert(1)</script> {TEXT} &amp;"
    result = invoke("entities", text, "-m", folder, "--html", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert result.exit_code == 0 and "<script" not in page and "default-src 'none'" in page
    assert page.count("<mark") == 3
    inner = re.sub(r"<small>\w+</small>|<[^>]+>", "", re.search(r"<p>(.*?)</p>", page, re.DOTALL)[1])
    assert inner.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") == text


def test_impossible_requests(folder: Path, tmp_path: Path) -> None:
    assert "empty" in fails("entities", "", "-m", folder)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8" in fails("entities", "--file", tmp_path / "bytes", "-m", folder)
    assert "min_score" in fails("entities", TEXT, "-m", folder, "--min-score", "2")
    assert "no folder" in fails("entities", TEXT, "-m", folder, "--html", tmp_path / "none" / "page.html")


def test_the_example_of_the_help_works(folder: Path) -> None:
    match = re.search(r"Example: clearhead (entities .*)", invoke("entities", "--help").stdout)
    assert match is not None
    assert invoke(*shlex.split(match[1]), "-m", folder).exit_code == 0


@pytest.mark.weights
def test_the_bundled_model_finds_who_where_and_what() -> None:
    real.find("distilbert-grammar")
    text = "Marie Curie was born in Warsaw and worked at the University of Paris."
    model = ch.load("entities-en", executor="native")
    assert named(ch.entities(text, model=model)) == [
        ("PER", "Marie Curie"),
        ("LOC", "Warsaw"),
        ("ORG", "University of Paris"),
    ]
    page = "\n".join([text] * 400)  # 5,000 words
    assert len(ch.entities(page, model=model)) == 1200
