"""A text as the pieces a model reads: coloured, each with its id and bytes, up to where the context window ends."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from rich.cells import cell_len
from rich.text import Text

from clearhead.errors import OptionError
from clearhead.lens.payload import Payload, Token
from clearhead.lens.view import WIDTH, View, fonts
from clearhead.text.printable import one_line, spelled
from clearhead.text.tokenizer import Tokenizer
from clearhead.trace import Trace
from clearhead.trace.schema import StackName, last_stack

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from clearhead.engine.model import Model

SHADES = ("black on bright_cyan", "black on bright_yellow")
SPECIAL_SHADE, WRITTEN = "white on blue", "bold underline"  # the latter of what the model wrote
BEYOND_SHADE = "dim"  # of what the context window has no room for
PAINTS = ("#a6dfea", "#f5e6a1")  # the same in a drawing
SPECIAL_PAINT, BEYOND_PAINT = "#b9c4f0", "#e6e6e6"
DRAWN_WIDTH = 96  # characters of a line of a drawing
MOST_DRAWN = 2000  # tokens


def tokens_in(trace: Trace, stack: str) -> list[Token]:
    """The tokens of one stack, harmless to show, with those marked that are special or that the model wrote.

    A token that is nothing but a sign, such as the one with which some decoders start, is special, and shows its number
    where the vocabulary has no spelling for it. A stack that has read nothing gives an empty list.
    """
    given = trace.n_prompt if stack == "decoder" else len(trace.ids.get(stack, ()))
    rows = zip(*(getattr(trace, name).get(stack, ()) for name in ("texts", "pieces", "ids", "special")), strict=True)
    return [
        Token(
            one_line(text or piece) or f"<{token}>",
            one_line(piece),
            int(token),
            special=bool(special) or not text,
            generated=n >= given,
        )
        for n, (text, piece, token, special) in enumerate(rows)
    ]


@dataclass(frozen=True, slots=True)
class Piece:
    """One token: its id, the vocabulary's own spelling, the bytes it stands for, and how to show it."""

    id: int
    piece: str
    data: bytes
    shown: str
    special: bool = False
    generated: bool = False  # the model wrote it


def cut(text: str, tokenizer: Tokenizer, *, special: bool = True) -> list[Piece]:
    """The tokens of a text; `special` frames it as the model was trained."""
    ids = tokenizer.encode(text, add_special_tokens=special)
    found = []
    for i, piece in zip(ids, tokenizer.pieces(ids), strict=True):
        data = tokenizer.token_bytes(i)
        found.append(Piece(i, piece, data, spelled(data) if data else one_line(piece), i in tokenizer.special_ids))
    return found


def coloured(pieces: Sequence[Piece], width: int, window: int | None = None) -> Iterator[Text]:
    """Pairs of lines: pieces on alternating backgrounds, and below each its id; what lies beyond the window is dim, and
    what the model wrote is bold and underlined."""
    above, below, used = Text(), Text(), 0
    for n, piece in enumerate(pieces):
        cell = max(cell_len(piece.shown), len(str(piece.id))) + 1
        if used and used + cell > width:
            yield from (above, below)
            above, below, used = Text(), Text(), 0
        shade = SPECIAL_SHADE if piece.special else SHADES[n % 2]
        shade = f"{WRITTEN} {shade}" if piece.generated else shade
        above.append(piece.shown, BEYOND_SHADE if window is not None and n >= window else shade)
        above.append(" " * (cell - cell_len(piece.shown)))
        below.append(str(piece.id).ljust(cell), "dim")
        used += cell
    yield from (above, below)


