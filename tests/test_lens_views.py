"""Tokens, words, who attends to whom, the context window, influence and attribution: numbers, terminals, drawings."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import clearhead as ch
import tiny
from clearhead.engine.completion import Completion, Sample, Timing, Usage
from clearhead.engine.context_window import Context
from clearhead.errors import OptionError
from clearhead.lens import page as pages
from clearhead.lens import painting, who
from clearhead.lens.attention import attention_view
from clearhead.lens.attribution import AttributionView, Target
from clearhead.lens.influence import InfluenceView, by_distance, distances
from clearhead.lens.lens import Lens
from clearhead.lens.payload import Payload, Token, unpack
from clearhead.lens.tokens import Piece, TokensView, check_stack, cut, tokens_in, tokens_of_trace, tokens_view
from clearhead.lens.view import Board, View
from clearhead.lens.who import who_view
from clearhead.lens.window import ContextWindowView, shares, window_of_trace, window_view
from clearhead.lens.words import bytes_of, find, label, occurrences, text_of, words
from clearhead.text.printable import one_line, spelled
from lens_traces import BOOK, causal, decoder_trace, encoder_trace, trace_of, translation_trace
from models import BY_FAMILY
from terminal import invoke

HOSTILE = "$a$\x1b[31m\u202e\udc80</script>"


def listed(*texts: str, special: tuple[str, ...] = ()) -> list[Token]:
    """Tokens of these texts."""
    return [Token(one_line(text), text, n, text in special) for n, text in enumerate(texts)]


def said(tokens: list[Token], found: list[list[int]]) -> list[str]:
    """What words say."""
    return [text_of(tokens, indices) for indices in found]


def page_of(view: View) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """A view's fields, arrays and tokens as a page gets them."""
    whole = json.loads(view.json())
    return whole["views"][0], {name: unpack(a) for name, a in whole["arrays"].items()}, whole["tokens"]


def harmless(view: View) -> None:
    """The view shows itself everywhere, and nothing in it can steer."""
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", str(view))
    assert max(map(len, str(view).splitlines())) <= 80
    pytest.importorskip("matplotlib")
    assert view.png().startswith(b"\x89PNG") and view.svg().startswith("<?xml")


# Words.


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


# Tokens.


def test_the_tokens_of_a_trace_are_marked_and_harmless() -> None:
    trace = decoder_trace(["[CLS]", HOSTILE, " b"], n_prompt=2)
    found = tokens_in(trace, "decoder")
    assert [(t.special, t.generated) for t in found] == [(True, False), (False, False), (False, True)]
    assert found[1].text == one_line(HOSTILE) and found[1].piece == one_line(HOSTILE) and found[1].id == 101
    assert tokens_in(trace, "encoder") == []
    start = decoder_trace(["", " a"])
    start.pieces["decoder"][0] = ""
    assert [(t.text, t.special) for t in tokens_in(start, "decoder")] == [("<100>", True), (" a", False)]
    both = translation_trace()
    assert not any(t.generated for t in tokens_in(both, "encoder"))
    assert [t.generated for t in tokens_in(both, "decoder")] == [False] + [True] * 5


def test_a_text_is_cut_with_bytes_and_specials(tmp_path: Path) -> None:
    tokenizer = ch.load_tokenizer(tiny.bert_folder(tmp_path / "bert"))
    pieces = cut("the book", tokenizer)
    assert [p.special for p in pieces] == [True, False, False, True]
    assert [p.id for p in pieces] == tokenizer.encode("the book")
    assert [p.id for p in cut("the book", tokenizer, special=False)] == [5, 9]
    view = tokens_view(tokenizer, "the book", 3)
    fields, _, tokens = page_of(view)
    assert fields == {
        "type": "tokens",
        "label": "Tokens",
        "title": "Tokens",
        "list": "text",
        "window": 3,
        "bytes": [list(p.data) for p in pieces],
        "dropped": 1,
    }
    assert [t["special"] for t in tokens["text"]] == [True, False, False, True]
    assert "1 do not fit" in str(view)
    assert tokens_view(tokenizer, "the book").dropped == 0


