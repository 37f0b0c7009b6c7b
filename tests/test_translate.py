"""Translation: lines stay lines, nothing is lost or cut unsaid, and the pair of languages decides on the model."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import clearhead as ch
from clearhead.engine.model import Model
from clearhead.errors import ContextWindowError, OptionError, UnknownModelError, UnsupportedError
from clearhead.tasks import lines as through
from clearhead.tasks import translators
from clearhead.tasks.capitals import calmed, is_shouted
from clearhead.tasks.lines import Search, Translator, search
from clearhead.tasks.translate import open_translator
from clearhead.tasks.translators import Card
from clearhead.text.sentences import cut, sentences
from overfitted import PAIRS
from test_parity import relaxed

TEXT, SAID = "\n".join(PAIRS), "\n".join(PAIRS.values())


@pytest.fixture(scope="module")
def model(translator: Path) -> Model:
    return ch.load(translator)


@pytest.fixture(scope="module")
def german(model: Model) -> Translator:
    return Translator(model=model, from_="en", to="de")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("One. Two! Three?", ["One. ", "Two! ", "Three?"]),
        ('He said "Stop!" and left. "Why?" She knew.', ['He said "Stop!" and left. ', '"Why?" ', "She knew."]),
        ("Mr. Smith met Dr. Jones. They talked.", ["Mr. Smith met Dr. Jones. ", "They talked."]),
        ("J. R. R. Tolkien wrote it. So did I. Really.", ["J. R. R. Tolkien wrote it. ", "So did I. ", "Really."]),
        ("Am 3. Oktober kam er. Um 12.30 Uhr ging er.", ["Am 3. Oktober kam er. ", "Um 12.30 Uhr ging er."]),
        ("It was 1999. We danced.", ["It was 1999. ", "We danced."]),
        ("Wait... what? Well... Yes.", ["Wait... what? ", "Well... ", "Yes."]),
        ("Fruit, e.g. apples, etc. are good.", ["Fruit, e.g. apples, etc. are good."]),
        ("你好。我是学生！对吗？", ["你好。", "我是学生！", "对吗？"]),
        ("(She left.)  He stayed.\tEnd", ["(She left.)  ", "He stayed.\t", "End"]),
        ("The U.S. President met J.R.R. Tolkien. He left.", ["The U.S. President met J.R.R. Tolkien. ", "He left."]),
        ("At No. 5 on Jan. 3. He said no. I left.", ["At No. 5 on Jan. 3. He said no. ", "I left."]),
        ("هل أنت بخير؟ نعم أنا بخير.", ["هل أنت بخير؟ ", "نعم أنا بخير."]),
        ("यह घर है। वह आदमी है।", ["यह घर है। ", "वह आदमी है।"]),
        ("no end", ["no end"]),
        ("", []),
    ],
)
def test_sentences_end_where_they_end(text: str, found: list[str]) -> None:
    assert sentences(text) == found


@relaxed
@given(st.text(alphabet="aB .!?…。,\"')Mr1\t-", max_size=80))
def test_sentences_are_the_whole_text(text: str) -> None:
    assert "".join(sentences(text)) == text


@relaxed
@given(st.text(alphabet="ab, ;-。", min_size=1, max_size=200), st.integers(1, 30))
def test_parts_fit_and_are_the_whole_text(text: str, most: int) -> None:
    parts = list(cut(text, lambda part: len(part) <= most))
    assert "".join(parts) == text
    assert all(1 <= len(part) <= most for part in parts)


def test_cuts_are_between_clauses_else_words() -> None:
    assert list(cut("one two three, four five", lambda p: len(p) < 20)) == ["one two three, ", "four five"]
    assert list(cut("one two three four five", lambda p: len(p) < 20)) == ["one two ", "three four five"]
    with pytest.raises(ContextWindowError, match="no room for 'a'"):
        list(cut("ab", lambda p: False))


def test_each_line_is_translated_where_it_stands(model: Model) -> None:
    text = "  Two dogs run.  He sleeps.\n\n \nWhere is the station?\t\r\nTwo dogs run.\n"
    said = "  Zwei Hunde laufen.  Er schläft.\n\n \nWo ist der Bahnhof?\t\r\nZwei Hunde laufen.\n"
    assert ch.translate(text, "de", model=model) == said


def test_one_text_gives_a_string_and_several_a_list(model: Model) -> None:
    assert ch.translate("He sleeps.", to="de", model=model) == "Er schläft."
    assert ch.translate([TEXT, "", "He sleeps."], to="de", model=model) == [SAID, "", "Er schläft."]
    assert ch.translate((), to="de", model=model) == []


@pytest.mark.parametrize("executor", ["native", "torch"])
@pytest.mark.parametrize("beams", [1, 5])
def test_every_executor_and_width_says_the_same(translator: Path, executor: str, beams: int) -> None:
    loaded = ch.load(translator, executor=executor)
    assert ch.translate(TEXT, "de", model=loaded, beams=beams) == SAID


def test_int8_says_the_same(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path / "int8", dtype="int8")
    assert ch.translate(TEXT, "de", model=tmp_path / "int8") == SAID


def test_many_lines_keep_their_order_whatever_their_length(german: Translator) -> None:
    texts = [*PAIRS, "", "He sleeps. Two dogs run."] * 60  # more than are read at a time
    wanted = [*PAIRS.values(), "", "Er schläft. Zwei Hunde laufen."] * 60
    assert len(texts) > through.LINES and [each.text for each in german.lines(texts, Search(beams=1))] == wanted


def test_a_sentence_beyond_the_window_is_translated_in_parts(german: Translator) -> None:
    whole = ", ".join(text.rstrip(".?") for text in PAIRS) + "."
    [made] = german.lines([whole * 3])
    apart = german.apart(whole * 3)
    assert made.parts == len(apart.parts) > 3
    assert all(len(part.ids) <= 32 for part in apart.parts)
    assert "".join(part.text + part.gap for part in apart.parts) == whole * 3
    assert made.text == " ".join(each.text for each in german.lines([part.text for part in apart.parts]))


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("HE SLEEPS.", "He sleeps."),
        ('"CAN I?" SHE SAID.', '"Can I?" she said.'),
        ("NATO.", None),
        ("A 12 34.", None),
        ("He is at NATO.", None),
        ("你好 你好。", None),
        ("Ⅳ Ⅴ", "Ⅳ ⅴ"),
        ("Ⓐ Ⓑ", "Ⓐ ⓑ"),
        ("ẞA BC DE.", "ẞa bc de."),  # the capital of ß would be two letters
    ],
)
def test_a_sentence_in_capitals_is_told_from_a_name(text: str, read: str | None) -> None:
    assert (calmed(text, "en") if is_shouted(text) else None) == read


def test_a_sentence_in_capitals_is_translated_as_one_without(german: Translator) -> None:
    bundled = replace(german, card=Card(pair=("en", "de"), licence="", data=(), parameters=1, scores={}))
    [made], [plain] = bundled.lines(["HE SLEEPS.  He sleeps."]), german.lines(["HE SLEEPS."])
    assert made.text == "ER SCHLÄFT.  Er schläft."
    assert plain.text != "ER SCHLÄFT."  # of any other model nothing is known


def test_what_looks_like_the_end_of_a_text_is_text(german: Translator) -> None:
    ids = german.apart("He </s> sleeps.").parts[0].ids
    assert ids.count(1) == 1 and ids[-1] == 1


def test_alternatives_are_those_of_the_beam_search(model: Model, german: Translator) -> None:
    text = "A man is riding a bike."
    [made] = german.lines([text], search(alternatives=4))
    theirs = model.complete(text, beams=4, n=4, max_new_tokens=59).samples
    assert [way.text for way in made.alternatives] == list(dict.fromkeys(s.new_text for s in theirs))
    assert made.alternatives[0].score == pytest.approx(theirs[0].score, abs=1e-9)
    scores = [way.score for way in made.alternatives]
    assert len(scores) > 1 and scores == sorted(scores, reverse=True)


def test_alternatives_of_a_line_combine_those_of_its_sentences(german: Translator) -> None:
    how = search(alternatives=3)
    one, two, both = german.lines(["He sleeps.", "Two dogs run.", " He sleeps. Two dogs run."], how)
    sums = {
        f" {a.text} {b.text}": (a.score + b.score) / 2 for a in one.alternatives for b in two.alternatives
    }  # fmt: skip
    best = sorted(sums.items(), key=lambda item: -item[1])[:3]
    assert [(way.text, pytest.approx(way.score)) for way in both.alternatives] == best
    assert (both.parts, both.text) == (2, " Er schläft. Zwei Hunde laufen.")


def test_a_translation_without_an_end_is_told(
    model: Model, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(through, "EXTRA", -4)
    with caplog.at_level(logging.WARNING, logger="clearhead"):
        said = ch.translate("A man is riding a bike.", "de", model=model)
    assert "Fahrrad." not in said
    assert "'A man is riding a bike.' was cut" in caplog.text


@pytest.mark.parametrize(
    ("before", "to", "after"), [("a. b", "zh", ""), ("a.  b", "zh", "  "), ("a。b", "en", " "), ("a. b", "de", " ")]
)
def test_spaces_between_sentences_are_those_of_the_language(model: Model, before: str, to: str, after: str) -> None:
    gap = before.removeprefix(before[:2]).removesuffix("b")
    part = through.Part("a", [5], gap)
    assert Translator(model=model, from_=None, to=to).gap(part, False) == after
    assert Translator(model=model, from_=None, to=to).gap(part, True) == gap


def test_ctrl_c_ends_before_a_line_that_is_unfinished(german: Translator) -> None:
    asked = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked > 30

    texts = list(PAIRS) * 200
    made = [each.text for each in german.lines(texts, Search(beams=1), cancelled)]
    assert 0 < len(made) < len(texts) and made == (list(PAIRS.values()) * 200)[: len(made)]


OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"to": "German"}, "to is 'German'; give a language by its code"),
    ({"to": ""}, "to is ''"),
    ({"to": "de", "from_": "12"}, "from is '12'"),
    ({"to": "de", "beams": 0}, "beams is 0"),
    ({"to": "de", "beams": 2.5}, "beams is 2.5"),
    ({"to": "de", "beams": "4"}, "beams is '4'"),
    ({"to": "de", "glossary": 5}, "glossary is 5; give a file"),
    ({"to": "de", "length_penalty": float("nan")}, "length_penalty is nan"),
    ({"to": "de", "text": 5}, "text is 5; give a string"),
    ({"to": "de", "text": ["a", 5]}, "text is 5; give a string"),
]


@pytest.mark.parametrize(("given", "message"), OPTIONS)
def test_what_cannot_be_is_refused_before_a_model_is_looked_for(given: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        ch.translate(**{"text": "He sleeps.", "model": "no-such-model"} | given)


@pytest.mark.parametrize(("alternatives", "beams"), [(3, 2), (2, 1)])
def test_there_are_no_more_alternatives_than_beams(alternatives: int, beams: int) -> None:
    with pytest.raises(OptionError, match=f"alternatives {alternatives} exceed beams {beams}"):
        search(beams, alternatives=alternatives)
    assert search(alternatives=9) == Search(beams=9, n=9) and search() == Search(beams=4, n=1)


@pytest.mark.parametrize("kind", ["gpt2_folder", "bert_folder"])
def test_a_model_that_does_not_translate_says_so(kind: str, folders: dict[str, Path]) -> None:
    with pytest.raises(UnsupportedError, match=r"alone; a translator reads one text and writes another"):
        ch.translate("He sleeps.", "de", model=folders[kind])


def test_the_pair_decides_on_the_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(translators, "HERE", tmp_path)
    with pytest.raises(UnknownModelError, match=r"from en to de: this installation came without any") as caught:
        ch.translate("He sleeps.", "de")
    assert "\n" not in str(caught.value)
    for name in ("en-fr", "en-de"):
        (tmp_path / name).mkdir()
        (tmp_path / name / translators.CARD).touch()
    (tmp_path / "en-xx").mkdir()
    assert translators.pairs() == [("en", "de"), ("en", "fr")] and translators.find("en", "fr") == tmp_path / "en-fr"
    with pytest.raises(UnknownModelError, match="from de to en is bundled, only en to de, en to fr"):
        ch.translate("Er schläft.", "EN", from_="de-AT")
    with pytest.raises(UnknownModelError, match="from en to xx is bundled"):
        ch.translate("He sleeps.", "xx")


def test_a_package_that_states_its_languages_is_held_to_them(data: Path) -> None:
    package = data / "opus-mt-zh-en.argosmodel"
    opened = open_translator("en", model=package)
    assert (opened.from_, opened.to) == ("zh", "en")
    [made] = opened.lines(["今天天气很好。"])
    assert made.text.endswith("day.") and made.complete
    for wrong in ({"to": "de"}, {"to": "en", "from_": "ja"}):
        with pytest.raises(OptionError, match="translates zh to en, not"):
            ch.translate("今天天气很好。", model=opened.model, **wrong)


def test_what_a_model_says_of_its_languages_is_enough(translator: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="does not say into which language it translates; give it as to"):
        ch.translate("He sleeps.", model=translator)
    folder = tmp_path / "model"
    shutil.copytree(translator, folder)
    (folder / "translator.json").write_text('{"pair": ["en", "de"]}')
    assert ch.translate("He sleeps.", model=folder) == "Er schläft."
    english = ["The man is riding a bike and the woman is reading a book."] * 3
    french = "Le chien court dans la rue avec un homme et une femme qui chantent."
    with pytest.raises(OptionError, match=r"the text 'Le chien court .* seems to be French"):
        ch.translate([*english, french], model=folder)
    with pytest.raises(OptionError, match="translates en to de, not fr to de"):
        ch.translate("He sleeps.", from_="fr", model=folder)


def test_what_its_vocabulary_cannot_spell_is_told(model: Model, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="clearhead"):
        ch.translate("He sleeps ☃.", "de", model=model)
        ch.translate("He sleeps.", "de", model=model)
    [warning] = caplog.messages
    assert warning.endswith("the translation of 'He sleeps ☃.' is a guess, for the model does not know ☃")


@pytest.mark.parametrize(("pair", "word"), [("en-de", "Mann"), ("en-fr", "homme")])
def test_what_is_bundled_translates(pair: str, word: str) -> None:
    folder = translators.HERE / pair
    if not folder.is_dir():
        pytest.skip(f"no {pair} in this checkout; python -m clearhead.tasks.bundle makes it of a training run")
    source, _, target = pair.partition("-")
    assert word in ch.translate("A man is riding a bike.", to=target, from_=source)
    with pytest.raises(OptionError, match=f"everyday-{pair} translates en to {target}, not en to it"):
        ch.translate("A man is riding a bike.", to="it", model=f"everyday-{pair}")
    assert sum(path.stat().st_size for path in folder.iterdir() if path.is_file()) <= 10_000_000
    card = translators.read_card(folder)
    assert card.pair == (source, target) and card.licence and card.data
    assert all(each["name"] and each["licence"] and each["rows"] > 0 for each in card.data)
    assert not (folder / ".clearhead").exists()  # it leaves nothing where it was installed
