"""Which words come from which, the glossary that rests on it, and the page that shows it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import clearhead as ch
from clearhead.errors import DataError
from clearhead.tasks.lines import Search, Translator, search
from clearhead.tasks.translation.alignment import Aligned, Origin, align, attention
from clearhead.tasks.translation.glossary import applied, glossary_of, read_glossary
from clearhead.tasks.translation.page import page
from clearhead.tasks.translation.places import matched, places_of, words_and_owners
from clearhead.tasks.translation.records import Said
from clearhead.tasks.translators import Card
from overfitted import PAIRS
from real import find
from terminal import fails, invoke
from test_parity import relaxed


@pytest.fixture(scope="module")
def german(translator: Path) -> Translator:
    return Translator(model=ch.load(translator), from_="en", to="de")


@pytest.mark.parametrize("text", ["He sleeps.", "  Two\tdogs  run.", "Ein Mädchen", "Where is the station?"])
def test_tokens_stand_where_their_letters_do(text: str, german: Translator) -> None:
    tokenizer = german.model.tokenizer
    ids = tokenizer.encode(text)
    places = places_of(ids, text, tokenizer)
    assert places[-1] == (0, 0)  # the end of the source
    spans = [place for place in places if place != (0, 0)]
    assert [b for _, b in spans[:-1]] <= [a for a, _ in spans[1:]]
    assert "".join(text[a:b] for a, b in spans) == "".join(text.split())
    words, owners = words_and_owners(text, places)
    assert [word.text for word in words] == [text[word.start : word.end] for word in words]
    for place, owner in zip(places, owners, strict=True):
        if owner is not None:
            assert words[owner].start <= place[0] < words[owner].end


def test_letters_that_a_vocabulary_changes_keep_their_place() -> None:
    assert matched("abc", "abc") == [0, 1, 2]
    assert matched("fi", "ﬁ") == [0, 0] and matched("aﬁb"[0] + "fi" + "b", "aﬁb") == [0, 1, 1, 2]
    assert matched("ab", "a☃b") == [0, 2]
    assert matched("x", "") == [None]


@relaxed
@given(st.text(alphabet="abcé", max_size=20), st.text(alphabet="abcé", max_size=20))
def test_places_are_in_order_and_in_the_text(spelled: str, text: str) -> None:
    found = [place for place in matched(spelled, text) if place is not None]
    assert found == sorted(found) and all(0 <= place < len(text) for place in found)


def test_words_without_spaces_between_them_are_cut_as_the_vocabulary_cuts(german: Translator) -> None:
    words, owners = words_and_owners("今天天气 ok", [(0, 2), (2, 4), (5, 7)])
    assert [word.text for word in words] == ["今天", "天气", "ok"] and owners == [0, 1, 2]
    words, owners = words_and_owners("有412座桥", [(0, 2), (2, 4), (4, 6)])
    assert [word.text for word in words] == ["有", "412", "座桥"] and owners == [0, 1, 2]


def test_attention_is_that_of_the_trace(german: Translator) -> None:
    model = german.model
    ids, said = model.tokenizer.encode("He sleeps."), model.tokenizer.encode_target("Er schläft.")
    weights = attention(model, ids, said)
    trace = model.trace("He sleeps.", target="Er schläft.")
    raw = trace.attention("decoder.layers.0.cross_attention").mean(axis=0)[:-1]
    np.testing.assert_allclose(weights, raw / (raw.sum(axis=0) + 0.3), rtol=1e-5)
    assert weights.shape == (len(said), len(ids))


def test_alignments_name_characters_of_line_and_translation(german: Translator) -> None:
    line = "  He sleeps.  Two dogs run. "
    [made] = german.lines([line], search(1, aligned=True))
    assert made.text == "  Er schläft.  Zwei Hunde laufen. " and made.alignment is not None
    assert [word.text for word in made.alignment] == ["Er", "schläft", ".", "Zwei", "Hunde", "laufen", "."]
    for n, word in enumerate(made.alignment):
        assert made.text[word.start : word.end] == word.text
        weights = [origin.weight for origin in word.sources]
        assert weights == sorted(weights, reverse=True) and all(0.1 <= weight <= 1.0001 for weight in weights)
        for origin in word.sources:
            assert line[origin.start : origin.end] == origin.text
            assert (origin.start < 13) == (n < 3)  # of its own sentence
    assert next(german.lines([line])).alignment is None
    assert next(german.lines([" "], search(aligned=True))).alignment == ()


def test_a_text_in_capitals_keeps_its_places(german: Translator) -> None:
    bundled = replace(german, card=Card(pair=("en", "de"), licence="", data=(), parameters=1, scores={}))
    [made] = bundled.lines(["Hm! HE SLEEPS. He sleeps."], search(aligned=True))
    assert made.text.endswith("ER SCHLÄFT. Er schläft.") and made.alignment is not None
    for word in made.alignment:
        assert made.text[word.start : word.end] == word.text
        assert all(made.source[o.start : o.end].casefold() == o.text.casefold() for o in word.sources)


def test_an_empty_translation_has_no_alignment(german: Translator) -> None:
    assert align(german.model, "He.", "", ids=german.encode("He."), tokens=()) == ()


@pytest.mark.weights
def test_numbers_come_from_themselves() -> None:
    [*made] = Translator(model=ch.load(find("opus-mt-zh-en")), from_="zh", to="en").lines(
        ["2015年，公司有37名员工。", "这座城市有412座桥和58个公园。"], search(aligned=True)
    )
    for line, numbers in zip(made, [("2015", "37"), ("412", "58")], strict=True):
        best = {word.text: word.sources[0].text for word in line.alignment or () if word.sources}
        assert {number: best[number] for number in numbers} == {number: number for number in numbers}


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_glossary_is_a_table_of_two_columns(tmp_path: Path) -> None:
    tabs = read_glossary(write(tmp_path / "a.tsv", '\ufeff# terms\nbike\tVelo\n\n"quoted"\t"so"\n'))
    commas = read_glossary(write(tmp_path / "a.csv", 'bike,Velo\n"big, red",rot\n'))
    assert [(e.source, e.target) for e in tabs.entries] == [("bike", "Velo"), ('"quoted"', '"so"')]
    assert [(e.source, e.target) for e in commas.entries] == [("bike", "Velo"), ("big, red", "rot")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no terms"),
        ("bike Velo\n", "line 1 has 1 columns, not 2"),
        ("a\tb\nbike\tVelo\tRad\n", "line 2 has 3 columns"),
        ("bike\t\n", "both need a text"),
        ("bike\tVelo\nBIKE\tRad\nBike\tx\nbike\tRad\n", "'bike' as 'Velo' and as 'Rad'"),
    ],
)
def test_a_damaged_glossary_is_one_clear_error(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=says) as caught:
        read_glossary(write(tmp_path / "a.tsv", text))
    assert "\n" not in str(caught.value)


def test_a_glossary_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="not UTF-8"):
        read_glossary(tmp_path / "a.tsv")
    with pytest.raises(DataError, match="cannot be read"):
        read_glossary(tmp_path / "none.tsv")


def test_terms_are_whole_words_and_the_longest_counts() -> None:
    glossary = glossary_of([("bike", "Velo"), ("mountain bike", "Bergvelo"), ("US", "USA"), ("天气", "weather")])
    found = glossary.occurrences("My Bike, a mountain  bike, tells us bikes of the US. 今天天气很好")
    assert [o.entry.target for o in found] == ["Velo", "Bergvelo", "USA", "weather"]


def word(text: str, start: int, *sources: tuple[str, int, float]) -> Aligned:
    origins = tuple(Origin(text=t, start=a, end=a + len(t), weight=w) for t, a, w in sources)
    return Aligned(text=text, start=start, end=start + len(text), sources=origins)


def test_in_what_was_shouted_a_term_is_found_however_it_is_written() -> None:
    glossary = glossary_of([("NASA", "Raumfahrt"), ("US", "USA"), ("man", "Kerl")])
    assert [o.entry.source for o in glossary.occurrences("A man from nasa tells us.")] == ["man"]
    shouted = glossary.occurrences("A man from nasa.", shouted=True)
    assert [(o.entry.source, o.start, o.end) for o in shouted] == [("man", 2, 5), ("NASA", 11, 15)]


def test_the_words_of_a_term_give_way_to_the_glossary() -> None:
    source = "The bike is red"
    said = Said(
        text="Das Rad ist rot",
        score=0.0,
        complete=True,
        alignment=(
            word("Das", 0, ("The", 0, 0.9)),
            word("Rad", 4, ("bike", 4, 0.6), ("The", 0, 0.4)),
            word("ist", 8, ("is", 9, 0.8)),
            word("rot", 12, ("red", 12, 0.9)),
        ),
    )
    made = applied(glossary_of([("bike", "Tour de Velo"), ("the", "dies"), ("red", "rot")]), source, said)
    assert made.text == "Dies Tour de Velo ist rot" and all(term.placed for term in made.terms)
    assert [made.text[w.start : w.end] for w in made.alignment] == [w.text for w in made.alignment]
    assert made.alignment[-2].text == "ist" and made.alignment[1].sources[0].text == "bike"
    lost = applied(glossary_of([("purple", "lila"), ("is", "sei")]), "is purple", replace(said, alignment=()))
    assert [(t.source, t.placed) for t in lost.terms] == [("is", False), ("purple", False)] and lost.text == said.text


def test_what_the_translation_says_already_belongs_to_the_words_it_comes_from() -> None:
    source = "The dog saw the dog"
    said = Said(
        text="Der Hund sah den Köter",
        score=0.0,
        complete=True,
        alignment=(
            word("Der", 0, ("The", 0, 0.9)),
            word("Hund", 4, ("dog", 4, 0.9)),
            word("sah", 9, ("saw", 8, 0.9)),
            word("den", 13, ("the", 12, 0.9)),
            word("Köter", 17, ("dog", 16, 0.9)),
        ),
    )
    glossary = glossary_of([("dog", "Köter")])
    made = applied(glossary, source, said)
    assert made.text == "Der Köter sah den Köter" and [term.placed for term in made.terms] == [True, True]
    blind = applied(glossary, source, replace(said, alignment=()))  # one mention, and nothing says whose
    assert blind.text == said.text and [term.placed for term in blind.terms] == [True, False]


def test_terms_in_small_letters_are_found_in_any() -> None:
    found = glossary_of([("große straße", "main road")]).occurrences("Die Große Straße")
    assert [o.entry.target for o in found] == ["main road"]
    text = Said(text="Straße", score=0.0, complete=True)
    assert applied(glossary_of([("road", "Straße")]), "road", text).terms[0].placed


@pytest.mark.parametrize("terms", [{"a": 5}, {5: "a"}, {"a": None}])
def test_terms_are_texts(terms: Any) -> None:
    with pytest.raises(DataError, match="both are texts"):
        ch.translate("a", "de", glossary=terms, model="no-such-model")


def test_no_more_of_a_glossary_is_read_than_it_may_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clearhead.tasks.translation.glossary.LARGEST", 3)
    with pytest.raises(DataError, match="longer than 3 bytes"):  # though the cut tears a letter apart
        read_glossary(write(tmp_path / "a.tsv", "abcé\td"))


def test_a_glossary_reaches_the_translation(german: Translator, tmp_path: Path) -> None:
    everywhere = {a.rstrip(".?").split()[-1]: "Ersatz" for a in PAIRS}
    how = Search(glossary=glossary_of(list(everywhere.items())))
    made = list(german.lines(PAIRS, how))
    plain = [each.text for each in german.lines(PAIRS)]
    placed = [each for each in made if each.terms[0].placed]
    assert placed and all("Ersatz" in each.text for each in placed)
    assert all(each.text == before for each, before in zip(made, plain, strict=True) if not each.terms[0].placed)
    same = german.lines(["He sleeps."], Search(glossary=glossary_of([("sleeps", "schläft")])))
    assert next(same).text == "Er schläft."  # what is there already stays


BIKES = ("A man is riding a bike on the street.", "The bike is red.", "Two children with a bike are in the water.")


def test_a_glossary_on_a_bundled_translator() -> None:
    from clearhead.tasks import translators

    if not (translators.HERE / "en-de").is_dir():
        pytest.skip("no en-de in this checkout; python -m clearhead.tasks.bundle makes it of a training run")
    said = ch.translate(BIKES, "de", glossary={"bike": "Velo"})
    assert all("Velo" in text and "rad" not in text.casefold() for text in said)
    assert "Velo" not in ch.translate("A dog runs.", "de", glossary={"bike": "Velo"})


def test_the_page_holds_every_word_once_and_lets_no_markup_through(german: Translator) -> None:
    [made] = german.lines(["He sleeps. <script>"], search(1, aligned=True))
    text = page([made], "en", "de", "<b>model</b>")
    assert "default-src 'none'" in text and "<script>" in text and text.count("<script>") == 1
    assert "&lt;b&gt;model" in text and "&lt;" in text.partition("</div>\n<div")[2]
    assert text.count('id="t0-') == len(made.alignment or ())


def test_pointing_at_a_word_lights_its_partners(german: Translator, open_page: Callable[..., Any]) -> None:
    [made] = german.lines(["He sleeps."], search(1, aligned=True))
    shown = open_page(page([made], "en", "de", "model"))
    first = (made.alignment or ())[0]
    partner = f"#s0-{first.sources[0].start}"
    colour = "(at) => document.querySelector(at).style.background"
    assert shown.evaluate(colour, partner) == ""
    shown.hover("#t0-0")
    assert shown.evaluate(colour, partner).startswith("rgb")
    shown.hover("h1")
    assert shown.evaluate(colour, partner) == ""
    shown.focus(partner)
    assert shown.evaluate(colour, "#t0-0").startswith("rgb")


def test_the_verb_shows_alignments(translator: Path, tmp_path: Path) -> None:
    call = ("translate", "He sleeps.", "--to", "de", "-m", translator)
    lines = invoke(*call, "--alignment").stdout.splitlines()
    assert lines[0] == "Er schläft." and [line.split()[0] for line in lines[1:]] == ["Er", "schläft", "."]
    found = json.loads(invoke(*call, "--alignment", "--json").stdout)["lines"][0]
    assert found["alignment"][0]["text"] == "Er" and found["alignment"][0]["sources"][0].keys() == {
        "text", "start", "end", "weight",
    }  # fmt: skip
    assert json.loads(invoke(*call, "--json").stdout)["lines"][0]["alignment"] is None
    result = invoke(*call, "--html", tmp_path / "page.html")
    assert result.stdout == "Er schläft.\n" and "page.html" in result.stderr
    assert 'id="t0-0"' in (tmp_path / "page.html").read_text()
    assert "no folder" in fails(*call, "--html", tmp_path / "none" / "page.html")


def test_the_verb_takes_a_glossary(translator: Path, tmp_path: Path) -> None:
    terms = write(tmp_path / "terms.tsv", "He\tSie\nsnow\tSchnee\n")
    call = ("translate", "He sleeps.", "--to", "de", "-m", translator, "--glossary", terms)
    result = invoke(*call)
    term = json.loads(invoke(*call, "--json").stdout)["lines"][0]["terms"]
    assert [each["source"] for each in term] == ["He"]
    assert ("Sie" in result.stdout) == term[0]["placed"] == ("lacks 'Sie'" not in result.stderr)
    assert "cannot be read" in fails(*call[:-1], tmp_path / "none.tsv")


def test_the_verb_tells_of_a_wrong_language_and_of_parts(translator: Path, tmp_path: Path) -> None:
    long = invoke("translate", "x" * 400, "--to", "de", "-m", translator)
    assert "1 line · 1 sentence in " in long.stderr and "parts" in long.stderr
    french = "Cette phrase est écrite en français par quelqu'un qui habite à Paris."
    (translator.parent / "pair").mkdir(exist_ok=True)
    for path in translator.iterdir():
        if path.is_file():
            (translator.parent / "pair" / path.name).write_bytes(path.read_bytes())
    write(translator.parent / "pair" / "translator.json", '{"pair": ["en", "de"]}')
    message = fails("translate", french, "-m", translator.parent / "pair")
    assert "seems to be French" in message and "--from en" in message
    assert invoke("translate", french, "-m", translator.parent / "pair", "--from", "en").exit_code == 0