def test_a_model_brings_its_own_window(tmp_path: Path) -> None:
    model = ch.load(tiny.gpt2_folder(tmp_path / "model"))
    view = tokens_view(model, "Hi é")
    assert view.window == model.config.max_positions and model.name in view.title
    assert [p.id for p in view.pieces] == model.tokenizer.encode("Hi é")
    assert "<A9>" in str(view)


def test_what_the_model_wrote_is_marked() -> None:
    trace = decoder_trace(["a", " b", " c"], n_prompt=1)
    view = tokens_of_trace(trace, "decoder")
    fields, _, tokens = page_of(view)
    assert fields["list"] == "decoder"
    assert [t["generated"] for t in tokens["decoder"]] == [False, True, True]
    assert [t["generated"] for t in view.figures["tokens"]] == [False, True, True]
    assert sum("underline" in str(span.style) for span in view.terminal().spans) == 2
    assert "2 written by the model" in str(view)
    assert payload_of(view, attention_view(trace)).tokens.keys() == {"decoder"}  # so that both views can point at one
    harmless(view)


def payload_of(*views: View) -> Payload:
    """Several views on one page."""
    return Board(views, "b").payload()


@pytest.mark.parametrize("stack", ["foo", 5])
def test_a_stack_that_is_not_there_is_refused(stack: Any) -> None:
    for trace in (decoder_trace(), translation_trace()):
        for ask in (check_stack, lambda trace, stack: Lens(trace).tokens(stack)):
            with pytest.raises(OptionError, match=r"stack is .* this model has"):
                ask(trace, stack)
    assert check_stack(translation_trace(), None) == "decoder"


def test_what_the_window_has_no_room_for_is_dim() -> None:
    pieces = [Piece(i, "a", b"a", "a") for i in range(4)]
    shades = [span.style for span in TokensView(pieces=pieces, window=2).terminal().spans if span.style]
    assert shades.count("dim") == 2 + 4 + 1  # two pieces, all ids, the count
    harmless(TokensView(pieces=[Piece(1, HOSTILE, b"", one_line(HOSTILE), True), *pieces], window=2))
    harmless(TokensView(pieces=[], window=2))


def test_tokenize_writes_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "built", lambda name: "")
    folder = tiny.bert_folder(tmp_path / "bert")
    result = invoke("tokenize", "the </script> book", "-m", folder, "--html", tmp_path / "page.html", "--ids")
    assert result.exit_code == 0 and result.stdout.startswith("2 5 ")
    text = (tmp_path / "page.html").read_text()
    header = json.loads(re.findall(r'id="payload">(.*?)</script>', text, re.S)[0])
    assert header["views"][0]["type"] == "tokens" and len(header["tokens"]["text"]) == len(result.stdout.split())


# Who has the book?


def test_the_ranking_is_every_heads_weights_in_order() -> None:
    trace = decoder_trace()
    view = who_view(trace, "book", limit=1000)
    expected = {
        (path, head, key): float(trace.attention(path)[head, 7, key])
        for path in trace.attentions()
        for head in range(6)
        for key in range(1, 7)
    }
    assert {(a.module, a.head, a.key): a.weight for a in view.ranked} == pytest.approx(expected)
    weights = [a.weight for a in view.ranked]
    assert weights == sorted(weights, reverse=True)
    assert {a.word for a in view.ranked} == {"teacher", "taught", "the", "student", "with"}
    assert view.ranked[:7] == who_view(trace, "book", limit=7).ranked
    assert {a.layer for a in view.ranked} == {0, 1}


def test_a_word_of_several_tokens_looks_on_average_and_is_looked_at_in_all() -> None:
    texts = ["[CLS]", " the", " book", "keep", "er", " has", " a", " book", "mark", "[SEP]"]
    trace = encoder_trace(texts)
    weights = trace.attention("encoder.layers.1.attention")
    view = who_view(trace, "bookkeeper", "bookmark")
    expected = weights[3, 2:5, 7:9].sum(axis=1).mean()
    [found] = [a for a in view.ranked if a.layer == 1 and a.head == 3]
    assert found.weight == pytest.approx(float(expected), rel=1e-5) and (found.word, found.key) == ("bookmark", 7)
    compared = view.between(["bookmark", "has"]).candidates
    everywhere = np.concatenate([trace.attention(path) for path in trace.attentions()])
    both = [c.total for c in sorted(compared, key=lambda c: c.word)]
    looked = everywhere[:, 2:5].mean(axis=1)
    assert both == pytest.approx([float(looked[:, 7:9].sum()), float(looked[:, 5].sum())], rel=1e-5)
    everything = who_view(trace, "bookkeeper", include=("self", "special", "first"), limit=10_000)
    total = sum(a.weight for a in everything.ranked if a.layer == 1 and a.head == 3)
    assert total == pytest.approx(1, rel=1e-5)


