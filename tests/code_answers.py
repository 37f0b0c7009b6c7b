"""A model that can be asked, and whose answers a test scripts."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clearhead.config import SpecialTokens
from clearhead.engine.completion import Completion, Sample, Timing, Usage
from clearhead.engine.context_window import Context
from clearhead.engine.model import Model
from tiny import TEMPLATE, byte_level, sized, write

GOOD = "```python\ndef add(a, b):\n    return a + b\n```\nIt adds."
BAD = "```python\ndef add(a, b):\n    return a - b\n```"
TESTS = "assert add(1, 2) == 3"
Asked = list[Any]  # what the model was asked, conversation by conversation
Script = Callable[..., Asked]


def chat_folder(folder: Path) -> Path:
    """A decoder of random weights with a chat template and some room."""
    config = replace(sized("gpt2"), max_positions=600)
    write(folder, config, byte_level(), SpecialTokens(bos=256, eos=(256, 258), pad=256))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder


def completion(text: str, finish: str = "stop") -> Completion:
    """An answer as a model gives it."""
    return Completion(
        prompt="",
        sent="",
        separator="\n",
        samples=(Sample(new_text=text, tokens=(1, 2, 3), finish_reason=finish),),  # type: ignore[arg-type]
        usage=Usage(prompt_tokens=5, completion_tokens=3),
        context=Context(window=128, used=8, remaining=120),
        timing=Timing(first_token=0.1, total=0.2),
    )


def scripted(monkeypatch: pytest.MonkeyPatch) -> Script:
    """A function that takes the answers of every model to come, and gives the list of what they are asked."""

    def script(*answers: str | Completion) -> Asked:
        asked: Asked = []
        waiting = iter(answers)

        def chat(_self: Model, messages: Any, **_options: Any) -> Completion:
            asked.append(messages if isinstance(messages, str) else list(messages))
            answer = next(waiting)
            return completion(answer) if isinstance(answer, str) else answer

        def many(self: Model, prompts: Iterable[Any], **options: Any) -> Iterator[Completion]:
            for messages in prompts:
                yield chat(self, messages, **options)

        monkeypatch.setattr(Model, "chat", chat)
        monkeypatch.setattr(Model, "complete_many", many)
        return asked

    return script
