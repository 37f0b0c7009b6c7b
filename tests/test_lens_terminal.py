"""What views share: heat maps, bars and tables in a terminal, and labels of drawings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from clearhead.lens import painting
from clearhead.lens.colours import PLAIN, SIGNED
from clearhead.lens.terminal import SHADES, bar, fit, heat_map, pooled, ramp, table


def body(text: str) -> list[str]:
    """The rows of a heat map without its legend."""
    return text.splitlines()[:-1]


def test_a_heat_map_is_shaded_from_low_to_high() -> None:
    text = heat_map(np.linspace(0, 1, 5)[None])
    assert body(text.plain) == ["  ░░▒▒▓▓██"]
    assert text.plain.splitlines()[-1] == "0   ░░▒▒▓▓██ 1"


def test_a_cells_character_has_its_backgrounds_colour() -> None:
    styles = [str(span.style) for span in heat_map(np.array([[0.0, 1.0]]), legend=False).spans]
    assert styles == [f"{colour} on {colour}" for colour in ("rgb(68,1,84)", "rgb(253,231,37)")]
    assert ramp(0.5, SIGNED) == "rgb(250,250,250)" and ramp(1, PLAIN) == "rgb(253,231,37)"


def test_signed_numbers_are_shaded_around_0() -> None:
    assert body(heat_map(np.array([[-2.0, 0.0, 1.0]]), signed=True).plain) == ["  ▒▒▓▓"]
    assert body(heat_map(np.zeros((1, 2)), signed=True).plain) == ["▒▒▒▒"]


def test_the_ends_of_the_colours_may_be_given() -> None:
    assert body(heat_map(np.array([[0.0, 0.5, 7.0]]), limits=(0, 1)).plain) == ["  ▒▒██"]


def test_labels_stand_at_the_left_and_above() -> None:
    lines = heat_map(np.eye(2), rows=["a\x1b", "longer than it may be"], columns=["x", "yz"]).plain.splitlines()
    assert lines[:2] == ["                 y", "               x z"]
    assert lines[2] == "         a\\x1b ██  " and lines[3] == "longer than i…   ██"


@given(rows=st.integers(1, 4), columns=st.integers(1, 200), width=st.integers(30, 90), signed=st.booleans())
def test_a_heat_map_fits_and_no_peak_is_lost(rows: int, columns: int, width: int, signed: bool) -> None:
    matrix = np.zeros((rows, columns))
    matrix[-1, columns // 2] = -1.0 if signed else 1.0
    text = heat_map(matrix, width=width, rows=["é"] * rows, signed=signed, limits=(-1 if signed else 0, 1)).plain
    assert all(cell_len(line) <= width for line in text.splitlines())
    assert (SHADES[0] if signed else SHADES[-1]) in text.splitlines()[rows - 1][2:]


def test_pooling_keeps_what_is_furthest_from_0_where_signed() -> None:
    matrix = np.array([[1.0, -3.0, 2.0, 0.5, -0.25]])
    assert pooled(matrix, 3, True) == (pytest.approx(np.array([[-3.0, 2.0, -0.25]])), 2)
    assert pooled(matrix, 3, False) == (pytest.approx(np.array([[1.0, 2.0, -0.25]])), 2)
    assert pooled(matrix, 5, True)[1] == 1


def test_numbers_that_are_none_do_no_harm() -> None:
    text = heat_map(np.array([[np.nan, -np.inf, 0.0, 1.0, np.inf]])).plain
    assert body(text) == ["      ████"]
    assert body(heat_map(np.full((1, 2), np.nan)).plain) == ["    "]


@given(share=st.floats(-0.5, 1.5), width=st.integers(1, 40))
def test_a_bar_is_as_long_as_its_share(share: float, width: int) -> None:
    drawn = bar(share, width)
    assert len(drawn) == width
    length = drawn.count("█") + " ▏▎▍▌▋▊▉".find(drawn.strip()[-1:] or " ") / 8 * (not drawn.strip().endswith("█"))
    assert length == pytest.approx(min(max(share, 0), 1) * width, abs=1 / 16 + 1e-9)


def test_a_table_is_aligned_by_columns_of_the_terminal() -> None:
    text = table([["word", "n"], ["中文", "1"], ["a\tb", "100"]], right=frozenset({1}))
    assert text.plain == "word    n\n中文    1\na\\tb  100\n"
    assert [str(span.style) for span in text.spans] == ["dim"]
    assert table([["abcdef", "x"]], headed=False, width=5).plain == "abcd…\n"


@given(text=st.text(max_size=30), width=st.integers(1, 20))
def test_a_text_is_cut_to_fit(text: str, width: int) -> None:
    cut = fit(text, width)
    assert cell_len(cut) <= width and "\x1b" not in cut and "\n" not in cut


def test_labels_of_a_drawing_are_thinned_and_plain() -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    painting.paint_matrix(axes, np.eye(100), rows=[f"${n}" for n in range(100)], columns=["x" * 30] * 100)
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[:3] == ["$0", "$3", "$6"] and len(labels) <= painting.MOST_LABELS
    assert not any(label.get_parse_math() for label in axes.get_yticklabels())
    assert axes.get_xticklabels()[0].get_text() == "x" * 17 + "…"
    assert axes.images[0].get_clim() == (0, 1)
    painting.paint_matrix(axes, np.array([[-2.0, 1.0]]), signed=True)
    assert axes.images[1].get_clim() == (-2, 2)
