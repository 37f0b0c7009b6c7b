"""`clearhead trace`: a text read and continued with everything looked at, as a page to open."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clearhead.cli import arguments as a
from clearhead.cli import pictures as p
from clearhead.errors import OptionError

if TYPE_CHECKING:
    from clearhead.config import ModelConfig
    from clearhead.edits import Edit
    from clearhead.engine.model import Model
    from clearhead.lens.seen import Trace
    from clearhead.lens.view import Board, View

LOGITS = "head.logits"
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
    int,
    typer.Option(
        "--max-new-tokens", metavar="N", parser=a.whole, help="Let the model write N tokens.", rich_help_panel=a.CONTEXT
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
Who = Annotated[
    str | None,
    typer.Option("--who", metavar="WORD", help="Rank the heads by whom this word attends to.", rich_help_panel=LOOK),
]
Ablate = Annotated[
    list[str] | None,
    typer.Option("--ablate", metavar="LAYER.HEAD", help="Switch a head off; repeatable.", rich_help_panel=LOOK),
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


def trace(
    text: Text = None,
    file: a.File = None,
    model: a.ModelOption = a.DEFAULT_MODEL,
    max_new_tokens: NewTokens = 0,
    target: Target = None,
    chat: Chat = False,
    layers: Layers = None,
    heads: Heads = None,
    kinds: Kinds = None,
    layer: Layer = None,
    head: Head = None,
    who: Who = None,
    ablate: Ablate = None,
    html: p.Html = None,
    png: p.Png = None,
    svg: p.Svg = None,
    save: Save = None,
    open: p.Open = False,
    json: a.Json = False,
    dtype: a.Dtype = "auto",
    executor: a.Executor = "auto",
    device: a.Device = "auto",
    threads: a.Threads = None,
    offline: a.Offline = False,
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

    asked = any(path is not None for path in (html, png, svg, save)) or json
    page = html if asked else PAGE
    p.check(html=page, png=png, svg=svg, open=open)
    content = TEXT if text is None and file is None else read_text(text, file, "text")
    look = {
        "layers": numbers("--layers", layers),
        "heads": numbers("--heads", heads),
        "kinds": None if kinds is None else [kind.strip() for kind in kinds.split(",")],
    }
    loaded = load_model(model, executor=executor, dtype=dtype, device=device, threads=threads, offline=offline)
    run = Run(loaded, content, look | {"max_new_tokens": max_new_tokens, "target": target, "chat": chat}, ablate or [])
    with working(f"reading with {loaded.name}"):
        run.read(save)
    shown = run.views(layer, head, who)
    if page is not None or png is not None or svg is not None:
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


@dataclass(kw_only=False, slots=True)
class Run:
    """One request: the text is read once, and where heads are switched off a second time."""

    model: "Model"
    text: str
    options: dict[str, Any]
    ablated: list[str]
    trace: "Trace | None" = None
    before: "Trace | None" = None
    edits: list["Edit"] = field(default_factory=list)

    def read(self, save: Path | None) -> None:
        """Make the traces; the one that is looked at goes to the file, where one is named."""
        from clearhead.lens.lens import page_kinds

        options = dict(self.options)
        if options["kinds"] is None and save is None:
            options["kinds"] = page_kinds(self.model.config)
        self.edits = [switched_off(name, self.model.config) for name in self.ablated]
        if self.edits:
            self.before = self.model.trace(self.text, **options)
        self.trace = self.model.trace(self.text, **options, edits=self.edits, spill=save)

    def views(self, layer: int | None, head: int | None, who: str | None) -> list["View"]:
        """What is asked for by name, that first; else who attends to whom."""
        assert self.trace is not None
        lens, found = self.trace.lens, list["View"]()
        if self.before is not None:
            found.append(self.before.lens.before_after(self.trace, self.edits))
        if who is not None:
            found.append(lens.who(int(who) if who.isdecimal() else who))
        if self.trace.attentions() and (layer is not None or head is not None or not found):
            found.append(lens.attention(layer, head))
        if LOGITS in self.trace and self.trace.n_prompt < len(self.trace.tokens):
            found.append(lens.choices())
        return found or [lens.tokens()]

    def board(self, shown: list["View"]) -> "Board":
        """A page of these views and all others that the trace has something for."""
        from clearhead.lens.view import Board

        assert self.trace is not None
        page = self.trace.lens.page()
        types = {view.type for view in shown}
        return Board([*shown, *(view for view in page.views if view.type not in types)], page.title)

    def figures(self, shown: list["View"]) -> dict[str, Any]:
        """The trace as data: what was read, which arrays are held, and what was asked for."""
        trace = self.trace
        assert trace is not None
        return {
            "model": trace.model,
            "ids": trace.ids,
            "texts": trace.texts,
            "n_prompt": trace.n_prompt,
            "bytes": trace.nbytes,
            "edits": [edit.description for edit in self.edits],
            "arrays": {path: list(trace[path].shape) for path in trace.paths},
            "views": [view.figures for view in shown],
        }


def switched_off(name: str, config: "ModelConfig") -> "Edit":
    """`3.2` is head 2 of layer 3's self-attention; a module's path may stand before the head too."""
    from clearhead.edits import ablate
    from clearhead.trace.schema import last_stack

    module, _, head = name.rpartition(".")
    if not head.isdecimal() or not module:
        raise OptionError(f"--ablate is {name!r}; name a layer and a head, such as 3.2")
    path = f"{last_stack(config)}.layers.{module}.attention" if module.isdecimal() else module
    return ablate(path, [int(head)])


def show(views: list["View"]) -> None:
    """Each view in characters."""
    from clearhead.cli.screen import NARROW, output

    console = output()
    for i, view in enumerate(views):
        if i:
            console.print()
        console.print(view.terminal(min(console.width, NARROW * 2)), soft_wrap=True)