def test_what_attracts_attention_in_any_case_is_left_out_unless_asked_for() -> None:
    def keys(trace: Any, **options: Any) -> set[int]:
        return {a.key for a in who_view(trace, "student", limit=10_000, **options).ranked}

    decoder, encoder = decoder_trace(), encoder_trace()
    assert keys(decoder) == {1, 2, 3}
    assert keys(decoder, include=["first"]) == {0, 1, 2, 3}
    assert keys(decoder, include=["self"]) == {1, 2, 3, 4}
    assert keys(encoder) == set(range(1, 10)) - {5}
    assert keys(encoder, include=["special", "self"]) == set(range(11))
    with pytest.raises(OptionError, match="include names 'bos'"):
        keys(decoder, include=["bos"])


def test_who_has_the_book() -> None:
    T = len(BOOK)
    weights = np.zeros((6, T, T))
    weights[:, :, 0] = 1
    weights[:, 7] = 0
    for head, (teacher, student) in enumerate([(0.6, 0.4), (0.7, 0.3), (0.5, 0.5), (0.1, 0.9), (0.1, 0.9), (0.1, 0.9)]):
        weights[head, 7, [1, 4]] = teacher, student
    trace = trace_of(BY_FAMILY["llama"], {"decoder": BOOK}, {"decoder.layers.0.attention": weights})
    found = who_view(trace, "book").between(["teacher", "student"])
    assert found.winner == "student"
    assert [(c.word, c.key, c.heads) for c in found.candidates] == [("student", 4, 3), ("teacher", 1, 2)]
    assert found.candidates[0].total == pytest.approx(3.9) and found.candidates[1].mean == pytest.approx(2.1 / 6)
    assert '65.0% to "student" (most in 3), 35.0% to "teacher" (most in 2)' in str(found)
    assert "not a proof" in str(found)
    even = who_view(trace, "book").between(["taught", "with"])
    assert even.winner is None and [c.heads for c in even.candidates] == [0, 0]
    for wrong in (["teacher"], "teacher", []):
        with pytest.raises(OptionError, match="two words"):
            who_view(trace, "book").between(wrong)
    with pytest.raises(OptionError, match="pencil"):
        who_view(trace, "book").between(["teacher", "pencil"])


def test_a_decoder_cannot_look_at_what_comes_later_and_that_is_said() -> None:
    view = who_view(decoder_trace(), "teacher")
    assert view.between(["book", "The"]).unseen == ("book",)
    assert '"book" stands after "teacher"' in str(view.between(["book", "The"]))
    assert who_view(decoder_trace(), "teacher", "book").ranked == []
    assert who_view(encoder_trace(), "teacher").between(["book", "student"]).unseen == ()


def test_words_that_come_again_later_are_the_ones_a_decoder_can_look_at() -> None:
    trace = decoder_trace([*BOOK, " the", " student"])
    assert who_view(trace, "book", "student").ranked[0].key == 4
    assert [c.key for c in who_view(trace, "book").between(["teacher", "student"]).candidates].count(4) == 1
    with pytest.raises(OptionError, match="4, 10"):
        who_view(encoder_trace([*BOOK, " the", " student"]), "book", "student")


