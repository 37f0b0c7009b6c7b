"""Draw the README's picture: real commands run in a real terminal, their colours kept, as one SVG.

Run from the repository, with the default model pulled: `python docs/pictures.py`.
"""

import io
import os
import pty
import re
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

COMMANDS = [
    'clearhead complete "Which is the capital of Bulgaria?"',
    'clearhead tokenize "I am a robot" --model smollm2-135m-instruct',
    "clearhead inspect smollm2-135m-instruct",
]
WIDTH, LINES_OF_INSPECT = 80, 34
OUT = Path(__file__).parent / "images" / "complete.svg"
# Rich's own frame loads a web font; a picture in a README must not fetch anything.
FRAME = """<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>.{unique_id}-matrix {{ font-family: Menlo, Consolas, "DejaVu Sans Mono", monospace;
font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
{styles}</style>
<defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>{lines}</defs>
<rect fill="#1d1f21" width="{width}" height="{height}" rx="8"/>
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}<g class="{unique_id}-matrix">{matrix}</g></g></svg>
"""


def output_of(command: str) -> str:
    """What a command writes to a terminal of this width, colours included."""
    os.environ |= {"COLUMNS": str(WIDTH), "LINES": "50", "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    chunks: list[bytes] = []

    def read(descriptor: int) -> bytes:
        chunks.append(os.read(descriptor, 4096))
        return b"" if not chunks[-1] else b"\x00"  # keep it from being echoed

    pty.spawn(["sh", "-c", f"{command} 2>/dev/null"], read)
    return b"".join(chunks).decode().replace("\r\n", "\n")


def main() -> None:
    """Run, cut what is long, draw."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    for command in COMMANDS:
        lines = output_of(command).rstrip("\n").split("\n")
        shown = lines[:LINES_OF_INSPECT] if "inspect" in command else lines
        console.print(Text.assemble(("$ ", "dim"), (command, "bold")))
        console.print(Text.from_ansi("\n".join(shown)), end="\n\n")
    svg = console.export_svg(title="clearhead", theme=MONOKAI, code_format=FRAME, unique_id="clearhead")
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE), encoding="utf-8")


if __name__ == "__main__":
    main()
