"""The context window: how much of it a completion used, what was generated, what is free, and what was dropped."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text

from clearhead.engine.completion import Completion
from clearhead.errors import OptionError
from clearhead.lens.payload import Payload
from clearhead.lens.view import WIDTH, View
from clearhead.trace import Trace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLES = {"prompt": ("█", "cyan"), "generated": ("▓", "green"), "free": ("░", "dim"), "start": ("█", "cyan")}
PAINTS = {"prompt": "#3b6fb6", "generated": "#4f9d69", "free": "#e6e6e6", "start": "#3b6fb6"}


@dataclass(kw_only=True, repr=False)
class ContextWindowView(View):
    """One bar as long as the context window, in tokens.

    Raises:
        OptionError: numbers that do not fit together.
    """

    type: ClassVar[str] = "window"
    label = "Context window"
    height: ClassVar[int] = 300

    window: int
    used: int  # by all that stands in it
    generated: int  # of those
    dropped: int = 0  # of the prompt, before it was read
    apart: int = 0  # tokens of the prompt that an encoder read, in a window of its own
    title: str = "Context window"

    def __post_init__(self) -> None:
        if not 0 <= self.generated <= self.used <= self.window or self.dropped < 0:
            raise OptionError(
                f"{self.generated} generated of {self.used} used tokens do not fit a context window of {self.window}"
            )

    @property
    def free(self) -> int:
        """Tokens there is still room for."""
        return self.window - self.used

    @property
    def segments(self) -> list[tuple[str, int]]:
        """Names and lengths, from the left; together they are the window."""
        first = "start" if self.apart else "prompt"
        return [(first, self.used - self.generated), ("generated", self.generated), ("free", self.free)]

    @property
    def note(self) -> str:
        """What a bar cannot show."""
        parts = (
            [f"{self.apart:,} tokens of the prompt were read by the encoder, beside this window."] if self.apart else []
        )
        if self.dropped:
            parts.append(f"{self.dropped:,} tokens of the prompt were dropped to make it fit.")
        return " ".join(parts)

    @property
    def figures(self) -> dict[str, Any]:
        """The numbers."""
        return {
            "type": self.type,
            "title": self.title,
            "window": self.window,
            "used": self.used,
            "generated": self.generated,
            "free": self.free,
            "dropped": self.dropped,
            "read_by_encoder": self.apart,
            "note": self.note,
        }

    def fill(self, payload: Payload) -> dict[str, Any]:
        """Numbers alone."""
        return {
            "size": self.window,
            "used": self.used,
            "generated": self.generated,
            "dropped": self.dropped,
            "free": self.free,
            "segments": [{"name": name, "tokens": n} for name, n in self.segments if name != "free"],
            "note": self.note,
        }

    def terminal(self, width: int = WIDTH) -> Text:
        """A bar; a part that holds a token is at least one column long."""
        out = Text()
        for (name, _), columns in zip(self.segments, shares([n for _, n in self.segments], width), strict=True):
            character, style = STYLES[name]
            out.append(character * columns, style)
        out.append("\n")
        for i, (name, n) in enumerate(self.segments):
            character, style = STYLES[name]
            out.append("   " if i else "").append(character, style).append(f" {name} {n:,}")
        out.append(f"\n{self.used:,} of {self.window:,} tokens ({self.used / max(1, self.window):.1%})\n", "dim")
        return out.append(f"{self.note}\n", "bold" if self.dropped else "dim") if self.note else out

    def draw(self, figure: "Figure") -> None:
        """The bar, its parts named below."""
        axes = figure.subplots()
        left = 0
        for name, n in self.segments:
            axes.barh(0, n, left=left, color=PAINTS[name], label=f"{name} {n:,}")
            left += n
        axes.set(xlim=(0, max(1, self.window)), yticks=[], xlabel="tokens", title=self.title)
        axes.spines[["top", "right", "left"]].set_visible(False)
        figure.legend(loc="outside lower center", ncols=3, frameon=False)
        figure.set_size_inches(6.4, 1.8)


def shares(parts: list[int], width: int) -> list[int]:
    """`width` columns shared out by size; what is not 0 gets at least one, at the cost of the largest."""
    total = sum(parts) or 1
    columns = [max(1, round(part * width / total)) if part else 0 for part in parts]
    columns[columns.index(max(columns))] += width - sum(columns)
    return columns


def window_view(completion: Completion) -> ContextWindowView:
    """How a completion used the context window; of several samples, the first.

    Raises:
        OptionError: something that is no completion.
    """
    if not isinstance(completion, Completion):
        raise OptionError(f"completion is {completion!r:.60}; give what model.complete(...) returned")
    context, generated = completion.context, len(completion.tokens)
    # Beside an encoder the window holds the decoder's start token and the completion; the prompt is read elsewhere.
    apart = completion.usage.prompt_tokens if context.used < generated + completion.usage.prompt_tokens else 0
    return ContextWindowView(
        window=context.window,
        used=context.used,
        generated=min(generated, context.used),
        dropped=context.dropped,
        apart=apart,
    )


def window_of_trace(trace: Trace) -> ContextWindowView:
    """How the text of a trace used the context window of the stack that read it last."""
    config, used = trace.config, len(trace.tokens)
    both = config.n_encoder_layers and config.n_decoder_layers
    return ContextWindowView(
        window=config.max_positions,
        used=used,
        generated=used - trace.n_prompt if config.n_decoder_layers else 0,
        apart=len(trace.ids.get("encoder", ())) if both else 0,
    )
