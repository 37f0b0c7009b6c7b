"""`clearhead trace`: a text read and continued with everything looked at, as a page to open."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clearhead.cli import arguments as a
from clearhead.cli import pictures as p
from clearhead.cli.on_machine import on_machine
from clearhead.engine.machine import Machine
from clearhead.errors import OptionError

if TYPE_CHECKING:
    from clearhead.lens.view import View

TEXT = "The teacher taught the student with the book."
PAGE = Path("trace.html")
LOOK = "What to look at"

Text = Annotated[
    str | None,
    typer.Argument(
        metavar="TEXT|-", help="The text; - reads standard input. [default: The teacher ...]", show_default=False
    ),
]
NewTokens = Annotated[
    int | None,
    typer.Option(
        "--max-new-tokens",
        metavar="N",
        parser=a.whole,
        help="Let the model write N tokens; beside an encoder up to 64 if not said, else none.",
        rich_help_panel=a.CONTEXT,
    ),
]
Target = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="TEXT",
        help="What the decoder is given to say, beside an encoder.",
        rich_help_panel=a.CONTEXT,
    ),
]
Chat = Annotated[bool, typer.Option("--chat", help="Put the chat template around the text.", rich_help_panel=a.CONTEXT)]
Layers = Annotated[
    str | None, typer.Option("--layers", metavar="LIST", help="Such as 0,5,-1; -1 is the last.", rich_help_panel=LOOK)
]
Heads = Annotated[str | None, typer.Option("--heads", metavar="LIST", help="Such as 0,2.", rich_help_panel=LOOK)]
Kinds = Annotated[
    str | None,
    typer.Option(
        "--kinds",
        metavar="LIST",
        help="Ends of paths, such as weights,mlp.output,logits; by default what the page shows.",
        rich_help_panel=LOOK,
    ),
]
Layer = Annotated[
    int | None, typer.Option("--layer", metavar="N", parser=a.whole, help="Show one layer.", rich_help_panel=LOOK)
]
Head = Annotated[
    int | None, typer.Option("--head", metavar="N", parser=a.whole, help="And one of its heads.", rich_help_panel=LOOK)
]
Module = Annotated[
    str | None,
    typer.Option(
        "--module",
        metavar="NAME",
        help="Which attention of two stacks: encoder.attention, decoder.attention or decoder.cross_attention.",
        rich_help_panel=LOOK,
    ),
]
Who = Annotated[
    str | None,
    typer.Option(
        "--who",
        metavar="WORD",
        help="Rank the heads by whom this word attends to; @7 is the token at 7.",
        rich_help_panel=LOOK,
    ),
]
Ablate = Annotated[
    list[str] | None,
    typer.Option(
        "--ablate",
        metavar="LAYER.HEAD",
        help="Switch a head off, in the --module named; repeatable.",
        rich_help_panel=LOOK,
    ),
]
Save = Annotated[
    Path | None,
    typer.Option(
        "--save",
        metavar="FILE",
        help="Keep the arrays in a safetensors file, which may outgrow the memory.",
        rich_help_panel=p.PICTURES,
    ),
]


@on_machine
def trace(
    text: Text = None,
    file: a.File = None,
    model: a.ModelOption = a.DEFAULT_MODEL,
    max_new_tokens: NewTokens = None,
    target: Target = None,
    chat: Chat = False,
    layers: Layers = None,
    heads: Heads = None,
    kinds: Kinds = None,
    layer: Layer = None,
    head: Head = None,
    module: Module = None,
    who: Who = None,
    ablate: Ablate = None,
    html: p.Html = None,
    png: p.Png = None,
    svg: p.Svg = None,
    save: Save = None,
    open: p.Open = False,
    json: a.Json = False,
    *,
    machine: Machine,
) -> None:
    """Look inside a model while it reads a text, and writes on.

    Shows which words attend to which, and writes a page with every head's attention map, what each layer would say
    next, the tokens and the architecture: trace.html, unless --html names another file or another output is asked for.
    With --ablate, the page shows the text before and after.

    Example: clearhead trace "The teacher taught the student with the book." --who book
    """
    from clearhead.cli.json_output import print_json
    from clearhead.cli.opening import load_model, working
    from clearhead.cli.sources import read_text
    from clearhead.cli.tracing import Run, Wanted, in_options

    asked = any(path is not None for path in (html, png, svg, save)) or json
    page = html if asked else PAGE
    p.check(html=page, png=png, svg=svg, open=open)
    content = TEXT if text is None and file is None else read_text(text, file, "text")
    look = {
        "layers": numbers("--layers", layers),
        "heads": numbers("--heads", heads),
        "kinds": None if kinds is None else [kind.strip() for kind in kinds.split(",")],
    }
    loaded = load_model(model, machine)
    run = Run(loaded, content, look | {"max_new_tokens": max_new_tokens, "target": target, "chat": chat}, ablate or [])
    with working(f"reading with {loaded.name}"), in_options():
        run.read(save, module)
        shown = run.views(Wanted(layer, head, module, who))
    with working("drawing"):
        if page is not None:
            p.save(run.board(shown), html=page, open=open)
        if png is not None or svg is not None:
            p.save(shown[0], png=png, svg=svg, open=open and page is None)
    if json:
        print_json(run.figures(shown))
    else:
        show(shown)


def numbers(option: str, text: str | None) -> list[int] | None:
    """A list of whole numbers as typed."""
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise OptionError(f"{option} is {text!r}; it must be whole numbers, such as 0,5,-1") from None


def show(views: list["View"]) -> None:
    """Each view in characters."""
    from clearhead.cli.screen import NARROW, output

    console = output()
    for i, view in enumerate(views):
        if i:
            console.print()
        console.print(view.terminal(min(console.width, NARROW * 2)), soft_wrap=True)
