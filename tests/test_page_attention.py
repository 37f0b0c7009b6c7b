"""The page in a browser: attention, tokens, "who" and the context window; pointer, keyboard, themes, hostile words.

The pages come from `web/fixtures/attention.py`. No page asks for anything or reports an error: `open_page` holds that.
"""

import importlib.util
import json
import re
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import browser as browser_module
from browser import drawn, inked, until
from clearhead.lens.page import frame, page
from clearhead.lens.payload import PackedArray, Payload, from_levels, to_levels, unpack

ROOT = Path(__file__).parents[1]
GLANCE, MATRIX = ".mode.glance canvas", ".mode.matrix canvas"
FOCUSED = "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent"
LINE = ".mode.matrix .readout"
READ = re.compile(r"‘(.*)’ (looks at|cannot look ahead to) ‘(.*)’(?:: (≈ )?(\S+))? \((\d+) → (\d+)\)")


@pytest.fixture(scope="module")
def made() -> ModuleType:
    """The module that makes payloads."""
    spec = importlib.util.spec_from_file_location("lens_fixtures", ROOT / "web" / "fixtures" / "attention.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def small(made: ModuleType) -> Payload:
    return made.small()


def array(payload: Payload, key: str) -> np.ndarray:
    """An array as the page gets it."""
    packed = payload.arrays[key]
    return unpack({**packed.header(), "data": packed.base64})


def chosen(opened: Any) -> tuple[str, str]:
    """Layer and head as the pickers say them."""
    shown = "select => select.selectedOptions[0].textContent"
    return opened.eval_on_selector("select[aria-label=Layer]", shown), opened.eval_on_selector(
        "select[aria-label=Head]", shown
    )


def point(opened: Any, x: float, y: float, selector: str = MATRIX) -> None:
    """Move the pointer to a place of a canvas, in parts of its size."""
    box = opened.locator(selector).bounding_box()
    opened.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
    drawn(opened)


def test_hover_reads_out_the_weight_under_the_pointer(open_page, small):
    opened = open_page(page(small))
    weights = array(small, "decoder.layers.3.attention.weights/2")
    seen = set()
    for x, y in ((0.3, 0.9), (0.5, 0.8), (0.6, 0.5), (0.75, 0.45)):
        point(opened, x, y)
        text = opened.inner_text(LINE)
        query, verb, key, _, value, row, column = READ.fullmatch(text).groups()
        tokens = small.tokens["decoder"]
        assert (query, key) == (tokens[int(row)].text.strip(), tokens[int(column)].text.strip())
        if int(column) > int(row):
            assert (verb, value) == ("cannot look ahead to", None)
        else:
            assert float(value.replace("−", "-")) == pytest.approx(weights[int(row), int(column)], abs=5.1e-4)
        assert opened.inner_text(".tip") == text
        seen.add((row, column))
    assert len(seen) == 4


def test_a_row_shows_its_five_strongest(open_page, small):
    opened = open_page(page(small))
    point(opened, 0.4, 0.9)
    row = int(READ.fullmatch(opened.inner_text(LINE)).group(6))
    weights = array(small, "decoder.layers.3.attention.weights/2")[row]
    shown = [float(text.replace("−", "-")) for text in opened.locator(".side .share .numbers").all_inner_texts()]
    assert shown == pytest.approx(np.sort(weights)[::-1][:5], abs=6e-4)


def test_choosing_a_head_at_a_glance_by_pointer_and_keys(open_page, small):
    opened = open_page(page(small))
    assert chosen(opened) == ("layer 3", "head 2")
    opened.hover(GLANCE, position={"x": 80, "y": 80})
    drawn(opened)
    assert opened.inner_text(".tip").startswith("layer ")
    opened.mouse.down()
    opened.mouse.up()
    picked = chosen(opened)
    assert picked == tuple(opened.inner_text(".tip").split(", "))
    opened.focus(GLANCE)
    for key in ("ArrowDown", "ArrowRight", "Enter"):
        opened.keyboard.press(key)
    layer, head = (int(name.split()[1]) for name in picked)
    assert chosen(opened) == (f"layer {layer + 1}", f"head {head + 1}")


def test_pickers_and_keys_change_layer_and_head(open_page, small):
    opened = open_page(page(small))
    before = opened.screenshot()
    opened.select_option("select[aria-label=Layer]", "5")
    opened.keyboard.press("Escape")
    opened.focus(MATRIX)
    opened.keyboard.press("[")
    opened.keyboard.press("7")
    assert chosen(opened) == ("layer 4", "head 7")
    opened.keyboard.press("]")
    assert chosen(opened) == ("layer 5", "head 7")
    drawn(opened)
    assert opened.screenshot() != before


def test_the_mean_of_heads(open_page, small):
    opened = open_page(page(small))
    opened.select_option("select[aria-label=Head]", "mean")
    opened.focus(MATRIX)
    for key in ("End", *["ArrowDown"] * 9, *["ArrowRight"] * 4):
        opened.keyboard.press(key)
    drawn(opened)
    *_, value, row, column = READ.fullmatch(opened.inner_text(LINE)).groups()
    heads = [array(small, f"decoder.layers.3.attention.weights/{head}") for head in range(8)]
    assert float(value) == pytest.approx(np.mean(heads, axis=0)[int(row), int(column)], abs=6e-4)
    assert (row, column) == ("9", "4")


def test_keyboard_alone_reaches_and_reads_everything(open_page, small):
    opened = open_page(page(small))
    reached = []
    for _ in range(14):
        opened.keyboard.press("Tab")
        reached.append(opened.evaluate(FOCUSED))
    for name in ("Dark colours", "Attention", "Matrix", "Layer", "Head"):
        assert name in reached
    assert any(name.startswith("All heads at a glance") for name in reached)
    assert any(name.startswith("Attention matrix") for name in reached)
    opened.focus("#tab-0")
    opened.keyboard.press("ArrowRight")
    assert opened.get_attribute("#tab-1", "aria-selected") == "true"
    assert opened.is_visible(".pieces") and not opened.is_visible(MATRIX)
    opened.keyboard.press("Tab")
    opened.keyboard.press("ArrowRight")
    assert "id 100" in opened.inner_text(".tip")


def test_zoom_by_keys_and_home(open_page, small):
    opened = open_page(page(small))
    opened.focus(MATRIX)
    whole = opened.locator(MATRIX).screenshot()
    for key in ("+", "+", "+"):
        opened.keyboard.press(key)
    drawn(opened)
    assert opened.locator(MATRIX).screenshot() != whole
    opened.keyboard.press("Home")
    opened.keyboard.press("ArrowRight")
    opened.keyboard.press("ArrowLeft")
    drawn(opened)
    point(opened, 0.99, 0.99)
    assert opened.inner_text(LINE)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 420])
