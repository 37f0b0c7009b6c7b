"""`clearhead tokenize`: a text as the pieces a model reads, each with its id."""

from typing import Annotated

import typer

from clearhead.cli import arguments as a
from clearhead.cli import pictures

Text = Annotated[str | None, a.text("The text")]
Ids = Annotated[bool, typer.Option("--ids", help="Print the ids alone, on one line.", rich_help_panel=a.OUTPUT)]
NoSpecial = Annotated[
    bool,
    typer.Option(
        "--no-special-tokens", help="Leave out what frames a text, such as [CLS] and </s>.", rich_help_panel=a.CONTEXT
    ),
]


def tokenize(
    text: Text = None,
    file: a.File = None,
    model: a.ModelOption = a.DEFAULT_MODEL,
    no_special_tokens: NoSpecial = False,
    ids: Ids = False,
    json: a.Json = False,
    html: pictures.Html = None,
    open: pictures.Open = False,
    offline: a.Offline = False,
) -> None:
    """Show how a model cuts a text into tokens.

    On a terminal each piece has a background of its own, its id below. Weights are not read.

    Example: clearhead tokenize "Antidisestablishmentarianism, naturally."
    """
    from clearhead.cli.json_output import print_json
    from clearhead.cli.opening import open_model, require_tokenizer
    from clearhead.cli.quantities import plural
    from clearhead.cli.screen import columns, note, output, show_lines
    from clearhead.cli.sources import read_text
    from clearhead.lens.tokens import TokensView, coloured, cut
    from clearhead.text.printable import one_line

    pictures.check(html=html, open=open)
    content = read_text(text, file, "text")
    checkpoint = open_model(model, offline=offline)
    tokenizer = require_tokenizer(checkpoint, model)
    pieces = cut(content, tokenizer, special=not no_special_tokens)
    window = checkpoint.config.max_positions
    if html is not None:
        pictures.save(
            TokensView(pieces=pieces, window=window, title=f"Tokens of {one_line(model)}"), html=html, open=open
        )
    if json:
        print_json(
            {
                "model": model,
                "count": len(pieces),
                "context_window": window,
                "ids": [p.id for p in pieces],
                "pieces": [p.piece for p in pieces],
                "bytes": [list(p.data) for p in pieces],
            }
        )
        return
    if ids:
        show_lines([" ".join(str(p.id) for p in pieces)])
    elif output().is_terminal:
        for line in coloured(pieces, output().width, window):
            output().print(line, soft_wrap=True)
    else:
        rows = [[str(n), str(p.id), p.shown, one_line(p.piece)] for n, p in enumerate(pieces)]
        show_lines(columns([["position", "id", "text", "piece"], *rows], right=frozenset({0, 1})))
    note(f"{plural(len(pieces), 'token')} · context window {window:,}")