def test_a_translated_word_looks_at_the_source() -> None:
    trace = translation_trace()
    view = who_view(trace, "books", cross=True, limit=1000)
    assert {a.word for a in view.ranked} == {"老师", "用", "书", "。"}
    first = view.ranked[0]
    assert first.weight == pytest.approx(float(trace.attention(first.module)[first.head, 4, first.key]))
    fields, _, tokens = page_of(view)
    assert (fields["list"], fields["keysList"]) == ("decoder", "encoder")
    assert tokens["encoder"][first.key]["text"] == first.word
    assert {m.path for m in who_view(trace, "书").modules} == {f"encoder.layers.{i}.attention" for i in (0, 1)}
    assert {m.path for m in who_view(trace, "uses").modules} == {f"decoder.layers.{i}.attention" for i in (0, 1)}
    with pytest.raises(OptionError, match="stack='encoder' or stack='decoder'"):
        who_view(trace, 2)
    assert who_view(trace, 2, stack="encoder").title == 'What "书" attends to'
    with pytest.raises(OptionError, match="no cross_attention"):
        who_view(decoder_trace(), "book", cross=True)


def test_tokens_read_before_the_trace_began_cannot_be_asked_about() -> None:
    weights = causal(np.random.default_rng(1).normal(size=(6, 3, len(BOOK))))
    trace = trace_of(BY_FAMILY["llama"], {"decoder": BOOK}, {"decoder.layers.0.attention": weights}, first=6)
    found = who_view(trace, "book", "student").ranked[0]
    assert found.weight == pytest.approx(float(weights[:, 1, 4].max()))
    with pytest.raises(OptionError, match="before the trace began"):
        who_view(trace, "teacher")


