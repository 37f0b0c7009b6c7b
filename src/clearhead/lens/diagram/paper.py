"""The figure of an architecture for papers, in the manner of figure 1 of Vaswani et al. 2017.

Data flows upwards along the trunk of a column; `Column.y` is how far it has come. The path around each sublayer runs on
the outer side: left of an encoder, right of a decoder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING

from clearhead.lens.architecture import Architecture, Stack
from clearhead.lens.diagram.labels import block_lines, head_lines, result_line
from clearhead.lens.diagram.parts import Part, layer, parts
from clearhead.lens.diagram.sheet import CORNER, INK, NAME, Box, Point, Sheet, box_height, box_width, sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {
    "attention": "#fbe2c5", "cross_attention": "#fbe2c5", "mlp": "#cfe4f4", "norm": "#f4f1cb", "tokens": "#f7d9de",
    "positions": "#f7d9de", "token_types": "#f7d9de", "pooler": "#dddcf1", "head": "#dddcf1",
    "embedding": "#f7d9de", "encoder": "#e4eef6", "decoder": "#e4eef6",
}  # fmt: skip
FRAME = "#f6f7f8"
STEP, FORK, SPLIT = 13.0, 23.0, 9.0  # how far the trunk rises to a box, below attention, and before a path leaves it
RAIL, OUTER, INNER = 13.0, 23.0, 12.0  # from a box to the path around it and to both sides of the frame
SUM, GUTTER, BESIDE = 5.5, 34.0, 10.0  # a sum's radius; room between two stacks, and between boxes of a row
INPUTS = {1: ("tokens",), 2: ("prompt", "text so far")}  # by the number of stacks
READ = {"positions": "0, 1, 2, …", "token_types": "types"}  # what is looked up besides tokens
SHARED = "shared with the encoder"
WRAPPED = 44  # characters of a line in the simplified form


@dataclass(slots=True)
class Column:
    """The trunk of one stack, as far as it is drawn."""

    sheet: Sheet
    x: float
    width: float
    outside: int  # -1: the path around runs on the left, 1: on the right
    y: float = 0.0

    def rise(self, step: float, *, arrow: bool = True) -> None:
        """Go on upwards."""
        self.sheet.line((self.x, self.y), (self.x, self.y + step), arrow=arrow)
        self.y += step

    def box(self, lines: Sequence[str], kind: str, step: float = STEP) -> Box:
        """Go up to a box and through it; without a step the way to it is drawn already."""
        if step:
            self.rise(step)
        box = self.sheet.box(lines, self.x, self.y, self.width, COLOURS[kind])
        self.y = box.top
        return box

    def sum(self, step: float = STEP) -> float:
        """Go up to a sum and through it; its height."""
        self.rise(step)
        middle = self.y + SUM
        self.sheet.plus(self.x, middle, SUM)
        self.y = middle + SUM
        return middle

    def around(self, start: float, end: float, edge: float) -> None:
        """The residual path: out at one height, in again at another, up to `edge` from the trunk."""
        rail = self.x + self.outside * (self.width / 2 + RAIL)
        self.sheet.line((self.x, start), (rail, start), (rail, end), (self.x + self.outside * edge, end))


def draw_full(figure: "Figure", found: Architecture, name: str) -> None:
    """Every part of a layer, and what stands before and after the layers."""
    page, made = sheet(figure), parts(found)
    width = box_room(found, made)
    apart = max(width + 2 * INNER + GUTTER, len(feet(made)) * (foot_room(made) + BESIDE))
    memory: Point | None = None
    for i, stack in enumerate(found.stacks):
        column = Column(page, i * apart, width, -1 if stack.name == "encoder" else 1)
        draw_foot(column, found, made, INPUTS[len(found.stacks)][i], shared=i > 0)
        draw_stack(column, found, stack, made, memory)
        memory = (column.x, column.y)
    draw_head(column, found, [lines_of(made[id]) for id in ("pooler", "head") if id in made])
    caption(page, found, name, apart * (len(found.stacks) - 1) / 2)
    page.finish(figure)


def lines_of(part: Part) -> list[str]:
    """What a box says."""
    count = f"{part.parameters:,} parameters" if part.parameters else "no parameters of its own"
    return [part.label, *part.lines, *([] if part.kind == "positions" and not part.weights else [count])]


def added(norm: Part) -> list[str]:
    """What the box of a norm says that is read after a sum."""
    name, *more = lines_of(norm)
    return [f"add & {name}", *more]


def box_room(found: Architecture, made: Mapping[str, Part]) -> float:
    """The width of every box on a trunk: that of the widest; a pair has room for two."""
    alone = ("tokens", "positions", "token_types", "residual", "rotary", "bias")
    boxes = [lines_of(part) for part in made.values() if part.kind not in alone]
    boxes += [added(part) for part in made.values() if part.kind == "norm"]
    width = max(map(box_width, boxes))
    return 2 * width + BESIDE if found.config.residual == "parallel" else max(width, 130)


def feet(made: Mapping[str, Part]) -> list[Part]:
    """What is looked up and added before the first layer, from left to right."""
    return [part for part in made.values() if part.kind in ("tokens", "positions", "token_types") and part.weights]


def foot_room(made: Mapping[str, Part]) -> float:
    """The width of each of them."""
    return max(box_width([*foot_lines(part), SHARED]) for part in feet(made))


def foot_lines(part: Part) -> list[str]:
    """What a box below the sum says: its shape instead of words, for there are up to three of them in a row."""
    shape = " × ".join(f"{n:,}" for n in part.shape or ())
    return [
        part.label,
        shape,
        *(line for line in part.lines if line.startswith("×")),
        f"{part.parameters:,} parameters",
    ]


def draw_foot(column: Column, found: Architecture, made: Mapping[str, Part], given: str, *, shared: bool) -> None:
    """From the tokens to what the first layer reads."""
    page, row, width = column.sheet, feet(made), foot_room(made)
    height, boxes = max(box_height(foot_lines(part)) for part in row), []
    for i, part in enumerate(row):
        at = column.x + (i - (len(row) - 1) / 2) * (width + BESIDE)
        lines = [*foot_lines(part)[:-1], SHARED] if shared else foot_lines(part)
        page.text(given if part.kind == "tokens" else READ[part.kind], at, -STEP - 6, colour=INK)
        page.line((at, -STEP), (at, 0))
        boxes.append(page.box(lines, at, 0, width, COLOURS[part.kind], height))
    column.y = height
    if len(boxes) > 1:
        join_feet(column, boxes)
    if found.config.position == "sinusoidal":
        add_wave(column)
    if "embed.norm" in made:
        column.box(lines_of(made["embed.norm"]), "norm")


def join_feet(column: Column, boxes: Sequence[Box]) -> None:
    """Two or three looked-up vectors become one sum: from both sides and, of three, from below."""
    middle = column.y + STEP + SUM
    for box in (boxes[0], boxes[-1]):
        edge = column.x + (SUM if box.x > column.x else -SUM)
        column.sheet.line((box.x, column.y), (box.x, middle), (edge, middle))
    if len(boxes) == 3:
        column.sheet.line((column.x, column.y), (column.x, middle - SUM))
    column.sheet.plus(column.x, middle, SUM)
    column.y = middle + SUM


def add_wave(column: Column) -> None:
    """Positional encoding that is computed, not learned (section 3.5)."""
    page, side = column.sheet, column.outside
    middle = column.sum(STEP + 4)
    at = column.x + side * 40
    page.line((at - side * 9, middle), (column.x + side * SUM, middle))
    page.wave(at, middle, 9)
    for i, word in enumerate(("sinusoidal", "positions")):
        page.text(word, at + side * 14, middle + 5 - 10 * i, align="left" if side > 0 else "right")


def draw_stack(
    column: Column, found: Architecture, stack: Stack, made: Mapping[str, Part], memory: Point | None
) -> None:
    """The layers in their frame, and the norm after the last."""
    page, config = column.sheet, found.config
    column.rise(STEP, arrow=False)
    align = "right" if column.outside > 0 else "left"
    page.text(f"T × {config.d_model:,}", column.x - column.outside * 5, column.y - STEP / 2, align=align)
    bottom = column.y
    if config.residual == "parallel":
        draw_parallel(column, stack, made)
    else:
        for sublayer in stack.sublayers:
            id = f"{layer(stack)}.{sublayer.kind}"
            draw_sublayer(column, made[id], made[f"{id}_norm"], config.norm_placement == "pre", memory)
    column.rise(SPLIT, arrow=False)
    left, right = (OUTER, INNER) if column.outside < 0 else (INNER, OUTER)
    frame = Box(x=column.x + (right - left) / 2, y=bottom, width=column.width + left + right, height=column.y - bottom)
    page.frame(frame, FRAME, behind=True)
    name_frame(column, stack, frame, made.get(f"{stack.name}.position_bias"))
    if f"{stack.name}.norm" in made:
        column.box(lines_of(made[f"{stack.name}.norm"]), "norm")


def name_frame(column: Column, stack: Stack, frame: Box, bias: Part | None) -> None:
    """How many layers of what, outside the frame, and the table that they share, if there is one."""
    edge, align = frame.side(column.outside) + column.outside * 7, "right" if column.outside < 0 else "left"
    column.sheet.text(f"{stack.n_layers} ×", edge, frame.middle + 4, size=13, colour=INK, align=align)
    shared = [*bias.label.split(" ", 1), " × ".join(map(str, bias.shape))] if bias and bias.shape else []
    for i, line in enumerate([stack.name, "", *shared]):
        column.sheet.text(line, edge, frame.middle - 9 - 10 * i, align=align)


def draw_sublayer(column: Column, own: Part, norm: Part, pre: bool, memory: Point | None) -> None:
    """A sublayer and the path around it: x + f(norm(x)), or norm(x + f(x))."""
    column.rise(SPLIT, arrow=False)
    start = column.y
    if pre:
        column.box(lines_of(norm), "norm")
    if own.kind != "mlp":
        draw_fork(column, memory if own.kind == "cross_attention" else None)
    column.box(lines_of(own), own.kind, 0 if own.kind != "mlp" else STEP)
    if pre:
        column.around(start, column.sum(), SUM)
    else:
        box = column.box(added(norm), "norm")
        column.around(start, box.middle, column.width / 2)


def draw_fork(column: Column, memory: Point | None) -> None:
    """What attention is given: values, keys and queries from below or, across, keys and values from the encoder."""
    page, x, low, high = column.sheet, column.x, column.y, column.y + FORK
    bus, apart = low + 8, column.width / 5
    page.line((x, low), (x, high))
    if memory is None:
        for end in (x - apart, x + apart):
            page.line((x, bus - CORNER), (x, bus), (end, bus), (end, high))
    else:
        lead_memory(column, memory, bus, [x - 2 * apart, x - apart], high)
    for name, at in zip(
        "VKQ", (x - apart, x, x + apart) if memory is None else (x - 2 * apart, x - apart, x), strict=True
    ):
        page.text(name, at + 5, high - 8, align="left")
    column.y = high


def lead_memory(column: Column, memory: Point, bus: float, ends: Sequence[float], high: float) -> None:
    """The encoder's output on its way to the keys and values of cross-attention."""
    x, y = memory
    over, gap = y + STEP, column.x - column.width / 2 - INNER - GUTTER / 2
    far, near = max(ends), min(ends)
    column.sheet.line((x, y), (x, over), (gap, over), (gap, bus), (far, bus), (far, high))
    column.sheet.line((near - CORNER, bus), (near, bus), (near, high))


