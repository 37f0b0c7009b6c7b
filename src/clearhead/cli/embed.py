"""`clearhead embed`: texts as vectors, or the lines that are nearest in meaning to a query."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clearhead.cli import arguments as a
from clearhead.cli.on_machine import on_machine
from clearhead.engine.machine import Machine

if TYPE_CHECKING:
    from clearhead.cli.sources import Given
    from clearhead.executor import Floats

Text = Annotated[str | None, a.text("The text to embed")]
Model = Annotated[str, a.model(f"An encoder: {a.NAMES}")]
Near = Annotated[
    str | None,
    typer.Option(
        metavar="QUERY",
        help="With --lines: show the lines nearest in meaning to this text, with their cosines.",
        show_default=False,
        rich_help_panel=a.OUTPUT,
    ),
]
Top = Annotated[
    int, typer.Option(metavar="N", parser=a.whole, help="With --near: how many lines.", rich_help_panel=a.OUTPUT)
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write the vectors as a NumPy file (.npy), one row a text.",
        show_default=False,
        rich_help_panel=a.OUTPUT,
    ),
]


@on_machine
def embed(
    text: Text = None,
    file: a.File = None,
    lines: a.Lines = False,
    model: Model = "minilm-l6-v2",
    near: Near = None,
    top: Top = 5,
    output: Output = None,
    quiet: a.Quiet = False,
    json: a.Json = False,
    *,
    machine: Machine,
) -> None:
    """Turn a text into a vector of meaning.

    Vectors have length 1, so that the product of two is their cosine. They come as JSON, a line for each text; --near
    compares instead.

    Example: clearhead embed "A man rides a bike."
    """
    from clearhead.cli import pictures as p
    from clearhead.cli.json_output import print_json
    from clearhead.cli.opening import load_model
    from clearhead.cli.sources import read_texts, told
    from clearhead.errors import OptionError
    from clearhead.tasks.embed import check_text, open_encoder
    from clearhead.tasks.embed import embed as embed_texts

    if near is not None and not lines:
        raise OptionError("--near compares lines with a query; add --lines")
    if top < 1:
        raise OptionError(f"--top is {top}; it must be at least 1")
    if output is not None:
        p.check(html=output)
    texts = read_texts(text, file, "text", lines=lines)
    encoder = open_encoder(load_model(model, machine))
    for each in texts:
        with told(each):
            check_text(each.text, encoder)
    begun = time.perf_counter()
    vectors = embed_texts([each.text for each in texts], model=encoder)
    if near is not None:
        show_nearest(near, embed_texts(near, model=encoder)[0], texts, vectors, top, json=json)
    elif output is None:
        show_vectors(texts, vectors, encoder.name)
    if output is not None:
        p.write({output: as_npy(vectors)})
        if json and near is None:
            print_json({"model": encoder.name, "file": str(output), "shape": list(vectors.shape)})
    if not quiet:
        from clearhead.cli.quantities import plural
        from clearhead.cli.screen import note

        seconds = time.perf_counter() - begun
        note(f"{encoder.name} · {plural(len(texts), 'text')} · {vectors.shape[1]} numbers each · {seconds:.2f} s")


def show_vectors(texts: "list[Given]", vectors: "Floats", model: str) -> None:
    """A JSON object a line."""
    from clearhead.cli.json_output import print_json_line

    for each, vector in zip(texts, vectors, strict=True):
        numbered = {} if each.line is None else {"line": each.line}
        numbers = [round(float(x), 6) for x in vector]
        print_json_line({**numbered, "model": model, "text": each.text, "embedding": numbers})


def show_nearest(
    query: str, vector: "Floats", texts: "list[Given]", vectors: "Floats", top: int, *, json: bool
) -> None:
    """The lines nearest to the query: number, cosine, line."""
    from clearhead.cli.json_output import print_json
    from clearhead.cli.screen import show_lines
    from clearhead.tasks.embed import nearest
    from clearhead.text.printable import one_line

    found = nearest(vector, vectors, top)
    if json:
        lines = [{"line": texts[i].line, "cosine": cosine, "text": texts[i].text} for i, cosine in found]
        print_json({"query": query, "nearest": lines})
    else:
        show_lines([f"{cosine:.3f}  {one_line(texts[i].text)}" for i, cosine in found])


def as_npy(vectors: "Floats") -> bytes:
    """The vectors as NumPy keeps them."""
    import io

    import numpy as np

    held = io.BytesIO()
    np.save(held, vectors, allow_pickle=False)
    return held.getvalue()
