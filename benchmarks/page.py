"""`python -m benchmarks.page FILE.html`: how soon a page of the lens opens, and how many frames a second it draws.

With `--text TEXT` the page is made first: the attention of every head of SmolLM2-135M over the text's first tokens.

A real browser (Chromium without a screen: every pixel is made by the processor) opens the file and, where it shows an
attention matrix, zooms into it, drags it about and zooms out again, one step a frame. The page's own clock says when it
opened and when each frame came.
"""

import argparse
import json
import resource
import shutil
import statistics
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

FLAGS = ["--no-sandbox", "--disable-gpu-sandbox", "--disable-background-networking", "--disable-component-update"]
MATRIX = ".mode.matrix canvas"
OPENED = """() => new Promise((done) => {
    const look = () => document.querySelector(".view > *, .failure")
        ? requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now())))
        : requestAnimationFrame(look);
    look();
})"""
DRIVEN = """([selector, steps]) => new Promise((done) => {
    const canvas = document.querySelector(selector);
    const box = canvas.getBoundingClientRect();
    const at = (x, y) => ({ clientX: box.left + x * box.width, clientY: box.top + y * box.height, bubbles: true });
    const pointer = (type, x, y) =>
        canvas.dispatchEvent(new PointerEvent(type, { ...at(x, y), pointerId: 1, button: 0, buttons: 1 }));
    const wheel = (by) =>
        canvas.dispatchEvent(new WheelEvent("wheel", { ...at(0.5, 0.5), deltaY: by, cancelable: true }));
    const times = [];
    let step = 0;
    const frame = (now) => {
        times.push(now);
        const part = step / steps;
        const angle = 20 * part;
        if (part < 0.3) wheel(-120 * 30 / steps);
        else if (part < 0.7) {
            if (part - 1 / steps < 0.3) pointer("pointerdown", 0.5, 0.5);
            pointer("pointermove", 0.5 + 0.3 * Math.sin(angle), 0.5 + 0.3 * Math.cos(angle));
        } else {
            if (part - 1 / steps < 0.7) pointer("pointerup", 0.5, 0.5);
            wheel(120 * 30 / steps);
        }
        if (step++ < steps) requestAnimationFrame(frame);
        else done(times);
    };
    requestAnimationFrame(frame);
})"""


def main() -> None:
    """Measure every file asked for."""
    asked = arguments()
    making = {} if asked.text is None else make(asked.files[0], asked.text, asked.tokens)
    found = {str(file): measured(file, asked.browser, asked.frames) for file in asked.files}
    found[str(asked.files[0])] |= making
    if asked.json:
        print(json.dumps(found, indent=2))
        return
    for name, one in found.items():
        matrix = "no matrix"
        if "fps" in one:
            matrix = f"matrix in {one['matrix_s']:.2f} s, {one['fps']:.0f} frames/s, slowest {one['slowest_ms']:.0f} ms"
        if "tokens" in one:
            held = f"at its peak {one['peak']:.3f} times the {one['trace_megabytes']:.0f} MB it holds"
            print(f"{one['tokens']} tokens, {one['heads']} heads: traced in {one['trace_s']:.1f} s, {held};")
            print(f"the page made in {one['page_s']:.1f} s")
        print(f"{name}: {one['megabytes']:.1f} MB, open in {one['open_s']:.2f} s, {matrix}")


def make(file: Path, text: Path, tokens: int) -> dict[str, float]:
    """Trace the first tokens of a text, and write the page of all heads. The peak is what this process took beyond what
    reading the text without a trace did."""
    import clearhead as ch

    if not text.is_file():
        sys.exit(f"there is no text {text}; WikiText-2's test set is what docs/results.md used")
    model = ch.load("smollm2-135m-instruct")
    ids = model.tokenizer.encode(text.read_text(encoding="utf-8")[: 16 * tokens])[:tokens]
    read = model.tokenizer.decode(ids)
    while len(model.tokenizer.encode(read)) > tokens:  # a text cut between tokens may be cut into more of them
        read = read[:-1]
    model.trace(read, kinds=["decoder.layers.0.input"])
    before, began = most_memory(), time.perf_counter()
    trace = model.trace(read, kinds=["weights"])
    traced, peak = time.perf_counter(), most_memory() - before
    trace.lens.attention(layer=3, head=2).html(file)
    return {
        "tokens": len(trace.tokens),
        "heads": sum(len(trace.heads_of(f"{module}.weights")) for module in trace.attentions()),
        "trace_s": traced - began,
        "trace_megabytes": trace.nbytes / 1e6,
        "peak": peak / trace.nbytes,
        "page_s": time.perf_counter() - traced,
    }


def most_memory() -> int:
    """Bytes that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measured(file: Path, browser: str, frames: int) -> dict[str, float]:
    """One file, in a fresh browser."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sys.exit("measuring a page needs playwright: pip install playwright")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=browser, args=FLAGS)
        page = started.new_page(viewport={"width": 1280, "height": 800})
        page.goto(file.resolve().as_uri())
        found = {"megabytes": file.stat().st_size / 1e6, "open_s": float(page.evaluate(OPENED)) / 1000}
        if wait_for_matrix(page):
            found["matrix_s"] = float(page.evaluate(OPENED)) / 1000
            page.mouse.move(640, 400)
            found |= speed(page.evaluate(DRIVEN, [MATRIX, frames]))
        started.close()
    return found


def wait_for_matrix(page: Any) -> bool:
    """Whether the page shows one; its weights may still be unpacked when the page has opened."""
    if not page.query_selector(".view.attention"):
        return False
    page.wait_for_selector(MATRIX, timeout=60_000)
    return True


def speed(times: list[float]) -> dict[str, float]:
    """Frames per second over all, and the slowest and the median frame, of the times at which frames began."""
    spans = [after - before for before, after in pairwise(times)]
    return {
        "fps": 1000 * len(spans) / (times[-1] - times[0]),
        "median_ms": statistics.median(spans),
        "slowest_ms": max(spans),
    }


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser("python -m benchmarks.page", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.html")
    parser.add_argument("--browser", default=shutil.which("chromium") or "chromium", help="(%(default)s)")
    parser.add_argument("--text", type=Path, help="make the first page of this text")
    parser.add_argument("--tokens", type=int, default=2048, help="of the text (%(default)s)")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--json", action="store_true", help="print all numbers as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
