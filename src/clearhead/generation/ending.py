"""When a sequence is over: an id that ends it, the caller's word, or no more room."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from clearhead.config import GenerationConfig, SpecialTokens
from clearhead.generation.records import FinishReason

# (prompt index, sample index, new ids so far) -> whether the sequence ends here. The list may be the sequence's own.
Stop = Callable[[int, int, list[int]], bool]


def no_stop(_prompt: int, _sample: int, _tokens: list[int]) -> bool:
    """The default for `stop`."""
    return False


def end_ids(config: GenerationConfig, special: SpecialTokens) -> frozenset[int]:
    """The ids that end a sequence."""
    return frozenset(config.stop_ids) | (frozenset() if config.ignore_eos else frozenset(special.eos))


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """The rules of one sequence. `stop` is not asked before there are `min_new_tokens`."""

    ends: frozenset[int]
    min_new_tokens: int
    limit: int  # new tokens that fit the request and the context window
    stop: Stop

    def reason(self, prompt: int, sample: int, tokens: list[int]) -> FinishReason | None:
        """Why the sequence ends with the last of its new tokens, if it does."""
        if tokens[-1] in self.ends:
            return "stop"
        if len(tokens) >= self.min_new_tokens and self.stop(prompt, sample, tokens):
            return "stop"
        return "length" if len(tokens) >= self.limit else None

    def end_token(self, tokens: Sequence[int]) -> int | None:
        """The id that ended these tokens, if one did."""
        return tokens[-1] if tokens and tokens[-1] in self.ends else None