def test_a_page_can_ask_about_other_words(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = decoder_trace()
    view = who_view(trace, "book", question="Who has the book?")
    fields, arrays, _ = page_of(view)
    assert (fields["word"], fields["question"], fields["title"]) == (7, "Who has the book?", "Who has the book?")
    assert (fields["wordTokens"], fields["include"], fields["target"]) == ([7], [], None)
    assert fields["heads"] == {path: list(range(6)) for path in trace.attentions()}
    for path in trace.attentions():
        np.testing.assert_array_equal(arrays[fields["rows"][path]], trace.attention(path))
    assert fields["ranked"][0]["weight"] == view.ranked[0].weight
    assert "special tokens" in fields["note"] and "not a proof" in fields["note"]
    monkeypatch.setattr(who, "EXACT", 10)
    fields, arrays, _ = page_of(view)
    np.testing.assert_allclose(arrays[fields["rows"][path]], trace.attention(path), atol=0.004)
    monkeypatch.setattr(who, "MOST", 10)
    assert page_of(view)[0]["rows"] is None


def linked(fields: dict[str, Any], arrays: dict[str, Any], entry: dict[str, Any]) -> float:
    """What a page draws for an entry of the ranking: from the tokens of the word asked about to all of the other."""
    rows = arrays[fields["rows"][entry["module"]]][fields["heads"][entry["module"]].index(entry["head"])]
    asked = [token - fields["firstQuery"] for token in fields["wordTokens"]]
    word = next(word for word in fields["words"] if word[0] == entry["key"])
    return float(rows[asked].mean(axis=0)[word].sum())


def test_the_ranking_and_the_links_are_of_the_same_word() -> None:
    texts = ["The", " teacher", " taught", " the", " arian", "ism", " of", " book", "keep", "ing"]
    view = who_view(decoder_trace(texts), "bookkeeping")
    fields, arrays, _ = page_of(view)
    assert (fields["word"], fields["wordTokens"]) == (7, [7, 8, 9])
    for entry in fields["ranked"][:20]:
        assert linked(fields, arrays, entry) == pytest.approx(entry["weight"], rel=1e-5)
        assert entry["key"] < 7 and entry["key"] not in fields["leftOut"]  # nothing later, nothing left out
    phrase, _, _ = page_of(who_view(decoder_trace(texts), "the arianism", "teacher", include=["first"]))
    assert (phrase["wordTokens"], phrase["target"], phrase["include"]) == ([3, 4, 5], [1], ["first"])


def test_blanks_are_no_words_to_rank_and_a_first_word_is_left_out_whole() -> None:
    trace = decoder_trace(["Book", "keep", "ing", " ", "and", " love"])
    view = who_view(trace, "love", limit=1000)
    assert {a.word for a in view.ranked} == {"and"}
    fields, _, _ = page_of(view)
    assert fields["leftOut"] == [0, 1, 2, 3]
    assert "special tokens and blanks" in fields["note"] and "the first word, on whose first token" in fields["note"]
    assert {a.word for a in who_view(trace, "love", include=["special", "first"]).ranked} == {
        "Bookkeeping", "␣", "and",
    }  # fmt: skip


def test_a_word_that_comes_again_is_named_by_its_place() -> None:
    assert [who_view(decoder_trace(), n).title for n in (3, 6, 7)] == [
        'What "the" (3) attends to',
        'What "the" (6) attends to',
        'What "book" attends to',
    ]


def test_an_empty_ranking_says_why() -> None:
    texts = ["The", " dog", " barks"]
    for view, said in (
        (who_view(decoder_trace(texts), "dog"), 'Nothing stands before "dog" but what is left out.'),
        (who_view(decoder_trace(texts), "dog", "barks"), "it stands later, where a decoder cannot look"),
        (who_view(encoder_trace(["[CLS]", "dog", "[SEP]"]), "dog"), "Nothing stands in the text but"),
    ):
        assert view.ranked == [] and said in " ".join(str(view).split()) and said in page_of(view)[0]["note"]
        harmless(view)
    assert who_view(decoder_trace(texts), "barks").nothing == ""


@pytest.mark.parametrize("word", [2.5, ["apple"], None, True, [1.0]])
def test_what_names_no_word_is_refused_for_what_it_is(word: Any) -> None:
    for trace in (translation_trace(), decoder_trace()):
        with pytest.raises(OptionError, match="give its text, the index of its token, or a list"):
            who_view(trace, word)


def test_who_is_refused_for_what_it_is() -> None:
    with pytest.raises(OptionError, match="stack is 'foo'"):
        who_view(translation_trace(), "uses", stack="foo")
    with pytest.raises(OptionError, match="limit is 'x'"):
        who_view(decoder_trace(), "book", limit="x")  # type: ignore[arg-type]


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


def test_who_in_a_terminal_and_drawn() -> None:
    view = who_view(decoder_trace(), "book")
    lines = str(view).splitlines()
    best = view.ranked[0]
    where = [best.word, str(best.key), str(best.layer), "(decoder)", str(best.head)]
    assert lines[2].split()[:6] == [*where, f"{best.weight:.3f}"]
    harmless(view)
    harmless(who_view(decoder_trace(["a", HOSTILE, " b", " $c$"]), "b"))
    harmless(who_view(decoder_trace(["a", " b"]), "a"))  # nothing to rank


# The context window.


def completion(prompt: int, generated: int, used: int, *, window: int = 100, dropped: int = 0) -> Completion:
    """A completion that used so many tokens."""
    sample = Sample(new_text="x", tokens=(1,) * generated, finish_reason="stop")
    return Completion(
        prompt="p",
        sent="p",
        separator="",
        samples=(sample, sample),
        usage=Usage(prompt_tokens=prompt, completion_tokens=2 * generated),
        context=Context(window=window, used=used, remaining=window - used, dropped=dropped),
        timing=Timing(first_token=0, total=0),
    )


def test_the_window_of_a_decoder_holds_prompt_and_completion() -> None:
    view = window_view(completion(40, 25, 65, dropped=7))
    assert view.segments == [("prompt", 40), ("generated", 25), ("free", 35)]
    fields, _, _ = page_of(view)
    assert {k: fields[k] for k in ("size", "used", "generated", "dropped", "free")} == {
        "size": 100, "used": 65, "generated": 25, "dropped": 7, "free": 35,
    }  # fmt: skip
    assert fields["segments"][1] == {"name": "generated", "tokens": 25}
    assert "7 tokens of the prompt were dropped" in str(view)
    harmless(view)


def test_beside_an_encoder_the_prompt_is_read_elsewhere() -> None:
    view = window_view(completion(40, 25, 26))
    assert view.segments == [("start", 1), ("generated", 25), ("free", 74)]
    assert "40 tokens of the prompt were read by the encoder" in str(view)


def test_a_trace_beside_an_encoder_reads_the_prompt_elsewhere() -> None:
    view = window_of_trace(translation_trace())
    assert (view.used, view.generated, view.apart) == (6, 5, 5)
    assert view.segments[0] == ("start", 1) and "5 tokens of the prompt were read by the encoder" in view.note
    assert window_of_trace(decoder_trace(n_prompt=4)).apart == 0
    assert window_of_trace(encoder_trace()).generated == 0
    with pytest.raises(OptionError, match="completion is 'x'"):
        window_view("x")  # type: ignore[arg-type]


def test_a_real_completion_fills_the_window(tmp_path: Path) -> None:
    model = ch.load(tiny.gpt2_folder(tmp_path / "model"))
    done = model.complete("Hi there", max_new_tokens=5, ignore_eos=True)
    view = window_view(done)
    assert (view.used, view.generated, view.window) == (done.context.used, 5, model.config.max_positions)
    assert view.segments[0] == ("prompt", done.usage.prompt_tokens)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=4), st.integers(8, 200))
