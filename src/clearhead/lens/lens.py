"""`trace.lens`: every picture of a trace, by name."""

from dataclasses import dataclass

from clearhead.trace import Trace


@dataclass(frozen=True, slots=True)
class Lens:
    """Pictures of one trace. Each method returns a view: it shows itself in a notebook, and has `html`, `png`, `svg`,
    `json` and a form for the terminal (`print`)."""

    trace: Trace
