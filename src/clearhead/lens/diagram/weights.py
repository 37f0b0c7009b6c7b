"""The weights of an architecture as lines: name, shape, parameters, and each part's share of the whole."""

from collections.abc import Iterable, Iterator

from clearhead.lens.architecture import Architecture, Stack, Weight

NAME, SHAPE, COUNT = 34, 20, 15  # columns


def weight_rows(found: Architecture) -> Iterator[tuple[str, str]]:
    """Lines and their styles; matrices and biases of one projection share a line."""
    yield line("weights", "rows × columns", "parameters", "share"), "dim"
    yield part_line("embedding", found.parts["embedding"], found), "bold"
    yield from weight_lines(found.embedding)
    for stack in found.stacks:
        yield part_line(f"{stack.name}: {stack.n_layers} × {stack.layer_parameters:,}", stack.parameters, found), "bold"
        yield from weight_lines(layer_weights(stack))
        yield from weight_lines(stack.outside)
    if found.head:
        yield part_line("head", found.parts["head"], found), "bold"
        yield from weight_lines(found.head)


def layer_weights(stack: Stack) -> list[Weight]:
    """The weights of one layer, norms where they are used."""
    return [weight for sublayer in stack.sublayers for weight in (*sublayer.norm, *sublayer.weights)]


def weight_lines(weights: Iterable[Weight]) -> Iterator[tuple[str, str]]:
    """A line for each matrix or vector, its bias counted in."""
    for name, shape, parameters in listed(weights):
        yield line(f"  {name}", shape, f"{parameters:,}"), ""


def listed(weights: Iterable[Weight]) -> Iterator[tuple[str, str, int]]:
    """Name, shape in words and parameters of each matrix or vector, its bias counted in."""
    weights = list(weights)
    biases = {w.name.removesuffix("bias"): w for w in weights if w.name.endswith("bias")}
    others = {w.name.removesuffix("weight") for w in weights if w.name.endswith("weight")}
    for weight in weights:
        stem = weight.name.removesuffix("weight")
        if stem == weight.name and stem.removesuffix("bias") in others:
            continue
        bias = biases.get(stem)
        shape = " × ".join(f"{n:,}" for n in weight.shape) + (" + bias" if bias else "")
        yield stem.removesuffix("."), shape, weight.parameters + (bias.parameters if bias else 0)


def part_line(name: str, parameters: int, found: Architecture) -> str:
    """A part of the model and how much of it that is."""
    return line(name, "", f"{parameters:,}", f"{100 * parameters / found.parameters:.1f}%")


def line(name: str, shape: str, count: str, share: str = "") -> str:
    """The four columns."""
    return f"{name:<{NAME}}{shape:>{SHAPE}}{count:>{COUNT}}{share:>8}".rstrip()
