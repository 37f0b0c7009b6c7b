"""The architecture as a figure in the manner of Vaswani et al. 2017, figure 1: data flows upwards, each sublayer beside
the residual stream it adds to, encoder left of decoder.

A stack is a column of fixed width: the frame, the residual path at `rail`, boxes from `left` to `right`, and the trunk
through their middle.
"""

from dataclasses import dataclass

from rich.text import Text

from clearhead.cli.canvas import Mark, Row, Rows, beside, centred, render, shifted
from clearhead.cli.diagram_labels import (
    attention_lines,
    embedding_lines,
    head_lines,
    mlp_lines,
    norm_label,
    result_line,
)
from clearhead.config import ModelConfig
from clearhead.lens.architecture import Architecture, Stack, Sublayer

COLOURS = {"attention": "yellow", "cross_attention": "yellow", "mlp": "cyan", "embedding": "magenta", "head": "green"}
LINE, NORM = "dim", "italic"
GAP = 4  # columns between encoder and decoder


@dataclass(frozen=True, slots=True)
class Column:
    """Where things stand in a stack of this width."""

    width: int
    rail: int = 2
    left: int = 5

    @property
    def right(self) -> int:
        """The last column of a box."""
        return self.width - 3

    @property
    def trunk(self) -> int:
        """The middle of a box, where data comes in below and leaves above."""
        return (self.left + self.right) // 2

    @property
    def room(self) -> int:
        """Characters a line in a box may have."""
        return self.right - self.left - 3


ONE = Column(64)
TWO = Column(38)


def draw(architecture: Architecture) -> Text:
    """The whole model, at most 80 columns wide."""
    both = len(architecture.stacks) == 2
    column = TWO if both else ONE
    columns = [stack_rows(architecture.config, stack, column) for stack in architecture.stacks]
    top = head_rows(architecture.config, column) + columns[-1]
    if not both:
        return render(top + foot_rows(architecture.config, ONE, ["tokens"]))
    offset = TWO.width + GAP
    rows = beside(columns[0], shifted(top, offset))
    connect_memory(rows, len(columns[0]), offset)
    return render(rows + foot_rows(architecture.config, Column(2 * TWO.width + GAP), ["prompt", "text so far"]))


def stack_rows(config: ModelConfig, stack: Stack, column: Column) -> Rows:
    """A stack in its frame, with the norm after its last layer."""
    rows: Rows = []
    if config.norm_placement == "pre":
        rows.append([centred(norm_label(config), column.trunk, NORM)])
    rows.append(frame_top(f"{stack.name} × {stack.n_layers}", column))
    rows += [framed(row, column) for row in layer_rows(config, stack, column)]
    rows.append(edge("╰", "┬", "╯", 0, column.width - 1, column.trunk))
    return rows


def layer_rows(config: ModelConfig, stack: Stack, column: Column) -> Rows:
    """One layer, last sublayer on top."""
    if config.residual == "parallel":
        return parallel_rows(config, stack, column)
    blocks = [sublayer_rows(config, stack, sublayer, column) for sublayer in reversed(stack.sublayers)]
    return [row for block in blocks for row in block]


def sublayer_rows(config: ModelConfig, stack: Stack, sublayer: Sublayer, column: Column) -> Rows:
    """A box beside its residual path; the norm stands below it (pre) or above the sum (post)."""
    norm = [centred(norm_label(config), column.trunk, NORM)]
    lines = sublayer_lines(config, stack, sublayer, column.room)
    box = box_rows(lines, column.left, column.right, COLOURS[sublayer.kind])
    pre = config.norm_placement == "pre"
    inside = [*box, norm] if pre else box
    join = [Mark(column.rail, "┌" + "─" * (column.trunk - column.rail - 1), LINE), Mark(column.trunk, "⊕")]
    split = [Mark(column.rail, "└" + "─" * (column.trunk - column.rail - 1) + "┤", LINE)]
    rows = [join, *([Mark(column.rail, "│", LINE), *row] for row in inside), split]
    return rows if pre else [norm, *rows]


