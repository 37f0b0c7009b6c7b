"""The process of one engine: `python -m benchmarks.worker ENGINE SETTINGS [PROMPT]`.

It answers one JSON line on standard output for every JSON line on standard input: `{"ask": method, **arguments}` gives
`{"value": ...}`. Its first line is `{"facts": ...}`, or `{"error": ...}` when there is nothing to ask. With a PROMPT it
prints one line as soon as it has the first piece of the answer, and ends.
"""

import json
import os
import sys
from importlib import import_module
from typing import Any

from benchmarks.engine import peak_bytes


def main() -> None:
    """Load, then answer until the input ends."""
    die_with_parent()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever an engine prints by itself is no answer
    name, settings, *prompt = sys.argv[1:]
    try:
        module, _, kind = name.partition(":")
        engine: Any = getattr(import_module(f"benchmarks.engines.{module}"), kind or "Engine")
        before = peak_bytes()
        loaded = engine(**json.loads(settings))
        if prompt:
            loaded.first(prompt[0])
            print(json.dumps({"value": 0}), file=answers)
            return
        print(json.dumps({"facts": loaded.facts() | {"bytes_before": before}}), file=answers)
    except ModuleNotFoundError as error:
        print(json.dumps({"error": f"{error}; install it, or name its interpreter with --peer-python"}), file=answers)
        return
    for line in sys.stdin:
        print(json.dumps(answer(loaded, json.loads(line))), file=answers)


def answer(engine: Any, question: dict[str, Any]) -> dict[str, Any]:
    """The value of one question; an error is an answer, too."""
    ask = question.pop("ask")
    try:
        return {"value": getattr(engine, ask)(**question)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def die_with_parent() -> None:
    """On Linux: whoever was stopped while another computed would otherwise stay so for ever."""
    if sys.platform == "linux":
        import ctypes

        set_parent_death_signal, kill = 1, 9
        ctypes.CDLL(None).prctl(set_parent_death_signal, kill)


if __name__ == "__main__":
    main()