def test_both_themes_and_widths_draw(open_page, small, theme, width):
    opened = open_page(page(small), theme=theme, width=width)
    assert opened.get_attribute("html", "data-theme") == theme
    assert inked(opened, MATRIX) > 20
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    ground = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    opened.click(".top button")
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") != ground
    drawn(opened)
    assert inked(opened, MATRIX) > 20


def test_arcs_isolate_a_word(open_page, small):
    opened = open_page(page(small))
    opened.click("[data-mode=arcs]")
    drawn(opened)
    canvas = ".mode.arcs canvas"
    every = opened.locator(canvas).screenshot()
    opened.focus(canvas)
    for _ in range(9):
        opened.keyboard.press("ArrowRight")
    drawn(opened)
    assert opened.locator(canvas).screenshot() != every
    spoken = opened.inner_text(".view.attention > [aria-live]")
    weights = array(small, "decoder.layers.3.attention.weights/2")[8]
    best = small.tokens["decoder"][int(weights.argmax())].text.strip()
    assert spoken.startswith(f"‘book’ looks at ‘{best}’ {weights.max():.3f}")


def test_cross_attention_has_its_own_heading_and_columns(open_page, made):
    payload = made.translation()
    opened = open_page(page(payload))
    groups = opened.eval_on_selector_all("select[aria-label=Layer] optgroup", "all => all.map((one) => one.label)")
    assert groups == ["encoder self-attention", "decoder self-attention", "decoder cross-attention"]
    opened.click("[data-mode=arcs]")
    drawn(opened)
    opened.focus(".mode.arcs .cross_attention canvas")
    for _ in range(3):
        opened.keyboard.press("ArrowDown")
    weights = array(payload, "decoder.layers.2.cross_attention.weights/2")[2]
    best = payload.tokens["encoder"][int(weights.argmax())].text.strip()
    assert opened.inner_text(".view.attention > [aria-live]").startswith(f"‘Mann’ looks at ‘{best}’")


