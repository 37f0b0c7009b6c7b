"""The generation options as keyword arguments, each as `GenerationConfig` documents it."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

from clearhead.config import GenerationConfig
from clearhead.errors import OptionError


class Options(TypedDict, total=False):
    """What `complete`, `stream` and `chat` take by name; the fields of `GenerationConfig`."""

    max_new_tokens: int
    min_new_tokens: int
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    logit_bias: Mapping[int, float]
    stop: Sequence[str]
    stop_ids: Sequence[int]
    ignore_eos: bool
    seed: int | None
    logprobs: int | None
    prompt_logprobs: bool
    n: int
    beams: int
    length_penalty: float
    early_stopping: bool
    draft_tokens: int


def read_options(options: Options) -> GenerationConfig:
    """The checked request these options make.

    Raises:
        OptionError: a name that is no option, or a value outside its range.
    """
    if unknown := sorted(set(options) - set(Options.__annotations__)):
        raise OptionError(
            f"{unknown[0]!r} is no generation option; the options are {', '.join(Options.__annotations__)}"
        )
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    if isinstance(stop := options.get("stop"), str):
        given["stop"] = (stop,)
    return GenerationConfig(**given)  # type: ignore[arg-type]
