"""The attention modules of a trace, and which of their heads are worth a look.

T queries, S keys, H heads that the trace holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from clearhead.errors import OptionError
from clearhead.lens.payload import Token
from clearhead.lens.tokens import tokens_in
from clearhead.trace import Trace

Kind = Literal["attention", "cross_attention"]
Weights = NDArray[Any]  # float32, or float64 where the model computes in it
MOST_QUERIES = 256  # looked at per head when heads are compared


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Module:
    """One attention module with the weights of its heads."""

    path: str  # "decoder.layers.3.attention"
    stack: str  # whose tokens are the queries
    keys: str  # whose tokens are the keys
    layer: int
    kind: Kind
    causal: bool  # a query sees no key after itself
    first_query: int  # the token that row 0 belongs to
    heads: tuple[int, ...]  # numbers of the heads along the first axis
    weights: Weights  # [H, T, S]

    @property
    def name(self) -> str:
        """For a person: which layer of what."""
        return f"{self.stack} layer {self.layer}" + (", cross-attention" if self.kind == "cross_attention" else "")

    @property
    def group(self) -> str:
        """The modules it is one of: "encoder.attention", "decoder.attention" or "decoder.cross_attention"."""
        return f"{self.stack}.{self.kind}"

    def of(self, head: int) -> Weights:
        """[T, S] of one head.

        Raises:
            OptionError: a head that is not held.
        """
        check_index("head", head)
        if head not in self.heads:
            raise OptionError(f"head is {head}; the trace holds heads {numbers(self.heads)} of {self.path}")
        weights: Weights = self.weights[self.heads.index(head)]
        return weights


def numbers(found: Sequence[int]) -> str:
    """Ascending numbers as a person writes them: `0 to 8`, or `1, 4`."""
    if len(found) > 2 and list(found) == list(range(found[0], found[-1] + 1)):
        return f"{found[0]} to {found[-1]}"
    return ", ".join(map(str, found))


def modules(trace: Trace) -> list[Module]:
    """Every attention module whose weights are held, in the order of data flow.

    Raises:
        OptionError: there is none.
    """
    found = [module(trace, path) for path in trace.attentions()]
    if not found:
        raise OptionError("the trace holds no attention weights; trace with kinds=['weights'], or with all kinds")
    return found


def module(trace: Trace, path: str) -> Module:
    """One module of a trace."""
    stack, _, layer, kind = path.split(".")
    weights = trace.attention(path)
    across = kind == "cross_attention"
    own = weights.shape[1] if across else weights.shape[2]
    return Module(
        path=path,
        stack=stack,
        keys="encoder" if across else stack,
        layer=int(layer),
        kind="cross_attention" if across else "attention",
        causal=stack == "decoder" and not across,
        first_query=max(0, len(trace.ids.get(stack, ())) - weights.shape[1]) if across else own - weights.shape[1],
        heads=tuple(trace.heads_of(f"{path}.weights")),
        weights=weights,
    )


def tokens_of(trace: Trace) -> dict[str, list[Token]]:
    """The tokens of every stack that has attention here."""
    return {stack: tokens_in(trace, stack) for stack in trace.stacks()}


def pick(found: Sequence[Module], name: str | None, layer: int | None) -> list[Module]:
    """The modules meant by a name (a path, or as `Module.group`) and a layer, which may count from the end.

    Raises:
        OptionError: none is meant.
    """
    check_index("layer", layer)
    named = [m for m in found if name is None or name in (m.path, m.group, m.kind)]
    if not named:
        known = dict.fromkeys(m.group for m in found)
        raise OptionError(f"module is {name!r}; choose one of {', '.join(known)}, or a path such as {found[0].path}")
    if layer is None:
        return named
    depth = 1 + max(m.layer for m in named)
    chosen = [m for m in named if m.layer == (layer + depth if layer < 0 else layer)]
    if not chosen:
        raise OptionError(f"layer is {layer}; the trace holds layers {numbers(sorted({m.layer for m in named}))}")
    return chosen


def check_index(name: str, value: object) -> None:
    """Refuse what counts nothing: `value` is a whole number or None.

    Raises:
        OptionError: it is not.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, Integral)):
        raise OptionError(f"{name} is {value!r:.60}; it must be a whole number")


def sinks(module: Module, keys: Sequence[Token]) -> NDArray[np.bool_]:
    """[S] the keys that attract attention whatever the text says: special tokens, and a decoder's first token.

    (Xiao et al., "Efficient Streaming Language Models with Attention Sinks", 2023, section 3.)
    """
    found = np.zeros(module.weights.shape[2], bool)
    special = [token.special for token in keys[: len(found)]]
    found[: len(special)] = special
    found[:1] |= module.causal
    return found


def to_others(module: Module, head: int, keys: Sequence[Token], rows: Sequence[int] | None = None) -> Weights:
    """[T, S] a copy of one head's weights with 0 for a query's own token and for `sinks`: what it says about others.

    `rows` names the queries wanted.
    """
    queries = np.arange(module.weights.shape[1]) if rows is None else np.asarray(rows, int)
    weights: Weights = module.of(head)[queries]
    weights[:, sinks(module, keys)] = 0
    if module.kind == "attention":
        weights[np.arange(len(queries)), queries + module.first_query] = 0
    return weights


def decided(module: Module, head: int, keys: Sequence[Token]) -> float:
    """How decidedly a head looks at other tokens: the largest weight that a query gives one, averaged over queries.

    Of more than 256 queries, 256 at even steps are looked at.
    """
    T, S = module.weights.shape[1:]
    if not T * S:
        return 0.0
    rows = np.unique(np.linspace(0, T - 1, min(T, MOST_QUERIES)).astype(int))
    return float(to_others(module, head, keys, rows.tolist()).max(axis=1).mean())