def draw_parallel(column: Column, stack: Stack, made: Mapping[str, Part]) -> None:
    """Attention and MLP read one norm, and their outputs are added together (Chowdhery et al. 2022, section 2)."""
    page, x = column.sheet, column.x
    column.rise(SPLIT, arrow=False)
    start = column.y
    column.box(lines_of(made[f"{layer(stack)}.attention_norm"]), "norm")
    both = [made[f"{layer(stack)}.{kind}"] for kind in ("attention", "mlp")]
    width, height = (column.width - BESIDE) / 2, max(box_height(lines_of(part)) for part in both)
    low, bus, high = column.y, column.y + 8, column.y + FORK
    centres = [x - (width + BESIDE) / 2, x + (width + BESIDE) / 2]
    entries = [centres[0] - width / 4, centres[0], centres[0] + width / 4, centres[1]]
    page.line((x, low), (x, bus), arrow=False)
    for end in entries:
        page.line((x, bus), (end, bus), (end, high))
    for name, at in zip("VKQ", entries, strict=False):
        page.text(name, at + 5, high - 8, align="left")
    column.y = high + height + 8
    for part, centre in zip(both, centres, strict=True):
        page.box(lines_of(part), centre, high, width, COLOURS[part.kind], height)
        page.line((centre, high + height), (centre, column.y), (x, column.y), arrow=False)
    column.around(start, column.sum(), SUM)


