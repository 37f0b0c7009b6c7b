"""A completion as people and programs read it: text, figures, log-probabilities, JSON."""

import math
from typing import TYPE_CHECKING, Any

from clearhead.cli.json_output import plain, print_json
from clearhead.cli.screen import Writer, columns, messages, show_lines
from clearhead.engine.completion import Completion
from clearhead.text.printable import one_line, printable, spelled
from clearhead.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from clearhead.engine.model import Model


def show_text(done: Completion, _model: "Model") -> None:
    """The prompt and its completion, or its completions, numbered."""
    writer = Writer()
    if len(done.samples) == 1:
        writer.write(done.prompt + done.separator, "dim")
        writer.write(done.new_text + "\n", "bold")
        return
    writer.write(done.prompt + "\n", "dim")
    for number, sample in enumerate(done.samples, start=1):
        writer.write(f"[{number}] ", "dim")
        writer.write(sample.new_text + "\n", "bold")


def show_json(done: Completion, model: "Model") -> None:
    """Everything, as one object."""
    print_json(completion_json(done, model))


def completion_json(done: Completion, model: "Model") -> dict[str, Any]:
    """The fields of a completion, those of its first sample on top."""
    first = done.samples[0]
    timing: dict[str, Any] = plain(done.timing)
    usage: dict[str, Any] = plain(done.usage)
    return {
        "model": model.name,
        "executor": model.executor.name,
        "dtype": model.executor.dtype,
        "prompt": done.prompt,
        "sent": done.sent,
        "text": done.text,
        **plain(first),
        "prompt_logprobs": done.prompt_logprobs,
        "usage": {**usage, "total_tokens": done.usage.total_tokens},
        "context": done.context,
        "timing": {**timing, "tokens_per_second": speed(done)},
        "seed": done.seed,
        "samples": done.samples,
    }


def speed(done: Completion) -> float:
    """Tokens per second after the first."""
    return done.timing.tokens_per_second(done.usage.completion_tokens)


def figures(done: Completion) -> str:
    """One line: how much, how fast, why it ended, and what became of the context window."""
    first, usage = done.samples[0], done.usage
    parts = [f"{usage.completion_tokens:,} token{'s' if usage.completion_tokens != 1 else ''}"]
    if rate := speed(done):
        parts[0] += f" at {rate:,.1f} per second"
    reasons = list(dict.fromkeys(sample.finish_reason for sample in done.samples))
    parts += [f"finish {', '.join(reasons)}", context_figures(done)]
    if done.context.dropped:
        parts.append(f"{done.context.dropped:,} tokens of the prompt dropped ({done.context.strategy})")
    if first.drafted:
        parts.append(f"{first.accepted} of {first.drafted} guesses right")
    if first.score is not None:
        parts.append(f"score {first.score:.3f}")
    if done.seed is not None:
        parts.append(f"seed {done.seed}")
    return " · ".join(parts)


def context_figures(done: Completion) -> str:
    """How full the context window is."""
    return f"context {done.context.used:,} of {done.context.window:,}"


def show_sent(done: Completion) -> None:
    """What the model was given, control characters escaped, on standard error."""
    from rich.text import Text

    console = messages()
    console.print(Text("sent to the model:", style="dim"))
    console.print(Text(printable(done.sent)), soft_wrap=True)


def show_logprobs(done: Completion, model: "Model") -> None:
    """A table per sample: each token, how likely it was, and its rivals."""
    for number, sample in enumerate(done.samples, start=1):
        rows = [["token", "logprob", "probability", "rivals"]]
        alternatives = sample.alternatives or [()] * len(sample.tokens)
        for token, logprob, rivals in zip(sample.tokens, sample.logprobs or (), alternatives, strict=True):
            others = "  ".join(f"{token_text(model.tokenizer, t)} {percent(p)}" for t, p in rivals if t != token)
            rows.append([token_text(model.tokenizer, token), f"{logprob:.3f}", percent(logprob), others])
        show_lines(["", f"[{number}]"] if len(done.samples) > 1 else [""])
        show_lines(columns(rows, right=frozenset({1, 2})), heading=True)


def token_text(tokenizer: Tokenizer, token: int) -> str:
    """A token as it reads inside a text; a special one by its name."""
    data = tokenizer.token_bytes(token)
    return repr(spelled(data))[1:-1] if data else one_line(tokenizer.pieces([token])[0])


def percent(logprob: float) -> str:
    """A log-probability as a share."""
    return f"{100 * math.exp(logprob):.1f}%"
