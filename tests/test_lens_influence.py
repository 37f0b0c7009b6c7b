"""Influence and attribution as views of given numbers."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearhead.errors import OptionError
from clearhead.lens import painting
from clearhead.lens.attribution import AttributionView, Target
from clearhead.lens.influence import InfluenceView, by_distance, distances
from clearhead.lens.payload import Payload
from clearhead.lens.tokens import Piece, TokensView
from clearhead.text.printable import one_line
from lens_views import HOSTILE, harmless, listed, page_of


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