def draw_head(column: Column, found: Architecture, boxes: Sequence[Sequence[str]]) -> None:
    """From the last states to the result."""
    for lines in boxes:
        column.box(lines, "head")
    column.rise(STEP)
    column.sheet.text(result_line(found.config), column.x, column.y + 8, size=NAME, colour=INK)


def draw_simple(figure: "Figure", found: Architecture, name: str) -> None:
    """Encoder and decoder as one block each."""
    page = sheet(figure)
    said = {block: block_text(found, block) for block in ("embedding", *(str(s.name) for s in found.stacks), "head")}
    width = max(box_width([*lines, SHARED]) for lines in said.values())
    apart, beside = width + 2 * GUTTER, None
    for i, stack in enumerate(found.stacks):
        column = Column(page, i * apart, width, 1)
        page.text(INPUTS[len(found.stacks)][i], column.x, -STEP - 6, colour=INK)
        page.line((column.x, -STEP), (column.x, 0))
        column.box([*said["embedding"][:-1], SHARED] if i else said["embedding"], "embedding", 0)
        box = column.box(said[stack.name], stack.name)
        if beside:
            page.line((beside.side(1), beside.middle), (box.side(-1), beside.middle))
            page.text("memory", (beside.side(1) + box.side(-1)) / 2, beside.middle + 7)
        beside = box
    draw_head(column, found, [said["head"]] if head_lines(found.config) else [])
    caption(page, found, name, apart * (len(found.stacks) - 1) / 2)
    page.finish(figure)


def block_text(found: Architecture, block: str) -> list[str]:
    """A block's name and what is inside, in short lines."""
    return [
        block,
        *(part for line in block_lines(found, block) for part in wrap(line, WRAPPED, break_on_hyphens=False)),
    ]


def caption(page: Sheet, found: Architecture, name: str, x: float) -> None:
    """Which model this is, below all."""
    page.text(f"{name + ': ' if name else ''}{found.parameters:,} parameters", x, -STEP - 26)
