"""`clearhead code`: a request in, code out; tests are run only where they are given, and apart from this machine."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clearhead.cli import arguments as a
from clearhead.cli.failures import FAILED, INTERRUPTED
from clearhead.cli.on_machine import on_machine
from clearhead.engine.machine import Machine

if TYPE_CHECKING:
    from clearhead.cli.sources import Given
    from clearhead.tasks.code.sandbox.limits import Limits

CODE, TESTS = "Code", "Tests"
Request = Annotated[
    str | None,
    typer.Argument(metavar="REQUEST|-", help="What the code is to do; - reads standard input.", show_default=False),
]
LanguageOption = Annotated[
    str,
    typer.Option("--language", "-l", metavar="NAME", help="The programming language.", rich_help_panel=CODE),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write the code to a file, not to standard output.",
        show_default=False,
        rich_help_panel=a.OUTPUT,
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="With --output: overwrite a file that is there.", rich_help_panel=a.OUTPUT)
]
RunTests = Annotated[
    Path | None,
    typer.Option(
        "--run-tests",
        metavar="FILE",
        help="Run the code, followed by the Python tests of a file: asserts, test functions or unittest cases. It runs "
        "shut in, without a network. Where it fails, the model is told and tries once more.",
        show_default=False,
        rich_help_panel=TESTS,
    ),
]
HideTests = Annotated[
    bool,
    typer.Option("--hide-tests", help="Do not show the tests to the model.", rich_help_panel=TESTS),
]
TimeLimit = Annotated[
    float,
    typer.Option(
        "--time-limit", metavar="S", parser=a.number, help="Stop the tests after S seconds.", rich_help_panel=TESTS
    ),
]
MemoryLimit = Annotated[
    int,
    typer.Option(
        "--memory-limit",
        metavar="MIB",
        parser=a.whole,
        help="The memory of each process of the tests, in MiB.",
        rich_help_panel=TESTS,
    ),
]
Unconfined = Annotated[
    bool,
    typer.Option(
        "--unconfined",
        help="Run the tests even where this machine cannot cut off the network and other files.",
        rich_help_panel=TESTS,
    ),
]


@on_machine
def code(
    request: Request = None,
    file: a.File = None,
    lines: a.Lines = False,
    language: LanguageOption = "python",
    run_tests: RunTests = None,
    hide_tests: HideTests = False,
    time_limit: TimeLimit = 10.0,
    memory_limit: MemoryLimit = 512,
    unconfined: Unconfined = False,
    max_new_tokens: a.MaxNewTokens = 1024,
    temperature: a.Temperature = 0.0,
    seed: a.Seed = None,
    model: a.InstructionModel = None,
    output: Output = None,
    force: Force = False,
    quiet: a.Quiet = False,
    json: a.Json = False,
    *,
    machine: Machine,
) -> None:
    """Write code from a description.

    Standard output is the code alone; what the model says of it goes to standard error. Nothing is run unless tests are
    given. The exit status is 1 where they fail, or where there is no code.

    Example: clearhead code "a function add(a, b) that returns the sum of two numbers"
    """
    from clearhead.cli.code_results import check_output, report, show, show_many
    from clearhead.cli.interrupt import interruptible
    from clearhead.cli.opening import load_instruction_model, working
    from clearhead.tasks.code.coder import check_options, check_request, open_coder

    requests = read_requests(request, file, lines=lines, json=json, output=output, run_tests=run_tests)
    for each in requests:
        check_request(each.text)
    check_options(language, max_new_tokens, temperature, seed)
    tests, limits = read_tests(run_tests, language, time_limit, memory_limit)
    if output is not None:
        check_output(output, force=force)
    loaded = load_instruction_model(model, machine, "writing code", quiet=quiet)
    coder = open_coder(language, model=loaded, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed)
    begun = time.perf_counter()
    with interruptible() as interrupt:
        if lines:
            made = show_many(coder, requests, interrupt)
        else:
            with working("writing code"):
                one = coder.write(
                    requests[0].text,
                    tests,
                    show_tests=not hide_tests,
                    limits=limits,
                    unconfined=unconfined,
                    cancelled=interrupt,
                )
            made = [one]
            show(one, json=json, output=None if interrupt.pressed else output, force=force)
    report(made, None if quiet or json else time.perf_counter() - begun, json=json, stopped=interrupt.pressed)
    if interrupt.pressed:
        raise typer.Exit(INTERRUPTED)
    if any(not each.text or each.passed is False for each in made):
        raise typer.Exit(FAILED)


def read_requests(
    request: str | None, file: Path | None, *, lines: bool, json: bool, output: Path | None, run_tests: Path | None
) -> "list[Given]":
    """The request, or that of each line.

    Raises:
        OptionError: none, or many where there can be one.
    """
    from clearhead.cli.sources import read_texts
    from clearhead.errors import OptionError

    if lines and not json:
        raise OptionError("--lines makes many programs, which have lines of their own; add --json")
    if lines and (output is not None or run_tests is not None):
        raise OptionError(f"{'--output' if output is not None else '--run-tests'} is for one request; drop --lines")
    return read_texts(request, file, "request", lines=lines)


def read_tests(file: Path | None, language: str, seconds: float, memory: int) -> tuple[str | None, "Limits"]:
    """The tests, if there are any, and the limits of their run.

    Raises:
        OptionError, DataError: tests that cannot be run, or an impossible limit.
    """
    from clearhead.cli.sources import read_stream
    from clearhead.config import check_number
    from clearhead.tasks.code.coder import check_testable
    from clearhead.tasks.code.sandbox.limits import MIB, Limits

    check_number("time_limit", seconds, 0.1, 3600, whole=False)
    check_number("memory_limit", memory, 64, 2**20, whole=True)
    limits = Limits(seconds=seconds, processor_seconds=max(1, round(seconds)), memory=memory * MIB)
    if file is None:
        return None, limits
    tests = read_stream(file, "file of tests")
    check_testable(language, tests, str(file))
    return tests, limits
