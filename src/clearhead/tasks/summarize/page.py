"""A summary beside its text as one HTML file: point at a sentence, and the passages it rests on light up.

There is no script in it: the rules that light passages up are styles. Like the pages of the lens it forbids every
connection, so that nothing the text or the model says can make one.
"""

import html
from collections.abc import Iterator

from clearhead.tasks.summarize.links import Sentence
from clearhead.tasks.summarize.summary import Summary
from clearhead.text.printable import one_line

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
STYLE = """
:root { color-scheme: light dark; --lit: #ffe28a; --ink: #111; --quiet: #666; --wrong: #b3261e }
@media (prefers-color-scheme: dark) { :root { --lit: #6b5200; --ink: #eee; --quiet: #aaa; --wrong: #ff8a80 } }
body { margin: 0; font: 16px/1.55 system-ui, sans-serif; color: var(--ink) }
main { display: grid; grid-template-columns: minmax(16rem, 2fr) 3fr; gap: 2rem; max-width: 76rem; margin: auto;
  padding: 1.5rem }
@media (max-width: 48rem) { main { grid-template-columns: 1fr } }
#summary { position: sticky; top: 1.5rem; align-self: start }
#text { white-space: pre-wrap; overflow-wrap: anywhere }
h1 { font-size: 1rem; margin: 0 0 .5rem; color: var(--quiet); font-weight: 600 }
a { color: inherit; text-decoration: none; border-radius: .2rem }
a:hover, a:focus, mark:target { background: var(--lit); outline: none }
mark { background: none; color: inherit; border-radius: .2rem }
.wrong { text-decoration: underline wavy var(--wrong) }
p.note, li small { color: var(--quiet); font-size: .85rem }
"""


def page(summary: Summary, text: str, title: str) -> str:
    """The HTML of a whole page."""
    spans = sorted({(source.start, source.end) for each in summary.sentences for source in each.sources})
    names = {span: f"p{i}" for i, span in enumerate(spans)}
    rules = "\n".join(lighting(summary, names))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{html.escape(one_line(title))}</title>
<style>{STYLE}{rules}
</style>
</head>
<body>
<main>
<section id="summary">
<h1>Summary</h1>
{said(summary, names)}
<p class="note">{html.escape(legend(summary))}</p>
</section>
<section>
<h1>Text</h1>
<div id="text">{marked(text, names)}</div>
</section>
</main>
</body>
</html>
"""


def lighting(summary: Summary, names: dict[tuple[int, int], str]) -> Iterator[str]:
    """One rule for each sentence: while it is pointed at, its passages are lit."""
    for i, sentence in enumerate(summary.sentences):
        for state in ("hover", "focus") if sentence.sources else ():
            places = ", ".join(f"#{names[source.start, source.end]}" for source in sentence.sources)
            yield f"main:has(#s{i}:{state}) :is({places}) {{ background: var(--lit) }}"


def said(summary: Summary, names: dict[tuple[int, int], str]) -> str:
    """The summary, each sentence a link to the first passage it rests on."""
    parts = [sentence_html(i, sentence, names) for i, sentence in enumerate(summary.sentences)]
    if summary.style == "bullets":
        return "<ul>\n" + "\n".join(f"<li>{part}</li>" for part in parts) + "\n</ul>"
    return f"<p>{' '.join(parts)}</p>"


def sentence_html(i: int, sentence: Sentence, names: dict[tuple[int, int], str]) -> str:
    """One sentence."""
    words = html.escape(sentence.text)
    wrong = "" if sentence.supported else f' class="wrong" title="{html.escape(doubt(sentence), quote=True)}"'
    if not sentence.sources:
        return f'<span id="s{i}"{wrong}>{words}</span>'
    first = sentence.sources[0]
    return f'<a id="s{i}" href="#{names[first.start, first.end]}"{wrong}>{words}</a>'


def doubt(sentence: Sentence) -> str:
    """Why a sentence is not to be trusted."""
    if sentence.unknown:
        return "not in the text: " + ", ".join(sentence.unknown)
    return "rests on no passage of the text"


def legend(summary: Summary) -> str:
    """What the marks mean, and where this comes from."""
    wrong = len(summary.unsupported)
    marks = f" {wrong} of {len(summary.sentences)} underlined: the text does not bear them out." if wrong else ""
    return f"By {summary.model}; sources by {summary.links}.{marks}"


def marked(text: str, names: dict[tuple[int, int], str]) -> str:
    """The text, with the passages that something rests on as places to go to."""
    found, at = [], 0
    for (start, end), name in names.items():  # in order, and passages never overlap
        found.append(html.escape(text[at:start]))
        found.append(f'<mark id="{name}">{html.escape(text[start:end])}</mark>')
        at = end
    return "".join([*found, html.escape(text[at:])])
