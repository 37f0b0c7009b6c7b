"""The five options that say what computes a model: every verb that runs one has them, and they are listed here once."""

import inspect
from collections.abc import Callable
from typing import Any

from clearhead.cli import arguments as a
from clearhead.engine.machine import Machine

OPTIONS: dict[str, tuple[Any, Any]] = {  # each with what it is, and its default
    "dtype": (a.Dtype, "auto"),
    "executor": (a.Executor, "auto"),
    "device": (a.Device, "auto"),
    "threads": (a.Threads, None),
    "offline": (a.Offline, False),
}


def on_machine(verb: Callable[..., None]) -> Callable[..., None]:
    """A verb whose parameter `machine` is filled from options of the command line, which stand at the end."""

    def run(**given: Any) -> None:
        chosen = {name: given.pop(name) for name in OPTIONS}
        verb(**given, machine=Machine(**chosen))

    own = [one for one in inspect.signature(verb).parameters.values() if one.name != "machine"]
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in OPTIONS.items()
    ]
    run.__name__, run.__doc__, run.__module__ = verb.__name__, verb.__doc__, verb.__module__
    run.__signature__ = inspect.Signature([*own, *more])  # type: ignore[attr-defined]  # what typer reads
    run.__annotations__ = {one.name: one.annotation for one in [*own, *more]}
    return run