def parallel_rows(config: ModelConfig, stack: Stack, column: Column) -> Rows:
    """Attention and MLP read one norm, and their outputs are added together (Chowdhery et al. 2022, section 2)."""
    middle = column.trunk
    halves = (column.left, middle - 1), (middle + 1, column.right)
    said = [
        sublayer_lines(config, stack, sublayer, right - left - 3)
        for sublayer, (left, right) in zip(stack.sublayers, halves, strict=True)
    ]
    height = max(map(len, said))
    boxes = [
        box_rows(lines + [""] * (height - len(lines)), left, right, COLOURS[sublayer.kind])
        for sublayer, lines, (left, right) in zip(stack.sublayers, said, halves, strict=True)
    ]
    centres = [(left + right) // 2 for left, right in halves]
    inside = [
        edge("╭", "┴", "╮", centres[0], centres[1], middle),
        *beside(*boxes),
        edge("╰", "┬", "╯", centres[0], centres[1], middle),
        [centred(norm_label(config), middle, NORM)],
    ]
    join = [Mark(column.rail, "┌" + "─" * (middle - column.rail - 1), LINE), Mark(middle, "⊕")]
    split = [Mark(column.rail, "└" + "─" * (middle - column.rail - 1) + "┤", LINE)]
    return [join, *([Mark(column.rail, "│", LINE), *row] for row in inside), split]


def sublayer_lines(config: ModelConfig, stack: Stack, sublayer: Sublayer, room: int) -> list[str]:
    """What a sublayer's box says, cut to its room."""
    lines = mlp_lines(config) if sublayer.kind == "mlp" else attention_lines(config, stack.name, sublayer.kind, room)
    return [line[:room] for line in lines]


def head_rows(config: ModelConfig, column: Column) -> Rows:
    """From the last states to the result."""
    lines = head_lines(config)
    result: Rows = [[centred(result_line(config), column.trunk)], [centred("▲", column.trunk)]]
    if not lines:
        return result
    return result + box_rows([line[: column.room] for line in lines], column.left, column.right, COLOURS["head"])


def foot_rows(config: ModelConfig, column: Column, inputs: list[str]) -> Rows:
    """The embedding below all stacks, and what goes into it."""
    entries = [ONE.trunk] if len(inputs) == 1 else [TWO.trunk, TWO.trunk + TWO.width + GAP]
    box = box_rows(
        [line[: column.room] for line in embedding_lines(config)], column.left, column.right, COLOURS["embedding"]
    )
    for row, character in ((box[0], "┴"), (box[-1], "▲")):
        row[:] = [Mark(m.column, m.text.replace("┴", "─").replace("▲", "─"), m.style) for m in row]
        row += [Mark(entry, character) for entry in entries]
    return [*box, [centred(name, entry) for name, entry in zip(inputs, entries, strict=True)]]


def connect_memory(rows: Rows, encoder_height: int, offset: int) -> None:
    """Lead the encoder's output into cross-attention: up, over the gap, and down to the height of its box."""
    target = next(i for i, row in enumerate(rows) if any("cross-attention" in m.text for m in row))
    out = len(rows) - encoder_height - 1
    gap, box = offset - 2, offset + TWO.left
    start = min(out, target - 1)
    rows[start] += [Mark(TWO.trunk, "╭" + "─" * (gap - TWO.trunk - 1) + "╮", LINE)]
    for row in rows[start + 1 : out + 1]:
        row.append(Mark(TWO.trunk, "│", LINE))
    for row in rows[start + 1 : target]:
        row.append(Mark(gap, "│", LINE))
    rows[target] += [Mark(gap, "╰" + "─" * (box - gap - 2) + "▶", LINE)]
    rows[target] += [Mark(offset, "┼", LINE), Mark(offset + TWO.rail, "┼", LINE)]


def box_rows(lines: list[str], left: int, right: int, style: str) -> Rows:
    """A rounded box with centred lines, an exit above its middle and an entry below."""
    middle = (left + right) // 2
    body = [
        [Mark(left, "│", style), centred(line, middle, "bold" if i == 0 else ""), Mark(right, "│", style)]
        for i, line in enumerate(lines)
    ]
    return [edge("╭", "┴", "╮", left, right, middle, style), *body, edge("╰", "▲", "╯", left, right, middle, style)]


def edge(first: str, middle: str, last: str, left: int, right: int, at: int, style: str = LINE) -> Row:
    """A horizontal line with something in it."""
    return [Mark(left, first + "─" * (right - left - 1) + last, style), Mark(at, middle, style)]


def frame_top(title: str, column: Column) -> Row:
    """The upper edge of a stack's frame, its name right of the trunk."""
    row = edge("╭", "┴", "╮", 0, column.width - 1, column.trunk)
    return [*row, Mark(column.trunk + 2, f" {title} ", "bold")]


def framed(row: Row, column: Column) -> Row:
    """A row between the sides of the frame."""
    return [Mark(0, "│", LINE), *row, Mark(column.width - 1, "│", LINE)]
