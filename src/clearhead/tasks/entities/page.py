"""A text with its entities in colour, as one HTML page that needs nothing else and forbids every connection."""

import html
from collections.abc import Sequence

from clearhead.lens.page import POLICY
from clearhead.tasks.entities.tagger import Entity
from clearhead.text.printable import one_line

COLOURS = ("#9ecae1", "#a1d99b", "#fdae6b", "#bcbddc", "#fc9272", "#d9d9d9")  # of types, in the model's order
STYLE = """
body { font: 17px/1.7 Georgia, serif; max-width: 46em; margin: 2em auto; padding: 0 1em; color: #222; background: #fff }
p { white-space: pre-wrap; overflow-wrap: anywhere }
mark { padding: 0.1em 0.25em; border-radius: 0.25em; color: #111 }
mark small, li small { font: 600 0.62em/1 system-ui, sans-serif; margin-left: 0.4em; letter-spacing: 0.04em }
footer { font: 13px/1.5 system-ui, sans-serif; color: #666; border-top: 1px solid #ddd; margin-top: 2em }
"""


def page(texts: Sequence[str], found: Sequence[Sequence[Entity]], types: Sequence[str], model: str) -> str:
    """The page of some texts, each a paragraph."""
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(types)}
    body = "\n".join(f"<p>{marked(text, own, colours)}</p>" for text, own in zip(texts, found, strict=True))
    counts = ", ".join(f"{sum(e.type == t for own in found for e in own)} {html.escape(t)}" for t in types)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>Entities</title>
<style>{STYLE}</style>
</head>
<body>
{body}
<footer>{counts} · found by {html.escape(one_line(model))}</footer>
</body>
</html>
"""


def marked(text: str, entities: Sequence[Entity], colours: dict[str, str]) -> str:
    """A text with a mark around each entity."""
    parts, at = list[str](), 0
    for entity in entities:
        parts.append(html.escape(text[at : entity.start]))
        inner, kind = html.escape(text[entity.start : entity.end]), html.escape(entity.type)
        tip = f"{kind}, {entity.score:.2f}, characters {entity.start} to {entity.end}"
        parts.append(
            f'<mark style="background:{colours.get(entity.type, COLOURS[-1])}" title="{tip}">{inner}'
            f"<small>{kind}</small></mark>"
        )
        at = entity.end
    return "".join([*parts, html.escape(text[at:])])
