"""Stop strings: where a text ends because it says so, though the model would go on."""

from collections.abc import Sequence

from clearhead.generation.ending import Stop, no_stop
from clearhead.text.tokenizer import Tokenizer


def stop_at(stops: Sequence[str], tokenizer: Tokenizer | None) -> Stop:
    """A predicate for generation: whether the new ids spell a stop string.

    Only the end of a sequence is read, enough ids to hold the longest stop string whatever they spell before it.
    """
    if not stops or tokenizer is None:
        return no_stop
    reach = max(len(stop.encode()) for stop in stops) + 8

    def stop(_prompt: int, _sample: int, tokens: list[int]) -> bool:
        tail = tokenizer.decode(tokens[-reach:])
        return any(s in tail for s in stops)

    return stop


def cut(text: str, stops: Sequence[str]) -> str:
    """The text before the first stop string."""
    ends = [at for stop in stops if (at := text.find(stop)) >= 0]
    return text[: min(ends)] if ends else text


def held_back(text: str, stops: Sequence[str]) -> int:
    """How many characters at the end of `text` may be the beginning of a stop string."""
    longest = max((len(stop) for stop in stops), default=1) - 1
    for n in range(min(longest, len(text)), 0, -1):
        if any(stop.startswith(text[-n:]) for stop in stops):
            return n
    return 0
