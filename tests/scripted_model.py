"""An instruction model that says what the test wants, and remembers what it was asked: no weights, no waiting."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from clearhead.engine.completion import Completion, Sample, Timing, Usage
from clearhead.engine.context_window import Context

Messages = Sequence[dict[str, str]]
NOT, OTHER = 7, 8  # ids of the first token of a refusal, and of anything else


class Words:
    """A vocabulary of which only what a refusal begins with is known."""

    def encode(self, text: str, **_options: object) -> list[int]:
        return [NOT if text.lower().startswith("not") else OTHER, *[OTHER] * (len(text.split()) - 1)]


@dataclass
class ScriptedModel:
    """`says` maps the messages to an answer; `refusal` to the log-probability that it begins as one."""

    says: Callable[[Messages], str]
    refusal: Callable[[Messages], float] = lambda _messages: -5.0
    window: int = 4096
    asked: list[Messages] = field(default_factory=list)
    name: str = "scripted"
    chat_template: str = "{{ messages }}"
    finish: str = "stop"

    @property
    def config(self) -> Any:
        return SimpleNamespace(max_positions=self.window, kind="decoder")

    @property
    def tokenizer(self) -> Words:
        return Words()

    @property
    def prompter(self) -> Any:
        return SimpleNamespace(encode_chat=lambda messages: [0] * sum(len(m["content"].split()) for m in messages))

    def complete_many(self, prompts: Iterable[Messages], **options: Any) -> Iterator[Completion]:
        """Each prompt's answer, with the log-probabilities of its first token."""
        for messages in prompts:
            self.asked.append(messages)
            said = self.says(messages)
            first = ((OTHER, -0.1), (NOT, self.refusal(messages)))
            sample = Sample(new_text=said, tokens=(OTHER,), finish_reason=self.finish, alternatives=(first,))  # type: ignore[arg-type]
            yield Completion(
                prompt="",
                sent="",
                separator="",
                samples=(sample,),
                usage=Usage(prompt_tokens=1, completion_tokens=1),
                context=Context(window=self.window, used=2, remaining=self.window - 2),
                timing=Timing(first_token=0.0, total=0.0),
            )