def test_generated_tokens_step_by_step(open_page, small):
    opened = open_page(page(small))
    opened.click("[data-mode=generated]")
    line = ".mode.generated .readout"
    assert opened.inner_text(line) == "Generated token 1 of 15: ‘It’, whose row computes the token after it: ‘was’"
    opened.click("[aria-label='Next token']")
    assert opened.inner_text(line) == "Generated token 2 of 15: ‘was’, whose row computes the token after it: ‘the’"
    weights = array(small, "decoder.layers.3.attention.weights/2")[11]
    painted = opened.eval_on_selector_all(
        ".running-text span", "all => all.map((one) => one.style.backgroundColor !== '')"
    )
    assert painted == [bool(level) for level in to_levels(weights)]
    opened.click("text=Play")
    until(opened, line, "4 of 15")
    opened.click("text=Pause")
    opened.fill("[aria-label='Generated token']", "24")
    assert opened.inner_text(line) == "Generated token 15 of 15: ‘.’, whose row computes the token after it"


def test_only_the_overview_is_said_plainly(open_page, made):
    payload = made.big(n_tokens=512, n_layers=5)
    opened = open_page(page(payload))
    assert opened.inner_text(".notice") == ""
    opened.focus(MATRIX)
    opened.keyboard.press("]")
    until(opened, ".notice", "head 2")
    assert "layer 4, head 2 only the overview" in opened.inner_text(".notice")
    assert "4 × 4 tokens" in opened.inner_text(".notice")
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        opened.keyboard.press(key)
    drawn(opened)
    overview = array(payload, "decoder.layers.4.attention.weights/overview")[2]
    found = re.fullmatch(r"Tokens (\d+)–\d+ look at tokens (\d+)–\d+: at most ≈ (\S+)", opened.inner_text(LINE))
    row, column = int(found[1]) // 4, int(found[2]) // 4
    assert float(found[3].replace("−", "-")) == pytest.approx(overview[row, column], rel=0.06)


@pytest.mark.parametrize(("mode", "needs"), [("arcs", "arcs need"), ("generated", "this picture needs")])
def test_pictures_of_single_weights_refuse_an_overview(open_page, made, mode, needs):
    payload = made.big(n_tokens=512, n_layers=5)
    payload.views[0]["generatedFrom"] = 500
    opened = open_page(page(payload))
    opened.click(f"[data-mode={mode}]")
    drawn(opened)
    picture = ".mode.arcs canvas" if mode == "arcs" else ".running-text"
    assert opened.is_visible(picture) and opened.inner_text(".notice") == ""
    opened.select_option("select[aria-label=Layer]", "4")
    until(opened, ".notice", "layer 4, head 2")
    assert opened.inner_text(".notice") == (
        f"Of layer 4, head 2 only the overview is in this page, and {needs} every weight; in full: layer 3, heads 0–7."
    )
    assert not opened.is_visible(picture)
    opened.select_option("select[aria-label=Layer]", "3")
    until(opened, ".notice", "")
    opened.wait_for_selector(picture)
    opened.select_option("select[aria-label=Head]", "8")
    until(opened, ".notice", "layer 3, head 8")
    opened.click("[data-mode=matrix]")
    assert opened.is_visible(MATRIX) and "each cell is the largest weight" in opened.inner_text(".notice")


