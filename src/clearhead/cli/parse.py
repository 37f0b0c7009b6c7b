"""`clearhead parse`: sentences as trees of their phrases."""

import time
from typing import Annotated

import typer

from clearhead.cli import arguments as a
from clearhead.cli.on_machine import on_machine
from clearhead.engine.machine import Machine

Text = Annotated[str | None, a.text("The sentences to parse")]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="FOLDER",
        help="A model that `clearhead train parse-ptb` made.",
        show_default=False,
        rich_help_panel=a.MODEL,
    ),
]
Beams = Annotated[
    int, typer.Option(metavar="N", parser=a.whole, help="Search over N hypotheses.", rich_help_panel=a.SEARCH)
]
Brackets = Annotated[
    bool, typer.Option("--brackets", help="One line of brackets for each sentence.", rich_help_panel=a.OUTPUT)
]


@on_machine
def parse(
    text: Text = None,
    file: a.File = None,
    model: Model = None,
    beams: Beams = 5,
    brackets: Brackets = False,
    quiet: a.Quiet = False,
    json: a.Json = False,
    *,
    machine: Machine,
) -> None:
    """Draw the tree of a sentence's phrases.

    Every sentence becomes one tree over its own words. There is no parser to fetch, for treebanks may not be given
    away: `clearhead train parse-ptb` makes one. On a terminal trees are drawn; in a pipe each is a line of brackets.

    Example: clearhead parse "The cat sleeps." --model runs/parse-ptb/model
    """
    from clearhead.cli.json_output import print_json
    from clearhead.cli.opening import load_model
    from clearhead.cli.quantities import plural
    from clearhead.cli.screen import note, output, show_lines
    from clearhead.cli.sources import read_text
    from clearhead.errors import OptionError
    from clearhead.tasks.parse import HOW, drawn, open_parser
    from clearhead.trees.brackets import bracketed

    if model is None:
        raise OptionError(f"there is no parser to fetch; {HOW} as --model")
    whole = read_text(text, file, "text")
    loaded = load_model(model, machine)
    parser = open_parser(loaded)
    begun = time.perf_counter()
    trees = parser.trees(whole, beams)
    if json:
        print_json({"model": loaded.name, "trees": [{"words": t.words, "brackets": bracketed(t)} for t in trees]})
    elif brackets or not output().is_terminal:
        show_lines([bracketed(tree) for tree in trees])
    else:
        show_lines([line for tree in trees for line in [*drawn(tree).split("\n"), ""]][:-1])
    if not quiet:
        note(f"{loaded.name} · {plural(len(trees), 'sentence')} · {time.perf_counter() - begun:.2f} s")
