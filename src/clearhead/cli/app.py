"""All verbs as one program. A verb's heavy imports happen inside it, so that `--help` is quick."""

import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from clearhead.cli.ask import ask
from clearhead.cli.batch import batch
from clearhead.cli.chat import chat
from clearhead.cli.classify import classify
from clearhead.cli.code import code
from clearhead.cli.compare import compare
from clearhead.cli.complete import complete
from clearhead.cli.curves import curves
from clearhead.cli.doctor import doctor
from clearhead.cli.embed import embed
from clearhead.cli.entities import entities
from clearhead.cli.evaluate import evaluate
from clearhead.cli.export import export
from clearhead.cli.failures import guarded, quiet_pipe
from clearhead.cli.fill_mask import fill_mask
from clearhead.cli.help import GroupHelp, VerbHelp
from clearhead.cli.index import index
from clearhead.cli.inspect import inspect
from clearhead.cli.models import models, pull, remove
from clearhead.cli.neighbours import neighbours
from clearhead.cli.parse import parse
from clearhead.cli.positions import positions
from clearhead.cli.quantize import quantize
from clearhead.cli.summarize import summarize
from clearhead.cli.tokenize import tokenize
from clearhead.cli.trace import trace
from clearhead.cli.train import train
from clearhead.cli.translate import translate
from clearhead.cli.verify import verify
from clearhead.cli.write import write

EPILOG = (
    "Each verb explains itself: clearhead complete --help. Results go to standard output, all else to standard error."
)


class Verbs(GroupHelp):
    """The group of verbs, with our way of reporting failures."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run one verb and leave the process with its status."""
        tolerate_encodings()
        extra["standalone_mode"] = False
        sys.exit(guarded(lambda: super(Verbs, self).main(*args, **extra)))

    def invoke(self, ctx: Any) -> Any:
        """Run the verb; a reader that left is no failure."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise typer.Exit(quiet_pipe()) from None


app = typer.Typer(
    cls=Verbs,
    name="clearhead",
    add_completion=True,
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)


def show_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        from clearhead import __version__

        typer.echo(f"clearhead {__version__}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """A Transformer you can see through: real language models that complete, chat and show their inside."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


WRITE, TASKS, LOOK, TRAIN, KEEP = "Write", "Tasks", "Look inside", "Train", "Models and this machine"
VERBS: dict[str, tuple[Callable[..., None], ...]] = {
    WRITE: (complete, chat),
    TASKS: (
        *(translate, write, summarize, code, ask, index, entities, classify, embed, fill_mask, parse),
        *(evaluate, batch),
    ),
    LOOK: (trace, tokenize, positions, neighbours, inspect),
    TRAIN: (train, compare, curves),
    KEEP: (models, pull, remove, verify, quantize, export, doctor),
}
for group, verbs in VERBS.items():
    for verb in verbs:
        app.command(cls=VerbHelp, rich_help_panel=group)(verb)


def tolerate_encodings() -> None:
    """A terminal or pipe that cannot show a character gets its escape, not an exception."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def run() -> None:
    """Run the program with the arguments of this process."""
    typer.main.get_command(app).main(prog_name="clearhead")
