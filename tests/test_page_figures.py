"""Figures of the page in a browser: every kind renders, and its read-outs have the numbers of the data behind it.

The pages come from `web/fixtures/figures.py`. No page asks for anything or reports an error: `open_page` holds that.
"""

import importlib.util
import math
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from browser import drawn, inked
from clearhead.lens.page import page
from clearhead.lens.payload import Payload, unpack

FIXTURES = Path(__file__).parents[1] / "web" / "fixtures"
MARKUP = "<img src=x onerror=alert(1)>"


def fixture(name: str) -> ModuleType:
    """A module of the page's fixtures."""
    spec = importlib.util.spec_from_file_location(f"page_{name}", FIXTURES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


figures = fixture("figures")
NAMES = list(figures.FIGURES)


def array(payload: Payload, key: str) -> np.ndarray:
    """An array as the page gets it."""
    packed = payload.arrays[key]
    return unpack({**packed.header(), "data": packed.base64})


def opened(open_page: Any, name: str, **options: Any) -> tuple[Any, Payload]:
    """A figure's page, and what it was made from."""
    payload = figures.FIGURES[name]()
    shown = open_page(page(payload), **options)
    shown.wait_for_selector(".view > *")
    drawn(shown)
    return shown, payload


def tip(shown: Any) -> str:
    """What the box beside the pointer says, with minus signs that numbers can be read from."""
    drawn(shown)
    return str(shown.inner_text(".tip")).replace("−", "-")


def point(shown: Any, selector: str, x: float, y: float) -> None:
    """Move the pointer to a place of an element, in parts of its size."""
    target = shown.locator(selector)
    target.scroll_into_view_if_needed()
    box = target.bounding_box()
    shown.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])


def press(shown: Any, selector: str, *keys: str) -> None:
    """Keys on an element that is reached by keyboard."""
    shown.keyboard.press("Shift")  # the last input was a key: focus is visible
    shown.focus(selector)
    for key in keys:
        shown.keyboard.press(key)


# Every figure


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", NAMES)
def test_renders_and_fits_a_narrow_window(open_page, name, theme):
    shown, _ = opened(open_page, name, theme=theme, width=420)
    assert shown.locator(".failure").count() == 0
    assert shown.locator(".view").bounding_box()["height"] > 100
    assert shown.evaluate(
        "document.querySelector('.panel').scrollWidth <= document.querySelector('.panel').clientWidth"
    )
    for canvas in range(shown.locator(".heat canvas").count()):
        shown.evaluate("i => document.querySelectorAll('.heat canvas')[i].id = `heat${i}`", canvas)
        assert inked(shown, f"#heat{canvas}") > 20


@pytest.mark.parametrize("name", NAMES)
def test_the_other_theme_draws_everything_anew(open_page, name):
    shown, _ = opened(open_page, name)
    before = picture(shown)
    shown.click("header button")
    drawn(shown)
    after = picture(shown)
    assert after["background"] != before["background"]
    assert len(after["canvases"]) == len(before["canvases"])
    assert all(a != b for a, b in zip(after["canvases"], before["canvases"], strict=True))
    shown.click("header button")
    drawn(shown)
    assert picture(shown) == before


def picture(shown: Any) -> Any:
    """The ground, and the pixels of every heat map."""
    return shown.evaluate("""() => ({
        background: getComputedStyle(document.body).backgroundColor,
        canvases: [...document.querySelectorAll(".heat canvas")].map((canvas) => canvas.toDataURL()),
    })""")


@pytest.mark.parametrize(
    "name",
    ["sinusoidal-wide", "space", "logit-lens", "choices", "comparison", "attribution"],
)
def test_hostile_words_are_text(open_page, name):
    shown, _ = opened(open_page, name)
    text = shown.inner_text(".view")
    assert "<img src" in text
    assert shown.locator("main img").count() == 0
    assert shown.evaluate("() => [...document.querySelectorAll('bdi')].every((one) => one.children.length === 0)")
    for element in shown.locator("bdi", has_text="\u202e").all():  # what turns the direction stays within its word
        assert element.evaluate("one => getComputedStyle(one).unicodeBidi").startswith("isolate")


# Positions


