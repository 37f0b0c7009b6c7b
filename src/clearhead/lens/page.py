"""A payload as one HTML file that needs nothing else: no network, no server, no other file.

The page's own rule (its Content-Security-Policy) forbids every connection, so that nothing a model or a text says can
make one. The scripts are built from `web/` and lie in `lens/page/`; `space.js`, which draws in three dimensions, comes
along only where a view needs it.
"""

import html
import re
from functools import cache
from importlib.resources import files

from clearhead.lens.payload import Payload, dumps
from clearhead.text.printable import one_line

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'"
)
ENDING = re.compile("<(?=/script|!--)", re.IGNORECASE)  # with no `<!--`, `<script` changes nothing
UNTRUSTED = "The picture itself is interactive: it shows once the notebook is trusted, or its cells have run here."
IN_SPACE = frozenset({"space"})  # the types of views that need `space.js`


def page(payload: Payload) -> str:
    """The HTML of a whole page."""
    scripts = ["lens.js", *(["space.js"] if any(view["type"] in IN_SPACE for view in payload.views) else [])]
    arrays = "\n".join(
        f'<script type="text/plain" data-array="{html.escape(name)}">{array.base64}</script>'
        for name, array in payload.arrays.items()
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{html.escape(one_line(payload.title))}</title>
<style>{built("lens.css")}</style>
</head>
<body>
<main id="lens"><noscript>This page draws with JavaScript, which is switched off here.</noscript></main>
<script type="application/json" id="payload">{inside_json(dumps(payload.header()))}</script>
{arrays}
{"".join(f"<script>{inside_script(built(name))}</script>" for name in scripts)}
</body>
</html>
"""


def frame(payload: Payload, height: int, instead: str = "") -> str:
    """The page inside a frame of its own, for a notebook: nothing of either side reaches the other.

    Where a notebook is shown but not trusted (opened from elsewhere in JupyterLab, or on GitHub), frames and styles are
    taken out of it; then `instead` is what the reader sees. Beside a frame it stays hidden.
    """
    inner = html.escape(page(payload), quote=True)
    words = html.escape("\n".join(map(one_line, instead.split("\n"))))
    return (
        f'<iframe sandbox="allow-scripts allow-downloads" srcdoc="{inner}" '
        f'style="width:100%;height:{height}px;border:0" title="{html.escape(one_line(payload.title))}"></iframe>'
        f'<div class="clearhead-instead"><pre>{words}</pre><p>{UNTRUSTED}</p></div>'
        "<style>iframe + .clearhead-instead { display: none }</style>"
    )


@cache
def built(name: str) -> str:
    """One built part of the page."""
    return (files("clearhead.lens") / "page" / name).read_text(encoding="utf-8")


def inside_json(text: str) -> str:
    """JSON that no parser takes for the end, or the beginning, of a script element: `<` stands in its strings alone."""
    return text.replace("<", "\\u003c")


def inside_script(code: str) -> str:
    """The same for JavaScript, where `<` is an operator too; before these two it stands only in what is quoted."""
    return ENDING.sub("\\\\x3c", code)