def test_a_lone_peak_stays_in_sight_far_away(open_page, made):
    weights = np.zeros((1, 2048, 2048), np.float32)
    weights[0, 1500, 701] = 1
    payload = Payload(title="peak", model={})
    payload.tokens["decoder"] = made.long_text(2048)
    module = made.module(
        payload, "decoder.layers.0.attention", weights, ("decoder",) * 2, causal=True, full=range(1), long=True
    )
    payload.views = [made.attention_view([module])]
    opened = open_page(page(payload))
    drawn(opened)
    strongest = opened.evaluate(
        """(selector) => {
            const canvas = document.querySelector(selector);
            const { data } = canvas.getContext("2d").getImageData(160, 110, canvas.width - 160, canvas.height - 120);
            let least = 255;
            for (let i = 0; i < data.length; i += 4) least = Math.min(least, data[i + 3] ? data[i] : 255);
            return least;
        }""",
        MATRIX,
    )
    assert strongest < 40  # the strongest colour of the light theme has little red


def test_hostile_words_stay_words(open_page, made):
    opened = open_page(page(made.hostile()))
    for tab in range(4):
        opened.click(f"#tab-{tab}")
        drawn(opened)
    assert opened.evaluate("document.querySelectorAll('img, iframe, object').length") == 0
    assert opened.evaluate("[...document.scripts].filter((one) => one.textContent.startsWith('alert')).length") == 0
    assert opened.inner_text("h1") == "</script><script>alert(2)</script>"
    opened.click("#tab-1")
    words = opened.locator(".piece bdi").all_inner_texts()
    assert words[1] == "<img src=x onerror=alert(1)>"
    assert words[2].strip() == "</script><script>alert(2)</script>"
    assert words[3].strip() == r"a\u202eb" and words[4].strip() == r"\ud800"
    assert opened.evaluate("document.querySelector('.window-end').textContent").startswith(
        "The context window of 12 tokens ends here; 10 more"
    )
    opened.click("#tab-2")
    assert opened.inner_text(".question") == "<img src=x onerror=alert(1)>"


def test_who_ranks_again_for_another_word_and_chooses_the_head(open_page, small):
    opened = open_page(page(small))
    opened.click("#tab-2")
    view = next(view for view in small.views if view["type"] == "who")
    first = opened.inner_text(".ranking li >> nth=0")
    entry = view["ranked"][0]
    assert f"layer {entry['layer']}, head {entry['head']}" in first and f"{entry['weight']:.3f}" in first
    opened.click(".ranking button >> nth=2")
    third = view["ranked"][2]
    opened.click("#tab-0")
    assert chosen(opened) == (f"layer {third['layer']}", f"head {third['head']}")
    assert opened.inner_text(LINE).startswith("‘book’")
    opened.click("#tab-2")
    opened.focus(".who canvas")
    for key in ("ArrowLeft", "ArrowLeft", "Enter"):
        opened.keyboard.press(key)
    until(opened, ".asked", "‘with’")
    rows = {path: array(small, key) for path, key in view["rows"].items()}
    best = max(float(np.delete(row, [0, 6]).max()) for one in rows.values() for row in one[:, 6])  # special, itself
    assert f"{best:.3f}" in opened.inner_text(".ranking li >> nth=0")


DRAWN = re.compile(r"‘([^’]*)’ (≈ )?(\d[\d.e−]*)")
FIRST = ".ranking li >> nth=0"


def links(opened: Any) -> list[tuple[str, str]]:
    """The words that the picture links the asked word to, the three strongest, as whoever listens hears them."""
    opened.focus(".who canvas")
    for key in ("ArrowLeft", "ArrowRight"):
        opened.keyboard.press(key)
    said = opened.inner_text(".who > [aria-live]:last-child")
    return [(word, number) for word, _, number in DRAWN.findall(said.partition(" looks at ")[2])]