def test_the_table_shows_every_digit_by_pointer_and_keys(open_page):
    shown, payload = opened(open_page, "sinusoidal")
    matrix = array(payload, "matrix")
    heads = [head.inner_text() for head in shown.locator(".positions-table thead th").all()]
    assert heads == ["", "i=0 sin", "i=0 cos", "i=1 sin", "i=1 cos"]
    assert [row.inner_text().split() for row in shown.locator("tbody th").all()] == [
        ["0", "I"],
        ["1", "am"],
        ["2", "a"],
        ["3", "robot"],
    ]
    cells = [float(cell.replace("−", "-")) for cell in shown.locator("td").all_inner_texts()]
    assert cells == pytest.approx(matrix.ravel().tolist(), abs=5.1e-4)
    shown.hover("td >> nth=4")
    assert tip(shown) == f"am i=0 sin\n{math.sin(1)!r}"
    press(shown, "td >> nth=0", "ArrowDown", "ArrowDown", "ArrowRight")
    assert tip(shown) == f"a i=0 cos\n{math.cos(2)!r}"


READ_WAVE = re.compile(r"position (\d+)(?: \S+)?, i=(\d) (sin|cos): (\S+)")


def test_the_map_of_positions_reads_out_what_is_under_the_pointer(open_page):
    shown, payload = opened(open_page, "sinusoidal")
    curves, seen = array(payload, "curves"), set()
    for x, y in ((0.2, 0.1), (0.5, 0.2), (0.8, 0.4), (0.95, 0.5)):
        point(shown, ".part:nth-of-type(2) canvas", x, y)
        position, pair, wave, value = READ_WAVE.fullmatch(tip(shown)).groups()
        column = 2 * int(pair) + (wave == "cos")
        assert float(value) == pytest.approx(curves[int(position), column], abs=6e-6)
        seen.add((position, column))
    assert len(seen) == 4


def test_the_map_of_positions_by_keys(open_page):
    shown, payload = opened(open_page, "sinusoidal")
    canvas = ".part:nth-of-type(2) canvas"
    press(shown, canvas, "ArrowDown", "ArrowRight", "ArrowRight", "ArrowRight")
    assert tip(shown) == f"position 3 robot, i=0 cos: {array(payload, 'curves')[3, 1]:.5f}"
    said = shown.locator(".part:nth-of-type(2) output").text_content()
    assert said.replace("−", "-") == tip(shown)
    assert shown.locator(".toggle[aria-pressed=true]").count() == 4
    press(shown, canvas, "Enter")  # takes the curve of its row away
    assert shown.locator(".toggle[aria-pressed=true]").count() == 3
    press(shown, canvas, "Escape")
    assert not shown.is_visible(".tip")


def test_curves_and_products(open_page):
    shown, payload = opened(open_page, "sinusoidal")
    curves, dots = array(payload, "curves"), array(payload, "dots")
    press(shown, ".chart", "End", "ArrowLeft")
    assert tip(shown).splitlines()[0] == "position 62"
    values = [float(line.split(": ")[1]) for line in tip(shown).splitlines()[1:]]
    assert values == pytest.approx(curves[62].tolist(), abs=6e-6)
    point(shown, ".part:nth-of-type(4) canvas", 0.3, 0.2)
    a, b, value = re.fullmatch(r"(\d+)(?: \S+)? · (\d+)(?: \S+)?: (\S+)", tip(shown)).groups()
    assert float(value) == pytest.approx(dots[int(a), int(b)], abs=6e-5)


def test_choosing_dimensions(open_page):
    shown, _ = opened(open_page, "sinusoidal-wide")
    drawn_before = shown.locator(".chart .line").count()
    shown.click(".toggle >> text='i=1 sin'")
    assert shown.locator(".chart .line").count() == drawn_before + 1


