"""Which scheme a model has, and its pictures."""

from collections.abc import Callable, Sequence

from clearhead.config import ModelConfig, Position
from clearhead.errors import OptionError
from clearhead.lens.positions import CURVES, MOST_CURVES, Positions, encoding
from clearhead.lens.schemes.alibi import alibi_views
from clearhead.lens.schemes.learned import learned_views
from clearhead.lens.schemes.relative import relative_views
from clearhead.lens.schemes.rotary import rotary_views
from clearhead.lens.schemes.scheme import Source, WeightOf
from clearhead.text.printable import one_line


def sinusoidal_views(source: Source) -> list[Positions]:
    """The formula with the model's width, in the order of the paper."""
    note = "The model keeps all sines before all cosines; here each sine stands beside the cosine of its wavelength."
    return [encoding(source.labels, source.config.d_model, 10_000, note)]


SCHEMES: dict[Position, Callable[[Source], list[Positions]]] = {
    "sinusoidal": sinusoidal_views,
    "learned": learned_views,
    "rotary": rotary_views,
    "alibi": alibi_views,
    "relative": relative_views,
}


def position_views(
    config: ModelConfig, weight_of: WeightOf, *, labels: Sequence[str] | None = None, name: str = ""
) -> list[Positions]:
    """How a model turns positions into numbers; a view per stack where the stacks have biases of their own.

    `weight_of` gives a weight by name, such as `partial(clearhead.lens.weights.weight, checkpoint)`. `labels` name
    positions, such as the tokens of a text; numbers follow where they are fewer than the picture needs.

    Raises:
        OptionError: more labels than the model has positions.
    """
    given = tuple(one_line(label).strip() or "␣" for label in labels or ())
    if len(given) > min(config.max_positions, MOST_CURVES):
        most = min(config.max_positions, MOST_CURVES)
        raise OptionError(f"{len(given):,} tokens are more than can be shown; give a text of at most {most:,}")
    count = min(CURVES, config.max_positions)
    source = Source(
        config=config,
        weight_of=weight_of,
        labels=(*given, *(str(k) for k in range(len(given), count))),
        name=name,
    )
    return SCHEMES[config.position](source)


def position_view(
    config: ModelConfig,
    weight_of: WeightOf,
    *,
    labels: Sequence[str] | None = None,
    name: str = "",
    stack: str | None = None,
) -> Positions:
    """One of `position_views`: the first, or that of a named stack where the stacks differ.

    Raises:
        OptionError: as `position_views`, and a stack that the model lacks.
    """
    depths = {"encoder": config.n_encoder_layers, "decoder": config.n_decoder_layers}
    if stack is not None and not depths.get(stack):
        there = " and ".join(name for name, depth in depths.items() if depth)
        raise OptionError(f"stack is {stack!r}; this model has {there}")
    views = position_views(config, weight_of, labels=labels, name=name)
    return next(view for view in views if stack is None or getattr(view, "stack", stack) == stack)
