"""`clearhead complete`: a prompt in, the prompt and its completion out, token by token."""

from typing import TYPE_CHECKING, Annotated

import typer

from clearhead.cli import arguments as a
from clearhead.cli.failures import INTERRUPTED
from clearhead.cli.on_machine import on_machine
from clearhead.config import GenerationConfig
from clearhead.engine.machine import Machine

if TYPE_CHECKING:
    from clearhead.engine.completion import Completion
    from clearhead.engine.stream import Stream

DEFAULT = GenerationConfig()
Prompt = Annotated[
    str | None,
    typer.Argument(metavar="PROMPT|-", help="The text to complete; - reads standard input.", show_default=False),
]
Raw = Annotated[
    bool,
    typer.Option("--raw", help="Send the prompt as it is, without the chat template.", rich_help_panel=a.CONTEXT),
]
ShowPrompt = Annotated[
    bool,
    typer.Option("--show-prompt", help="Show what the model was sent, on standard error.", rich_help_panel=a.OUTPUT),
]
Samples = Annotated[
    int,
    typer.Option(
        "--n",
        metavar="N",
        parser=a.whole,
        help="Write N completions; with beams, the best N.",
        rich_help_panel=a.SEARCH,
    ),
]
Beams = Annotated[
    int,
    typer.Option(
        metavar="N", parser=a.whole, help="Beam search over N hypotheses; 1 is none.", rich_help_panel=a.SEARCH
    ),
]
LengthPenalty = Annotated[
    float, typer.Option(metavar="X", help="Beams: above 1 favours long text, below 1 short.", rich_help_panel=a.SEARCH)
]
EarlyStopping = Annotated[
    bool,
    typer.Option(
        "--early-stopping", help="Beams: stop as soon as N hypotheses are complete.", rich_help_panel=a.SEARCH
    ),
]
Logprobs = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        parser=a.whole,
        help="Report the log-probability of each token and its N best rivals.",
        rich_help_panel=a.OUTPUT,
    ),
]
PromptLogprobs = Annotated[
    bool,
    typer.Option(
        "--prompt-logprobs", help="With --json: the prompt's log-probabilities too.", rich_help_panel=a.OUTPUT
    ),
]


@on_machine
def complete(
    context: typer.Context,
    prompt: Prompt = None,
    file: a.File = None,
    model: a.ModelOption = a.DEFAULT_MODEL,
    system: a.System = None,
    raw: Raw = False,
    on_overflow: a.OnOverflow = "error",
    max_new_tokens: a.MaxNewTokens = DEFAULT.max_new_tokens,
    min_new_tokens: a.MinNewTokens = DEFAULT.min_new_tokens,
    stop: a.Stop = None,
    stop_id: a.StopId = None,
    ignore_eos: a.IgnoreEos = DEFAULT.ignore_eos,
    temperature: a.Temperature = DEFAULT.temperature,
    top_k: a.TopK = DEFAULT.top_k,
    top_p: a.TopP = DEFAULT.top_p,
    min_p: a.MinP = DEFAULT.min_p,
    repetition_penalty: a.RepetitionPenalty = DEFAULT.repetition_penalty,
    presence_penalty: a.PresencePenalty = DEFAULT.presence_penalty,
    frequency_penalty: a.FrequencyPenalty = DEFAULT.frequency_penalty,
    logit_bias: a.LogitBias = None,
    seed: a.Seed = DEFAULT.seed,
    n: Samples = DEFAULT.n,
    beams: Beams = DEFAULT.beams,
    length_penalty: LengthPenalty = DEFAULT.length_penalty,
    early_stopping: EarlyStopping = DEFAULT.early_stopping,
    draft_tokens: a.DraftTokens = DEFAULT.draft_tokens,
    logprobs: Logprobs = DEFAULT.logprobs,
    prompt_logprobs: PromptLogprobs = DEFAULT.prompt_logprobs,
    show_prompt: ShowPrompt = False,
    quiet: a.Quiet = False,
    json: a.Json = False,
    *,
    machine: Machine,
) -> None:
    """Complete a prompt.

    An instruction model is asked the way it was trained to be asked: its chat template goes around the prompt. A base
    model reads the prompt as it is and goes on. A model with an encoder reads the prompt and writes its answer.

    Example: clearhead complete "Which is the capital of Bulgaria?"
    """
    from clearhead.cli import results
    from clearhead.cli.interrupt import interruptible
    from clearhead.cli.opening import load_model
    from clearhead.cli.requests import generation_options, sending_options
    from clearhead.cli.screen import note
    from clearhead.cli.sources import read_text

    text = read_text(prompt, file, "prompt")
    options = generation_options(context.params)
    sending = sending_options(context.params)
    loaded = load_model(model, machine)
    with interruptible() as interrupt:
        if json or n > 1 or beams > 1:
            done = loaded.complete(text, cancelled=interrupt, **sending, **options)
            show = results.show_json if json else results.show_text
            show(done, loaded)
        else:
            done = stream_text(loaded.stream(text, cancelled=interrupt, **sending, **options))
    if logprobs is not None and not json:
        results.show_logprobs(done, loaded)
    if show_prompt and not json:
        results.show_sent(done)
    if not quiet and not json:
        note(results.figures(done))
    if interrupt.pressed:
        raise typer.Exit(INTERRUPTED)


def stream_text(stream: "Stream") -> "Completion":
    """Show the prompt, then the pieces as they come."""
    from clearhead.cli.screen import Writer

    writer = Writer()
    begun = stream.completion
    writer.write(begun.prompt + begun.separator, "dim")
    for piece in stream:
        writer.write(piece, "bold")
    writer.write("\n")
    return stream.completion
