"""`clearhead neighbours`: what a model holds to be alike."""

from typing import TYPE_CHECKING, Annotated

import typer

from clearhead.cli import arguments as a
from clearhead.cli import pictures
from clearhead.cli.on_machine import on_machine
from clearhead.engine.machine import Machine

if TYPE_CHECKING:
    from clearhead.lens.space import Analogy, Space

WORDS = "Words"
Words = Annotated[list[str] | None, typer.Argument(metavar="WORD", help="One word, or several to compare.")]
Top = Annotated[int, typer.Option(metavar="N", parser=a.whole, help="Show the N nearest.", rich_help_panel=WORDS)]
Layer = Annotated[
    int | None,
    typer.Option(
        metavar="I",
        parser=a.whole,
        help="Compare what layer I makes of each word alone, -1 the last; the input embedding otherwise.",
        rich_help_panel=WORDS,
    ),
]
AnalogyOption = Annotated[
    tuple[str, str, str] | None,
    typer.Option("--analogy", metavar="A B C", help="A is to B as C is to what?", rich_help_panel=WORDS),
]
Method = Annotated[
    str,
    typer.Option(
        metavar="pca|umap", help="How many dimensions become three in pictures.", rich_help_panel=pictures.PICTURES
    ),
]


@on_machine
def neighbours(
    words: Words = None,
    model: a.ModelOption = a.DEFAULT_MODEL,
    top: Top = 10,
    layer: Layer = None,
    analogy: AnalogyOption = None,
    method: Method = "pca",
    html: pictures.Html = None,
    png: pictures.Png = None,
    svg: pictures.Svg = None,
    open: pictures.Open = False,
    json: a.Json = False,
    *,
    machine: Machine,
) -> None:
    """Show which words a model holds to be alike.

    The nearest tokens of its whole vocabulary by the cosine of their embeddings, and angles and distances between
    several words. A page shows them as points in space.

    Example: clearhead neighbours king queen man woman --analogy man king woman
    """
    from clearhead.cli.json_output import print_json
    from clearhead.cli.opening import load_model, working
    from clearhead.errors import OptionError

    pictures.check(html=html, png=png, svg=svg, open=open)
    chosen = list(words or analogy or ())
    if not chosen:
        raise OptionError("there is no word; give one or more, or an analogy with --analogy A B C")
    loaded = load_model(model, machine)
    from clearhead.lens.neighbours import embedding_space

    with working("comparing"):
        found = embedding_space(
            loaded, chosen, layer, method=method, top=top, analogies=[analogy] if analogy is not None else []
        )
    if html or png or svg:
        pictures.save(found, html=html, png=png, svg=svg, open=open)
    if json:
        print_json({"model": model, **found.figures})
    else:
        show(found)


def show(found: "Space") -> None:
    """Relations of several words, then the neighbours of each, then analogies."""
    from clearhead.cli.screen import columns, output, show_lines

    console = output()
    several = len(found.neighbours) != 1
    if several and console.is_terminal:
        console.print(found.terminal(console.width), soft_wrap=True, end="")
        return
    blocks = [relations(found)] if several and len(found.words) > 1 else []
    blocks += [nearest(found), *([analogies(found.analogies)] if found.analogies else [])]
    for i, rows in enumerate(block for block in blocks if len(block) > 1):
        numbers = frozenset(c for c, cell in enumerate(rows[0]) if cell in ("cosine", "angle", "distance", "id"))
        show_lines([*([""] if i else []), *columns(rows, right=numbers)])


def relations(found: "Space") -> list[list[str]]:
    """A row for every two words."""
    from clearhead.text.printable import one_line

    rows = [["word", "other", "cosine", "angle", "distance"]]
    names = [one_line(word) for word in found.words]
    for i in range(len(names)):
        for j in range(i + 1, len(names)):
            r = found.between(i, j)
            rows.append([names[i], names[j], f"{r.cosine:.6f}", f"{r.angle_degrees:.2f}°", f"{r.distance:.6g}"])
    return rows


def nearest(found: "Space") -> list[list[str]]:
    """A row for every neighbour of the words asked about."""
    from clearhead.text.printable import one_line

    rows = [["word", "neighbour", "cosine", "piece", "id"]]
    for word, near in zip(found.words, found.neighbours, strict=False):
        rows += [
            [one_line(word), n.label, f"{n.cosine:.6f}", n.piece or "", "" if n.id is None else str(n.id)] for n in near
        ]
    return rows


def analogies(found: "tuple[Analogy, ...]") -> list[list[str]]:
    """A row for every answer."""
    from clearhead.text.printable import one_line

    rows = [["analogy", "answer", "cosine"]]
    for x in found:
        question = one_line(f"{x.a} is to {x.b} as {x.c} is to")
        rows += [[question, n.label, f"{n.cosine:.6f}"] for n in x.results]
    return rows
