"""What the user says in a chat: typed with history on a terminal, or one turn a line from a pipe.

Lines between two lines of three quotation marks are one turn.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

QUOTES = '"""'
PROMPT, MORE = "> ", ". "
HISTORY_LENGTH = 1000


def turns(*, interactive: bool) -> Iterator[str]:
    """Each turn, until the input ends. On a terminal Ctrl-C drops the line and asks again."""
    ask = typed if interactive else piped
    if interactive:
        remember()
    while True:
        try:
            yield one_turn(ask)
        except EOFError:
            return
        except KeyboardInterrupt:
            sys.stderr.write("\n(Ctrl-D leaves)\n")


def one_turn(ask: Callable[[str], str]) -> str:
    """One line, or all lines up to the closing quotation marks."""
    line = ask(PROMPT)
    if not line.lstrip().startswith(QUOTES):
        return line
    first = line.lstrip().removeprefix(QUOTES)
    lines = [first]
    while not lines[-1].rstrip().endswith(QUOTES):
        lines.append(ask(MORE))
    lines[-1] = lines[-1].rstrip().removesuffix(QUOTES)
    return "\n".join(lines).strip("\n")


def typed(prompt: str) -> str:
    """A line with the keys of readline."""
    return input(prompt)


def piped(_prompt: str) -> str:
    """The next line of standard input."""
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\r\n")


def remember() -> None:
    """Keep what is typed in the history file, which nobody else may read."""
    try:
        import readline
    except ImportError:  # Windows
        return
    import atexit

    file = history_file()
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
        readline.read_history_file(file)
    readline.set_history_length(HISTORY_LENGTH)
    atexit.register(write_history, file)


def write_history(file: Path) -> None:
    """What was typed, for the next time."""
    import readline

    with suppress(OSError):
        readline.write_history_file(file)


def history_file() -> Path:
    """Under XDG_STATE_HOME, or ~/.local/state."""
    base = Path(os.environ.get("XDG_STATE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".local" / "state") / "clearhead" / "chat_history"
