"""`clearhead tokenize`: a text as the pieces a model reads, each with its id."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from clearhead.cli import arguments as a

if TYPE_CHECKING:
    from rich.text import Text as RichText

    from clearhead.text.tokenizer import Tokenizer

Text = Annotated[
    str | None, typer.Argument(metavar="TEXT|-", help="The text; - reads standard input.", show_default=False)
]
Ids = Annotated[bool, typer.Option("--ids", help="Print the ids alone, on one line.", rich_help_panel=a.OUTPUT)]
NoSpecial = Annotated[
    bool,
    typer.Option(
        "--no-special-tokens", help="Leave out what frames a text, such as [CLS] and </s>.", rich_help_panel=a.CONTEXT
    ),
]
SHADES = ("black on bright_cyan", "black on bright_yellow")
SPECIAL_SHADE = "white on blue"


@dataclass(frozen=True, slots=True)
class Piece:
    """One token: its id, the vocabulary's own spelling, the bytes it stands for, and how to show it."""

    id: int
    piece: str
    data: bytes
    shown: str


def tokenize(
    text: Text = None,
    file: a.File = None,
    model: a.ModelOption = a.DEFAULT_MODEL,
    no_special_tokens: NoSpecial = False,
    ids: Ids = False,
    json: a.Json = False,
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

    content = read_text(text, file, "text")
    checkpoint = open_model(model, offline=offline)
    tokenizer = require_tokenizer(checkpoint, model)
    pieces = cut(content, tokenizer, special=not no_special_tokens)
    window = checkpoint.config.max_positions
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
        for line in coloured(pieces, tokenizer, output().width):
            output().print(line, soft_wrap=True)
    else:
        rows = [[str(n), str(p.id), p.shown, one_line_piece(p)] for n, p in enumerate(pieces)]
        show_lines(columns([["position", "id", "text", "piece"], *rows], right=frozenset({0, 1})))
    note(f"{plural(len(pieces), 'token')} · context window {window:,}")


def cut(text: str, tokenizer: "Tokenizer", *, special: bool) -> list[Piece]:
    """The tokens of a text."""
    from clearhead.cli.printable import one_line, spelled

    ids = tokenizer.encode(text, add_special_tokens=special)
    found = []
    for i, piece in zip(ids, tokenizer.pieces(ids), strict=True):
        data = tokenizer.token_bytes(i)
        found.append(Piece(i, piece, data, spelled(data) if data else one_line(piece)))
    return found


def one_line_piece(piece: Piece) -> str:
    """The vocabulary's spelling, harmless."""
    from clearhead.cli.printable import one_line

    return one_line(piece.piece)


def coloured(pieces: Sequence[Piece], tokenizer: "Tokenizer", width: int) -> Iterator["RichText"]:
    """Pairs of lines: pieces on alternating backgrounds, and below each its id."""
    from rich.cells import cell_len
    from rich.text import Text as Line

    above, below, used = Line(), Line(), 0
    for n, piece in enumerate(pieces):
        cell = max(cell_len(piece.shown), len(str(piece.id))) + 1
        if used and used + cell > width:
            yield from (above, below)
            above, below, used = Line(), Line(), 0
        shade = SPECIAL_SHADE if piece.id in tokenizer.special_ids else SHADES[n % 2]
        above.append(piece.shown, shade)
        above.append(" " * (cell - cell_len(piece.shown)))
        below.append(str(piece.id).ljust(cell), "dim")
        used += cell
    yield from (above, below)
