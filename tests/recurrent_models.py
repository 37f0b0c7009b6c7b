"""Small recurrent models with random weights, and their equations as plain loops over NumPy vectors, row by row."""

from functools import cache
from typing import Any

import numpy as np
import torch

from clearhead.recurrent.config import RecurrentConfig
from clearhead.recurrent.executor import RecurrentExecutor
from clearhead.recurrent.layout import layout

SIZE: dict[str, Any] = {"vocab_size": 31, "d_embedding": 10, "d_hidden": 12, "n_decoder_layers": 2, "max_positions": 32}
BOTH = SIZE | {"n_encoder_layers": 2}
CONFIGS = {
    "lstm": RecurrentConfig(**SIZE),
    "gru": RecurrentConfig(**SIZE | {"d_embedding": 12}, cell="gru", head_bias=False),
    "lstm-untied": RecurrentConfig(**SIZE, tied=False),
    "lstm-general": RecurrentConfig(**BOTH),
    "lstm-additive": RecurrentConfig(**BOTH | {"n_decoder_layers": 1}, attention="additive"),
    "gru-general": RecurrentConfig(**BOTH | {"n_encoder_layers": 1}, cell="gru", tied=False),
    "gru-additive": RecurrentConfig(**BOTH, cell="gru", attention="additive"),
    "lstm-general-fed": RecurrentConfig(**BOTH, input_feeding=True),
    "gru-additive-fed": RecurrentConfig(**BOTH, cell="gru", attention="additive", input_feeding=True),
}
ROWS, SOURCES = [[3, 1, 4, 1, 5], [9, 2], [6, 5, 3, 5, 8, 9, 7]], [[2, 7, 1], [8, 2, 8, 1, 8, 2], [4]]
Weights = dict[str, Any]


@cache
def random_weights(config: RecurrentConfig, seed: int = 7) -> Weights:
    """Every weight of `config`, strong enough that each shows in the logits."""
    generator = np.random.default_rng(seed)
    return {name: generator.normal(0, 0.5, shape) for name, shape in layout(config).items()}


@cache
def executor(config: RecurrentConfig, dtype: str = "float64") -> RecurrentExecutor:
    """A random model, ready to run."""
    return RecurrentExecutor(config, random_weights(config).items(), dtype, "cpu")


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def cell(w: Weights, path: str, suffix: str, kind: str, x: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
    """One step: (h,) or (h, c) -> the same one token later."""
    w_in, w_own = w[f"{path}.weight_ih_l0{suffix}"], w[f"{path}.weight_hh_l0{suffix}"]
    from_input = w_in @ x + w[f"{path}.bias_ih_l0{suffix}"]
    from_own = w_own @ state[0] + w[f"{path}.bias_hh_l0{suffix}"]
    if kind == "lstm":
        i, f, g, o = np.split(from_input + from_own, 4)
        c = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c
    (r, z, n), (own_r, own_z, own_n) = np.split(from_input, 3), np.split(from_own, 3)
    update = sigmoid(z + own_z)
    new = np.tanh(n + sigmoid(r + own_r) * own_n)
    return ((1 - update) * new + update * state[0],)


def encode(c: RecurrentConfig, w: Weights, source: list[int]) -> tuple[Any, Any]:
    """States [S, H], and the last ones of the two directions of the last layer [H]."""
    half, xs, ends = c.d_hidden // 2, [w["embed.weight"][i] for i in source], []
    for layer in range(c.n_encoder_layers):
        found, ends = [], []
        for suffix in ("", "_reverse"):
            state: tuple[Any, ...] = (np.zeros(half),) * (2 if c.cell == "lstm" else 1)
            given = []
            for x in xs if suffix == "" else xs[::-1]:
                state = cell(w, f"encoder.layers.{layer}", suffix, c.cell, x, state)
                given.append(state[0])
            ends.append(given[-1])
            found.append(given if suffix == "" else given[::-1])
        xs = [np.concatenate(pair) for pair in zip(*found, strict=True)]
    return np.stack(xs), np.concatenate(ends)


def look(c: RecurrentConfig, w: Weights, h: Any, states: Any) -> Any:
    """tanh(W [context; h])."""
    key = w["decoder.attention.key.weight"]
    if c.attention == "general":
        scores = np.array([h @ key @ s for s in states])
    else:
        query = w["decoder.attention.query.weight"] @ h + w["decoder.attention.query.bias"]
        scores = np.array([w["decoder.attention.score.weight"][0] @ np.tanh(query + key @ s) for s in states])
    shares = np.exp(scores - scores.max())
    context = (shares / shares.sum()) @ states
    return np.tanh(w["decoder.attention.output.weight"] @ np.concatenate([context, h]))


def logits(c: RecurrentConfig, w: Weights, ids: list[int], source: list[int] | None) -> Any:
    """[T, V] of one row, step by step."""
    H, N = c.d_hidden, c.n_decoder_layers
    states: list[tuple[Any, ...]] = [(np.zeros(H),) * (2 if c.cell == "lstm" else 1)] * N
    memory, said, out = None, np.zeros(H), []
    if source is not None:
        memory, last = encode(c, w, source)
        begun = np.split(w["decoder.bridge.weight"] @ last + w["decoder.bridge.bias"], N)
        states = [(np.tanh(x), x) if c.cell == "lstm" else (np.tanh(x),) for x in begun]
    for i in ids:
        x = w["embed.weight"][i]
        x = np.concatenate([x, said]) if c.input_feeding else x
        for layer in range(N):
            states[layer] = cell(w, f"decoder.layers.{layer}", "", c.cell, x, states[layer])
            x = states[layer][0]
        said = x if memory is None else look(c, w, x, memory)
        features = w["head.projection.weight"] @ said if "head.projection.weight" in w else said
        out.append(w.get("head.weight", w["embed.weight"]) @ features + w.get("head.bias", 0.0))
    return np.stack(out)


def trained_logits(model: RecurrentExecutor, rows: list[list[int]], sources: list[list[int]] | None) -> list[Any]:
    """[T, V] of each row, by the pass that training makes over all of them at once."""
    ids, lengths = model.pad(rows), [len(row) for row in rows]
    with torch.no_grad():
        if sources is None:
            found = model.model(ids, lengths)
        else:
            found = model.model(model.pad(sources), [len(row) for row in sources], ids)
    return [found[i, :n].numpy() for i, n in enumerate(lengths)]
