"""Every failure as one line on standard error and an exit status: 2 for a wrong request, 1 for work that failed.

CLEARHEAD_DEBUG=1 shows the traceback instead of hiding it.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

import typer

from clearhead.errors import ClearheadError, lacks_memory
from clearhead.text.printable import one_line

FAILED = 1  # the work was done, and did not succeed
INTERRUPTED = 130  # 128 + SIGINT, as shells report it
BROKEN_PIPE = 141  # 128 + SIGPIPE
LONGEST = 2000  # characters of a message; a hostile file may put anything into one


def guarded(work: Callable[[], Any]) -> int:
    """Run `work`; its exit status, after whatever it raised has been told."""
    try:
        status = work()
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except BrokenPipeError:
        return quiet_pipe()
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        show_traceback()
        return tell(error)


def tell(error: Exception) -> int:
    """Say what went wrong; the exit status that belongs to it."""
    if isinstance(error, typer.Exit):
        return int(error.exit_code)
    if isinstance(error, typer.Abort):
        return 1
    message, status = explain(error)
    sys.stderr.write(f"clearhead: error: {one_line(message[:LONGEST])}\n")
    sys.stderr.flush()
    return status


def explain(error: Exception) -> tuple[str, int]:
    """What to say about an error, and the exit status."""
    if isinstance(error, ClearheadError):
        return str(error), error.exit_status
    if hasattr(error, "format_message"):  # typer's errors of usage, whose classes it keeps to itself
        return usage_message(error), 2
    if lacks_memory(error):
        return "there is not enough memory; try a smaller model, or --dtype bfloat16", 1
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}", 1
    defect = f"{type(error).__name__}: {error}"[:LONGEST]
    return f"this is a defect of Clearhead, please report it ({defect}); CLEARHEAD_DEBUG=1 shows the traceback", 1


def usage_message(error: Any) -> str:
    """What was wrong with the arguments, and where help is."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "clearhead"
    return f"{error.format_message().rstrip('.').replace(chr(10), ' ')}; see {command} --help"


def show_traceback() -> None:
    """For whoever asked to see it."""
    if os.environ.get("CLEARHEAD_DEBUG", "") not in ("", "0"):
        import traceback

        traceback.print_exc()


def quiet_pipe() -> int:
    """Whoever read our output has had enough; nothing more may be written to it, not even at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return BROKEN_PIPE