def test_who_draws_the_number_that_it_ranks(open_page, made):
    """Of a phrase, and of words of several tokens, the ranking and the picture have the same numbers."""
    payload = made.pieces()
    opened = open_page(page(payload))
    best = payload.views[0]["ranked"][0]
    assert opened.inner_text(".asked").startswith("Where heads look from ‘the dogcatcher’ (8), the strongest first.")
    assert opened.inner_text(FIRST).split("\n")[-1] == f"{best['weight']:.3f}"
    assert links(opened)[0] == ("arianism", f"{best['weight']:.3f}")
    rows = array(payload, payload.views[0]["rows"][best["module"]])[best["head"]]
    mean = rows[[8, 9, 10, 11]].mean(axis=0)
    assert mean[1:4].sum() == pytest.approx(best["weight"], abs=0.01)
    drawn_weights = [float(number) for _, number in links(opened)[1:]]
    words = [[4], [5], [6], [7]]
    assert drawn_weights == pytest.approx(sorted((mean[w].sum() for w in words), reverse=True)[:2], abs=1e-3)


def test_who_asks_about_a_whole_word_and_never_looks_ahead(open_page, made):
    payload = made.pieces()
    opened = open_page(page(payload))
    opened.focus(".who canvas")
    for _ in range(4):
        opened.keyboard.press("ArrowLeft")
    opened.keyboard.press("Enter")
    until(opened, ".asked", "‘of’ (4)")
    opened.keyboard.press("ArrowLeft")
    opened.keyboard.press("Enter")
    until(opened, ".asked", "‘arianism’ (1)")
    assert "Nothing to rank for ‘arianism’ (1): every word before it is left out" in opened.inner_text(".asked")
    assert opened.locator(".ranking li").count() == 0
    assert links(opened) == []
    opened.keyboard.press("ArrowRight")
    opened.keyboard.press("Enter")
    until(opened, ".asked", "Where heads look from ‘of’ (4)")
    assert {word for word, _ in links(opened)} == {"arianism"}  # not the first token, itself, or what comes later
    rows = {path: array(payload, key) for path, key in payload.views[0]["rows"].items()}
    best = max(float(one[:, 4, 1:4].sum(axis=1).max()) for one in rows.values())
    assert opened.inner_text(FIRST).split("\n")[-1] == f"≈ {best:.3f}"  # the page's own sum, of rounded weights


def test_who_tells_words_that_say_the_same_apart(open_page, made):
    payload = made.pieces()
    opened = open_page(page(payload))
    places = [text.split("\n")[1] for text in opened.locator(".ranking li").all_inner_texts()]
    assert {"‘of’ (4)", "‘of’ (7)"} <= set(places)
    ranked = payload.views[0]["ranked"][: len(places)]
    assert [int(place.split("(")[1].rstrip(")")) for place in places] == [one["key"] for one in ranked]


def test_who_keeps_what_it_was_asked_to_include_and_its_target(open_page, made):
    """Asked about another word, the page leaves out and looks for the same as Python did."""
    payload = made.pieces()
    view = payload.views[0]
    view |= {"include": ["self", "special", "first"], "leftOut": []}
    opened = open_page(page(payload))
    opened.focus(".who canvas")
    for _ in range(5):
        opened.keyboard.press("ArrowLeft")
    opened.keyboard.press("Enter")
    until(opened, ".asked", "Where heads look from ‘arianism’")
    texts = " ".join(opened.locator(".ranking li").all_inner_texts())
    assert "‘The’ (0)" in texts and "‘arianism’ (1)" in texts
    view["target"] = [6]
    view["ranked"] = [one for one in view["ranked"] if one["key"] == 6]
    opened = open_page(page(payload))
    assert {word for word, _ in links(opened)} == {"dog"}
    opened.keyboard.press("ArrowLeft")
    opened.keyboard.press("Enter")
    until(opened, ".asked", "‘of’ (7)")
    assert {text.split("\n")[1] for text in opened.locator(".ranking li").all_inner_texts()} == {"‘dog’ (6)"}
    for _ in range(2):
        opened.keyboard.press("ArrowLeft")
    opened.keyboard.press("Enter")
    until(opened, ".asked", "what is looked for stands after it")


