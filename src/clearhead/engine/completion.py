"""What a request gives back: the completion, what it cost, and how it used the context window."""

from dataclasses import dataclass

from clearhead.engine.context_window import Context
from clearhead.generation.records import Alternatives, FinishReason, PromptLogprobs


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One of the n continuations of a prompt."""

    new_text: str
    tokens: tuple[int, ...]  # the new ids, the one that ended the sequence included
    finish_reason: FinishReason
    logprobs: tuple[float, ...] | None = None
    alternatives: tuple[Alternatives, ...] | None = None
    score: float | None = None  # beams: sum of log-probabilities / length ** length_penalty
    drafted: int = 0
    accepted: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """Tokens read and written, under the names of the OpenAI API."""

    prompt_tokens: int
    completion_tokens: int

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Seconds of wall time until the first token, and in all."""

    first_token: float
    total: float

    def tokens_per_second(self, tokens: int) -> float:
        """Rate after the first token; 0 where there is nothing to measure."""
        elapsed = self.total - self.first_token
        return (tokens - 1) / elapsed if tokens > 1 and elapsed > 0 else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """The prompt followed by the generated text.

    `sent` is what the model was given: the prompt, with its chat template around it where it has one. The properties
    are those of the first sample.
    """

    prompt: str
    sent: str
    separator: str  # between prompt and new text in `text`: empty where the model simply reads on
    samples: tuple[Sample, ...]
    usage: Usage
    context: Context
    timing: Timing
    seed: int | None = None
    prompt_logprobs: PromptLogprobs | None = None

    @property
    def text(self) -> str:
        return self.prompt + self.separator + self.new_text

    @property
    def new_text(self) -> str:
        return self.samples[0].new_text

    @property
    def tokens(self) -> tuple[int, ...]:
        return self.samples[0].tokens

    @property
    def logprobs(self) -> tuple[float, ...] | None:
        return self.samples[0].logprobs

    @property
    def finish_reason(self) -> FinishReason:
        return self.samples[0].finish_reason

    @property
    def message(self) -> dict[str, str]:
        """The new text as the next message of a conversation."""
        return {"role": "assistant", "content": self.new_text}
