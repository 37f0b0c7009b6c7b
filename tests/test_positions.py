"""The position formulas: the values of the papers and of their authors' code."""

import math

import numpy as np
import pytest

from clearhead.config import RotaryScaling
from clearhead.positions import alibi_slopes, relative_bucket, rotary_frequencies, sinusoidal


def test_sinusoids_follow_the_formula() -> None:
    table = sinusoidal(np.arange(50), 8)
    for position in (0, 1, 17, 49):
        for i in range(4):
            angle = position / 10_000 ** (2 * i / 8)
            assert table[position, i] == pytest.approx(math.sin(angle), abs=1e-12)
            assert table[position, 4 + i] == pytest.approx(math.cos(angle), abs=1e-12)


def test_sinusoids_of_an_odd_width_have_one_more_sine() -> None:
    assert sinusoidal(np.arange(3), 5).shape == (3, 5)


def test_a_shift_of_position_is_a_rotation() -> None:
    """Section 3.5 of the paper: PE(pos + k) is a linear function of PE(pos)."""
    table = sinusoidal(np.arange(40), 16)
    products = table @ table.T
    assert all(np.ptp(np.diagonal(products, k)) < 1e-9 for k in range(1, 20))


def test_rotary_frequencies_fall_geometrically() -> None:
    assert rotary_frequencies(8, 10_000.0, None) == pytest.approx([1, 0.1, 0.01, 0.001])


def test_linear_scaling_slows_every_frequency() -> None:
    scaled = rotary_frequencies(8, 10_000.0, RotaryScaling(kind="linear", factor=4.0))
    assert scaled == pytest.approx(rotary_frequencies(8, 10_000.0, None) / 4)


def test_llama3_and_yarn_keep_the_fast_and_slow_the_slow() -> None:
    plain = rotary_frequencies(64, 500_000.0, None)
    for kind in ("llama3", "yarn"):
        ratio = plain / rotary_frequencies(64, 500_000.0, RotaryScaling(kind=kind, factor=8.0))
        assert ratio[0] == pytest.approx(1)
        assert ratio[-1] == pytest.approx(8)
        assert (np.diff(ratio) >= -1e-9).all()


def test_alibi_slopes_are_those_of_the_paper() -> None:
    assert alibi_slopes(8) == pytest.approx([2.0**-n for n in range(1, 9)])
    assert alibi_slopes(1) == pytest.approx([2.0**-8])
    assert alibi_slopes(6) == pytest.approx([2.0**-2, 2.0**-4, 2.0**-6, 2.0**-8, 2.0**-1, 2.0**-3])


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("buckets", "reach"), [(32, 128), (8, 20), (16, 40)])
def test_relative_buckets_equal_transformers(bidirectional: bool, buckets: int, reach: int) -> None:
    import torch
    from transformers.models.t5.modeling_t5 import T5Attention

    distance = np.arange(-600, 601)
    theirs = T5Attention._relative_position_bucket(torch.from_numpy(distance), bidirectional, buckets, reach)
    ours = relative_bucket(distance, bidirectional=bidirectional, buckets=buckets, max_distance=reach)
    assert (ours == theirs.numpy()).all()
