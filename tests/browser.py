"""A page in a real browser: Chromium without a screen, driven by playwright.

Where either is missing, tests skip; with CLEARHEAD_NEED_CHROMIUM=1 they fail instead, so that no gate passes unseen.

Whatever a page of the lens does, it asks nothing of a network and puts nothing into the console: see `open_page`.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

FLAGS = [
    "--no-sandbox",
    "--disable-gpu-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAMES = ("chromium", "chromium-browser", "google-chrome")
OpenPage = Callable[..., Any]


def executable() -> str | None:
    """The browser of this machine (CLEARHEAD_CHROMIUM names another)."""
    named = os.environ.get("CLEARHEAD_CHROMIUM")
    return named or next((found for name in NAMES if (found := shutil.which(name))), None)


def missing(what: str) -> NoReturn:
    """End a test that has no browser: skipped, or failed where one is needed."""
    reason = f"the page's tests need {what}"
    if os.environ.get("CLEARHEAD_NEED_CHROMIUM") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One browser for all tests of a process."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright: pip install playwright")
    if (found := executable()) is None:
        missing("Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[OpenPage]:
    """`open_page(html, theme="light", width=1280, height=800)`: the page, opened from a file, when it has drawn.

    At the end no page may have asked for anything but itself, reported an error, or opened a dialogue.
    """
    seen: list[str] = []
    contexts = []

    def open_one(html: str, *, theme: str = "light", width: int = 1280, height: int = 800) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
        contexts.append(context)
        page = context.new_page()
        path = tmp_path / f"page{len(contexts)}.html"
        path.write_text(html, encoding="utf-8", newline="\n")
        watch(page, path.as_uri(), seen)
        page.goto(path.as_uri())
        drawn(page)
        return page

    yield open_one
    for context in contexts:
        for page in context.pages:
            drawn(page)
        context.close()
    assert seen == []


def watch(page: Any, own: str, seen: list[str]) -> None:
    """Note everything that a page must not do."""
    page.on("console", lambda said: seen.append(f"console: {said.text}") if complains(said) else None)
    page.on("pageerror", lambda error: seen.append(f"error: {error}"))
    page.on("request", lambda asked: seen.append(f"request: {asked.url}") if wanted(asked.url, own) else None)
    page.on("dialog", lambda dialog: (seen.append(f"dialogue: {dialog.message}"), dialog.dismiss()))


def complains(said: Any) -> bool:
    """Whether a line in the console is an error or a warning of the page; a software driver says that it is slow."""
    return said.type in ("error", "warning") and "GL Driver Message" not in said.text


def wanted(url: str, own: str) -> bool:
    """Whether a request went anywhere but to the page itself and its own memory."""
    return url != own and not url.startswith(("blob:", "data:", "about:"))


def drawn(page: Any) -> None:
    """Wait until what was asked for is on the screen."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())))")


def until(page: Any, selector: str, text: str, seconds: float = 10) -> None:
    """Wait until an element says something; playwright's own way evaluates strings, which the policy forbids."""
    end = time.monotonic() + seconds
    while text not in (said := page.text_content(selector)):
        assert time.monotonic() < end, f"{selector} says {said!r}, and never {text!r}"
        page.wait_for_timeout(50)


def inked(page: Any, selector: str) -> int:
    """How many different colours a canvas shows: 1 where nothing is drawn."""
    return int(
        page.evaluate(
            """(selector) => {
                const canvas = document.querySelector(selector);
                const copy = new OffscreenCanvas(canvas.width, canvas.height);
                const context = copy.getContext("2d", { willReadFrequently: true });
                context.drawImage(canvas, 0, 0);
                const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
                return new Set(new Uint32Array(data.buffer)).size;
            }""",
            selector,
        )
    )