@dataclass(kw_only=True, repr=False)
class TokensView(View):
    """How a text is cut, and how much of it the context window holds."""

    type: ClassVar[str] = "tokens"
    height: ClassVar[int] = 260

    pieces: Sequence[Piece]
    window: int  # tokens
    title: str = "Tokens"
    name: str = "text"  # of its token list on a page

    @property
    def dropped(self) -> int:
        """Tokens for which the context window has no room."""
        return max(0, len(self.pieces) - self.window)

    @property
    def summary(self) -> str:
        """How many tokens, and how many fit."""
        n = len(self.pieces)
        new = sum(piece.generated for piece in self.pieces)
        count = f"{n:,} token{'s' * (n != 1)}" + (f", {new:,} written by the model" if new else "")
        count += f" · context window {self.window:,}"
        return count + (f" · {self.dropped:,} do not fit" if self.dropped else "")

    @property
    def figures(self) -> dict[str, Any]:
        """Every token."""
        return {
            "type": self.type,
            "title": self.title,
            "window": self.window,
            "dropped": self.dropped,
            "tokens": [
                {
                    "id": piece.id,
                    "piece": one_line(piece.piece),
                    "text": piece.shown,
                    "bytes": list(piece.data),
                    "special": piece.special,
                    "generated": piece.generated,
                }
                for piece in self.pieces
            ],
        }

    def fill(self, payload: Payload) -> dict[str, Any]:
        """Pieces, their bytes, and where the window ends."""
        tokens = [Token(p.shown, one_line(p.piece), p.id, p.special, p.generated) for p in self.pieces]
        return {
            "list": payload.put_tokens(self.name, tokens),
            "window": self.window,
            "bytes": [list(piece.data) for piece in self.pieces],
            "dropped": self.dropped,
        }

    def terminal(self, width: int = WIDTH) -> Text:
        """Coloured pieces with their ids below, and a count."""
        return Text("\n").join([*coloured(self.pieces, width, self.window), Text(self.summary, "dim")])

    def draw(self, figure: "Figure") -> None:
        """Pieces in boxes of alternating colours, in lines, each with its id below, framed where the model wrote it;
        the first 2,000 of a long text."""
        axes = figure.subplots()
        column, line = 0.0, 0
        for n, piece in enumerate(self.pieces[:MOST_DRAWN]):
            cell = max(cell_len(piece.shown), 0.7 * len(str(piece.id))) + 1
            if column and column + cell > DRAWN_WIDTH:
                column, line = 0.0, line + 1
            paint = SPECIAL_PAINT if piece.special else PAINTS[n % 2]
            edge = "#444444" if piece.generated else "none"
            box = {"facecolor": BEYOND_PAINT if n >= self.window else paint, "edgecolor": edge, "pad": 1.5}
            style: dict[str, Any] = {"family": ["monospace", *fonts()], "parse_math": False}
            axes.text(column, line, piece.shown, size=8, bbox=box, **style)
            axes.text(column, line + 0.42, str(piece.id), size=5.5, color="#666666", **style)
            column += cell
        axes.set(xlim=(0, DRAWN_WIDTH), ylim=(line + 0.8, -0.8))
        axes.axis("off")
        axes.set_title(self.summary, parse_math=False, loc="left")
        figure.set_size_inches(7.2, 0.7 + 0.34 * (line + 1))


def tokens_view(
    model: "Model | Tokenizer", text: str, window: int | None = None, *, special: bool = True
) -> TokensView:
    """How a model's tokenizer cuts a text. The context window is the model's unless named; a tokenizer alone has none,
    so that everything fits.

    Raises:
        TokenizerError: the model came without a vocabulary.
        OptionError: something that is no text.
    """
    from clearhead.engine.model import Model

    if not isinstance(text, str):
        raise OptionError(f"the text is {text!r:.60}; it must be a string")
    if not isinstance(model, Model):
        pieces = cut(text, model, special=special)
        return TokensView(pieces=pieces, window=len(pieces) if window is None else window)
    return TokensView(
        pieces=cut(text, model.tokenizer, special=special),
        window=model.config.max_positions if window is None else window,
        title=f"Tokens of {one_line(model.name)}",
    )


def tokens_of_trace(trace: Trace, stack: str, tokenizer: Tokenizer | None = None) -> TokensView:
    """The tokens that one stack read, up to the end of the model's context window; a tokenizer knows their bytes.

    Raises:
        OptionError: a stack that read nothing.
    """
    tokens = tokens_in(trace, stack)
    if not tokens:
        raise OptionError(f"stack is {stack!r}, which read nothing here; it may be {' or '.join(trace.ids)}")
    data = [b"" if tokenizer is None else tokenizer.token_bytes(token.id) for token in tokens]
    pieces = [Piece(t.id, t.piece, own, t.text, t.special, t.generated) for t, own in zip(tokens, data, strict=True)]
    title = f"Tokens of {one_line(trace.model)}" if trace.model else "Tokens"
    if len(trace.stacks()) > 1:
        title += f", {stack}"
    return TokensView(pieces=pieces, window=trace.config.max_positions, title=title, name=stack)


def check_stack(trace: Trace, stack: object) -> StackName:
    """The stack of that name; the last one where none is named.

    Raises:
        OptionError: the model has no such stack.
    """
    if stack is None:
        return last_stack(trace.config)
    found: StackName | None = next((name for name in trace.stacks() if name == stack), None)
    if found is None:
        raise OptionError(f"stack is {stack!r:.60}; this model has {' and '.join(trace.stacks())}")
    return found
