"""Gradients of what a model computes with respect to the tokens it reads: attribution and influence.

Parameters are frozen and stay so. What has gradients are the token vectors, before they are scaled and placed;
positions and token types are the same at every point of a path. Rows of a batch are the same text: none is padded.

B rows, T tokens, S source tokens, C d_model, V vocab_size.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from clearhead.config import ModelConfig
from clearhead.errors import OptionError, UnsupportedError
from clearhead.model.context import ForwardContext
from clearhead.model.embedding import Embedding
from clearhead.model.memory import TorchMemory
from clearhead.model.stack import Stack
from clearhead.model.transformer import Transformer
from clearhead.trace.schema import StackName

Vectors = dict[StackName, Tensor]  # token vectors [B, T, C], or [T, C] of one row, by stack
TOKENS_AT_ONCE = 256  # of all rows of a batch: what a backward pass must remember of each adds up
BLOCK = 16  # positions whose influence is read off one forward pass of a decoder
STEEP = 2  # how closely the points of a path crowd towards its beginning


def check(config: ModelConfig, length: int, target: int, *, at: int, method: str, steps: int, of: str) -> None:
    """Refuse a target, a position or a way that there is not.

    Raises:
        UnsupportedError: the head scores no single token.
        OptionError: which of the others, and what it may be.
    """
    if config.head in ("none", "sequence_labels"):
        raise UnsupportedError(f"this checkpoint's head is {config.head!r}; it scores no single token")
    outputs = len(config.labels) or config.vocab_size
    if not 0 <= target < outputs:
        raise OptionError(f"target is {target}; it must be from 0 to {outputs - 1}")
    if not -length <= at < length:
        raise OptionError(f"at is {at}; the text has tokens 0 to {length - 1}")
    if steps < 1:
        raise OptionError(f"steps is {steps}; give 1 or more")
    for name, given, known in (("method", method, ("integrated", "gradient")), ("of", of, ("logit", "logprob"))):
        if given not in known:
            raise OptionError(f"{name} is {given!r}; choose {' or '.join(known)}")


def token_vectors(model: Transformer, ids: Mapping[StackName, list[int]]) -> Vectors:
    """The vectors [T, C] of the tokens that each stack reads."""
    table = model.embed.tokens.weight
    return {stack: table[torch.tensor(row, device=table.device)] for stack, row in ids.items()}


def states(model: Transformer, vectors: Vectors) -> Tensor:
    """What the last stack gives [B, T, C] for token vectors [B, T, C] by stack."""
    memory = None
    if model.encoder is not None:
        x = through(model.encoder, model.embed, vectors["encoder"], ForwardContext(stack="encoder"))
        memory = TorchMemory(x, [x.shape[1]] * len(x))
    if model.decoder is not None:
        x = through(model.decoder, model.embed, vectors["decoder"], ForwardContext(memory=memory))
    return x


def through(stack: Stack, embed: Embedding, vectors: Tensor, context: ForwardContext) -> Tensor:
    """Token vectors [B, T, C] -> states [B, T, C] of one stack."""
    positions = torch.arange(vectors.shape[1], device=vectors.device)[None]
    return stack(embed.from_vectors(vectors, positions, None, context), positions, positions, context)


def attribute(
    model: Transformer, ids: Mapping[StackName, list[int]], target: int, *, at: int, method: str, steps: int, of: str
) -> tuple[Vectors, float]:
    """How much each token spoke for `target` at position `at` of the last stack: scores [T] by stack.

    "gradient" is the gradient times the input (Shrikumar et al. 2016, 1605.01713; after Simonyan et al. 2013,
    1312.6034). "integrated" averages the gradient along the way from a baseline of zeros to the tokens' own vectors
    (Sundararajan et al. 2017, 1703.01365, equation 1), so that the scores add up to how far the output differs between
    the two; that difference comes second. `of` is "logit" or "logprob".
    """
    own = token_vectors(model, ids)
    ways = {stack: vectors - base for (stack, vectors), base in zip(own.items(), baselines(own), strict=True)}
    points, weights = path(steps) if method == "integrated" else (torch.ones(1), torch.ones(1))
    total = {stack: torch.zeros_like(vectors) for stack, vectors in own.items()}
    rows = max(1, TOKENS_AT_ONCE // sum(map(len, own.values())))
    for some, shares in zip(points.split(rows), weights.split(rows), strict=True):
        moved = {stack: x.requires_grad_() for stack, x in along(own, ways, some).items()}
        said = output(model, moved, target, at, of)
        gradients = torch.autograd.grad(said.sum(), list(moved.values()))
        for stack, gradient in zip(moved, gradients, strict=True):
            total[stack] += torch.einsum("b,btc->tc", shares.to(gradient), gradient)
    with torch.no_grad():
        whole, nothing = output(model, along(own, ways, torch.tensor([1.0, 0.0])), target, at, of).tolist()
    factors = ways if method == "integrated" else own
    return {stack: (total[stack] * factors[stack]).sum(-1) for stack in own}, whole - nothing


def baselines(own: Vectors) -> Iterator[Tensor]:
    """Where the ways begin [T, C]: at zeros, but for a decoder's first token and an encoder's last, which stay as they
    are, if there is another token at all.

    Attention that has nothing to look for rests on a decoder's first token, whatever it says, and its state is far
    longer than any other's (Xiao et al. 2023, 2309.17453; Sun et al. 2024, 2402.17762). Without it the output changes
    wildly along the way. And where neither norms nor positions add anything, a text of zeros alone stays zero in every
    layer, and a step away from it is blown up by each norm in turn: no sum over some points is near the integral. An
    encoder's last token, the sign that ends a text, prevents that.
    """
    alone = sum(map(len, own.values())) == 1
    for stack, vectors in own.items():
        base = torch.zeros_like(vectors)
        if not alone:
            held = 0 if stack == "decoder" else -1
            base[held] = vectors[held]
        yield base


def along(own: Vectors, ways: Vectors, shares: Tensor) -> Vectors:
    """Vectors [B, T, C] at shares [B] of the ways [T, C] that end at `own` [T, C]."""
    return {stack: x + (shares.to(x) - 1)[:, None, None] * ways[stack] for stack, x in own.items()}


def output(model: Transformer, vectors: Vectors, target: int, at: int, of: str) -> Tensor:
    """[B] the logit, or the log-probability, of one token at one position."""
    logits = model.logits(states(model, vectors)[:, at, None])[:, 0]  # [B, V]
    return (logits if of == "logit" else logits.log_softmax(-1))[:, target]


def path(steps: int) -> tuple[Tensor, Tensor]:
    """Points between 0 and 1 with their weights [steps], in float64: a quadrature of the integral over the way.

    Norms make much of short vectors, so that more of the change lies near the beginning. With alpha = u^2 and the
    midpoint rule in u, so do more of the points.
    """
    u = (torch.arange(steps, dtype=torch.float64) + 0.5) / steps
    return u**STEEP, STEEP * u ** (STEEP - 1) / steps


def influence(model: Transformer, ids: list[int], probes: int | None) -> Tensor:
    """[T, T]: the Frobenius norm of the Jacobian of the state at t, after the last norm, with respect to the token
    vector at s; of an encoder's states where there is one.

    For v of independent entries with mean 0 and variance 1, the expected square of |v J| is the square of that norm
    (Hutchinson 1990): `probes` such v of random signs, the same in every call, estimate it, each at the cost of one
    backward pass for every t. None takes each direction in turn instead, C of them, which is exact.
    """
    name: StackName = "decoder" if model.encoder is None else "encoder"
    stack = model.decoder if model.encoder is None else model.encoder
    assert stack is not None
    own = token_vectors(model, {name: ids})[name]
    T, C = own.shape
    generator = torch.Generator().manual_seed(0)
    found = own.new_zeros(T, T)
    for first, last in blocks(T, causal=stack.causal):
        vectors = own[:last].clone().requires_grad_()
        h = through(stack, model.embed, vectors[None], ForwardContext(stack=name))[0]  # [last, C]
        for t in range(first, last):
            for v in (torch.eye(C) if probes is None else signs(probes, C, generator)).to(h):
                [gradient] = torch.autograd.grad(h[t], vectors, v, retain_graph=True)
                found[t, :last] += gradient.square().sum(-1)
    return (found / (probes or 1)).sqrt()


def blocks(length: int, *, causal: bool) -> list[tuple[int, int]]:
    """Positions in blocks (first, last + 1). No state of a decoder depends on later tokens, so that early ones need but
    a short pass; an encoder's all need the whole."""
    step = BLOCK if causal else length
    return [(first, min(first + step, length)) for first in range(0, length, step)]


def signs(rows: int, width: int, generator: torch.Generator) -> Tensor:
    """[rows, width] of -1 and 1."""
    return torch.randint(0, 2, (rows, width), generator=generator) * 2 - 1
