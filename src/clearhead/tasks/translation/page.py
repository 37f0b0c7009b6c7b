"""A translation beside its source as one HTML file: point at a word, and the words it comes from light up.

Like the pages of the lens it forbids every connection, and holds all it needs.
"""

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from clearhead.lens.page import POLICY
from clearhead.tasks.translation.languages import name_of
from clearhead.tasks.translation.records import Translation
from clearhead.text.printable import one_line

STYLE = """
:root { color-scheme: light dark; --lit: 255 200 60; --ink: #111; --quiet: #666 }
@media (prefers-color-scheme: dark) { :root { --lit: 190 140 0; --ink: #eee; --quiet: #aaa } }
body { margin: 0; font: 17px/1.7 Georgia, serif; color: var(--ink) }
main { max-width: 72rem; margin: auto; padding: 1.5rem }
.line { display: grid; grid-template-columns: 1fr 1fr; gap: 2rem; margin: 0 0 .4rem }
@media (max-width: 40rem) { .line { grid-template-columns: 1fr; gap: 0; margin-bottom: 1rem } }
p { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere }
h1, footer { font: 13px/1.5 system-ui, sans-serif; color: var(--quiet); margin: 0 0 1rem }
span[data-to] { border-radius: .2em; cursor: default; outline-offset: 1px }
"""
SCRIPT = """
const light = (word, on) => {
  word.style.background = on ? 'rgb(var(--lit) / 1)' : '';
  for (const pair of word.dataset.to.split(' ').filter(Boolean)) {
    const [id, weight] = pair.split(':');
    document.getElementById(id).style.background = on ? `rgb(var(--lit) / ${weight})` : '';
  }
};
for (const [name, on] of [['mouseover', true], ['mouseout', false], ['focusin', true], ['focusout', false]]) {
  document.addEventListener(name, (event) => {
    const word = event.target.closest('span[data-to]');
    if (word) light(word, on);
  });
}
"""
FAINTEST = 0.15  # how strongly a word of the least weight is lit


@dataclass(frozen=True, slots=True)
class Spot:
    """A word on the page: its characters [start, end), its name, and the names it lights with their weights."""

    start: int
    end: int
    name: str
    to: tuple[tuple[str, float], ...]


def page(lines: Sequence[Translation], from_: str | None, to: str, model: str) -> str:
    """The HTML of a whole page. Each line must have its alignment."""
    body = "\n".join(pair(i, line) for i, line in enumerate(lines))
    source = name_of(from_) if from_ else "Source"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>Translation</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<div class="line"><h1>{html.escape(source)}</h1><h1>{html.escape(name_of(to))}</h1></div>
{body}
<footer>Translated by {html.escape(one_line(model))}. Point at a word: the words it comes from light up, by how much of
it the model's attention finds there.</footer>
</main>
<script>{SCRIPT}</script>
</body>
</html>
"""


def pair(i: int, line: Translation) -> str:
    """One line and its translation."""
    left, right = spots(i, line)
    source, target = "".join(marked(line.source, left)), "".join(marked(line.text, right))
    return f'<div class="line"><p>{source}</p><p>{target}</p></div>'


def spots(i: int, line: Translation) -> tuple[list[Spot], list[Spot]]:
    """The words of a line and of its translation, each with its partners."""
    names: dict[tuple[int, int], str] = {}
    partners: dict[tuple[int, int], list[tuple[str, float]]] = {}
    right = []
    for j, word in enumerate(line.alignment or ()):
        lights = []
        for origin in word.sources:
            place = (origin.start, origin.end)
            name = names.setdefault(place, f"s{i}-{origin.start}")
            lights.append((name, origin.weight))
            partners.setdefault(place, []).append((f"t{i}-{j}", origin.weight))
        right.append(Spot(word.start, word.end, f"t{i}-{j}", tuple(lights)))
    left = [Spot(*place, name, tuple(partners[place])) for place, name in sorted(names.items())]
    return left, right


def marked(text: str, words: Sequence[Spot]) -> Iterator[str]:
    """A text with a mark around each word."""
    at = 0
    for word in words:
        yield html.escape(text[at : word.start])
        to = " ".join(f"{name}:{max(FAINTEST, weight):.2f}" for name, weight in word.to)
        yield f'<span id="{word.name}" tabindex="0" data-to="{to}">{html.escape(text[word.start : word.end])}</span>'
        at = word.end
    yield html.escape(text[at:])
