"""`clearhead chat`: a conversation, turn by turn."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from clearhead.cli import arguments as a
from clearhead.cli.conversation import Conversation
from clearhead.cli.on_machine import on_machine
from clearhead.config import GenerationConfig
from clearhead.engine.machine import Machine
from clearhead.errors import ClearheadError, OptionError, UnsupportedError

if TYPE_CHECKING:
    from clearhead.engine.model import Model

DEFAULT = GenerationConfig()
COMMANDS = {
    "/reset": "forget what was said; the system message stays",
    "/system TEXT": "set the system message; without TEXT, drop it",
    "/save FILE": "write the messages as JSON",
    "/load FILE": "go on with the messages of a file",
    "/help": "this list",
    "/exit": "leave, as Ctrl-D does",
}


@on_machine
def chat(
    context: typer.Context,
    model: a.ModelOption = a.DEFAULT_MODEL,
    system: a.System = None,
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
    draft_tokens: a.DraftTokens = DEFAULT.draft_tokens,
    quiet: a.Quiet = False,
    json: a.Json = False,
    *,
    machine: Machine,
) -> None:
    """Talk with an instruction model.

    Ctrl-C interrupts an answer, Ctrl-D leaves, /help lists what else can be done. Lines between two lines of three
    quotation marks are sent as one. From a pipe, every line is a turn; with --json every answer is one line of JSON.

    Example: clearhead chat --system "Answer in one sentence." --temperature 0.7
    """
    from clearhead.cli.opening import load_model
    from clearhead.cli.requests import generation_options

    options = {**generation_options(context.params), "on_overflow": on_overflow}
    loaded = load_model(model, machine)
    if loaded.chat_template is None:
        raise UnsupportedError(f"{model} has no chat template; it completes text, so use clearhead complete")
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    converse(loaded, Conversation(system), options, interactive=interactive, quiet=quiet, json=json)


def converse(
    model: "Model",
    conversation: Conversation,
    options: Mapping[str, Any],
    *,
    interactive: bool,
    quiet: bool,
    json: bool,
) -> None:
    """Turn after turn, until there are no more. A person is told of an error and goes on; a script ends with it."""
    from clearhead.cli.failures import tell
    from clearhead.cli.screen import note
    from clearhead.cli.turns import turns

    if interactive:
        name, window = Path(model.name).name, model.config.max_positions
        note(f"{name} · context window {window:,} · /help lists commands, Ctrl-D leaves")
    for turn in turns(interactive=interactive):
        if turn.strip() == "/exit":
            return
        try:
            if is_command(turn):
                obey(conversation, turn.strip())
            elif text := turn.removeprefix("/") if turn.startswith("//") else turn.strip():
                answer(model, conversation, text, options, quiet=quiet, json=json)
        except ClearheadError as error:
            if not interactive:
                raise
            tell(error)


def is_command(text: str) -> bool:
    """A line that starts with one slash; two slashes send one."""
    return text.startswith("/") and not text.startswith("//") and "\n" not in text


def obey(conversation: Conversation, line: str) -> None:
    """Carry out a command.

    Raises:
        OptionError: an unknown one, or one without the file it needs.
    """
    from clearhead.cli.quantities import plural
    from clearhead.cli.screen import note

    command, _, argument = line.partition(" ")
    argument = argument.strip()
    if command in ("/save", "/load") and not argument:
        raise OptionError(f"{command} needs the name of a file")
    match command:
        case "/reset":
            conversation.reset()
            note("starting afresh")
        case "/system":
            conversation.system = argument or None
            note("system message set" if argument else "no system message")
        case "/save":
            conversation.save(Path(argument).expanduser())
            note(f"{plural(len(conversation.messages), 'message')} saved in {argument}")
        case "/load":
            conversation.load(Path(argument).expanduser())
            note(f"{plural(len(conversation.messages), 'message')} loaded")
        case "/help":
            for name, what in COMMANDS.items():
                note(f"{name:<14}{what}")
        case _:
            raise OptionError(f"{command} is no command; /help lists them, and // sends a line that begins with /")


def answer(
    model: "Model", conversation: Conversation, text: str, options: Mapping[str, Any], *, quiet: bool, json: bool
) -> None:
    """One question and its answer, which Ctrl-C cuts short."""
    from clearhead.cli.interrupt import interruptible
    from clearhead.cli.json_output import print_json_line
    from clearhead.cli.results import completion_json, figures
    from clearhead.cli.screen import Writer, note

    with interruptible() as interrupt:
        stream = model.stream(conversation.ask(text), cancelled=interrupt, **options)
        writer = None if json else Writer()
        for piece in stream:
            if writer is not None:
                writer.write(piece)
        if writer is not None:
            writer.write("\n")
        done = stream.completion
    if done.new_text:
        conversation.answer(text, done.new_text)
    if json:
        print_json_line(completion_json(done, model))
    elif not quiet:
        note(figures(done))