def test_rotary_hands_turn_with_the_slider(open_page):
    shown, payload = opened(open_page, "rotary")
    angles = array(payload, "angles")
    press(shown, ".slide input", *["ArrowRight"] * 3)
    assert shown.inner_text(".place") == "4 student"
    for pair, dial in enumerate(shown.locator(".dial").all()):
        said = dial.get_attribute("aria-label")
        assert said.startswith(f"pair {pair}: ")
        assert float(said.split()[2]) == pytest.approx(angles[4, pair], abs=6e-5)
    x, y = (float(shown.get_attribute(".hand", name)) for name in ("x2", "y2"))
    assert math.atan2(-y, x) % (2 * math.pi) == pytest.approx(angles[4, 0] % (2 * math.pi), abs=1e-2)
    press(shown, ".slide input", "End")
    assert shown.inner_text(".place") == "31"  # a label that only repeats the number is no word
    shown.hover(".dial >> nth=0")
    assert "one turn in 6.28 positions" in tip(shown)


def test_alibi_and_relative_lines(open_page):
    shown, payload = opened(open_page, "alibi")
    press(shown, ".chart", "PageDown")
    lines = tip(shown).splitlines()
    assert lines[0] == "distance 10"
    assert [float(line.split(": ")[1]) for line in lines[1:]] == pytest.approx(
        array(payload, "curves")[:, 10].tolist(), abs=6e-5
    )
    shown, payload = opened(open_page, "relative")
    view = payload.views[0]
    press(shown, ".part:nth-of-type(1) .chart", "End")
    assert tip(shown) == f"distance 160\nbucket: {view['buckets'][-1]}"
    shown.click(".toggle >> text='head 3'")
    press(shown, ".part:nth-of-type(2) .chart", "Home")
    lines = tip(shown).splitlines()
    assert lines[0] == "distance -160" and len(lines) == 8
    assert float(lines[1].split(": ")[1]) == pytest.approx(array(payload, "bias")[0, 0], abs=6e-5)


# Words in space

NO_WEBGL = """
const original = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
  return kind.startsWith("webgl") ? null : original.call(this, kind, ...rest);
};
"""


def space_page(open_page: Any, webgl: bool) -> tuple[Any, Payload]:
    """The page of words in space, in a browser with or without WebGL."""
    payload = figures.space()
    html = page(payload)
    return open_page(html if webgl else html.replace("<body>", f"<body><script>{NO_WEBGL}</script>")), payload


@pytest.mark.parametrize("webgl", [True, False], ids=["webgl", "canvas"])
def test_two_words_picked_by_keys_are_measured(open_page, webgl):
    shown, payload = space_page(open_page, webgl)
    drawn(shown)
    words = payload.views[0]["labels"]
    a, b = words.index("king"), words.index("Sofia")
    for index in (a, b):
        press(shown, f".space-labels button >> nth={index}", "Enter")
    cosine, angle, distance = shown.locator(".space-panel .counts dd").all_inner_texts()
    expected = float(array(payload, "cosine")[a, b])
    assert float(cosine.replace("−", "-")) == pytest.approx(expected, abs=6e-5)
    assert float(angle.rstrip("°")) == pytest.approx(math.degrees(math.acos(expected)), abs=6e-3)
    assert float(distance) == pytest.approx(float(array(payload, "distance")[a, b]), rel=1e-4)
    drawn(shown)
    assert shown.locator(".space-vector").count() == 2
    near = shown.locator(".near >> nth=0").inner_text().split("\n")
    assert near[0].startswith(payload.views[0]["neighbours"][b][0]["label"])
    press(shown, ".space-stage", "Escape")
    assert shown.locator(".space-panel .counts").count() == 0
    shown.set_viewport_size({"width": 900, "height": 600})
    drawn(shown)
    assert colours(shown) > 20


def colours(shown: Any) -> int:
    """Different colours in a picture of the stage."""
    return len(set(shown.locator(".space-stage").screenshot()))


@pytest.mark.parametrize("webgl", [True, False], ids=["webgl", "canvas"])
def test_the_colours_of_points_are_named(open_page, webgl):
    shown, payload = space_page(open_page, webgl)
    drawn(shown)
    names = payload.views[0]["groups"]["names"]
    assert shown.locator(".space-panel .key li").all_inner_texts() == names[:5]  # no point is in the sixth group
    grounds = shown.eval_on_selector_all(".key .swatch", "all => all.map((one) => getComputedStyle(one).background)")
    assert len(set(grounds)) == 5
    shown.click("header button")
    assert shown.eval_on_selector(".key .swatch", "one => getComputedStyle(one).background") != grounds[0]