def test_a_bar_is_as_wide_as_asked_and_shows_every_part(parts: list[int], width: int) -> None:
    columns = shares(parts, width)
    assert sum(columns) == width
    assert all(n >= (part > 0) for n, part in zip(columns, parts, strict=True))
    if sum(parts) > 0:
        largest = max(range(len(parts)), key=lambda i: parts[i])
        assert columns[largest] >= max(columns) - len(parts)


def test_numbers_that_do_not_fit_a_window_are_refused() -> None:
    for used, generated, dropped in ((101, 3, 0), (5, 6, 0), (5, -1, 0), (5, 1, -1)):
        with pytest.raises(OptionError, match="context window of 100"):
            ContextWindowView(window=100, used=used, generated=generated, dropped=dropped)
    harmless(ContextWindowView(window=0, used=0, generated=0))


# Influence and attribution.


def test_influence_fades_with_distance() -> None:
    full = np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]])
    assert by_distance(full) == [(0, 5.0), (1, (2 + 6 + 4 + 8) / 4), (2, (3 + 7) / 2)]
    assert by_distance(np.tril(full)) == [(0, 5.0), (1, 6.0), (2, 7.0)]
    holes = np.tril(full)
    holes[2, 0] = np.nan
    assert by_distance(holes) == [(0, 5.0), (1, 6.0)]
    assert by_distance(np.zeros((0, 0))) == []


@given(st.integers(0, 3000))
def test_few_distances_are_listed(n: int) -> None:
    found = distances(n)
    assert len(found) <= 16 and found == sorted(set(found)) and all(0 <= d < max(1, n) for d in found)
    assert not n or {0, n - 1} <= set(found)


def test_influence_is_shown_side_by_side() -> None:
    draw = np.random.default_rng(0)
    matrices = {"rnn": np.tril(draw.random((4, 4))), HOSTILE: draw.random((4, 4))}
    view = InfluenceView(matrices=matrices, tokens=listed("a", HOSTILE, " c", " d"))
    fields, arrays, tokens = page_of(view)
    assert [m["name"] for m in fields["matrices"]] == ["rnn", one_line(HOSTILE)]
    for m, matrix in zip(fields["matrices"], matrices.values(), strict=True):
        np.testing.assert_array_equal(arrays[m["key"]], matrix.astype(np.float32))
        assert [(s["distance"], s["mean"]) for s in m["summary"]] == by_distance(matrix)
    assert len(tokens[fields["list"]]) == 4
    table = str(view).split("distance", 1)[1].splitlines()
    row = next(line for line in table[1:] if line.strip().startswith("0 "))
    assert row.split() == ["0", f"{np.diag(matrices['rnn']).mean():.3g}", f"{np.diag(matrices[HOSTILE]).mean():.3g}"]
    harmless(view)
    assert "(square root)" in str(view)  # the page's scale
    harmless(InfluenceView(matrices={"long": np.ones((600, 600))}, tokens=listed(*["w"] * 600)))
    for wrong in ({}, {"a": np.ones((4, 3))}, {"a": np.ones(4)}):
        with pytest.raises(OptionError, match="influence"):
            InfluenceView(matrices=wrong, tokens=view.tokens)


