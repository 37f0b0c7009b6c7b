"""Which places a trace keeps: layers, heads and kinds, said once and resolved for one model."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from clearhead.config import ModelConfig
from clearhead.errors import OptionError
from clearhead.trace.aliases import ours
from clearhead.trace.schema import KINDS, Place, every_place, stacks


@dataclass(frozen=True, slots=True)
class Choice:
    """What is kept of one model: places by path, in the order of data flow, and heads in ascending order."""

    places: dict[str, Place]
    heads: tuple[int, ...]


def choose(
    config: ModelConfig,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    kinds: Sequence[str] | None = None,
) -> Choice:
    """Resolve a choice; None keeps everything.

    Layers and heads may count from the end (-1 is the last, in each stack its own). A kind is the end of a path
    (`weights`, `attention.output`, `logits`), a path, a pattern with `*` over whole paths, or a TransformerLens name.

    Raises:
        OptionError: a layer, head or kind of which this model has nothing to show.
    """
    for name, given in (("layers", layers), ("heads", heads), ("kinds", kinds)):
        if given is not None and (isinstance(given, str) or not isinstance(given, Sequence | range)):
            raise OptionError(f"{name} is {given!r}; it must be a list, even of one")
    patterns = None if kinds is None else [matching(kind, config) for kind in kinds]
    depths = {"encoder": config.n_encoder_layers, "decoder": config.n_decoder_layers}
    wanted = {
        stack: None if layers is None else within("layers", layers, depths[stack], max(depths.values()))
        for stack in stacks(config)
    }
    kept = {
        place.path: place
        for place in every_place(config)
        if (patterns is None or any(place.path in paths for paths in patterns))
        and (place.layer is None or (chosen := wanted[place.stack]) is None or place.layer in chosen)
    }
    chosen_heads = range(config.n_heads) if heads is None else within("heads", heads, config.n_heads, config.n_heads)
    return Choice(kept, tuple(sorted(chosen_heads)))


def within(name: str, chosen: Sequence[int], n: int, most: int) -> set[int]:
    """Indices from the front; those beyond this stack are left out if another stack has them."""
    for i in chosen:
        if isinstance(i, bool) or not isinstance(i, int | np.integer) or not -most <= i < most:
            raise OptionError(f"{name} names {i!r}; this model has {name} 0 to {most - 1}")
    return {int(i) % n for i in chosen if -n <= i < n}


def matching(kind: str, config: ModelConfig, *, name: str = "kinds") -> set[str]:
    """The paths a kind means; `name` is what errors call the place where it was given."""
    if not isinstance(kind, str):
        raise OptionError(f"{name} names {kind!r}; a kind is a text, such as 'weights'")
    wanted = ours(kind, config)
    paths = [place.path for place in every_place(config)]
    if "*" in wanted:
        found = {path for path in paths if fnmatchcase(path, wanted)}
    else:
        found = {path for path in paths if path == wanted or path.endswith("." + wanted)}
    if not found:
        known = wanted.rsplit(".", 1)[-1] in KINDS
        raise OptionError(
            f"{name} names {kind!r}, "
            + (
                "which this model does not have"
                if known
                else f"which no path ends with; a kind ends with one of {', '.join(sorted(KINDS))}"
            )
        )
    return found
