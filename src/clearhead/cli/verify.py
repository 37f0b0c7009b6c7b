"""`clearhead verify`: the numerical contract on the user's own model, each promise with its figure and bound."""

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

import typer

from clearhead.cli import arguments as a
from clearhead.cli.on_machine import on_machine
from clearhead.engine.machine import Machine

if TYPE_CHECKING:
    from clearhead.engine.verification import Check

NAME, FIGURE = 27, 18  # columns


@on_machine
def verify(
    model: a.ModelArgument = a.DEFAULT_MODEL,
    json: a.Json = False,
    *,
    machine: Machine,
) -> None:
    """Check that a model computes what it should on this machine.

    The same text must give the same logits whether it is read at once or token by token, alone or in a batch, traced
    or not; different ways to greedy tokens must agree; a vocabulary must spell what it reads. Each promise is shown
    with its figure and its bound. The exit status is 1 if one is broken.

    Example: clearhead verify smollm2-135m-instruct
    """
    from clearhead.cli.json_output import plain, print_json
    from clearhead.cli.opening import load_model
    from clearhead.engine.verification import verify as checks

    loaded = load_model(model, machine)
    done = []
    for check in chain(check_files(model), check_packed(loaded.executor), checks(loaded)):
        done.append(check)
        if not json:
            show(check)
    failed = [check for check in done if not check.passed]
    if json:
        rows: list[dict[str, Any]] = [{**plain(check), "passed": check.passed} for check in done]
        asked = {"model": model, "executor": machine.executor, "dtype": machine.dtype}
        print_json({**asked, "passed": not failed, "checks": rows})
    else:
        summary(done, failed)
    if failed:
        raise typer.Exit(1)


def check_files(model: str) -> Iterator["Check"]:
    """Whether the files of a model that was pulled are still those that came; a path has nothing to compare with."""
    from clearhead.checkpoints.catalogue import verify_files
    from clearhead.engine.verification import Check
    from clearhead.errors import UnknownModelError

    try:
        files = verify_files(model)
    except UnknownModelError:
        return
    changed = [file.path.name for file in files if not file.right]
    detail = f"of {len(files)}" + (f"; the first is {changed[0]}" if changed else "")
    yield Check(name="files are as published", measures="files that changed", figure=len(changed), detail=detail)


def check_packed(executor: Any) -> Iterator["Check"]:
    """Whether the file that weights are mapped from holds what was packed; if not, the next start makes it anew."""
    from clearhead.engine.verification import Check

    file = getattr(executor, "packed_file", None)
    if file is None:
        return
    from clearhead.native.store import drop_damaged

    wrong = drop_damaged(file)
    detail = f"of {file.name}" + (f"; the first is {wrong[0]}; run again, and they are packed anew" if wrong else "")
    yield Check(name="packed weights are intact", measures="weights that changed", figure=len(wrong), detail=detail)


def show(check: "Check") -> None:
    """The mark, the promise, its figure against its bound, and what the figure says; wrapped on a terminal."""
    import textwrap

    from rich.text import Text

    from clearhead.cli.screen import output
    from clearhead.text.printable import one_line

    console = output()
    word, style = ("skip", "dim") if check.skipped else ("pass", "green") if check.passed else ("FAIL", "bold red")
    line = Text().append(f"{word}  ", style).append(check.name.ljust(NAME))
    line.append("".ljust(FIGURE) if check.skipped else figure(check).ljust(FIGURE))
    room = max(24, console.width - line.cell_len)
    first, *rest = textwrap.wrap(one_line(check.skipped or explained(check)), room) or [""]
    indent = " " * line.cell_len
    line.append(first, "dim").rstrip()
    for more in rest:
        line.append("\n" + indent).append(more, "dim")
    console.print(line, soft_wrap=True)


def figure(check: "Check") -> str:
    """The figure and its bound: a count as such, a difference in powers of ten."""
    if check.bound == 0:
        return f"{check.figure:,.0f}"
    return f"{check.figure:.1e} <= {check.bound:.0e}" if check.passed else f"{check.figure:.1e} > {check.bound:.0e}"


def explained(check: "Check") -> str:
    """What the figure counts, and of what; a difference next to its bound needs no more than its circumstances."""
    if check.bound > 0:
        return check.detail
    return f"{check.measures} {check.detail}".rstrip()


def summary(done: "list[Check]", failed: "list[Check]") -> None:
    """The last line, on standard error."""
    from clearhead.cli.quantities import plural
    from clearhead.cli.screen import note

    made = [check for check in done if not check.skipped]
    broken = (
        f", {plural(len(failed), 'failure')}: {', '.join(check.name for check in failed)}" if failed else ", all passed"
    )
    note(f"{plural(len(made), 'check')}{broken}")