@pytest.mark.parametrize("webgl", [True, False], ids=["webgl", "canvas"])
def test_turning_and_zooming(open_page, webgl):
    shown, _ = space_page(open_page, webgl)
    drawn(shown)
    places = [place(shown)]
    stage = shown.locator(".space-stage").bounding_box()
    x, y = stage["x"] + 30, stage["y"] + 30
    press(shown, ".space-stage", "ArrowLeft")
    places.append(place(shown))
    press(shown, ".space-stage", "+")
    places.append(place(shown))
    shown.mouse.move(x, y)
    shown.mouse.down()
    shown.mouse.move(x + 120, y + 30, steps=4)
    shown.mouse.up()
    places.append(place(shown))
    shown.mouse.wheel(0, 200)
    places.append(place(shown))
    assert len(set(places)) == len(places)
    press(shown, ".space-stage", "0")
    assert place(shown) == places[0]


def place(shown: Any) -> str:
    """Where the first word stands."""
    drawn(shown)
    return str(shown.eval_on_selector(".space-labels button", "label => label.style.transform"))


def test_words_are_picked_by_click_and_from_the_lists(open_page):
    shown, payload = space_page(open_page, True)
    drawn(shown)
    box = shown.locator(".space-labels button >> text='black'").bounding_box()
    shown.mouse.click(box["x"] + 8, box["y"] + 8)
    chosen = "select => select.selectedOptions[0].textContent"
    assert shown.eval_on_selector("select[aria-label='First word']", chosen) == "black"
    other = payload.views[0]["labels"].index("run")
    shown.select_option("select[aria-label='Second word']", str(other))
    assert shown.locator(".space-panel .counts dt").all_inner_texts() == ["cosine", "angle", "distance"]
    shares = [f"{100 * share:.1f} %" for share in payload.views[0]["explained"]]
    assert all(share in shown.inner_text(".space-panel") for share in shares)


def test_labels_never_lie_on_each_other(open_page):
    shown, _ = space_page(open_page, True)
    drawn(shown)
    boxes = shown.evaluate("""() => [...document.querySelectorAll(".space-labels button")]
        .filter((label) => label.style.opacity !== "0")
        .map((label) => label.getBoundingClientRect())
        .map(({ left, right, top, bottom }) => [left, right, top, bottom])""")
    assert len(boxes) > 8
    for i, (left, right, top, bottom) in enumerate(boxes):
        for other in boxes[:i]:
            assert left >= other[1] or right <= other[0] or top >= other[3] - 1 or bottom <= other[2] + 1


# Architecture


def test_a_part_shows_sizes_values_and_code(open_page):
    shown, payload = opened(open_page, "architecture-transformer")
    parts = payload.views[0]["parts"]
    shown.click("[data-part='decoder.layers.{i}.cross_attention']")
    part = parts["decoder.layers.{i}.cross_attention"]
    panel = shown.inner_text(".part-panel")
    assert "cross-attention" in panel
    total = f"{part['parameters'] * part['each']:,}".replace(",", "\u202f")
    assert total in panel and f"{100 * part['share']:.1f} %" in panel
    assert all(line in panel for line in part["detail"])
    assert "cross_attention.weights" in panel and "4.25" in panel
    code = part["code"][0]
    assert f"lines {code['first']}–{code['last']}" in panel
    assert shown.inner_text(".code[open] pre").split() == code["source"].split()
    assert shown.locator(".code").count() == len(part["code"])


@pytest.mark.parametrize("family", ["transformer", "bert", "llama", "palm"])
def test_every_part_is_in_the_diagram_and_reached_by_keys(open_page, family):
    shown, payload = opened(open_page, f"architecture-{family}")
    view = payload.views[0]
    drawn_parts = set(shown.eval_on_selector_all("[data-part]", "all => all.map((one) => one.dataset.part)"))
    assert drawn_parts == set(view["parts"])
    press(shown, "[data-part][tabindex='0']", *["ArrowDown"] * 20)
    reached = {focused(shown)}
    for _ in range(24):
        shown.keyboard.press("ArrowUp")
        reached.add(focused(shown))
    assert {"embed.tokens", "head"} <= reached or len(view["stacks"]) == 2
    shown.keyboard.press("Enter")
    assert view["parts"][focused(shown)]["label"] in shown.inner_text(".part-panel h3")