def test_numbers_of_several_digits_choose_a_head(open_page, made):
    opened = open_page(page(made.pieces()))
    opened.click("#tab-1")
    opened.focus(MATRIX)
    for key in "12":
        opened.keyboard.press(key)
    assert chosen(opened)[1] == "head 12"
    opened.wait_for_timeout(700)
    opened.keyboard.press("3")
    assert chosen(opened)[1] == "head 3"
    opened.keyboard.press("5")  # there is no head 35
    assert chosen(opened)[1] == "head 5"


def test_the_mean_of_rounded_heads_is_marked_as_rounded(open_page, made):
    opened = open_page(page(made.pieces()))
    opened.click("#tab-1")
    opened.select_option("select[aria-label=Head]", "mean")
    opened.focus(MATRIX)
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        opened.keyboard.press(key)
    drawn(opened)
    assert READ.fullmatch(opened.inner_text(LINE)).group(4) == "≈ "
    assert all(text.startswith("≈ ") for text in opened.locator(".side .share .numbers").all_inner_texts())


def test_the_header_does_not_say_a_name_twice(open_page, made, small):
    opened = open_page(page(made.pieces()))  # its title begins with the model's name
    assert opened.inner_text("header").count("random-pieces") == 1
    assert "layers 2" in opened.inner_text("header")
    opened = open_page(page(small))
    assert opened.inner_text(".facts .name") == "random-tiny"


def test_the_context_window_in_numbers(open_page, small):
    opened = open_page(page(small))
    opened.click("#tab-3")
    assert opened.locator(".window-numbers td").all_inner_texts() == ["64", "25", "15", "39", "3"]
    widths = [one.bounding_box()["width"] for one in opened.locator(".window-bar > div").all()]
    assert widths == pytest.approx([sum(widths) * part / 64 for part in (10, 15, 39)], rel=0.02)


def test_works_inside_the_frame_of_a_notebook(open_page, small):
    """srcdoc, sandboxed: no origin, so no storage; the theme can be changed all the same."""
    opened = open_page(f"<!doctype html><title>notebook</title>{frame(small, 600)}")
    inside = opened.frame_locator("iframe")
    inside.locator(MATRIX).wait_for()
    inside.locator(".top button").click()
    inside.locator("html[data-theme=dark]").wait_for()


def test_in_a_notebook_the_wheel_scrolls_past_the_matrix_until_it_is_clicked(open_page, small):
    cells = (
        f"<div id=cells style='height:90vh;overflow:auto'>{frame(small, 720)}<div style='height:2000px'></div></div>"
    )
    opened = open_page(f"<!doctype html><title>notebook</title>{cells}")
    matrix = opened.frame_locator("iframe").locator(MATRIX)
    matrix.wait_for()
    box = matrix.bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    opened.mouse.click(*middle)
    opened.frames[1].evaluate("window.kept = []; addEventListener('wheel', (one) => kept.push(one.defaultPrevented))")
    opened.mouse.wheel(0, 120)
    opened.frames[1].evaluate("document.activeElement.blur()")
    opened.mouse.wheel(0, 120)
    opened.wait_for_timeout(300)
    assert opened.frames[1].evaluate("kept") == [True, False]
    assert opened.evaluate("cells.scrollTop") > 0


