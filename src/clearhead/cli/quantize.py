"""`clearhead quantize`: a model in fewer bits, with what that costs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clearhead.cli import arguments as a
from clearhead.engine.machine import Machine

if TYPE_CHECKING:
    from clearhead.engine.model import Model

Kind = Annotated[str, typer.Option("--dtype", metavar="TYPE", help="int8 or int4.")]
Text = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Measure the perplexity on this text, before and after.")
]
Tokens = Annotated[int, typer.Option(metavar="N", parser=a.whole, help="Of the text, read the first N tokens.")]


def quantize(
    model: a.ModelArgument,
    dtype: Kind = "int8",
    text: Text = None,
    tokens: Tokens = 8192,
    json: a.Json = False,
    threads: a.Threads = None,
    offline: a.Offline = False,
) -> None:
    """Pack a model into 8 or 4 bits, and measure what is lost.

    The packed weights are kept beside the model; `--dtype int8` or `--dtype int4` of the other verbs then starts at
    once. With --text, the perplexity of the model as it is and of the quantised one are compared.

    Example: clearhead quantize smollm2-135m-instruct --dtype int8 --text article.txt
    """
    from clearhead.cli.json_output import print_json
    from clearhead.errors import OptionError

    if dtype not in ("int8", "int4"):
        raise OptionError(f"dtype {dtype!r} is no type to quantise to; choose int8 or int4")
    sample = None if text is None else read(text)
    forms = {}
    for name, chosen in (("before", "auto"), ("after", dtype)):
        forms[name] = measured(model, chosen, sample, tokens, threads, offline)
    result = {"model": model, "text": text, **forms}
    print_json(result) if json else show(result)


def read(path: Path) -> str:
    """The text of a file.

    Raises:
        OptionError: it cannot be read, or is no text.
    """
    from clearhead.errors import OptionError

    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"{path} cannot be read as text: {error}") from None


def measured(
    model: str, dtype: str, text: str | None, tokens: int, threads: int | None, offline: bool
) -> dict[str, Any]:
    """Size and, given a text, perplexity of one form of the model."""
    from clearhead.cli.opening import load_model, working
    from clearhead.engine.perplexity import perplexity
    from clearhead.native.store import drop_damaged

    machine = Machine(executor="native", dtype=dtype, device="cpu", threads=threads, offline=offline)

    def load() -> "Model":
        return load_model(model, machine)

    loaded = load()
    file = getattr(loaded.executor, "packed_file", None)
    if file is not None and drop_damaged(file):
        loaded = load()
    found: dict[str, Any] = {"dtype": loaded.executor.dtype, "bytes": packed_bytes(loaded)}
    if text is not None:
        with working(f"perplexity in {loaded.executor.dtype}"):
            score = perplexity(loaded, text, most=tokens)
        found |= {"perplexity": score.value, "tokens": score.tokens, "window": score.window}
    return found


def packed_bytes(model: "Model") -> int:
    """What the weights take."""
    size: int = getattr(model.executor, "packed_bytes", 0)
    return size


def show(result: dict[str, Any]) -> None:
    """Two lines to compare, and what they were measured on."""
    from clearhead.cli.quantities import size
    from clearhead.cli.screen import note, show_lines

    lines = []
    for name in ("before", "after"):
        form = result[name]
        line = f"{name:8}{form['dtype']:10}{size(form['bytes']):>10}"
        if "perplexity" in form:
            change = form["perplexity"] / result["before"]["perplexity"] - 1
            line += f"   perplexity {form['perplexity']:.3f}" + (f" ({change:+.2%})" if name == "after" else "")
        lines.append(line)
    show_lines(lines)
    if "tokens" in result["after"]:
        note(f"{result['after']['tokens']:,} tokens of {result['text']}, in windows of {result['after']['window']}")
    else:
        note("give --text FILE to measure the perplexity before and after")
