"""A prompt as the model was trained to be asked: inside its chat template if it has one, as it is otherwise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from clearhead.config import ModelConfig, SpecialTokens
from clearhead.engine.context_window import Fitted, Overflow, fit
from clearhead.errors import OptionError, UnsupportedError
from clearhead.text.chat_template import encode_chat, render
from clearhead.text.tokenizer import Tokenizer

Message = Mapping[str, str]


class Frame(TypedDict):
    """What a template may write around a conversation."""

    bos_token: str | None
    eos_token: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """What a request sends to the model."""

    text: str  # as the person typed it
    sent: str  # as the model reads it
    ids: list[int]
    dropped: int
    separator: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompter:
    """Turns texts and conversations into prompts of one model."""

    config: ModelConfig
    tokenizer: Tokenizer
    special: SpecialTokens
    template: str | None

    def text(self, text: str, *, system: str | None, raw: bool, limit: int, strategy: Overflow) -> Prompt:
        """A text to complete: one user turn for an instruction model, read on as it is by any other.

        Raises:
            OptionError: an empty prompt, or a system message that there is no template for.
            ContextWindowError: it does not fit.
        """
        if not text:
            raise OptionError("the prompt is empty; give the model some text to start from")
        if self.template is not None and not raw:
            before = [] if system is None else [{"role": "system", "content": system}]
            return self.chat([*before, {"role": "user", "content": text}], limit=limit, strategy=strategy)
        if system is not None:
            raise OptionError("a system message needs a chat template; this prompt is sent as it is")
        fitted = fit(text, self.encode, self.tokenizer, limit, strategy)
        separator = "\n" if self.config.kind == "encoder-decoder" else ""
        return Prompt(text=text, sent=fitted.text, ids=fitted.ids, dropped=fitted.dropped, separator=separator)

    def chat(self, messages: Sequence[Message], *, limit: int, strategy: Overflow) -> Prompt:
        """A conversation, with the assistant to speak next.

        To make it fit, the oldest turns go first, then part of the last; a system message stays.

        Raises:
            UnsupportedError: the model has no chat template.
            TemplateError: messages that the template refuses.
            ContextWindowError: it does not fit.
        """
        if self.template is None:
            raise UnsupportedError("this model has no chat template; it completes text, so use complete")
        kept, whole = list(messages), len(self.encode_chat(messages))
        while strategy != "error" and len(self.encode_chat(kept)) > limit and (oldest := oldest_turn(kept)) is not None:
            del kept[oldest]
        fitted = self.fit_last(kept, limit, strategy)
        return Prompt(
            text=str(messages[-1]["content"]),
            sent=render(self.template, [*kept[:-1], {**kept[-1], "content": fitted.text}], **self.frame()),
            ids=fitted.ids,
            dropped=whole - len(fitted.ids),
            separator="\n",
        )

    def fit_last(self, messages: Sequence[Message], limit: int, strategy: Overflow) -> Fitted:
        """The conversation with only its last message shortened, if anything is."""
        *before, last = messages
        return fit(
            last["content"],
            lambda text: self.encode_chat([*before, {**last, "content": text}]),
            self.tokenizer,
            limit,
            strategy,
        )

    def encode(self, text: str) -> list[int]:
        """Ids of a text, framed as the model was trained."""
        return self.tokenizer.encode(text)

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        """Ids of a conversation inside the template."""
        assert self.template is not None
        return encode_chat(self.tokenizer, self.template, messages, **self.frame())

    def frame(self) -> Frame:
        """How the vocabulary spells the tokens that templates begin and end with."""
        bos, eos = self.special.bos, next(iter(self.special.eos), None)
        return {
            "bos_token": None if bos is None else self.tokenizer.pieces([bos])[0],
            "eos_token": None if eos is None else self.tokenizer.pieces([eos])[0],
        }


def oldest_turn(messages: Sequence[Message]) -> int | None:
    """The index of the first message that is neither the system's nor the last."""
    return next((i for i, message in enumerate(messages[:-1]) if message["role"] != "system"), None)
