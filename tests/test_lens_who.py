"""Who has the book? Rankings, what is left out of them, and what they say."""

from typing import Any

import numpy as np
import pytest

from clearhead.errors import OptionError
from clearhead.lens import who
from clearhead.lens.who import who_view
from lens_traces import BOOK, causal, decoder_trace, encoder_trace, trace_of, translation_trace
from lens_views import HOSTILE, harmless, page_of
from models import BY_FAMILY


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


def test_who_in_a_terminal_and_drawn() -> None:
    view = who_view(decoder_trace(), "book")
    lines = str(view).splitlines()
    best = view.ranked[0]
    where = [best.word, str(best.key), str(best.layer), "(decoder)", str(best.head)]
    assert lines[2].split()[:6] == [*where, f"{best.weight:.3f}"]
    harmless(view)
    harmless(who_view(decoder_trace(["a", HOSTILE, " b", " $c$"]), "b"))
    harmless(who_view(decoder_trace(["a", " b"]), "a"))  # nothing to rank
