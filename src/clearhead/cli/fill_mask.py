"""`clearhead fill-mask`: the words that could stand where a text has a blank."""

import time
from typing import Annotated

import typer

from clearhead.cli import arguments as a
from clearhead.cli.on_machine import on_machine
from clearhead.engine.machine import Machine

Text = Annotated[str | None, a.text("A text with [MASK] where a word is missing")]
Top = Annotated[int, typer.Option(metavar="N", parser=a.whole, help="Words to show.", rich_help_panel=a.OUTPUT)]


@on_machine
def fill_mask(
    text: Text = None,
    file: a.File = None,
    lines: a.Lines = False,
    model: a.ModelOption = a.DEFAULT_MODEL,
    top: Top = 5,
    quiet: a.Quiet = False,
    json: a.Json = False,
    *,
    machine: Machine,
) -> None:
    """Fill the blank in a text.

    A masked language model (BERT) fills every [MASK] of a text. A model that writes from left to right fills one: each
    word is judged by how likely the whole text is with it.

    Example: clearhead fill-mask "The capital of France is [MASK]."
    """
    from clearhead.cli.json_output import print_result
    from clearhead.cli.opening import load_model
    from clearhead.cli.screen import columns, note, show_lines
    from clearhead.cli.sources import read_texts, told
    from clearhead.tasks.fill import fill_mask as fill
    from clearhead.text.printable import one_line

    texts = read_texts(text, file, "text", lines=lines)
    loaded = load_model(model, machine)
    begun = time.perf_counter()
    for one in texts:
        with told(one):
            blanks = fill(one.text, model=loaded, top=top)
        if json:
            print_result({"model": loaded.name, "text": one.text, "blanks": blanks}, one.line)
            continue
        for candidates in blanks:
            rows = [[f"{c.probability:6.1%}", one_line(c.word), one_line(c.text)] for c in candidates]
            show_lines(columns(rows))
    if not quiet:
        how = "as a masked language model" if loaded.config.head == "mlm" else "by the likelihood of the whole text"
        note(f"{loaded.name} · {how} · {time.perf_counter() - begun:.2f} s")
