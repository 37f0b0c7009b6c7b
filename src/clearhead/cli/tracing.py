"""One request to look inside: the text is read once, and where heads are switched off a second time."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clearhead.config import ModelConfig, transformer
from clearhead.edits import Edit, ablate
from clearhead.engine.model import Model
from clearhead.errors import OptionError
from clearhead.lens.lens import page_kinds
from clearhead.lens.seen import Trace
from clearhead.lens.view import Board, View
from clearhead.trace.schema import LOGITS, last_stack, stacks

# What errors call a thing in Python, and on the command line.
SAID = (
    (r"kinds=\['(\w+)'\]", r"--kinds \1"),
    (r"stack='(\w+)'", r"--module \1.attention"),
    (r"max_new_tokens and chat", "--max-new-tokens and --chat"),
    (r"\bmax_new_tokens\b", "--max-new-tokens"),
    (r"\bas module:", "as --module:"),
    (r"give one of these instead of the word", "give one of these places, as @N, instead of the word"),
    (r"raise the budget, or spill it to a file", "or let it grow in a file with --save FILE"),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for by name."""

    layer: int | None = None
    head: int | None = None
    module: str | None = None
    who: str | None = None


@dataclass(slots=True)
class Run:
    """A text and what is done with it."""

    model: Model
    text: str
    options: dict[str, Any]
    ablated: list[str]
    trace: Trace = field(init=False)
    before: Trace | None = None
    edits: list[Edit] = field(default_factory=list)

    def read(self, save: Path | None, module: str | None) -> None:
        """Make the traces; the one that is looked at goes to the file, where one is named."""
        options, config = dict(self.options), transformer(self.model.executor.config)
        if options["kinds"] is None and save is None:
            options["kinds"] = page_kinds(config)
        names = [name for given in self.ablated for name in given.split(",")]
        self.edits = [switched_off(name, config, module) for name in names]
        if self.edits:
            self.before = self.model.trace(self.text, **options)
        self.trace = self.model.trace(self.text, **options, edits=self.edits, spill=save)

    def views(self, wanted: Wanted) -> list[View]:
        """What is asked for by name, that first; else who attends to whom."""
        found = list[View]()
        if self.before is not None:
            found.append(self.before.lens.before_after(self.trace, self.edits))
        if wanted.who is not None:
            found.append(self.who(wanted.who, wanted.module))
        asked = wanted.layer is not None or wanted.head is not None
        if self.trace.attentions() and (asked or not found):
            found.append(self.trace.lens.attention(wanted.layer, wanted.head, module=wanted.module))
        if LOGITS in self.trace and self.trace.config.n_decoder_layers and self.trace.n_prompt < len(self.trace.tokens):
            found.append(self.trace.lens.choices())
        return found or [self.trace.lens.tokens()]

    def who(self, word: str, module: str | None) -> View:
        """Whom a word attends to; `@7` is the token at 7."""
        stack = None if module is None else module.split(".")[0]
        at = int(word[1:]) if re.fullmatch(r"@\d+", word) else word
        return self.trace.lens.who(at, stack=stack, cross=module is not None and "cross_attention" in module)

    def board(self, shown: list[View]) -> Board:
        """A page of these views and all others that the trace has something for."""
        page = self.trace.lens.page()
        types = {view.type for view in shown}
        return Board([*shown, *(view for view in page.views if view.type not in types)], page.title)

    def figures(self, shown: list[View]) -> dict[str, Any]:
        """The trace as data: what was read, which arrays are held, and what was asked for."""
        return {
            "model": self.trace.model,
            "ids": self.trace.ids,
            "texts": self.trace.texts,
            "n_prompt": self.trace.n_prompt,
            "bytes": self.trace.nbytes,
            "edits": [edit.description for edit in self.edits],
            "arrays": {path: list(self.trace[path].shape) for path in self.trace.paths},
            "views": [view.figures for view in shown],
        }


def switched_off(name: str, config: ModelConfig, module: str | None) -> Edit:
    """`3.2` is head 2 of layer 3, in `module` (the last stack's self-attention if none is named); a module's path may
    stand before the head instead.

    Raises:
        OptionError: a layer or head that the model lacks.
    """
    found = re.fullmatch(r"(?:(-?\d+)|(.+))\.(-?\d+)", name)
    if found is None:
        raise OptionError(f"--ablate is {name!r}; name a layer and a head, such as 3.2")
    stack, _, kind = (module or f"{last_stack(config)}.attention").partition(".")
    if stack not in stacks(config) or kind not in ("attention", "cross_attention"):
        raise OptionError(
            f"--module is {module!r}, in which --ablate finds no layers; name {stacks(config)[0]}.attention"
        )
    head = int(found[3])
    if not -config.n_heads <= head < config.n_heads:
        raise OptionError(f"--ablate is {name!r}; this model has heads 0 to {config.n_heads - 1}")
    if found[2]:
        return ablate(found[2], [head])
    n_layers, layer = config.n_encoder_layers if stack == "encoder" else config.n_decoder_layers, int(found[1])
    if not -n_layers <= layer < n_layers:
        raise OptionError(f"--ablate is {name!r}; the {stack} has layers 0 to {n_layers - 1}")
    return ablate(f"{stack}.layers.{layer % n_layers}.{kind}", [head])


@contextmanager
def in_options() -> Iterator[None]:
    """Errors that speak of Python's parameters speak of options instead."""
    try:
        yield
    except OptionError as error:
        said = str(error)
        for pattern, option in SAID:
            said = re.sub(pattern, option, said)
        raise type(error)(said) from None