def test_hidden_places_of_a_score_bias_are_counted(open_page):
    payload = figures.diagram("llama")
    payload.views[0]["stats"]["decoder.bias"] = {**figures.STATISTICS, "shape": [1, 4, 4], "hidden": 6}
    payload.views[0]["held"] = sorted({*payload.views[0]["held"], "decoder.bias"})
    shown = open_page(page(payload))
    shown.click("[data-part='decoder.layers.{i}.attention']")
    assert shown.locator("tr", has_text="decoder.bias").locator("td >> nth=0").inner_text() == "1 × 4 × 4, 6 hidden"
    assert "hidden" not in shown.locator("tr", has_text="attention.weights").inner_text()


def focused(shown: Any) -> str:
    """The part that has the focus."""
    return str(shown.evaluate("document.activeElement.dataset.part"))


def test_the_simplified_diagram(open_page):
    shown, payload = opened(open_page, "architecture-transformer")
    shown.click("text=simplified")
    boxes = shown.eval_on_selector_all("[data-part]", "all => all.map((one) => one.dataset.part)")
    assert sorted(set(boxes)) == ["block decoder", "block embedding", "block encoder", "block head"]
    shown.click("[data-part='block decoder']")
    assert payload.views[0]["simplified"]["decoder"] in shown.inner_text(".part-panel")
    shown.click(".made-of button >> text=cross-attention")  # leads to the part in the full diagram
    assert shown.locator("[data-part='decoder.layers.{i}.cross_attention'][aria-pressed=true]").count() == 1


def test_attention_in_the_diagram_is_what_the_attention_view_shows(open_page):
    payload, other = figures.diagram("llama"), fixture("attention").small()
    payload.tokens |= other.tokens
    payload.arrays |= other.arrays
    payload.views += [view for view in other.views if view["type"] == "attention"]
    payload.views[0]["held"] = [f"{module['path']}.weights" for module in payload.views[1]["modules"]]
    shown = open_page(page(payload))
    shown.click("[data-part='decoder.layers.{i}.attention']")
    shown.select_option(".part-panel select", "1")
    shown.click("text=Show its attention maps")
    drawn(shown)
    assert shown.get_attribute("[role=tab][aria-selected=true]", "id") == "tab-1"
    chosen = "select => select.selectedOptions[0].textContent"
    assert shown.eval_on_selector("select[aria-label=Layer]", chosen) == "layer 1"


def test_opening_the_diagram_leaves_the_attention_where_it_is(open_page):
    payload, other = fixture("attention").small(), figures.diagram("llama")
    payload.views = [payload.views[0], other.views[0]]
    paths = [path.replace("{i}", "0") for part in other.views[0]["parts"].values() for path in part["paths"]]
    modules = [f"{module['path']}.weights" for module in payload.views[0]["modules"]]
    other.views[0]["held"] = sorted({*paths, *modules})
    shown = open_page(page(payload))
    layer = "select => select.selectedOptions[0].textContent"
    assert shown.eval_on_selector("select[aria-label=Layer]", layer) == "layer 3"
    shown.click("#tab-1")
    assert shown.locator("[data-part='decoder.layers.{i}.attention'][aria-pressed=true]").count() == 1
    assert shown.eval_on_selector(".part-panel select", layer) == "layer 3"  # begins where the attention is
    shown.click("text=simplified")
    shown.click("text=every part")
    shown.click("#tab-0")
    assert shown.eval_on_selector("select[aria-label=Layer]", layer) == "layer 3"
    shown.click("#tab-1")
    shown.select_option(".part-panel select", "5")
    shown.click("#tab-0")
    assert shown.eval_on_selector("select[aria-label=Layer]", layer) == "layer 5"


# The logit lens


def listed(text: str) -> list[float]:
    """The probabilities of a list of likely words."""
    return [float(found) for found in re.findall(r"^\d\.\d{3}$|^\de-\d+$", text.replace("−", "-"), re.MULTILINE)]


