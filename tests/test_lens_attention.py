"""Attention as pages, drawings and terminals show it: no peak is lost, and every number is the trace's own."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from clearhead.errors import OptionError
from clearhead.lens import attention as lens
from clearhead.lens import view as views
from clearhead.lens.attention import AttentionView, attention_view
from clearhead.lens.modules import Module, decided, modules, pick, to_others, tokens_of
from clearhead.lens.payload import SHORT, Payload, unpack
from clearhead.lens.pooling import peaks, pool_max
from clearhead.trace import Trace
from lens_traces import BOOK, causal, decoder_trace, encoder_trace, trace_of, translation_trace
from models import BY_FAMILY

MATRICES = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40), elements=st.floats(0, 1, width=32)
)


def sent(view: AttentionView) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """The view as a page gets it, and its arrays."""
    whole = json.loads(view.json())
    return whole["views"][0], {name: unpack(array) for name, array in whole["arrays"].items()}


# Pooling.


@given(MATRICES, st.integers(1, 12))
def test_every_cell_is_the_largest_weight_in_it(weights: Any, cells: int) -> None:
    pooled, (q, k) = pool_max(weights, cells)
    T, S = weights.shape
    assert pooled.shape == (-(-T // q), -(-S // k)) and max(pooled.shape) <= cells
    for i, j in np.ndindex(*pooled.shape):
        assert pooled[i, j] == weights[i * q : (i + 1) * q, j * k : (j + 1) * k].max()


@given(MATRICES, st.integers(1, 60))
def test_no_peak_is_lost(weights: Any, cells: int) -> None:
    pooled, (q, k) = pool_max(weights, cells)
    for t, s in peaks(weights, 5):
        assert pooled[t // q, s // k] >= weights[t, s]
    assert pooled.max() == weights.max()
    if max(weights.shape) <= cells:
        np.testing.assert_array_equal(pooled, weights)


def test_pooling_reads_slices_and_leaves_them_alone() -> None:
    room = np.random.default_rng(0).random((9, 50, 70), np.float32)
    part = room[3, :41, :67]
    before = part.copy()
    np.testing.assert_array_equal(pool_max(part, 8)[0], pool_max(before, 8)[0])
    np.testing.assert_array_equal(part, before)
    assert pool_max(np.zeros((0, 5)))[0].shape == (0, 5)


@given(MATRICES, st.integers(0, 30))
def test_peaks_are_the_largest_in_order(weights: Any, count: int) -> None:
    found = [float(weights[place]) for place in peaks(weights, count)]
    expected = sorted(weights[weights > 0].tolist(), reverse=True)[:count]
    assert found == expected
    assert len(set(peaks(weights, count))) == len(found)


# Which modules and heads.


def test_modules_say_what_they_are() -> None:
    trace = translation_trace()
    found = modules(trace)
    assert [m.path for m in found] == trace.attentions()
    [cross] = pick(found, "decoder.cross_attention", 1)
    assert (cross.stack, cross.keys, cross.layer, cross.causal) == ("decoder", "encoder", 1, False)
    np.testing.assert_array_equal(cross.of(4), trace["decoder.layers.1.cross_attention.weights"][4])
    assert [m.causal for m in found] == [False, False, True, False, True, False]
    assert pick(found, "cross_attention", -1) == [cross]
    assert [m.path for m in pick(found, None, 0)] == [m.path for m in found if ".0." in m.path]
    assert pick(found, "encoder.layers.1.attention", None)[0].layer == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layer": 2, "module": "decoder.attention"}, "layers 0, 1"),
        ({"layer": -3, "module": "decoder.attention"}, "layer is -3"),
        ({"module": "attn"}, "encoder.attention, decoder.attention, decoder.cross_attention"),
        ({"layer": 1, "head": 2}, "name one as module: encoder.attention"),
        ({"head": 2, "module": "encoder.attention"}, "name a layer too"),
        ({"layer": 1, "head": 6, "module": "encoder.attention"}, "heads 0 to 5"),
        ({"layer": 1, "head": -7, "module": "encoder.attention"}, "head is -7"),
        ({"full": [("decoder.layers.9.attention", 0)]}, "decoder.layers.9.attention"),
        ({"full": [("decoder.layers.0.attention", 9)]}, "head is 9"),
        ({"drawing": "pie"}, "matrix, arcs, glance"),
    ],
)
def test_what_a_trace_does_not_hold_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=re.escape(said)):
        attention_view(translation_trace(), **options)


def test_a_trace_without_weights_says_so() -> None:
    with pytest.raises(OptionError, match="no attention weights"):
        attention_view(Trace(BY_FAMILY["llama"], kinds=["logits"]))


def test_heads_are_the_models_numbers_where_few_were_traced() -> None:
    whole = decoder_trace()
    path = "decoder.layers.1.attention"
    few = trace_of(BY_FAMILY["llama"], {"decoder": BOOK}, {path: whole.attention(path)}, heads=[4, 1])
    view = attention_view(few, layer=1, head=4)
    np.testing.assert_array_equal(view.weights(), whole.attention(path)[4])
    assert sent(view)[0]["modules"][0]["heads"] == [1, 4]
    assert attention_view(few, layer=1, head=-2).head == 4
    with pytest.raises(OptionError, match="heads 1, 4"):
        attention_view(few, layer=1, head=3)


# The page.


def test_a_short_text_travels_exactly_and_whole() -> None:
    trace = translation_trace()
    view, arrays = sent(attention_view(trace, layer=1, head=3, module="decoder.cross_attention"))
    assert view["selected"] == {"module": "decoder.layers.1.cross_attention", "head": 3}
    assert view["generatedFrom"] == 1
    assert [m["path"] for m in view["modules"]] == trace.attentions()
    for m in view["modules"]:
        weights = trace.attention(m["path"])
        for head in m["heads"]:
            np.testing.assert_array_equal(arrays[m["full"][str(head)]], weights[head])
        np.testing.assert_allclose(arrays[m["overviewKey"]], weights, atol=0.004)
        assert m["cell"] == [1, 1]
    assert view["modules"][5]["queries"] == "decoder" and view["modules"][5]["keys"] == "encoder"


def long_view(monkeypatch: pytest.MonkeyPatch, budget: int, **options: Any) -> AttentionView:
    """Of more weights than travel exactly."""
    monkeypatch.setattr(lens, "EXACT", 1000)
    monkeypatch.setattr(lens, "ROOM", budget)
    monkeypatch.setattr(views, "ROOM", budget)
    monkeypatch.setattr(views.View.payload, "__defaults__", (budget,))
    return attention_view(decoder_trace([f" w{i}" for i in range(150)]), **options)


def test_a_long_text_travels_in_levels_within_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    view = long_view(monkeypatch, 60_000, layer=1, head=2)
    found, arrays = sent(view)
    names = [name for m in found["modules"] for name in m["full"].values()]
    assert 2 <= len(names) < 12 and found["modules"][1]["full"]["2"] in names
    sizes = [len(view.payload().arrays[name].data) for name in names]
    assert sum(sizes) - max(sizes) < 60_000
    best = [f"{m.path}.weights/{head}" for _, m, head in view.ranking if (m.layer, head) != (1, 2)]
    assert set(names) == {"decoder.layers.1.attention.weights/2", *best[: len(names) - 1]}
    np.testing.assert_allclose(arrays[found["modules"][1]["full"]["2"]], view.weights(), atol=0.004)
    assert f"{len(names)} of 12 heads" in found["note"]
    for m in found["modules"]:
        assert m["cell"] == [2, 2] and arrays[m["overviewKey"]].shape == (6, 75, 75)
        exact = np.stack([pool_max(h)[0] for h in view.modules[m["layer"]].weights])
        np.testing.assert_allclose(arrays[m["overviewKey"]], exact, atol=0.004)


def test_a_cell_of_a_notebook_stays_small() -> None:
    view = attention_view(decoder_trace([f" w{i}" for i in range(1100)]))
    whole, short = view.payload(), view.payload(SHORT)
    sizes = [sum(len(array.data) for array in p.arrays.values()) for p in (whole, short)]
    assert sizes[1] < SHORT + 10**6 < sizes[0]
    m = short.views[0]["modules"][0]
    assert any(m["full"] for m in short.views[0]["modules"])
    assert max(short.arrays[m["overviewKey"]].shape[1:]) <= 64
    assert "to stay small" in short.views[0]["note"] and "to stay small" not in whole.views[0]["note"]
    exact = np.stack([pool_max(head, 64)[0] for head in view.modules[0].weights])
    overview = short.arrays[m["overviewKey"]]
    found = unpack({**overview.header(), "data": overview.base64})
    np.testing.assert_allclose(found, exact, atol=0.004)


def test_the_figures_name_the_strongest_pairs_and_rank_the_heads() -> None:
    view = attention_view(decoder_trace(), layer=1, head=2)
    found = view.figures
    assert (found["module"], found["head"]) == ("decoder.layers.1.attention", 2)
    best, weights = found["pairs"][0], view.weights()
    assert best["weight"] == weights[best["query"], best["key"]] == max(
        float(weights[t, s]) for t in range(9) for s in range(1, t)
    )  # fmt: skip
    assert (best["query_word"], best["key_word"]) == (BOOK[best["query"]].strip(), BOOK[best["key"]].strip())
    scores = [head["decided"] for head in found["heads"]]
    assert len(scores) == 12 and scores == sorted(scores, reverse=True)
    assert "strongly coloured" in json.loads(view.json())["views"][0]["note"]


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda trace: attention_view(trace, layer="x"), "layer is 'x'; it must be a whole number"),
        (lambda trace: attention_view(trace, layer=True), "layer is True"),
        (lambda trace: attention_view(trace, 0, head=1.5), "head is 1.5"),
        (lambda trace: attention_view(trace, full=["decoder.layers.0.attention"]), "full names 'decoder.layers"),
        (lambda trace: attention_view(trace, full=[("decoder.layers.0.attention", "1")]), "head is '1'"),
        (lambda trace: attention_view(trace, 0, 0).strongest(query="a"), "query is 'a'"),
        (lambda trace: attention_view(trace, 0, 0).strongest("many"), "count is 'many'"),
    ],
)
def test_what_is_no_number_is_named(ask: Any, said: str) -> None:
    with pytest.raises(OptionError, match=re.escape(said)):
        ask(decoder_trace())


def test_heads_that_are_named_travel_in_full_whatever_they_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [("decoder.layers.0.attention", 5), ("decoder.layers.1.attention", 0)]
    view, _ = sent(long_view(monkeypatch, 1, layer=0, head=1, full=wanted))
    assert [sorted(m["full"]) for m in view["modules"]] == [["1", "5"], ["0"]]


def test_the_chosen_head_is_in_full_when_there_is_room_for_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    view, _ = sent(long_view(monkeypatch, 1, layer=1, head=4))
    assert [sorted(m["full"]) for m in view["modules"]] == [[], ["4"]]


def test_generated_tokens_are_marked() -> None:
    trace = decoder_trace(n_prompt=5)
    whole = json.loads(attention_view(trace).json())
    assert whole["views"][0]["generatedFrom"] == 5
    assert [t["generated"] for t in whole["tokens"]["decoder"]] == [False] * 5 + [True] * 4
    assert sent(attention_view(encoder_trace()))[0]["generatedFrom"] is None


def test_rows_of_a_trace_that_began_later_belong_to_later_tokens() -> None:
    T = len(BOOK)
    weights = causal(np.random.default_rng(1).normal(size=(6, 3, T)))
    path = "decoder.layers.0.attention"
    trace = trace_of(BY_FAMILY["llama"], {"decoder": BOOK}, {path: weights}, first=T - 3)
    view = attention_view(trace, layer=0, head=0)
    assert sent(view)[0]["modules"][0]["firstQuery"] == T - 3
    assert view.labels()[0] == ["the", "book", "."]
    assert all(p.query >= T - 3 and p.key < p.query for p in view.strongest())
    with pytest.raises(OptionError, match="tokens 6 to 8"):
        view.strongest(query=2)


def test_two_traces_share_a_page_without_sharing_weights() -> None:
    payload = Payload(title="two")
    one, other = (attention_view(decoder_trace(seed=seed), layer=0, head=0) for seed in (1, 2))
    first, second = one.fill(payload), other.fill(payload)
    names = [fields["modules"][0]["full"]["0"] for fields in (first, second)]
    assert names[0] != names[1]
    assert first["modules"][0]["queries"] == second["modules"][0]["queries"] == "decoder"


# Which heads, and which pairs, are worth a look.


def head_that(look: Any, T: int = 9) -> Any:
    """[T, T] of a head whose query t gives 0.9 to the key look(t)."""
    weights = np.zeros((T, T))
    for t in range(T):
        weights[t, 0] += 0.1
        weights[t, look(t)] += 0.9
    return weights


def test_heads_that_look_at_themselves_or_at_the_first_token_are_not_interesting() -> None:
    heads = [lambda t: t, lambda t: 0, lambda t: max(0, t - 1), lambda t: 0 if t % 2 else max(0, t - 2)]
    weights = np.stack([head_that(look) for look in heads] * 2)[:6]
    path = "decoder.layers.0.attention"
    trace = trace_of(BY_FAMILY["llama"], {"decoder": BOOK}, {path: weights})
    [m], keys = modules(trace), tokens_of(trace)["decoder"]
    scores = [decided(m, head, keys) for head in range(4)]
    assert scores[0] == scores[1] == 0 and scores[2] == pytest.approx(0.9 * 7 / 9) and 0 < scores[3] < scores[2]
    view = attention_view(trace)
    assert view.ranking[0][2] in (2, 6) and view.chosen[1] == 2
    assert {(p.query, p.key) for p in replaced(view, 2).strongest(7)} == {(t, t - 1) for t in range(2, 9)}
    everything = replaced(view, 0).strongest(100, every=True)
    assert {(p.query, p.key) for p in everything} == {(t, s) for t in range(9) for s in {0, t}}
    assert everything[0].weight == pytest.approx(1) and everything[0].query == 0
    assert [p.key for p in replaced(view, 2).strongest(query=4)] == [3]


def replaced(view: AttentionView, head: int) -> AttentionView:
    """The view with another head chosen."""
    return replace(view, module=view.modules[0], head=head)


def test_special_tokens_are_no_others() -> None:
    trace = encoder_trace()
    [m, _], keys = modules(trace), tokens_of(trace)["encoder"]
    others = to_others(m, 3, keys)
    assert not others[:, [0, -1]].any() and not np.diagonal(others).any()
    assert others[2, 1] == m.of(3)[2, 1] > 0 and others[2, 5] == m.of(3)[2, 5]
    assert m.of(3)[4, 4] > 0  # the trace is left as it was


@settings(max_examples=20)
@given(st.integers(1, 400))
def test_decided_stays_between_0_and_1(T: int) -> None:
    weights = causal(np.random.default_rng(T).normal(size=(1, T, T)) * 3)
    m = Module(
        path="decoder.layers.0.attention",
        stack="decoder",
        keys="decoder",
        layer=0,
        kind="attention",
        causal=True,
        first_query=0,
        heads=(0,),
        weights=weights,
    )
    assert 0 <= decided(m, 0, []) <= 1


# Terminal and drawing.


def test_a_terminal_shows_a_short_head_as_a_matrix() -> None:
    trace = decoder_trace()
    shown = str(attention_view(trace, layer=1, head=2))
    lines = shown.splitlines()
    assert lines[0] == "Attention: decoder layer 1, head 2"
    rows = [next(line for line in lines if line.strip().startswith(word)) for word in ("teacher", "taught")]
    assert all("█" in row or "▓" in row or "▒" in row or "░" in row for row in rows)
    assert max(map(len, lines)) <= 80


def test_a_terminal_lists_the_strongest_pairs_of_a_long_text() -> None:
    texts = [f" w{i}" for i in range(90)]
    view = attention_view(decoder_trace(texts), layer=0, head=0)
    first = view.strongest()[0]
    lines = str(view).splitlines()
    assert lines[2].split() == [
        str(first.query), f"w{first.query}", "→", str(first.key), f"w{first.key}", f"{first.weight:.3f}",
    ]  # fmt: skip
    assert max(map(len, lines)) <= 80


def test_a_terminal_shows_all_heads_at_a_glance() -> None:
    view = attention_view(translation_trace())
    lines = str(view).splitlines()
    assert [line.split()[:2] for line in lines[3:9]] == [
        ["enc", "0"], ["enc", "1"], ["dec", "0"], ["dec", "0"], ["dec", "1"], ["dec", "1"],
    ]  # fmt: skip
    score, best, head = view.ranking[0]
    assert any(best.name in line and f"{score:.3f}" in line and str(head) in line for line in lines)
    few = str(attention_view(translation_trace(), layer=1, module="cross_attention"))
    assert "cross" in few and "enc 0" not in few


@pytest.mark.parametrize("text", ["$x$", "\x1b[31m", "a\u202eb", "<script>", "\udc80", "老师"])
@pytest.mark.parametrize("drawing", ["matrix", "arcs", "glance"])
def test_any_token_can_be_drawn(text: str, drawing: Any) -> None:
    pytest.importorskip("matplotlib")
    view = attention_view(decoder_trace([text, " b", " $c"]), layer=0, head=0, drawing=drawing)
    svg = view.svg()
    assert svg.startswith("<?xml") and not re.search("[\x00-\x08\x1b\u202e\ud800-\udfff]", svg)
    assert "\x1b" not in str(view)
    if drawing != "glance":
        assert "$c" in svg


def test_a_heat_map_has_words_on_both_sides_and_an_alignment_two_texts() -> None:
    pytest.importorskip("matplotlib")
    svg = attention_view(decoder_trace(), layer=0, head=1).svg()
    assert svg.count(">teacher<") == 2
    options = {"layer": 0, "head": 1, "module": "cross_attention"}
    for drawing in ("matrix", "arcs"):
        svg = attention_view(translation_trace(), **options, drawing=drawing).svg()  # type: ignore[arg-type]
        assert svg.count(">teacher<") == 1 and svg.count(">老师<") == 1


def test_arcs_join_what_looks_at_each_other() -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure
    from matplotlib.patches import PathPatch

    trace = decoder_trace()
    view = attention_view(trace, layer=0, head=1, drawing="arcs")
    figure = Figure()
    view.draw(figure)
    found = [patch for patch in figure.axes[0].patches if isinstance(patch, PathPatch)]
    assert len(found) == int((view.weights() >= 0.05).sum())
    thickest = max(found, key=lambda patch: patch.get_linewidth())
    t, s = np.unravel_index(np.argmax(view.weights()), view.weights().shape)
    ends = thickest.get_path().vertices[[0, -1], 0]
    assert sorted(np.rint(ends).tolist()) == sorted({int(t), int(s)} if t != s else [int(t)] * 2)
    high = figure.axes[0].get_ylim()[1]
    tops = [patch.get_path().interpolated(20).to_polygons(closed_only=False)[0][:, 1].max() for patch in found]
    assert max(tops) > 0.6 * high  # the words' arcs fill the sheet
    long = attention_view(decoder_trace([" w"] * 80), layer=0, head=1, drawing="arcs")
    with pytest.raises(OptionError, match="80 tokens"):
        long.svg()


def test_a_long_heat_map_is_pooled() -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    view = attention_view(decoder_trace([" w"] * 700, layers=1), layer=0, head=1)
    figure = Figure()
    view.draw(figure)
    cells = np.asarray(figure.axes[0].images[0].get_array())
    np.testing.assert_array_equal(cells, pool_max(view.weights(), 512)[0])
    assert cells.shape == (350, 350)


def test_the_glance_shows_every_head() -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    trace = translation_trace()
    figure = Figure()
    attention_view(trace).draw(figure)
    [image] = figure.axes[0].images
    assert any("square root" in axes.get_ylabel() for axes in figure.axes)  # of its colour bar
    sheet = np.ma.filled(np.ma.asarray(image.get_array(), dtype=float), np.nan)
    held = sum(np.prod(trace.attention(path).shape) for path in trace.attentions())
    assert np.isfinite(sheet).sum() == held
    total = sum(float(trace.attention(path).sum()) for path in trace.attentions())
    assert np.nansum(sheet) == pytest.approx(total, rel=1e-5)