def test_an_unknown_view_and_a_broken_array_are_one_line_each(browser, made, tmp_path):
    payload = made.small()
    key = "decoder.layers.3.attention.weights/2"
    payload.views.append({"type": "horoscope", "title": "Stars"})
    text = page(payload).replace(
        json.dumps({key: payload.arrays[key].header()}, separators=(",", ":"))[1:-1],
        json.dumps({key: {**payload.arrays[key].header(), "shape": [25, 26]}}, separators=(",", ":"))[1:-1],
    )
    path = tmp_path / "broken.html"
    path.write_text(text, encoding="utf-8")
    opened, said = browser.new_page(), []
    opened.on("console", lambda one: said.append(one.text) if one.type == "error" else None)
    opened.goto(path.as_uri())
    until(opened, ".notice", "head 2")
    assert f"array {key} of shape 25 x 26 has 2500 bytes, not 2600" in opened.inner_text(".notice")
    opened.click("#tab-4")
    assert opened.inner_text(".failure") == "Cannot show Stars: this page cannot draw views of the type horoscope."
    assert len(said) == 2
    opened.close()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (zlib.compress(bytes(1 << 24)), "of shape 25 x 25 has more than 2500 bytes"),  # 16 KiB that swell to 16 MiB
        (zlib.compress(bytes(2499)), "of shape 25 x 25 has 2499 bytes, not 2500"),
        (zlib.compress(bytes(2500))[:-6], "of shape 25 x 25 is damaged"),
    ],
    ids=["too many", "too few", "damaged"],
)
def test_a_page_inflates_no_more_than_was_declared(browser, made, tmp_path, data, said):
    payload = made.small()
    key = "decoder.layers.3.attention.weights/2"
    payload.arrays[key] = PackedArray("f32", (25, 25), "linear", "deflate", data)
    path = tmp_path / "swollen.html"
    path.write_text(page(payload), encoding="utf-8")
    opened, wrong = browser.new_page(), []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.goto(path.as_uri())
    until(opened, ".notice", "head 2")
    assert opened.inner_text(".notice") == f"Cannot show layer 3, head 2: array {key} {said}."
    assert wrong == []
    opened.close()


def test_a_missing_browser_fails_where_one_is_needed(monkeypatch):
    monkeypatch.setenv("CLEARHEAD_NEED_CHROMIUM", "1")
    with pytest.raises(pytest.fail.Exception, match="need Chromium"):
        browser_module.missing("Chromium: apt-get install chromium")
    monkeypatch.delenv("CLEARHEAD_NEED_CHROMIUM")
    with pytest.raises(pytest.skip.Exception, match="need Chromium"):
        browser_module.missing("Chromium: apt-get install chromium")


def test_ten_thousand_tokens(open_page, made):
    opened = open_page(page(made.ten_thousand()))
    assert opened.locator(".piece").count() == 10_000
    assert "10\u202f000 tokens" in opened.inner_text(".view.tokens > p")
    opened.evaluate("document.querySelector('.piece:last-of-type').scrollIntoView()")
    drawn(opened)


def test_four_thousand_tokens_zoom_and_scroll(open_page, made):
    """How fast is for benchmarks/page.py; here, that every step shows something else."""
    payload = made.widest()
    opened = open_page(page(payload))
    opened.wait_for_selector(MATRIX)
    drawn(opened)
    pictures = [opened.locator(MATRIX).screenshot()]
    point(opened, 0.4, 0.7)
    for _ in range(4):
        opened.mouse.wheel(0, -600)
        drawn(opened)
        pictures.append(opened.locator(MATRIX).screenshot())
    *_, row, column = READ.fullmatch(opened.inner_text(LINE)).groups()
    point(opened, 0.401, 0.701)
    *_, after_row, after_column = READ.fullmatch(opened.inner_text(LINE)).groups()
    assert abs(int(after_row) - int(row)) < 8 and abs(int(after_column) - int(column)) < 8  # zoomed where it pointed
    opened.mouse.down()
    point(opened, 0.6, 0.5)
    opened.mouse.up()
    pictures.append(opened.locator(MATRIX).screenshot())
    assert len(set(pictures)) == 6


def test_levels_and_pages_agree():
    """The bytes that the page squares are those that Python makes."""
    weights = np.float32([0, 1e-9, 4e-6, 0.25, 1])
    assert to_levels(weights).tolist() == [0, 1, 1, 128, 255]
    assert from_levels(to_levels(weights))[-1] == 1
