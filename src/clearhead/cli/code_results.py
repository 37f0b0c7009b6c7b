"""What `clearhead code` gives back: code on standard output or in a file, all that is to be said of it elsewhere."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clearhead.cli.sources import Given
    from clearhead.tasks.code.coder import Code, Coder


def check_output(file: Path, *, force: bool) -> None:
    """Refuse a file that cannot be written, before the work is done.

    Raises:
        OptionError: it is there already, or its folder is not.
    """
    from clearhead.errors import OptionError

    if file.is_dir() or not file.parent.is_dir():
        raise OptionError(f"{file} cannot be written: " + ("it is a folder" if file.is_dir() else "it has no folder"))
    if file.is_file() and not force:  # a device or a pipe is written as it is
        raise OptionError(f"{file} is there already; give another name, or --force to overwrite it")


def save(file: Path, text: str, *, force: bool) -> None:
    """Write a file whole or not at all, and over another only with `force`; errors as `check_output`."""
    from clearhead.cli.pictures import replace, umask
    from clearhead.errors import OptionError

    data = text.encode("utf-8", "backslashreplace")
    if force or (file.exists() and not file.is_file()):
        replace(file, data)
        return
    handle, name = tempfile.mkstemp(prefix=f".{file.name[:64]}.", dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        Path(name).chmod(0o666 & ~umask())
        try:
            file.hardlink_to(name)
        except FileExistsError:
            raise OptionError(f"{file} is there already; give another name, or --force to overwrite it") from None
    finally:
        Path(name).unlink(missing_ok=True)


def show(made: "Code", *, json: bool, output: Path | None, force: bool) -> None:
    """The code, where it is wanted."""
    from clearhead.cli.json_output import print_json
    from clearhead.cli.screen import Writer

    if output is not None and made.text:
        save(output, made.text, force=force)
    if json:
        print_json(plain(made))
    elif output is None and made.text:
        Writer().write(made.text, "bold")


def show_many(coder: "Coder", requests: "list[Given]", interrupt: Callable[[], bool]) -> list["Code"]:
    """The code of each request, a line of JSON each, as they are ready."""
    from clearhead.cli.json_output import print_result

    made = []
    for given, each in zip(requests, coder.many([given.text for given in requests], interrupt), strict=False):
        print_result(plain(each), given.line)
        made.append(each)
    return made


def plain(made: "Code") -> dict[str, object]:
    """Everything, for JSON."""
    from clearhead.cli.json_output import plain as fields
    from clearhead.tasks.code.coder import remarks

    head = {"code": made.text, "complete": made.complete, "passed": made.passed, "explanation": made.explanation}
    return {**head, **fields(made), "remarks": list(remarks(made))}


def report(made: list["Code"], seconds: float | None, *, json: bool, stopped: bool) -> None:
    """On standard error: what the model says of its code, what came of the tests, and in any case what is wrong."""
    from clearhead.cli.quantities import plural
    from clearhead.cli.screen import messages, note
    from clearhead.tasks.code.coder import remarks
    from clearhead.text.printable import printable

    for each in made if not json else []:
        if seconds is not None and each.explanation:
            messages().print(printable(each.explanation), soft_wrap=True)
        for said in (*(("stopped; nothing was written",) if stopped else remarks(each)), *tried(each)):
            note(said)
    if seconds is not None and made:
        tokens = sum(attempt.new_tokens for each in made for attempt in each.attempts)
        seed = "" if made[0].last.seed is None else f" · seed {made[0].last.seed}"
        note(f"{made[0].model} · {made[0].language} · {plural(tokens, 'token')} · {seconds:.2f} s{seed}")


def tried(made: "Code") -> list[str]:
    """What came of the tests, attempt by attempt, and what the program could not be kept from."""
    found = []
    for number, attempt in enumerate(made.attempts, start=1):
        trial = attempt.trial
        if trial is None:
            continue
        which = f"attempt {number}: " if len(made.attempts) > 1 else ""
        what = "the tests passed" if trial.passed else f"the tests failed: {trial.why}"
        found.append(f"{which}{what} ({trial.seconds:.2f} s, shut in: {', '.join(sorted(trial.held))})")
        if trial.skipped:
            found.append(f"not run, for they need parameters, yield or skip themselves: {', '.join(trial.skipped)}")
        found += [f"not held on this machine: {what} ({why})" for what, why in trial.missing.items()]
    return found
