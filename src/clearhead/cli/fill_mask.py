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
    from clearhead.cli.json_output import print_json, print_json_line
    from clearhead.cli.opening import load_model
    from clearhead.cli.screen import columns, note, show_lines
    from clearhead.cli.sources import read_text
    from clearhead.tasks.fill import fill_mask as fill
    from clearhead.text.printable import one_line

    whole = read_text(text, file, "text")
    texts = [line for line in whole.split("\n") if line.strip()] if lines else [whole]
    loaded = load_model(model, machine)
    begun = time.perf_counter()
    for one in texts:
        blanks = fill(one, model=loaded, top=top)
        if json:
            (print_json_line if lines else print_json)({"model": loaded.name, "text": one, "blanks": blanks})
            continue
        for candidates in blanks:
            rows = [[f"{c.probability:6.1%}", one_line(c.word), one_line(c.text)] for c in candidates]
            show_lines(columns(rows))
    if not quiet:
        how = "as a masked language model" if loaded.config.head == "mlm" else "by the likelihood of the whole text"
        note(f"{loaded.name} · {how} · {time.perf_counter() - begun:.2f} s")
