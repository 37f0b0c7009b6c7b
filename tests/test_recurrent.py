"""The recurrent models: their equations, the contract of executors, training, and what the engine makes of them."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from clearhead.config import GenerationConfig, SpecialTokens
from clearhead.errors import ConfigError, ContextWindowError, OptionError, UnsupportedError
from clearhead.executor import Executor
from clearhead.generation.beam import beam_search
from clearhead.generation.generate import generate
from clearhead.generation.prompts import encode_sources
from clearhead.model.dropout import Dropout
from clearhead.recurrent.config import RecurrentConfig
from clearhead.recurrent.executor import RecurrentExecutor
from clearhead.recurrent.initial import new_model
from clearhead.recurrent.layout import count_parameters, layout
from clearhead.recurrent.loading import weights_of
from clearhead.recurrent.model import Recurrent
from clearhead.trace import Trace
from mock_executor import tiny_config
from recurrent_models import BOTH, CONFIGS, ROWS, SIZE, SOURCES, executor, logits, random_weights, trained_logits

NAMES = pytest.mark.parametrize("name", CONFIGS)


def running(model: Recurrent) -> RecurrentExecutor:
    """A trained model, to generate with."""
    return RecurrentExecutor(model.config, weights_of(model), "float32", "cpu")


def sources_of(config: RecurrentConfig, rows: list[list[int]]) -> list[list[int]] | None:
    return rows if config.n_encoder_layers else None


def close(ours: Any, theirs: Any) -> bool:
    return len(ours) == len(theirs) and all(
        np.allclose(a, b, rtol=0, atol=1e-10) for a, b in zip(ours, theirs, strict=True)
    )


@NAMES
def test_a_model_has_exactly_the_weights_of_its_layout(name: str) -> None:
    config = CONFIGS[name]
    found = {path: tuple(p.shape) for path, p in Recurrent(config).named_parameters()}
    assert found == layout(config)
    parameters = count_parameters(config)
    assert parameters.total == sum(int(np.prod(shape)) for shape in found.values())
    tables = 1 if config.tied else 1 + config.d_hidden / config.d_embedding
    bias = config.vocab_size * config.head_bias
    assert parameters.embeddings == config.vocab_size * config.d_embedding * tables + bias


@NAMES
def test_equations_by_plain_loops(name: str) -> None:
    config, weights = CONFIGS[name], random_weights(CONFIGS[name])
    sources = sources_of(config, SOURCES)
    expected = [logits(config, weights, row, sources and sources[i]) for i, row in enumerate(ROWS)]
    model = executor(config)
    memory = None if sources is None else model.encode(sources)
    assert close(model.decode(ROWS, memory=memory, want="all"), expected)
    assert close(trained_logits(model, ROWS, sources), expected)


@NAMES
@pytest.mark.parametrize("seed", range(8))
def test_cached_equals_full_in_pieces_after_rewinding_and_beside_others(name: str, seed: int) -> None:
    model, draw = executor(CONFIGS[name]), np.random.default_rng(seed)
    rows = [draw.integers(0, 31, size=n).tolist() for n in draw.integers(1, 10, size=1 + seed % 4)]
    sources = sources_of(model.config, [draw.integers(0, 31, size=n).tolist() for n in draw.integers(1, 10, len(rows))])
    memory = None if sources is None else model.encode(sources)
    whole = [
        model.decode([row], memory=None if sources is None else model.encode([sources[i]]), want="all")[0]
        for i, row in enumerate(rows)
    ]
    cache, seen = model.new_cache(len(rows), 16), [list[Any]() for _ in rows]
    while any(n < len(row) for n, row in zip(cache.lengths, rows, strict=True)):
        if draw.random() < 0.25:
            kept = [int(draw.integers(0, n + 1)) for n in cache.lengths]
            cache.truncate(kept)
            seen = [parts[:n] for parts, n in zip(seen, kept, strict=True)]
        if draw.random() < 0.25:  # as beam search: rows doubled, dropped and moved
            order = draw.integers(0, len(rows), size=draw.integers(1, 5)).tolist()
            cache.select(order)
            rows, whole, seen = ([list(kind[i]) for i in order] for kind in (rows, whole, seen))
            memory = None if memory is None else memory.select(order)
        steps = [int(draw.integers(0, min(4, len(row) - n) + 1)) for n, row in zip(cache.lengths, rows, strict=True)]
        pieces = [row[n : n + k] for n, k, row in zip(cache.lengths, steps, rows, strict=True)]
        for parts, found in zip(seen, model.decode(pieces, cache, memory, want="all"), strict=True):
            parts.extend(found)
    assert [len(parts) for parts in seen] == [len(row) for row in rows]
    assert close(seen, whole)
    last = model.decode(rows, memory=memory)
    assert close(last, [logits[-1:] for logits in whole])


@pytest.mark.parametrize("name", ["lstm-general", "gru-additive-fed"])
def test_a_source_is_read_as_if_alone(name: str) -> None:
    model = executor(CONFIGS[name])
    together = model.encode(SOURCES)
    alone = [model.encode([source]) for source in SOURCES]
    assert close(together.states, [memory.states[0] for memory in alone])
    assert [len(states) for states in together.states] == [3, 6, 1]
    assert close(list(together.start.numpy()), [memory.start[0].numpy() for memory in alone])
    assert not together.padded[0, 3:].any()


@NAMES
def test_one_beam_is_greedy_and_five_find_no_worse(name: str) -> None:
    model, config = executor(CONFIGS[name]), GenerationConfig(max_new_tokens=8, logprobs=0)
    special = SpecialTokens(eos=(2,), decoder_start=1)
    prompts, memory = ROWS, None
    if model.config.kind == "encoder-decoder":
        prompts, memory = encode_sources(model, SOURCES, special)
    greedy = generate(model, prompts, config, special, memory=memory)
    single = beam_search(model, prompts, config, special, memory=memory)
    assert [[g.tokens for g in row] for row in greedy] == [[g.tokens for g in row] for row in single]
    exhaustive = GenerationConfig(max_new_tokens=2, beams=31, ignore_eos=True, logprobs=0)
    best = generate(model, prompts, exhaustive, special, memory=memory)
    for i, prompt in enumerate(prompts):
        source = None if memory is None else SOURCES[i]
        assert best[i][0].tokens == likeliest_pair(model.config, prompt, source)


def likeliest_pair(config: RecurrentConfig, prompt: list[int], source: list[int] | None) -> tuple[int, int]:
    """The two tokens that together are likeliest after the prompt, by trying all of them."""
    weights = random_weights(config)

    def logprobs(ids: list[int]) -> Any:
        scores = logits(config, weights, ids, source)[-1]
        return scores - scores.max() - np.log(np.exp(scores - scores.max()).sum())

    first = logprobs(prompt)
    totals = np.stack([first[a] + logprobs([*prompt, a]) for a in range(config.vocab_size)])
    a, b = np.unravel_index(int(totals.argmax()), totals.shape)
    return int(a), int(b)


def test_sampling_and_guesses_go_through_the_same_cache() -> None:
    model, special = executor(CONFIGS["lstm"]), SpecialTokens()
    config = GenerationConfig(max_new_tokens=10, temperature=1.0, seed=3, n=2)
    assert generate(model, ROWS, config, special) == generate(model, ROWS, config, special)
    plain = generate(model, ROWS, GenerationConfig(max_new_tokens=12), special)
    guessed = generate(model, ROWS, GenerationConfig(max_new_tokens=12, draft_tokens=3), special)
    assert [row[0].tokens for row in plain] == [row[0].tokens for row in guessed]


def test_it_keeps_the_contract_of_executors() -> None:
    model: Executor = executor(CONFIGS["lstm"])
    both = executor(CONFIGS["lstm-general"])
    assert model.decode([[], []])[0].shape == (0, 31)
    assert [found.shape for found in model.decode([[1], []])] == [(1, 31), (0, 31)]
    assert model.embeddings().shape == (31, 10)
    with pytest.raises(ContextWindowError, match="33 tokens do not fit the context window of 32"):
        model.decode([[1] * 33])
    with pytest.raises(ContextWindowError, match="5 tokens do not fit a cache of 4"):
        model.decode([[1] * 5], model.new_cache(1, 4))
    with pytest.raises(OptionError, match="cache capacity is 33"):
        model.new_cache(1, 33)
    with pytest.raises(OptionError, match="needs the encoder's memory"):
        both.decode([[1]])
    with pytest.raises(OptionError, match="2 rows of tokens, and a memory of 1"):
        both.decode([[1], [2]], memory=both.encode([[1]]))
    with pytest.raises(UnsupportedError, match="no encoder"):
        model.encode([[1]])
    with pytest.raises(OptionError, match="rewound to -1"):
        model.new_cache(1, 4).truncate([-1])


def test_what_only_a_transformer_has_is_refused() -> None:
    model = executor(CONFIGS["lstm-general"])
    memory, trace = model.encode([[1]]), Trace(tiny_config())
    for call in (
        lambda: model.decode([[1]], memory=memory, trace=trace),
        lambda: model.encode([[1]], trace=trace),
    ):
        with pytest.raises(UnsupportedError, match="traces and edits are of a Transformer"):
            call()
    for call in (lambda: model.head(memory), lambda: model.pool(memory), lambda: model.read(np.zeros((1, 12)))):
        with pytest.raises(UnsupportedError):
            call()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cell": "elman"}, "cell is 'elman'; choose one of 'lstm', 'gru'"),
        ({"n_encoder_layers": 1, "d_hidden": 7}, "d_hidden 7 is odd"),
        ({"input_feeding": True}, "without encoder layers"),
        ({"n_decoder_layers": 0}, "n_decoder_layers is 0; it must be a whole number from 1"),
        ({"tied": 1}, "tied is 1; it must be true or false"),
        ({"vocab_size": 2**31}, "vocab_size is 2147483648"),
    ],
)
def test_configurations_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RecurrentConfig(**SIZE | changes)


def test_first_values() -> None:
    config = RecurrentConfig(**BOTH | {"d_hidden": 16}, tied=False)
    model, again = new_model(config, seed=5), new_model(config, seed=5)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    other = new_model(config, seed=6)
    assert not torch.equal(model.embed.weight, other.embed.weight)
    for layer, width in [(model.decoder.layers[0], 16), (model.encoder.layers[1], 8)]:  # type: ignore[union-attr]
        assert isinstance(layer, nn.LSTM)
        bias = layer.bias_ih_l0.view(4, width)
        assert (bias[1] == 1).all() and not bias[[0, 2, 3]].any() and not layer.bias_hh_l0.any()
        for part in layer.weight_hh_l0.chunk(4):
            assert torch.allclose(part @ part.T, torch.eye(width), atol=1e-5)
    assert not new_model(CONFIGS["gru"], 0).decoder.layers[0].bias_ih_l0.any()  # type: ignore[operator]


def test_dropout_lies_where_it_should() -> None:
    model = new_model(CONFIGS["lstm-general"], 0)
    ids, target = torch.tensor([[3, 4, 5]]), torch.tensor([[1, 2]])
    plain = model.states(ids, [3], target)
    assert torch.equal(plain, model.states(ids, [3], target, dropout=Dropout()))
    for rates in (Dropout(embedding=0.5), Dropout(residual=0.5), Dropout(attention=0.5)):
        assert not torch.allclose(plain, model.states(ids, [3], target, dropout=rates))
    assert torch.equal(plain, model.states(ids, [3], target, dropout=Dropout(activation=0.5)))
    dropped = model.states(ids, [3], target, dropout=Dropout(residual=0.5))
    assert (dropped == 0).any() and not (plain == 0).any()


@NAMES
def test_the_state_of_a_token_depends_on_no_later_one_and_on_no_padding(name: str) -> None:
    model = executor(CONFIGS[name]).model
    both = model.config.kind == "encoder-decoder"
    row = torch.tensor([[3, 1, 4, 1, 5]])
    other = torch.tensor([[3, 1, 4, 9, 2]])
    source, changed = torch.tensor([[7, 2, 9, 9]]), torch.tensor([[7, 2, 1, 6]])
    one = model.states(source, [2], row) if both else model.states(row, [5])
    two = model.states(changed, [2], other) if both else model.states(other, [5])
    assert torch.equal(one[:, :3], two[:, :3])
    assert not torch.allclose(one[:, 3:], two[:, 3:])


@pytest.mark.parametrize("name", ["gru-general", "lstm-general-fed", "lstm-additive"])
def test_an_encoder_and_decoder_learn_to_reverse(name: str) -> None:
    choices = {"cell": "gru"} if name.startswith("gru") else {}
    choices |= {"attention": "additive"} if "additive" in name else {}
    sizes = {"vocab_size": 12, "d_embedding": 24, "d_hidden": 32, "n_encoder_layers": 1, "n_decoder_layers": 1}
    config = RecurrentConfig(**sizes, max_positions=16, input_feeding=name.endswith("fed"), **choices)
    model, draw = new_model(config, seed=0), np.random.default_rng(0)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(250):
        lengths = draw.integers(1, 7, size=32).tolist()
        ids, target = np.zeros((32, 6), dtype=np.int64), np.full((32, 8), 2, dtype=np.int64)
        for i, n in enumerate(lengths):
            ids[i, :n] = draw.integers(3, 12, size=n)
            target[i, : n + 2] = [1, *ids[i, :n][::-1], 2]  # a start, the text reversed, an end
        wanted = torch.from_numpy(target)
        states = model.states(torch.from_numpy(ids), lengths, wanted[:, :-1])
        loss = F.cross_entropy(model.logits(states).flatten(0, 1), wanted[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    special = SpecialTokens(eos=(2,), decoder_start=1)
    fresh = [draw.integers(3, 12, size=n).tolist() for n in (1, 2, 3, 4, 5, 6) * 4]
    live = running(model)
    prompts, memory = encode_sources(live, fresh, special)
    done = generate(live, prompts, GenerationConfig(max_new_tokens=8), special, memory=memory)
    right = sum(list(row[0].text_tokens) == source[::-1] for row, source in zip(done, fresh, strict=True))
    assert right >= 20, f"{right} of 24 texts reversed"


def test_a_language_model_learns_a_text() -> None:
    config = RecurrentConfig(vocab_size=9, d_embedding=16, d_hidden=24, n_decoder_layers=2, max_positions=32)
    model = new_model(config, seed=0)
    text = torch.tensor([[1, 5, 3, 5, 4, 5, 1, 7, 5, 8, 2, 6]])
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(120):
        features, table, bias = model.output(model.states(text[:, :-1], [11], dropout=Dropout(residual=0.1)))
        loss = F.cross_entropy(F.linear(features, table, bias)[0], text[0, 1:])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    [[done]] = generate(running(model), [[1]], GenerationConfig(max_new_tokens=11), SpecialTokens())
    assert list(done.tokens) == text[0, 1:].tolist()


@pytest.mark.parametrize("name", ["lstm-general", "gru"])
def test_training_in_bfloat16_gives_finite_gradients(name: str) -> None:
    model = new_model(CONFIGS[name], 0)
    ids, target = torch.tensor([[3, 4, 5], [6, 7, 0]]), torch.tensor([[1, 2], [1, 3]])
    full = model(ids, [3, 2], target)
    with torch.autocast("cpu", torch.bfloat16):
        half = model(ids, [3, 2], target)
    half.float().square().sum().backward()
    assert torch.allclose(full, half.float(), atol=0.05)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
