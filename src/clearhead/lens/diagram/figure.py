"""The architecture as a figure in the manner of Vaswani et al. 2017, figure 1: data flows upwards, each sublayer beside
the residual stream it adds to, encoder left of decoder.

A stack is a column of fixed width: the frame, the residual path at `rail`, boxes from `left` to `right`, and the trunk
through their middle.
"""

from dataclasses import dataclass
from textwrap import wrap

from rich.text import Text

from clearhead.config import ModelConfig
from clearhead.lens.architecture import Architecture, Stack, Sublayer
from clearhead.lens.diagram.canvas import Mark, Row, Rows, beside, centred, render, shifted
from clearhead.lens.diagram.labels import (
    attention_lines,
    block_lines,
    embedding_lines,
    head_lines,
    mlp_lines,
    norm_label,
    result_line,
)

COLOURS = {"attention": "yellow", "cross_attention": "yellow", "mlp": "cyan", "embedding": "magenta", "head": "green"}
COLOURS |= {"encoder": "blue", "decoder": "blue"}
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

    @property
    def second(self) -> int:
        """Where a second stack of this width begins."""
        return self.width + GAP


def draw(architecture: Architecture, width: int = 80) -> Text:
    """The whole model in 80 columns or, with its lines cut shorter, fewer."""
    column = column_of(architecture, width)
    columns = [stack_rows(architecture.config, stack, column) for stack in architecture.stacks]
    top = head_rows(architecture.config, column) + columns[-1]
    if len(columns) == 1:
        return render(top + foot_rows(architecture.config, column, ["tokens"]))
    rows = beside(columns[0], shifted(top, column.second))
    connect_memory(rows, len(columns[0]), column)
    return render(rows + foot_rows(architecture.config, column, ["prompt", "text so far"]))


def draw_simplified(architecture: Architecture, width: int = 80) -> Text:
    """The same with each stack as one block."""
    column = column_of(architecture, width)
    columns = [block_rows(architecture, stack.name, column) for stack in architecture.stacks]
    head = block_rows(architecture, "head", column) if head_lines(architecture.config) else []
    top = result_rows(architecture.config, column) + head + columns[-1]
    inputs = ["tokens"]
    if len(columns) == 2:
        top = beside(columns[0], shifted(top, column.second))
        name, edge_above = top[-len(columns[0]) + 1], top[-len(columns[0])]
        edge_above.append(Mark(column.trunk, "─", COLOURS["encoder"]))  # it is read by the decoder, not from above
        name += [Mark(column.right, "├" + "─" * (column.second + column.left - column.right - 2) + "▶", LINE)]
        inputs = ["prompt", "text so far"]
    lines = ["embedding", *block_lines(architecture, "embedding")]
    return render(top + foot_rows(architecture.config, column, inputs, lines))


def column_of(architecture: Architecture, width: int) -> Column:
    """The width that each stack gets; below a smallest one nothing could be read."""
    if len(architecture.stacks) == 2:
        return Column(min(max((width - GAP) // 2, 28), 38))
    return Column(min(max(width, 40), 64))


def block_rows(architecture: Architecture, name: str, column: Column) -> Rows:
    """One block of the simplified form."""
    lines = [
        part for line in block_lines(architecture, name) for part in wrap(line, column.room, break_on_hyphens=False)
    ]
    return box_rows([name, *lines], column.left, column.right, COLOURS[name])


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
    lines = [line[: column.room] for line in head_lines(config)]
    box = box_rows(lines, column.left, column.right, COLOURS["head"]) if lines else []
    return result_rows(config, column) + box


def result_rows(config: ModelConfig, column: Column) -> Rows:
    """What leaves the model."""
    return [[centred(result_line(config), column.trunk)], [centred("▲", column.trunk)]]


def foot_rows(config: ModelConfig, column: Column, inputs: list[str], lines: list[str] | None = None) -> Rows:
    """The embedding below all stacks, and what goes into it."""
    entries = [column.trunk + i * column.second for i in range(len(inputs))]
    whole = Column(column.width + (len(inputs) - 1) * column.second)
    said = [line[: whole.room] for line in lines or embedding_lines(config)]
    box = box_rows(said, whole.left, whole.right, COLOURS["embedding"])
    for row, character in ((box[0], "┴"), (box[-1], "▲")):
        row[:] = [Mark(m.column, m.text.replace("┴", "─").replace("▲", "─"), m.style) for m in row]
        row += [Mark(entry, character) for entry in entries]
    return [*box, [centred(name, entry) for name, entry in zip(inputs, entries, strict=True)]]


def connect_memory(rows: Rows, encoder_height: int, column: Column) -> None:
    """Lead the encoder's output into cross-attention: up, over the gap, and down to the height of its box."""
    target = next(i for i, row in enumerate(rows) if any("cross-attention" in m.text for m in row))
    out, offset = len(rows) - encoder_height - 1, column.second
    gap, box = offset - 2, offset + column.left
    start = min(out, target - 1)
    rows[start] += [Mark(column.trunk, "╭" + "─" * (gap - column.trunk - 1) + "╮", LINE)]
    for row in rows[start + 1 : out + 1]:
        row.append(Mark(column.trunk, "│", LINE))
    for row in rows[start + 1 : target]:
        row.append(Mark(gap, "│", LINE))
    rows[target] += [Mark(gap, "╰" + "─" * (box - gap - 2) + "▶", LINE)]
    rows[target] += [Mark(offset, "┼", LINE), Mark(offset + column.rail, "┼", LINE)]


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
