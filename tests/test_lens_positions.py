"""Positional encoding against a loop over the formula, and each model's own scheme against what its executor adds."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import clearhead as ch
import tiny
from clearhead.config import ModelConfig, RotaryScaling
from clearhead.errors import OptionError, UnsupportedError
from clearhead.lens.payload import unpack
from clearhead.lens.positions import PositionalEncoding, Positions, positional_encoding
from clearhead.lens.schemes import position_view, position_views
from clearhead.lens.schemes.alibi import AlibiPositions
from clearhead.lens.schemes.learned import LearnedPositions
from clearhead.lens.schemes.relative import RelativePositions
from clearhead.lens.schemes.rotary import RotaryPositions
from clearhead.lens.weights import weight
from clearhead.positions import rotary_frequencies
from clearhead.trace import Trace
from models import BY_FAMILY, executor, random_weights

ROBOT = [  # d = 4, n = 100
    [0.00000000, 1.00000000, 0.00000000, 1.00000000],
    [0.84147098, 0.54030231, 0.09983342, 0.99500417],
    [0.90929743, -0.41614684, 0.19866933, 0.98006658],
    [0.14112001, -0.98999250, 0.29552021, 0.95533649],
]
DIMENSIONS = st.integers(1, 40)
BASES = st.floats(1, 1e6) | st.integers(1, 100_000) | st.just(1e300)


def by_hand(words: int, d: int, n: float) -> list[list[float]]:
    """The formula, number by number."""
    rows = []
    for k in range(words):
        row = []
        for column in range(d):
            i = column // 2
            angle = k / n ** (2 * i / d)
            row.append(math.cos(angle) if column % 2 else math.sin(angle))
        rows.append(row)
    return rows


def views_of(config: ModelConfig, **options: Any) -> list[Positions]:
    """The position views of a random model."""
    return position_views(config, dict(random_weights(config)).__getitem__, **options)


def shown(view: Positions) -> tuple[dict[str, Any], Callable[[str], np.ndarray]]:
    """The view as its page reads it, and its arrays by the name of their key."""
    data = json.loads(view.json())
    [fields] = data["views"]
    return fields, lambda key: unpack(data["arrays"][fields[key]])


def test_the_table_of_i_am_a_robot() -> None:
    view = positional_encoding()
    assert view.words == ("I", "am", "a", "robot")
    assert (view.d_model, view.n) == (4, 100)
    assert view.matrix.dtype == np.float64
    assert np.abs(view.matrix - ROBOT).max() < 5e-9


@given(words=st.integers(1, 300), d=DIMENSIONS, n=BASES)
@settings(max_examples=60, deadline=None)
def test_every_number_is_the_formulas(words: int, d: int, n: float) -> None:
    matrix = positional_encoding("word " * words, d, n).matrix
    assert matrix.shape == (words, d)
    assert np.abs(matrix - by_hand(words, d, n)).max() <= 1e-12


def test_the_longest_phrase_is_as_exact() -> None:
    matrix = positional_encoding("word " * 4096, 6, 9999.5).matrix
    assert np.abs(matrix - by_hand(4096, 6, 9999.5)).max() <= 1e-12


@given(half=st.integers(1, 20), n=BASES, shift=st.integers(0, 40))
@settings(max_examples=40, deadline=None)
def test_dot_products_depend_on_the_distance_alone(half: int, n: float, shift: int) -> None:
    dots = positional_encoding("a b c", 2 * half, n).dots
    assert dots.shape == (64, 64)
    assert np.ptp(np.diagonal(dots, shift)) < 1e-10
    assert np.allclose(dots, dots.T)
    assert np.allclose(np.diagonal(dots), half)  # sin^2 + cos^2 for every pair


def test_an_odd_width_ends_with_a_lone_sine() -> None:
    odd = positional_encoding("a b c d", 5, 100)
    assert odd.columns == ["sin 0", "cos 0", "sin 1", "cos 1", "sin 2"]
    assert odd.matrix[3, 4] == pytest.approx(math.sin(3 / 100 ** (4 / 5)), abs=1e-15)
    assert positional_encoding("a b", 1, 100).matrix.tolist() == [[0.0], [math.sin(1)]]


def test_a_base_of_one_turns_every_pair_alike() -> None:
    matrix = positional_encoding("a b c", 6, 1).matrix
    assert (matrix[:, :2] == matrix[:, 4:]).all()


def test_words_stand_between_blanks() -> None:
    assert positional_encoding(" Hello,\tworld!\n你好  ").words == ("Hello,", "world!", "你好")


def test_curves_are_64_positions_or_the_phrase_if_that_is_longer() -> None:
    assert positional_encoding("a").curves.shape == (64, 4)
    assert positional_encoding("a " * 100).curves.shape == (100, 4)
    assert positional_encoding("a " * 1000).dots.shape == (512, 512)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"text": ""}, "no words"),
        ({"text": " \n"}, "no words"),
        ({"text": 7}, "7"),
        ({"d_model": 0}, "d_model is 0; it must be a whole number from 1"),
        ({"d_model": -4}, "d_model is -4"),
        ({"d_model": 2.5}, "d_model is 2.5"),
        ({"d_model": True}, "d_model is True"),
        ({"d_model": 10**9}, "d_model is 1000000000"),
        ({"n": 0}, "n is 0; it must be a number from 1"),
        ({"n": -3}, "n is -3"),
        ({"n": 0.5}, "n is 0.5"),
        ({"n": math.nan}, "n is nan"),
        ({"n": math.inf}, "n is inf"),
        ({"n": "100"}, "n is '100'"),
        ({"text": "a " * 5000}, "5,000 words; show at most 4,096"),
        ({"text": "a " * 4000, "d_model": 60_000}, "choose a d_model up to 1,048"),
    ],
)
def test_what_cannot_be_shown_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        positional_encoding(**options)


def test_the_page_gets_every_digit() -> None:
    view = positional_encoding("I am\u202e a <b>robot</b>", 6, 100)
    fields, array = shown(view)
    assert (fields["type"], fields["scheme"], fields["n"], fields["d"]) == ("positions", "sinusoidal", 100, 6)
    assert fields["labels"] == ["I", "am\\u202e", "a", "<b>robot</b>"]
    assert (array("matrixKey") == view.matrix).all()
    assert (array("dotsKey") == view.dots).all()
    assert array("curvesKey").dtype == np.float32
    assert np.allclose(array("curvesKey"), view.curves, atol=1e-7)


@pytest.mark.parametrize("width", [40, 80, 132])
@pytest.mark.parametrize("d", [1, 4, 7, 32, 33, 500])
def test_the_terminal_form_fits_and_shows_the_numbers(width: int, d: int) -> None:
    lines = positional_encoding("I am a robot", d, 100).terminal(width).plain.splitlines()
    assert max(map(len, lines)) <= width
    [row] = [line for line in lines if line.split()[:2] == ["1", "am"]]
    assert float(row.split()[2]) == pytest.approx(math.sin(1), abs=6e-4)
    assert any("█" in line for line in lines)


def test_the_drawing_shows_any_word_as_it_is() -> None:
    pytest.importorskip("matplotlib")
    view = positional_encoding("costs $x_ $\\frac \x07 a&b")
    drawn = view.svg()
    assert "$\\frac" in drawn and "a&amp;b" in drawn and "\\x07" in drawn
    assert drawn == positional_encoding("costs $x_ $\\frac \x07 a&b").svg()
    assert view.png().startswith(b"\x89PNG")


# Each model's own scheme, held against what an executor in float64 does with it.


def traced(config: ModelConfig, ids: list[int], stack: str = "decoder") -> Trace:
    """What a random model shows of a text."""
    model, trace = executor(config), Trace(config)
    if stack == "encoder":
        model.encode([ids], trace=trace)
    else:
        memory = model.encode([ids]) if config.n_encoder_layers else None
        model.decode([ids], memory=memory, want="all", trace=trace)
    return trace


def test_sinusoidal_positions_are_those_the_model_adds() -> None:
    config = BY_FAMILY["transformer"]
    [view] = views_of(config, labels=[" a", " ", "c"])
    assert isinstance(view, PositionalEncoding)
    added = traced(config, [3, 4, 5])["decoder.embed.positions"]
    assert np.allclose(np.concatenate([view.matrix[:3, 0::2], view.matrix[:3, 1::2]], axis=1), added, atol=1e-12)
    assert view.words[:4] == ("a", "␣", "c", "3")


@pytest.mark.parametrize("family", ["gpt2", "bert"])
def test_learned_positions_are_those_the_model_adds(family: str) -> None:
    config = BY_FAMILY[family]
    [view] = views_of(config)
    assert isinstance(view, LearnedPositions)
    stack = "encoder" if family == "bert" else "decoder"
    assert np.allclose(view.vectors[:3], traced(config, [3, 4, 5], stack)[f"{stack}.embed.positions"], atol=1e-6)
    fields, array = shown(view)
    assert array("curvesKey").shape == (32, 24) and len(fields["labels"]) == 32
    cosines = array("dotsKey")
    a, b = view.vectors[2].astype(float), view.vectors[9].astype(float)
    assert cosines[2, 9] == pytest.approx(a @ b / math.sqrt(a @ a * (b @ b)), abs=1e-6)


SCALINGS = [None, RotaryScaling(kind="linear", factor=4.0), RotaryScaling(kind="llama3", factor=8.0)]


@pytest.mark.parametrize("scaling", SCALINGS)
def test_rotary_angles_are_those_by_which_keys_turn(scaling: RotaryScaling | None) -> None:
    config = replace(BY_FAMILY["llama"], head_dim=8, rotary_scaling=scaling)
    [view] = views_of(config)
    assert isinstance(view, RotaryPositions)
    keys = traced(config, [5] * 6)["decoder.layers.0.attention.key"]  # [K, S, D] of one token at six positions
    pairs = keys[..., :4] + 1j * keys[..., 4:]
    turned = pairs[:, 0, None] * np.exp(1j * view.angles[:6])
    assert np.allclose(pairs, turned, atol=1e-9)
    fields, array = shown(view)
    assert fields["frequencies"] == rotary_frequencies(8, 10_000.0, scaling).tolist()
    assert np.allclose(np.multiply(fields["wavelengths"], fields["frequencies"]), 2 * math.pi)
    assert array("anglesKey").shape == (32, 4) and array("anglesKey")[31, 0] == pytest.approx(view.frequencies[0] * 31)


def test_alibi_is_what_the_model_adds_to_scores() -> None:
    config = BY_FAMILY["bloom"]
    [view] = views_of(config)
    assert isinstance(view, AlibiPositions)
    added = traced(config, [3, 4, 5, 6])["decoder.bias"]  # [H, T, S]
    for query in range(4):
        for key in range(query + 1):
            assert np.allclose(added[:, query, key], view.bias[:, query - key], atol=1e-6)
    fields, array = shown(view)
    assert np.allclose(array("curvesKey"), -np.outer(fields["slopes"], np.arange(32)), atol=1e-6)


def test_relative_positions_are_what_each_stack_adds_to_scores() -> None:
    config = BY_FAMILY["t5"]
    both = views_of(config)
    assert [view.stack for view in both if isinstance(view, RelativePositions)] == ["encoder", "decoder"]
    for view, stack in zip(both, ("encoder", "decoder"), strict=True):
        assert isinstance(view, RelativePositions)
        added = traced(config, list(range(3, 27)), stack)[f"{stack}.bias"]
        column = {int(distance): n for n, distance in enumerate(view.distances)}
        for query in (0, 3, 23):
            for key in range(24 if stack == "encoder" else query + 1):
                assert np.allclose(added[:, query, key], view.bias[:, column[key - query]], atol=1e-6)
        fields, array = shown(view)
        assert fields["bidirectional"] == (stack == "encoder") and fields["stack"] == stack
        assert array("biasKey").shape == (6, len(fields["distances"])) and len(fields["buckets"]) == len(view.distances)


@pytest.mark.parametrize("family", BY_FAMILY)
def test_every_scheme_has_all_forms(family: str) -> None:
    for view in views_of(BY_FAMILY[family], labels=["$a", "\x1b[2J"], name=family):
        fields, _ = shown(view)
        assert fields["type"] == "positions" and fields["scheme"] == BY_FAMILY[family].position and fields["note"]
        for width in (48, 80):
            text = view.terminal(width).plain
            assert max(map(len, text.splitlines())) <= width and "\x1b" not in text
        json.dumps(view.figures, allow_nan=False)


@pytest.mark.parametrize("family", ["transformer", "gpt2", "llama", "bloom", "t5"])
def test_every_scheme_is_drawn(family: str) -> None:
    pytest.importorskip("matplotlib")
    for view in views_of(BY_FAMILY[family], labels=["$a"]):
        assert view.svg().count("<text") > 4


def test_one_view_of_a_stack() -> None:
    config = BY_FAMILY["t5"]
    weights = dict(random_weights(config)).__getitem__
    view = position_view(config, weights, stack="decoder")
    assert isinstance(view, RelativePositions) and view.stack == "decoder"
    with pytest.raises(OptionError, match="stack is 'middle'; this model has encoder and decoder"):
        position_view(config, weights, stack="middle")
    bloom = BY_FAMILY["bloom"]
    assert isinstance(position_view(bloom, dict(random_weights(bloom)).__getitem__, stack="decoder"), AlibiPositions)
    with pytest.raises(OptionError, match="stack is 'encoder'; this model has decoder"):
        position_view(bloom, dict(random_weights(bloom)).__getitem__, stack="encoder")
    with pytest.raises(OptionError, match="33 tokens are more"):
        position_view(config, weights, labels=["a"] * 33)


def test_one_weight_is_read_and_no_other(tmp_path: Path) -> None:
    model = ch.load(tiny.gpt2_folder(tmp_path / "model"))
    read: list[str] = []

    def watched(stored: Any) -> Any:
        return replace(stored, read=lambda: (read.append(stored.name), stored.read())[1])

    tensors = {name: watched(stored) for name, stored in model.checkpoint.tensors.items()}
    checkpoint = replace(model.checkpoint, tensors=tensors)
    found = weight(checkpoint, "embed.positions.weight")
    assert (found == dict(model.checkpoint.weights())["embed.positions.weight"]).all()
    assert len(read) == 1
    with pytest.raises(UnsupportedError, match=r"has no weight 'decoder\.position_bias\.weight'"):
        weight(checkpoint, "decoder.position_bias.weight")
    [view] = position_views(checkpoint.config, partial(weight, checkpoint))
    assert isinstance(view, LearnedPositions) and (view.vectors == found).all()
