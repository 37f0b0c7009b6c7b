"""A trace's arrays as the kernels see them, who write into them beside their own work, call after call."""

import numpy as np

from clearhead.errors import OptionError
from clearhead.native import _native
from clearhead.trace.schema import LOGITS, Place, StackName
from clearhead.trace.trace import Span, Trace

BY_HAND = ("bias", "logits")  # what Python fills in


class Capture:
    """The places of one stack that a trace wants, for all calls of a run."""

    def __init__(self, model: _native.Model, trace: Trace, stack: StackName, span: Span) -> None:
        wanted = [
            p for p in trace.choice.places.values() if p.stack == stack and p.path.rsplit(".", 1)[-1] not in BY_HAND
        ]
        for place in wanted:
            kept = trace.arrays[place.path]
            if kept.dtype != np.float32 or not kept.flags.c_contiguous:  # the kernels would write into a copy
                raise OptionError(
                    f"the trace's array for {place.path} is {kept.dtype}; the native executor fills float32"
                )
        self.native = _native.Capture(
            model,
            stack == "encoder",
            list(trace.choice.heads),
            span.rows,
            span.first + span.rows,
            span.memory,
            [(kind(place), -1 if place.layer is None else place.layer, trace.arrays[place.path]) for place in wanted],
        )

    def at(self, span: Span) -> _native.Capture:
        """Ready for the call that a span describes: keys that earlier calls kept are not copied again."""
        self.native.at(span.at, 0 if span.at == 0 else span.first + span.at)
        return self.native


def kind(place: Place) -> str:
    """What the kernels call a place: the part of its path after the layer, or after the stack."""
    if place.layer is not None:
        return place.path.split(".", 3)[3]
    assert place.path != LOGITS
    own = place.path.split(".", 1)[1]
    return "last" if own == "output" else own
