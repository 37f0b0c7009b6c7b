"""A conversation as it grows: its messages, its system message, and how it is kept in a file."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clearhead.errors import OptionError

ROLES = ("system", "user", "assistant")
LARGEST_FILE = 64 * 2**20  # bytes
Message = dict[str, str]


@dataclass(slots=True)
class Conversation:
    """What was said so far. `file` is where it was last saved or loaded; only that one may be overwritten."""

    system: str | None = None
    turns: list[Message] = field(default_factory=list)
    file: Path | None = None

    @property
    def messages(self) -> list[Message]:
        """All of it, the system message first."""
        before = [] if self.system is None else [{"role": "system", "content": self.system}]
        return [*before, *self.turns]

    def ask(self, text: str) -> list[Message]:
        """The messages with one more from the user, which `answer` makes part of the conversation."""
        return [*self.messages, {"role": "user", "content": text}]

    def answer(self, asked: str, answered: str) -> None:
        """Keep a question and its answer."""
        self.turns += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]

    def reset(self) -> None:
        """Forget all but the system message."""
        self.turns.clear()

    def save(self, file: Path) -> None:
        """Write the messages as JSON.

        Raises:
            OptionError: the file exists already, or cannot be written.
        """
        if file.exists() and file != self.file:
            raise OptionError(f"{file} exists; name a new file")
        try:
            file.write_text(json.dumps(self.messages, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise OptionError(f"{file} cannot be written: {error.strerror or error}") from None
        self.file = file

    def load(self, file: Path) -> None:
        """Go on with the messages of a file.

        Raises:
            OptionError: it cannot be read, or holds no messages.
        """
        messages = read_messages(file)
        self.system = next((m["content"] for m in messages if m["role"] == "system"), None)
        self.turns = [m for m in messages if m["role"] != "system"]
        self.file = file


def read_messages(file: Path) -> list[Message]:
    """The messages in a file that `save` wrote."""
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise OptionError(f"{file} is larger than {LARGEST_FILE} bytes; it is no conversation")
        value = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(f"{file} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        raise OptionError(f"{file} is not JSON; /save writes what /load reads") from None
    if not isinstance(value, list) or not all(map(is_message, value)):
        raise OptionError(f"{file} holds no list of messages with a role ({', '.join(ROLES)}) and a content")
    return [{"role": m["role"], "content": m["content"]} for m in value]


def is_message(value: Any) -> bool:
    """Whether a value has the shape of a message."""
    return isinstance(value, dict) and value.get("role") in ROLES and isinstance(value.get("content"), str)
