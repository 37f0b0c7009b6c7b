"""A bar for every engine, as SVG."""

from typing import Any
from xml.sax.saxutils import escape

WIDTH, LEFT, ROW, GAP = 860, 210, 20, 34
OURS, PEER, INK = "#2f6f8f", "#c9b79c", "#333333"


def bars(records: dict[str, dict[str, Any]]) -> str:
    """One group for every table, each with its own scale."""
    parts: list[str] = []
    y = 8
    for title, found in records.items():
        parts.append(text(8, y + 14, f"{title} ({found['unit']})", "bold"))
        y += 24
        longest = max((row["median"] for row in found["rows"]), default=1.0)
        for row in found["rows"]:
            parts += bar(y, row, longest)
            y += ROW
        y += GAP - ROW
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" font-family="sans-serif" font-size="12">'
    )
    ground = f'<rect width="{WIDTH}" height="{y}" fill="white"/>'
    return "\n".join([head, ground, *parts, "</svg>"]) + "\n"


def bar(y: int, row: dict[str, Any], longest: float) -> list[str]:
    """Name, bar, extremes as a thin line, figure."""
    scale = (WIDTH - LEFT - 120) / longest / 1.15
    length, low, high = (
        scale * min(v, 1.15 * longest) for v in (row["median"], min(row["values"]), max(row["values"]))
    )
    colour = PEER if row["ratio"] is not None else OURS
    figure = f"{row['median']:,.0f}" if row["median"] >= 100 else f"{row['median']:.3g}"
    return [
        text(LEFT - 8, y + 13, row["label"], anchor="end"),
        f'<rect x="{LEFT}" y="{y + 2}" width="{length:.1f}" height="{ROW - 5}" fill="{colour}"/>',
        f'<path d="M{LEFT + low:.1f} {y + 9} H{LEFT + high:.1f}" stroke="{INK}"/>',
        text(LEFT + max(length, high) + 6, y + 13, figure),
    ]


def text(x: float, y: float, words: str, weight: str = "normal", anchor: str = "start") -> str:
    """A line of it."""
    style = f'font-weight="{weight}" text-anchor="{anchor}" fill="{INK}"'
    return f'<text x="{x:.1f}" y="{y}" {style}>{escape(words)}</text>'
