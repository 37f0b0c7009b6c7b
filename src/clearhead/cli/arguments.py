"""The options that several verbs share, each described once. Ranges are checked where requests are made, not here."""

from pathlib import Path
from typing import Annotated, Any

import typer

from clearhead.checkpoints.catalogue import DEFAULT_MODEL

__all__ = ["DEFAULT_MODEL"]

MODEL, SAMPLING, LENGTH, SEARCH = "Model", "Choosing tokens", "Length and stopping", "Search and speed"
CONTEXT, OUTPUT = "Prompt and context window", "Output"


def model_names(incomplete: str) -> list[str]:
    """Names of the catalogue, for shell completion."""
    from clearhead.checkpoints.catalogue import list_models

    return [status.name for status in list_models() if status.name.startswith(incomplete)]


def whole(text: str) -> int:
    """A whole number as typed."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a whole number") from None


def number(text: str) -> float:
    """A number as typed."""
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a number") from None


def text(what: str) -> Any:
    """The argument that is the input of a verb."""
    return typer.Argument(metavar="TEXT|-", help=f"{what}; - reads standard input.", show_default=False)


def model(what: str) -> Any:
    """The option that names a model."""
    return typer.Option("--model", "-m", metavar="MODEL", help=what, autocompletion=model_names, rich_help_panel=MODEL)


NAMES = "a name that `clearhead models` lists, a Hugging Face id, a folder or a file."
ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A name that `clearhead models` lists, a Hugging Face id (owner/name or owner/name@revision), a folder "
        "or a file.",
        autocompletion=model_names,
    ),
]
ModelOption = Annotated[str, model(f"A{NAMES[1:]}")]
TaskModel = Annotated[str | None, model(f"A{NAMES[1:]} Without it, the task's own.")]
InstructionModel = Annotated[str | None, model(f"A model that follows instructions: {NAMES}")]
File = Annotated[
    Path | None,
    typer.Option("--file", "-f", metavar="FILE", help="Read the text from a file.", rich_help_panel=CONTEXT),
]
Lines = Annotated[
    bool,
    typer.Option(
        "--lines", help="Each line of the input is a text of its own; results come one by one.", rich_help_panel=CONTEXT
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.", rich_help_panel=OUTPUT)]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No line of figures on standard error.", rich_help_panel=OUTPUT)
]
Offline = Annotated[
    bool, typer.Option("--offline", help="Use what is on this machine; download nothing.", rich_help_panel=MODEL)
]
Dtype = Annotated[
    str,
    typer.Option(
        metavar="TYPE",
        help="Compute in int4, int8, bfloat16 or float32 (torch: float16, float64 too); auto: as the file is.",
        rich_help_panel=MODEL,
    ),
]
Executor = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="What computes: native, torch, or auto; see `clearhead doctor`.", rich_help_panel=MODEL
    ),
]
Device = Annotated[
    str, typer.Option(metavar="DEVICE", help="Where it computes: auto, cpu, cuda, cuda:1 ...", rich_help_panel=MODEL)
]
Threads = Annotated[
    int | None,
    typer.Option(
        metavar="N", parser=whole, help="Compute with N threads; as many as cores otherwise.", rich_help_panel=MODEL
    ),
]

System = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT", help="A system message before the prompt (instruction models).", rich_help_panel=CONTEXT
    ),
]
OnOverflow = Annotated[
    str,
    typer.Option(
        metavar="error|truncate-left|truncate-middle",
        help="What to do with a prompt that does not fit the context window.",
        rich_help_panel=CONTEXT,
    ),
]

MaxNewTokens = Annotated[
    int, typer.Option(metavar="N", parser=whole, help="Write at most N tokens.", rich_help_panel=LENGTH)
]
MinNewTokens = Annotated[int, typer.Option(metavar="N", help="Do not end before N tokens.", rich_help_panel=LENGTH)]
Stop = Annotated[
    list[str] | None,
    typer.Option(metavar="TEXT", help="End before this text; may be repeated.", rich_help_panel=LENGTH),
]
StopId = Annotated[
    list[int] | None,
    typer.Option(metavar="ID", parser=whole, help="End at this token; may be repeated.", rich_help_panel=LENGTH),
]
IgnoreEos = Annotated[
    bool, typer.Option("--ignore-eos", help="Go on after the model's own end of text.", rich_help_panel=LENGTH)
]

Temperature = Annotated[
    float,
    typer.Option(
        "--temperature",
        "-t",
        metavar="T",
        parser=number,
        help="0 takes the likeliest token; higher is more varied.",
        rich_help_panel=SAMPLING,
    ),
]
TopK = Annotated[
    int,
    typer.Option(
        metavar="K", parser=whole, help="Draw from the K likeliest tokens; 0 is all.", rich_help_panel=SAMPLING
    ),
]
TopP = Annotated[
    float,
    typer.Option(
        metavar="P", help="Draw from the likeliest tokens that hold P of the probability.", rich_help_panel=SAMPLING
    ),
]
MinP = Annotated[
    float,
    typer.Option(
        metavar="P", parser=number, help="Drop tokens less likely than P times the likeliest.", rich_help_panel=SAMPLING
    ),
]
RepetitionPenalty = Annotated[
    float,
    typer.Option(
        metavar="X", parser=number, help="Above 1: tokens that occurred become less likely.", rich_help_panel=SAMPLING
    ),
]
PresencePenalty = Annotated[
    float,
    typer.Option(
        metavar="X",
        parser=number,
        help="Taken from the logit of every token already written.",
        rich_help_panel=SAMPLING,
    ),
]
FrequencyPenalty = Annotated[
    float,
    typer.Option(
        metavar="X", parser=number, help="Taken once for each time a token was written.", rich_help_panel=SAMPLING
    ),
]
LogitBias = Annotated[
    list[str] | None,
    typer.Option(metavar="ID=BIAS", help="Add BIAS to a token's logit; may be repeated.", rich_help_panel=SAMPLING),
]
Seed = Annotated[
    int | None,
    typer.Option(
        metavar="S",
        parser=whole,
        help="Repeat a draw; without it a fresh seed is drawn and told.",
        rich_help_panel=SAMPLING,
    ),
]
DraftTokens = Annotated[
    int,
    typer.Option(
        metavar="N",
        parser=whole,
        help="Guess N tokens ahead from the text so far: same result, sooner.",
        rich_help_panel=SEARCH,
    ),
]