def test_estimated_influence_says_how_far_it_is_off() -> None:
    matrix = np.tril(np.random.default_rng(0).random((4, 4)))
    exact = InfluenceView(matrices={"m": matrix}, tokens=listed(*"abcd"), unit="norm of the gradient")
    rough = replace(exact, error=0.24, estimated="2 random directions per token")
    assert "24% off" in rough.note and "off on average" not in exact.note and "norm of the gradient" in exact.note
    mean = float(np.diag(matrix).mean())
    tables = [str(v).split("distance", 1)[1].splitlines() for v in (exact, rough)]
    lines = [next(line for line in table if line.strip().startswith("0 ")) for table in tables]
    assert [line.split()[1] for line in lines] == [f"{mean:.3g}", f"{mean:.2g}"]
    assert [rough.number(n) for n in (123.4, 0.0123, 5.0)] == ["120", "0.012", "5"] and exact.number(123.4) == "123"
    fields, _, _ = page_of(rough)
    assert (fields["unit"], fields["error"]) == ("norm of the gradient", 0.24)
    assert np.allclose(rough.figures["matrices"][0]["influence"], matrix)
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    figure = Figure()
    rough.draw(figure)
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert any("norm of the gradient" in text and "square root" in text for text in labels)
    assert any("logarithmic" in axes.get_xlabel() and axes.get_xscale() == "symlog" for axes in figure.axes)


def test_colours_of_signed_numbers_are_the_pages() -> None:
    """Blue is for, orange against, on paper and in a terminal as well."""
    target = Target(text="x", id=7, probability=0.8)
    view = AttributionView(scores=np.array([1.0, -1.0]), tokens=listed("for", "against"), target=target, method="m")
    styles = [str(span.style) for span in view.terminal().spans if " on rgb" in str(span.style)]
    (r1, _, b1), (r2, _, b2) = (map(int, re.findall(r"\d+", style.split("rgb")[1])) for style in styles)
    assert b1 > r1 and r2 > b2
    assert styles[0].startswith("white on") and styles[1].startswith("white on")
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    figure = Figure()
    view.draw(figure)
    bars = [patch.get_facecolor() for patch in figure.axes[0].patches]
    assert bars[0][2] > bars[0][0] and bars[1][0] > bars[1][2]
    low, high = painting.ramp(signed=True)([0.0, 1.0])
    assert low[0] > low[2] and high[2] > high[0]


def test_attribution_shows_what_spoke_for_and_against() -> None:
    scores = np.array([0.5, -1.0, 0.0, 0.25])
    target = Target(text=" Sofia", id=7, probability=0.8)
    view = AttributionView(scores=scores, tokens=listed("a", HOSTILE, " c", " d"), target=target, method="rollout")
    fields, arrays, _ = page_of(view)
    assert arrays[fields["scoresKey"]].tolist() == scores.tolist()
    assert fields["target"] == {"text": " Sofia", "id": 7, "probability": 0.8} and fields["method"] == "rollout"
    assert fields["title"] == 'What led to "Sofia" (rollout)'
    assert view.largest(2) == [0, 1] and view.largest(9) == [0, 1, 2, 3]
    rows = {line.split()[0]: line for line in str(view).splitlines() if re.match(r" *\d ", line)}
    assert "-1.0000" in rows["1"] and rows["1"].count("█") == 20 and rows["0"].count("█") == 10
    harmless(view)
    harmless(AttributionView(scores=np.zeros(0), tokens=[], target=target, method=HOSTILE))
    harmless(AttributionView(scores=np.ones(300), tokens=listed(*[" word"] * 300), target=target, method="m"))
    for wrong in (np.ones(3), np.ones((4, 1)), np.array([1, 2, np.nan, 3])):
        with pytest.raises(OptionError, match="score"):
            AttributionView(scores=wrong, tokens=view.tokens, target=target, method="m")


def test_lists_of_different_texts_do_not_meet_on_one_page() -> None:
    payload = Payload(title="t")
    for text in ("a", "b"):
        view = TokensView(pieces=[Piece(1, text, text.encode(), text)], window=9)
        assert payload.tokens[view.fill(payload)["list"]][0].text == text
