"""Take the README's pictures of the page: real models, the real page, a real browser.

Run from the repository, with the models pulled and Debian's chromium: `python docs/screens.py`. Needs `.[dev]`.
"""

import io
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

import clearhead as ch
from clearhead.lens.view import Board, View

OUT = Path(__file__).parent / "images"
SIZE = {"width": 1100, "height": 690}
COLOURS = 128  # enough for a page, and a tenth of the bytes
SENTENCE = "The teacher taught the student with the book."
PEOPLE = ["king", "queen", "man", "woman", "prince", "princess", "teacher", "student"]
WORDS = [*PEOPLE, "Paris", "France", "Berlin", "Germany", "Sofia", "Bulgaria", "book"]


def pictures() -> dict[str, tuple[View | Board, str]]:
    """What is shown, and in which colours."""
    smol, minilm = ch.load("smollm2-135m-instruct"), ch.load("minilm-l6-v2")
    asked = smol.trace("The capital of Bulgaria is", max_new_tokens=6)
    seen = minilm.trace(SENTENCE)
    return {
        "attention": (Board(asked.lens.views(), "The capital of Bulgaria is"), "light"),
        "who": (seen.lens.who("book", question="Who has the book?"), "light"),
        "logit-lens": (asked.lens.logit_lens(), "dark"),
        "space": (smol.lens.space(WORDS, analogies=[("man", "king", "woman")]), "dark"),
        "architecture": (ch.load("opus-mt-zh-en").lens.architecture(), "light"),
        "positions": (ch.positional_encoding("I am a robot"), "dark"),
    }


def main() -> None:
    """Draw every picture."""
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright, TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        for name, (view, colours) in pictures().items():
            view.html(Path(folder, f"{name}.html"))
            page = browser.new_page(viewport=SIZE, color_scheme=colours)
            page.goto(Path(folder, f"{name}.html").as_uri())
            page.wait_for_timeout(1500)
            save(page, OUT / f"{name}.png")
            page.close()
        browser.close()


def save(page: Any, path: Path) -> None:
    """The page as it is, in few bytes."""
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    shot.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
