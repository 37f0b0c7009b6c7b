"""Views in a notebook: a frame that works where the notebook is trusted, and words where frames are taken out of it.

JupyterLab puts the HTML of an output into the notebook's page as it is when the notebook is trusted; else it leaves out
elements that are not on its list, `iframe` and `style` among them, with all that is in them. GitHub does the same.
"""

import html
from html.parser import HTMLParser
from typing import Any

import pytest

import clearhead as ch
from browser import drawn, inked
from clearhead.lens.page import frame
from clearhead.lens.payload import Payload
from clearhead.lens.view import Board

MISSING = {"iframe", "script", "style"}  # what an untrusted output loses, of what frames are made of
INSTEAD = ".clearhead-instead"


class Sanitizer(HTMLParser):
    """What is left of an untrusted output."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.left: list[str] = []
        self.within = 0  # elements that are left out
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in MISSING:
            self.within += 1
        elif not self.within:
            kept = "".join(f' {name}="{html.escape(value or "")}"' for name, value in attrs if name == "class")
            self.left.append(f"<{tag}{kept}>")

    def handle_endtag(self, tag: str) -> None:
        if tag in MISSING:
            self.within -= 1
        elif not self.within:
            self.left.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if not self.within:
            self.left.append(html.escape(data))


def notebook(*outputs: str) -> str:
    """A page around outputs, scrolled by an element of its own, as JupyterLab's is."""
    cells = "".join(f'<div class="output">{output}</div>' for output in outputs)
    return (
        '<!doctype html><meta charset="utf-8"><title>notebook</title>'
        f'<body style="margin:0;height:100vh;overflow:hidden"><div style="height:100%;overflow:auto">{cells}</div>'
    )


def untrusted(output: str) -> str:
    return "".join(Sanitizer(output).left)


@pytest.fixture(scope="module")
def view() -> Any:
    return ch.positional_encoding("I am a robot")


def test_a_trusted_output_is_its_frame_alone(open_page, view):
    opened = open_page(notebook(view._repr_html_()), theme="dark")
    inside = opened.frame_locator("iframe")
    inside.locator("canvas").first.wait_for()
    assert not opened.locator(INSTEAD).is_visible()
    assert opened.locator(".output").bounding_box()["height"] < view.height + 10
    assert inside.locator("html").get_attribute("data-theme") == "dark"  # of the system; a notebook keeps its own
    assert inked(opened.frames[1], "canvas") > 20


def test_keys_and_pointer_stay_in_their_frame(open_page, view):
    opened = open_page(notebook(view._repr_html_(), view._repr_html_()))
    opened.evaluate("window.pressed = 0; addEventListener('keydown', () => window.pressed++)")
    first = opened.frame_locator("iframe >> nth=0")
    second = opened.frame_locator("iframe >> nth=1")
    first.locator("canvas").first.wait_for()
    second.locator("canvas").first.wait_for()
    first.locator(".top button").click()
    first.locator("html[data-theme=dark]").wait_for()
    assert second.locator("html").get_attribute("data-theme") == "light"
    opened.keyboard.press("Tab")
    opened.keyboard.press("ArrowDown")
    drawn(opened)
    assert opened.evaluate("[document.activeElement.tagName, window.pressed]") == ["IFRAME", 0]


def test_the_frame_reaches_nothing_of_the_notebook(open_page, view):
    opened = open_page(notebook(view._repr_html_()))
    opened.frame_locator("iframe").locator("canvas").first.wait_for()
    tried = opened.frames[1].evaluate("() => { try { return parent.document.title; } catch { return 'refused'; } }")
    assert (tried, opened.frames[1].evaluate("self.origin")) == ("refused", "null")


def test_an_untrusted_output_is_the_view_in_characters(open_page, view):
    """Beside a trusted one too, whose styles hold for the whole notebook."""
    output = view._repr_html_()
    opened = open_page(notebook(output, untrusted(output)))
    assert opened.locator("iframe").count() == 1
    first, second = opened.locator(INSTEAD).all()
    assert not first.is_visible() and second.is_visible()
    assert second.locator("pre").inner_text().rstrip() == str(view).rstrip()
    assert "trusted" in second.locator("p").inner_text()


def test_hostile_characters_stay_characters(open_page):
    evil = "</pre></div><img src=x onerror=alert(1)><script>alert(2)</script>"
    output = frame(Payload(title=evil, model={}), 100, evil)
    opened = open_page(notebook(output, untrusted(output)))
    assert opened.evaluate("document.querySelectorAll('img, script').length") == 0
    assert opened.locator(f"{INSTEAD} pre >> nth=1").inner_text() == evil
    assert opened.locator("iframe").get_attribute("title") == evil


def test_a_board_names_its_views_instead(view):
    left = untrusted(Board([view, view], "Two views")._repr_html_())
    assert "Two views" in left and left.count(html.escape(view.title)) == 2
