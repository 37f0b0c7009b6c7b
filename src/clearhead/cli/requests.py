"""What was typed as options, made into a request: the names are those of `GenerationConfig`."""

from collections.abc import Mapping, Sequence
from typing import Any

from clearhead.engine.options import Options, read_options
from clearhead.errors import OptionError

SENDING = ("system", "raw", "on_overflow")


def generation_options(parameters: Mapping[str, Any]) -> Options:
    """The generation options among a verb's parameters.

    Raises:
        OptionError: a value outside its range, or two that exclude each other, before any model is loaded.
    """
    named = {
        **parameters,
        "stop_ids": parameters.get("stop_id"),
        "logit_bias": biases(parameters.get("logit_bias") or ()),
    }
    given: Options = {name: named[name] for name in Options.__annotations__ if named.get(name) is not None}  # type: ignore[assignment]
    read_options(given)
    return given


def sending_options(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """How the prompt is to be sent."""
    return {name: parameters[name] for name in SENDING if name in parameters}


def biases(pairs: Sequence[str]) -> dict[int, float]:
    """`ID=BIAS` as typed, by id.

    Raises:
        OptionError: something else.
    """
    found = {}
    for pair in pairs:
        token, _, bias = pair.partition("=")
        try:
            found[int(token)] = float(bias)
        except ValueError:
            raise OptionError(f"--logit-bias {pair!r} is not ID=BIAS, such as 42=-100") from None
    return found
