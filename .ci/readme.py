"""Print the README's commands, so that the gate runs what the reader is told to run.

A fenced block is named by the comment before it: `<!-- run: first -->`. Usage: readme.py NAME
"""

import re
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"<!-- run: (\w+) -->\s*```(\w+)\n(.*?)```", re.DOTALL)


def main(name: str) -> None:
    """Every block of this name, in order; Python blocks become a script on standard input."""
    blocks = BLOCK.findall(README.read_text(encoding="utf-8"))
    found = [(language, body) for block, language, body in blocks if block == name]
    if not found:
        sys.exit(f"README.md has no block named {name!r}")
    for language, body in found:
        print(f"python - <<'PYTHON'\n{body}PYTHON" if language == "python" else body, end="\n")


if __name__ == "__main__":
    main(sys.argv[1])