def test_cells_of_the_logit_lens_list_their_words(open_page):
    shown, payload = opened(open_page, "logit-lens")
    probabilities, entropy = array(payload, "probabilities"), array(payload, "entropy")
    shown.locator("[data-row='4'][data-column='6']").scroll_into_view_if_needed()
    shown.hover("[data-row='4'][data-column='6']")
    assert tip(shown).startswith("layer 3 at the")
    assert listed(tip(shown)) == pytest.approx(probabilities[4, 6].tolist(), abs=6e-4)
    assert f"entropy {entropy[4, 6]:.3f} nats" in tip(shown)
    shown.click("[data-row='4'][data-column='6']")
    shown.mouse.move(0, 0)
    assert "layer 3 at the" in shown.inner_text(".fixed-cell")
    press(shown, "[data-row='4'][data-column='6']", "ArrowUp", "ArrowLeft")
    assert listed(tip(shown)) == pytest.approx(probabilities[5, 5].tolist(), abs=6e-4)
    assert "layer 3 at the" in shown.inner_text(".fixed-cell")  # fixed until another is chosen
    shown.keyboard.press("Enter")
    assert "layer 4 at with" in shown.inner_text(".fixed-cell")


def test_rows_stand_from_bottom_to_top(open_page):
    shown, _ = opened(open_page, "logit-lens")
    heights = [shown.locator(f"[data-row='{row}'][data-column='11']").bounding_box()["y"] for row in range(13)]
    assert heights == sorted(heights, reverse=True)
    names = shown.locator(".logit-names div").all_inner_texts()
    assert names[:2] == ["layer 11", "layer 10"] and names[-2] == "embedding"


def test_a_long_text_has_elements_only_for_what_is_in_sight(open_page):
    shown, payload = opened(open_page, "logit-lens-long")
    assert shown.locator(".logit-column").count() < 40
    assert shown.locator("[data-column='599']").count() == 31  # the last token is shown first
    shown.eval_on_selector(".logit-scroll", "host => (host.scrollLeft = 88 * 300)")
    drawn(shown)
    assert shown.locator("[data-column='303']").count() == 31
    assert shown.locator(".logit-column").count() < 40
    press(shown, "[data-row='30'][data-column='599']", "Home")
    assert tip(shown).startswith("layer 29 at word0")
    assert listed(tip(shown)) == pytest.approx(array(payload, "probabilities")[30, 0].tolist(), abs=6e-4)


