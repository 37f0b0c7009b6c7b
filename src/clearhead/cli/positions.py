"""`clearhead positions`: how positions become numbers, by the formula of 2017 or as a loaded model does it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clearhead.cli import arguments as a
from clearhead.cli import pictures

if TYPE_CHECKING:
    from clearhead.lens.positions import PositionalEncoding, Positions

FORMULA = "The formula"
Text = Annotated[str, typer.Argument(metavar="TEXT|-", help="The words, one row each; - reads standard input.")]
N = Annotated[
    float | None,
    typer.Option(
        "--n",
        metavar="N",
        parser=a.number,
        help="The base of the wavelengths, 10,000 in the paper. [default: 100]",
        rich_help_panel=FORMULA,
    ),
]
D = Annotated[
    int | None,
    typer.Option(
        "--d", metavar="D", parser=a.whole, help="Numbers per position. [default: 4]", rich_help_panel=FORMULA
    ),
]
Model = Annotated[str | None, a.model("Show this model's own positions instead: learned, rotary, ALiBi or relative.")]


def positions(
    text: Text = "I am a robot",
    n: N = None,
    d: D = None,
    model: Model = None,
    html: pictures.Html = None,
    png: pictures.Png = None,
    svg: pictures.Svg = None,
    open: pictures.Open = False,
    json: a.Json = False,
    offline: a.Offline = False,
) -> None:
    """Show how positions become numbers.

    Each word gets a row of sines and cosines, as in the first Transformer: sin(k / N^(2i/D)) and cos(k / N^(2i/D)) for
    word k. In a file or pipe every digit is printed.

    Example: clearhead positions "I am a robot" --n 100 --d 4
    """
    from clearhead.cli.json_output import print_json
    from clearhead.cli.sources import read_text
    from clearhead.errors import OptionError

    pictures.check(html=html, png=png, svg=svg, open=open)
    content = read_text(text, None, "text")
    if model is not None and (n is not None or d is not None):
        raise OptionError("--n and --d are for the formula, and --model has positions of its own; drop one of them")
    if model is not None:
        views = of_model(model, content, offline=offline)
        found: dict[str, Any] = {"model": model, "text": content, "views": [view.figures for view in views]}
    else:
        views = [by_formula(content, n, d)]
        found = {"text": content, **views[0].figures}
    picture(views, model, html=html, png=png, svg=svg, open=open)
    if json:
        print_json(found)
    else:
        show(views, exact=model is None)


def by_formula(text: str, n: float | None, d: int | None) -> "PositionalEncoding":
    """The matrix of a phrase."""
    from clearhead.lens.positions import positional_encoding

    base = 100.0 if n is None else n
    return positional_encoding(text, 4 if d is None else d, int(base) if base.is_integer() else base)


def of_model(model: str, text: str, *, offline: bool) -> list["Positions"]:
    """A model's own positions, labelled by the tokens of the text; only what they need is read of its weights."""
    from functools import partial

    from clearhead.cli.opening import open_model, require_tokenizer
    from clearhead.lens.schemes import position_views
    from clearhead.lens.tokens import cut
    from clearhead.lens.weights import weight

    checkpoint = open_model(model, offline=offline)
    labels = [piece.shown for piece in cut(text, require_tokenizer(checkpoint, model))]
    return position_views(checkpoint.config, partial(weight, checkpoint), labels=labels, name=model)


def picture(views: Sequence["Positions"], model: str | None, **files: Any) -> None:
    """The views as files."""
    if any(files.values()):
        from clearhead.lens.view import Board

        pictures.save(views[0] if len(views) == 1 else Board(views, f"Positions of {model}"), **files)


def show(views: Sequence["Positions"], *, exact: bool) -> None:
    """Tables and heat maps on a terminal; elsewhere, where `exact`, the formula's every digit."""
    from clearhead.cli.screen import NARROW, columns, output, show_lines
    from clearhead.lens.positions import PositionalEncoding
    from clearhead.text.printable import one_line

    console = output()
    for i, view in enumerate(views):
        if exact and isinstance(view, PositionalEncoding) and not console.is_terminal:
            rows = [["position", "word", *view.columns]]
            rows += [
                [str(k), one_line(word), *map(repr, row)]
                for k, (word, row) in enumerate(zip(view.words, view.matrix.tolist(), strict=True))
            ]
            show_lines(columns(rows, right=frozenset({0, *range(2, view.d_model + 2)})))
            continue
        if i:
            console.print()
        console.print(view.terminal(console.width if console.is_terminal else NARROW), soft_wrap=True, end="")
