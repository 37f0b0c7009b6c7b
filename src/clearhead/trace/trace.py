"""The Trace: what a run showed of itself, one rectangular array per place, for the prompt and every token after it.

An executor fills it call by call: `begin` says which positions a call brings, and makes room the first time; the arrays
of all places are then as long as the whole run will be, so that a token's values go straight to where they stay.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearhead.config import ModelConfig
from clearhead.errors import OptionError
from clearhead.trace.aliases import ours
from clearhead.trace.choice import Choice, choose
from clearhead.trace.schema import LOGITS, Place, StackName, last_stack, stacks

Array = NDArray[Any]  # float32, or float64 where the model computes in it
Shapes = Mapping[str, tuple[int, ...]]
Allocate = Callable[[Shapes, Any], dict[str, Array]]  # zeros of these shapes by path, of one dtype
ALIGNED = 16  # numbers: where an array begins, a cache line or two


def in_memory(shapes: Shapes, dtype: Any) -> dict[str, Array]:
    """One piece of memory for all places, which the system then gives in large pages: a step writes to hundreds of
    heads' rows, each on a page of its own. Pages are taken when they are first written; room kept in vain costs little.
    """
    sizes = {path: math.prod(shape) for path, shape in shapes.items()}
    starts = list(accumulate((-(-size // ALIGNED) * ALIGNED for size in sizes.values()), initial=0))
    whole = np.zeros(starts[-1], dtype)
    return {
        path: whole[start : start + sizes[path]].reshape(shape)
        for (path, shape), start in zip(shapes.items(), starts, strict=False)
    }


@dataclass(slots=True)
class Span:
    """The rows of one stack: a trace that began at position `first` has `rows` of them, and holds `filled`."""

    first: int
    rows: int
    filled: int = 0
    at: int = 0  # the first row of the call that is under way
    new: int = 0  # and how many rows it brings
    memory: int = 0  # tokens of the encoder beside them


@dataclass(slots=True, repr=False, eq=False, weakref_slot=True)
class Trace:
    """Arrays by path; `clearhead.trace.schema` names all places with their shapes.

    `layers`, `heads` and `kinds` choose what is kept (see `choose`); None keeps everything. What was read is in `ids`,
    `pieces` (the vocabulary's spelling), `texts` (harmless to show) and `special`, by stack; of the decoder's tokens
    the first `n_prompt` were given, and the others generated.

    Raises:
        OptionError: a layer, head or kind of which this model has nothing to show.
    """

    config: ModelConfig
    layers: Sequence[int] | None = None
    heads: Sequence[int] | None = None
    kinds: Sequence[str] | None = None
    model: str = ""
    arrays: dict[str, Array] = field(default_factory=dict)  # as allocated; `trace[path]` is cut to what is filled
    ids: dict[str, list[int]] = field(default_factory=dict)
    pieces: dict[str, list[str]] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)
    special: dict[str, list[bool]] = field(default_factory=dict)
    n_prompt: int = 0
    spans: dict[str, Span] = field(default_factory=dict)
    room: dict[str, int] = field(default_factory=dict)  # rows to keep room for, where more calls will follow the first
    expected: dict[str, int] = field(default_factory=dict)  # the same, of the call under way
    allocate: Allocate = in_memory
    choice: Choice = field(init=False)

    def __post_init__(self) -> None:
        self.choice = choose(self.config, self.layers, self.heads, self.kinds)

    def __repr__(self) -> str:
        """One line: how much was seen of what."""
        seen = " and ".join(f"{span.filled} tokens in the {stack}" for stack, span in self.spans.items())
        return f"<trace of {seen or 'nothing yet'}: {len(self.arrays)} arrays>"

    def wants(self, path: str) -> bool:
        """Whether an executor should record this path."""
        return path in self.choice.places

    def expect(self, stack: StackName, rows: int) -> None:
        """A call brings so many tokens, perhaps in pieces: if it is the first, and nobody said more, room for these."""
        self.expected[stack] = rows

    def begin(self, stack: StackName, *, first: int, new: int, memory: int = 0, dtype: Any = np.float32) -> Span:
        """A call brings `new` tokens from position `first` on, beside `memory` tokens of the encoder; `end` ends it.

        Raises:
            OptionError: more tokens than there is room for, tokens before the trace began or past what it has seen, or
                another memory.
        """
        span = self.spans.get(stack)
        if span is None or span.filled == 0:  # a first call that failed left nothing
            room = self.room.get(stack, self.expected.get(stack, new))
            span = self.spans[stack] = Span(first, room, memory=memory)
            self.make_room(stack, span, dtype)
        if memory != span.memory:
            raise OptionError(
                f"the trace began beside {span.memory} tokens of an encoder, and was given {memory}; trace them apart"
            )
        row = first - span.first
        if not 0 <= row <= row + new <= span.rows:
            raise OptionError(
                f"the trace has room for {span.rows} tokens from position {span.first} on, and was given {new} from "
                f"position {first} on; trace them apart"
            )
        if row > span.filled:
            unseen = f"positions {span.first + span.filled} to {first - 1}"
            raise OptionError(f"{unseen} were read without this trace; give it to every call")
        span.at, span.new = row, new
        return span

    def end(self, stack: StackName) -> None:
        """The call under way has written what it shows."""
        span = self.spans[stack]
        span.filled = span.at + span.new

    def make_room(self, stack: str, span: Span, dtype: Any) -> None:
        """Arrays for every wanted place of a stack; for logits when there are some, for no head may be asked."""
        places = [place for place in self.choice.places.values() if place.stack == stack and place.path != LOGITS]
        self.arrays |= self.allocate({place.path: self.whole(place, span) for place in places}, dtype)

    def whole(self, place: Place, span: Span) -> tuple[int, ...]:
        """The shape of one place for a whole run."""
        return self.shape(place, span.rows, span.first + span.rows, span.memory)

    def shape(self, place: Place, rows: int, keys: int, memory: int) -> tuple[int, ...]:
        """Of one place in this trace."""
        return place.shape(self.config, heads=len(self.choice.heads), rows=rows, keys=keys, memory=memory)

    def write(self, path: str, value: Array) -> None:
        """Keep what the call under way shows at a place, if that is wanted.

        `value` has the place's axes, with all heads, the call's queries, and every key so far.

        Raises:
            OptionError: a head's logits, of an encoder's pass that the trace did not see.
        """
        if path not in self.choice.places:
            return
        place = self.choice.places[path]
        if place.stack not in self.spans:
            raise OptionError(f"the trace saw nothing of the {place.stack}; give it to that call too")
        span = self.spans[place.stack]
        if path not in self.arrays:
            self.arrays |= self.allocate({path: self.whole(place, span)}, value.dtype)
        if not np.may_share_memory(value, self.arrays[path]):  # else it was written in place
            chosen = place.axes[0] == "H" and len(self.choice.heads) < self.config.n_heads
            put(value[list(self.choice.heads)] if chosen else value, self.arrays[path], place, span)

    def rows(self, path: str, dtype: Any) -> Array:
        """The rows of a place [T, ...] that the call under way brings, to be written in place."""
        place = self.choice.places[path]
        span = self.spans[place.stack]
        if path not in self.arrays:
            self.arrays |= self.allocate({path: self.whole(place, span)}, dtype)
        return self.arrays[path][span.at : span.at + span.new]

    @property
    def paths(self) -> list[str]:
        """Every path that is held, in the order of data flow."""
        return [path for path in self.choice.places if path in self.arrays]

    def __contains__(self, path: str) -> bool:
        return ours(path, self.config) in self.arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    def __getitem__(self, path: str) -> Array:
        """The values at a place; names of TransformerLens are understood too.

        Raises:
            OptionError: a path that is not held.
        """
        name = ours(path, self.config)
        if name not in self.arrays:
            kind = name.rsplit(".", 1)[-1]
            near = [p for p in self.arrays if p.rsplit(".", 1)[-1] == kind]
            raise OptionError(
                f"the trace holds no {path!r}; it holds {', '.join((near or list(self.arrays))[:4]) or 'nothing'}"
            )
        place = self.choice.places[name]
        span = self.spans[place.stack]
        shape = self.shape(place, span.filled, span.first + span.filled, span.memory)
        return self.arrays[name][tuple(slice(n) for n in shape)]

    def attention(self, module: str) -> Array:
        """Attention weights [H, T, S] of one module, such as `decoder.layers.3.attention`."""
        return self[f"{module}.weights"]

    def attentions(self) -> list[str]:
        """The modules whose attention weights are held."""
        return [path.removesuffix(".weights") for path in self.paths if path.endswith(".weights")]

    def heads_of(self, path: str) -> list[int]:
        """The heads along the first axis of a path's array; key/value heads are never chosen among."""
        name = ours(path, self.config)
        if name not in self.choice.places:
            raise OptionError(f"the trace has no place {path!r}; see trace.paths")
        axes = self.choice.places[name].axes
        return list(range(self.config.n_kv_heads)) if axes[0] == "K" else list(self.choice.heads)

    def scores(self, module: str) -> Array:
        """[H, T, S] what the softmax of a module was given: q k^T scaled, and the bias; from queries, keys and bias.

        Raises:
            OptionError: the trace holds not all three.
        """
        query, key = self[f"{module}.query"], self[f"{module}.key"]
        share = self.config.n_heads // self.config.n_kv_heads
        keys = key[[head // share for head in self.choice.heads]]
        scores: Array = query @ keys.swapaxes(1, 2) * self.config.score_scale
        return scores if ".cross_attention" in module else scores + self[f"{module.partition('.')[0]}.bias"]

    def estimate(self, rows: Mapping[str, int], itemsize: int = 4) -> dict[str, int]:
        """Bytes that a trace of so many tokens by stack will take, by kind, largest first."""
        found: dict[str, int] = {}
        memory = rows.get("encoder", 0)
        for path, place in self.choice.places.items():
            n = rows.get(place.stack, 0)
            kind = path if path == LOGITS else path.rsplit(".", 1)[-1]
            size = itemsize * int(np.prod(self.shape(place, n, n, memory), dtype=np.int64))
            found[kind] = found.get(kind, 0) + size
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    @property
    def tokens(self) -> list[int]:
        """Ids of the last stack: of what a decoder read and wrote, or of what an encoder read."""
        return self.ids.get(last_stack(self.config), [])

    @property
    def nbytes(self) -> int:
        """Bytes of all values that are filled."""
        return sum(self[path].nbytes for path in self.paths)

    def check(self, config: ModelConfig) -> None:
        """Refuse a trace made for another model; every executor asks before it runs."""
        if config != self.config:
            raise OptionError("the trace was made for another model; make one from this model's configuration")

    def stacks(self) -> tuple[StackName, ...]:
        """The stacks of the model."""
        return stacks(self.config)


def put(value: Array, kept: Array, place: Place, span: Span) -> None:
    """What a call shows at a place, into the rows that it brings.

    Raises:
        OptionError: it shows other rows than it brings.
    """
    if "T" not in place.axes:  # keys and values: those of earlier calls are here already
        start = 0 if span.at == 0 else (value.shape[1] if place.across else value.shape[1] - span.new)
        kept[:, start : value.shape[1]] = value[:, start:]
        return
    brought = value.shape[place.axes.index("T")]
    if (brought != span.new and place.path != LOGITS) or brought > span.new:
        raise OptionError(f"{place.path} has {brought} rows in a call of {span.new} tokens; trace them apart")
    rows = slice(span.at, span.at + brought)
    if place.axes[-1] == "S":
        kept[:, rows, : value.shape[-1]] = value
        if place.path.endswith(".bias"):  # keys that are still to come are hidden from these queries
            kept[:, rows, value.shape[-1] :] = -np.inf
    elif place.axes[0] == "T":
        kept[rows] = value
    else:
        kept[:, rows] = value