RATIOS = """() => {
    const parse = (text) => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
    const linear = (c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
    const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    return [...document.querySelectorAll("SELECTOR")].map((cell) => {
        const { color, backgroundColor } = getComputedStyle(cell);
        const [one, other] = [luminance(parse(color)), luminance(parse(backgroundColor))];
        return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    });
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_on_every_colour_can_be_read(open_page, theme):
    """WCAG 2.2, success criterion 1.4.3: a contrast of 4.5 at least, on each of the colours."""
    payload = figures.logit_lens(figures.SENTENCE[:8], 31, 1)
    payload.views[0]["probabilitiesKey"] = payload.put("all", np.linspace(0, 1, 256, dtype="f4").reshape(32, 8, 1))
    payload.views.append(figures.attribution().views[0] | {"list": "many", "scoresKey": "signed"})
    payload.tokens["many"] = figures.tokens([f" w{i}" for i in range(256)])
    payload.put("signed", np.linspace(-1, 1, 256, dtype="f4"))
    shown = open_page(page(payload), theme=theme)
    shown.wait_for_selector(".logit-cell")
    cells = shown.evaluate(RATIOS.replace("SELECTOR", ".logit-cell"))
    assert len(cells) == 256 and min(cells) >= 4.5
    shown.click("#tab-1")
    shown.wait_for_selector(".scored .token")
    words = shown.evaluate(RATIOS.replace("SELECTOR", ".scored .token"))
    assert len(words) == 256 and min(words) >= 4.5


# Choices


def test_a_word_of_the_completion_shows_its_alternatives(open_page):
    shown, payload = opened(open_page, "choices")
    rows = payload.views[0]["rows"]
    assert shown.locator("[role=columnheader]").all_inner_texts()[3] == "entropy (nats)"
    shown.click(".written .token >> nth=3")
    assert listed(shown.inner_text(".fixed-cell")) == pytest.approx(
        [t["probability"] for t in rows[3]["top"]], abs=6e-4
    )
    assert f"rank {rows[3]['rank']}" in shown.inner_text(".fixed-cell")
    press(shown, ".written .token >> nth=3", "ArrowRight", "Enter")
    assert shown.locator(".fixed-cell .chosen").inner_text().split()[0] == rows[4]["text"].strip()
    assert shown.get_attribute(".choices-rows > * >> nth=4", "aria-current") == "true"
    press(shown, ".choices-rows > * >> nth=4", "ArrowDown")
    assert f"entropy {rows[5]['entropy']:.3f}" in shown.inner_text(".fixed-cell")
    assert shown.inner_text(".running").startswith("The teacher taught the student")
    assert MARKUP in shown.inner_text(".running")


def test_a_long_completion_has_elements_only_for_the_rows_in_sight(open_page):
    shown, payload = opened(open_page, "choices-long")
    rows = payload.views[0]["rows"]
    assert shown.evaluate("document.querySelectorAll('*').length") < 2500  # one for each of 980 words, and few rows
    row = ".choices-rows > *"
    assert shown.get_attribute("[role=grid]", "aria-rowcount") == "981"
    shown.eval_on_selector(".choices-scroll", "host => (host.scrollTop = 31 * 600)")
    drawn(shown)
    assert shown.locator("[aria-rowindex='610']").inner_text().split("\n")[3] == f"{rows[608]['entropy']:.2f}"
    assert shown.locator(row).count() < 60
    shown.click("[aria-rowindex='610']")
    assert f"entropy {rows[608]['entropy']:.3f} nats" in shown.inner_text(".fixed-cell")
    press(shown, "[aria-rowindex='610']", "End")
    assert f"entropy {rows[979]['entropy']:.3f} nats" in shown.inner_text(".fixed-cell")
    assert shown.evaluate("document.activeElement.getAttribute('aria-rowindex')") == "981"
    shown.keyboard.press("PageUp")
    shown.keyboard.press("ArrowUp")
    index = int(shown.evaluate("document.activeElement.getAttribute('aria-rowindex')")) - 2
    assert 940 < index < 979
    assert shown.get_attribute(f".written .token >> nth={index}", "aria-current") == "true"
    order = shown.eval_on_selector_all(row, "all => all.map((one) => Number(one.getAttribute('aria-rowindex')))")
    assert order == sorted(order)
    shown.click(".written .token >> nth=979")
    box, last = (
        shown.locator(".choices-scroll").bounding_box(),
        shown.locator("[aria-rowindex='981']").bounding_box(),
    )
    assert last["y"] + last["height"] <= box["y"] + box["height"] + 1


# Comparison


def test_before_and_after(open_page):
    shown, payload = opened(open_page, "comparison")
    view = payload.views[0]
    assert shown.locator(".edits li").all_inner_texts() == view["edits"]
    for index in (2, 6):
        shown.click(f".column >> nth={index}")
        assert f"{view['divergence'][index]:.3f} nats" in tip(shown)
        before, after = written(view["before"][index]), written(view["after"][index])
        rows = shown.locator(".pairs tbody tr").all()
        assert len(rows) == len(before | after)
        for row in rows:
            left, word, right, difference = (cell.inner_text().strip() for cell in row.locator("td, th").all())
            if word not in before or word not in after:
                assert "not listed" in (left, right) and difference == "–"
                continue
            assert float(left) == pytest.approx(before[word], abs=6e-4)
            assert float(right) == pytest.approx(after[word], abs=6e-4)
            assert float(difference.replace("−", "-")) == pytest.approx(after[word] - before[word], abs=6e-4)


def written(top: list[dict[str, Any]]) -> dict[str, float]:
    """Probabilities by word, as the page writes words."""
    shown = [one["text"].strip().replace("\u202e", "\\u202e") for one in top]
    return {
        text if len(text) <= 20 else f"{text[:19]}…": one["probability"] for text, one in zip(shown, top, strict=True)
    }


def test_the_map_of_changes_stands_below_the_bars_and_chooses_a_token(open_page):
    shown, payload = opened(open_page, "comparison")
    press(shown, ".heat canvas", "ArrowUp", "ArrowUp", "ArrowUp", "ArrowUp", "ArrowRight")
    change = array(payload, "change")[4, 1]
    assert tip(shown) == f"layer 4 at ‘teacher’: {100 * change:.1f} %"
    shown.keyboard.press("Enter")
    assert shown.inner_text(".pair h3") == "After teacher"


@pytest.mark.parametrize("width", [1280, 420])
def test_every_bar_stands_above_its_column(open_page, width):
    shown, payload = opened(open_page, "comparison", width=width)
    shown.locator(".heat canvas").scroll_into_view_if_needed()
    top = shown.locator(".heat canvas").bounding_box()["y"]
    for bar, token in zip(shown.locator(".column").all(), payload.tokens["text"], strict=True):
        box = bar.bounding_box()
        for x in (box["x"] + 2, box["x"] + box["width"] - 2):
            shown.mouse.move(x, top + 40)
            assert f"‘{token.text.strip()}’" in tip(shown)


def test_bars_and_map_of_a_long_text_scroll_together(open_page):
    payload = figures.comparison(900)
    shown = open_page(page(payload))
    scrolled = "host => (host.scrollLeft = 2000)"
    shown.eval_on_selector(".heat", scrolled)
    drawn(shown)
    assert shown.eval_on_selector(".divergence", "host => host.scrollLeft") == 2000
    canvas = shown.locator(".heat canvas").bounding_box()
    bar = shown.locator(".column >> nth=400").bounding_box()
    shown.mouse.move(bar["x"] + bar["width"] / 2, canvas["y"] + 40)
    assert "‘w391’" in tip(shown)


def ends(shown: Any) -> list[float]:
    """The numbers below the strip of colours."""
    return [float(text.split()[0]) for text in shown.locator(".legend .ends span").all_inner_texts()]


@pytest.mark.parametrize("name", ["influence", "comparison", "choices"])
def test_colours_of_square_roots_are_marked_as_such(open_page, name):
    shown, payload = opened(open_page, name)
    keys = {"influence": ["Transformer", "RNN"], "comparison": ["change"]}.get(name, [])
    most = max(float(array(payload, key).max()) for key in keys) if keys else 1
    most *= 100 if name == "comparison" else 1  # per cent
    assert ends(shown) == pytest.approx([0, most / 4, most], rel=0.01)
    assert "square root" in shown.inner_text(".below")


# Influence, attribution


def test_influence_by_word_and_by_distance(open_page):
    shown, payload = opened(open_page, "influence")
    for index, name in enumerate(("Transformer", "RNN")):
        matrix = array(payload, name)
        shown.evaluate("i => document.querySelectorAll('.heat canvas')[i].id = `map${i}`", index)
        point(shown, f"#map{index}", 0.4, 0.6)
        column, row, value = re.fullmatch(r"‘.*’ \((\d+)\) on ‘.*’ \((\d+)\): (\S+)", tip(shown)).groups()
        assert float(value) == pytest.approx(matrix[int(row), int(column)], abs=6e-4)
    press(shown, ".chart", *["ArrowRight"] * 5)
    assert "mean influence (logarithmic)" in shown.text_content(".chart")
    lines = tip(shown).splitlines()
    assert lines[0] == "distance 5"
    means = [one["summary"][5]["mean"] for one in payload.views[0]["matrices"]]
    assert [float(line.split(": ")[1]) for line in lines[1:]] == pytest.approx(means, rel=1e-3)


def test_attribution_by_pointer_and_keys(open_page):
    shown, payload = opened(open_page, "attribution")
    scores = array(payload, "scores")
    assert "integrated gradients, 32 steps" in shown.inner_text(".view")
    shown.hover(".scored .token >> nth=4")
    assert tip(shown) == f"student {scores[4]:+.3f}"
    press(shown, ".scored .token >> nth=4", "ArrowRight", "ArrowRight")
    assert tip(shown) == f"the {scores[6]:+.3f}"
    assert shown.inner_text(".said").replace("−", "-") == f"the {scores[6]:+.3f}"
    strongest = np.abs(scores).argmax()
    first = shown.locator(".likely .numbers >> nth=0").inner_text().replace("−", "-")
    assert float(first) == pytest.approx(scores[strongest], abs=6e-4)
