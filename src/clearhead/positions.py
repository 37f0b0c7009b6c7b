"""How each scheme turns positions into numbers: the formulas, in NumPy, which both executors and the pictures share.

Everything is computed in float64; an executor rounds the result to the type it works in.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from clearhead.config import ModelConfig, RotaryScaling

Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]


def sinusoidal(positions: Integers, d_model: int, base: float = 10_000.0) -> Doubles:
    """[..., d_model]: all sines, then all cosines (Vaswani et al. 2017, section 3.5).

    The paper's formula interleaves the two; its released code, and Marian after it, put them one after the other. It is
    only an order of dimensions, but weights trained one way need that way, and the checkpoints read here use this one.
    `base` is 10,000 in the paper; pictures choose smaller ones, whose waves are short enough for a few words.
    """
    half = (d_model + 1) // 2
    angles = positions[..., None] / base ** (2.0 * np.arange(half) / d_model)
    return np.concatenate([np.sin(angles), np.cos(angles[..., : d_model // 2])], axis=-1)


@lru_cache(maxsize=64)
def rotary_frequencies(head_dim: int, base: float, scaling: RotaryScaling | None) -> Doubles:
    """[head_dim / 2]: radians each pair of dimensions turns per position (Su et al. 2021, 2104.09864, section 3.2)."""
    plain: Doubles = np.power(base, -np.arange(0, head_dim, 2) / head_dim)
    if scaling is None:
        return plain
    if scaling.kind == "linear":
        return plain / scaling.factor
    if scaling.kind == "factors":
        return plain / np.asarray(scaling.factors, dtype=np.float64)
    kept = _kept_llama3(plain, scaling) if scaling.kind == "llama3" else _kept_yarn(head_dim, base, scaling)
    return plain * kept + plain / scaling.factor * (1 - kept)


def _kept_llama3(plain: Doubles, scaling: RotaryScaling) -> Doubles:
    """[head_dim / 2]: 1 where a frequency is fast enough to keep, 0 where it is slowed in full, a ramp between."""
    turns = scaling.original_max_positions * plain / (2 * math.pi)  # within the original window
    low, high = scaling.low_frequency_factor, scaling.high_frequency_factor
    return np.clip((turns - low) / (high - low), 0, 1)


def _kept_yarn(head_dim: int, base: float, scaling: RotaryScaling) -> Doubles:
    """[head_dim / 2]: the ramp of Peng et al. 2023 (2309.00071), section 3.2, linear in the index of the dimension."""

    def dimension(turns: float) -> float:
        """The (fractional) index of the frequency that makes this many turns within the original window."""
        return head_dim * math.log(scaling.original_max_positions / (turns * 2 * math.pi)) / (2 * math.log(base))

    first, last = dimension(scaling.beta_fast), dimension(scaling.beta_slow)
    if scaling.truncate:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, head_dim - 1)
    ramp = (np.arange(head_dim // 2) - first) / max(last - first, 0.001)
    return np.asarray(1 - np.clip(ramp, 0, 1), dtype=np.float64)


def rotary_amplitude(config: ModelConfig) -> float:
    """What cos and sin are multiplied by: 1 except under YaRN (Peng et al. 2023, section 3.4)."""
    scaling = config.rotary_scaling
    return scaling.attention_factor if scaling is not None and scaling.kind == "yarn" else 1.0


def alibi_slopes(n_heads: int) -> Doubles:
    """[n_heads]: how fast each head's scores fall with distance (Press et al. 2021, 2108.12409, section 3).

    A geometric sequence from 2^(-8/n). For a count that is no power of two, as the authors' code has it: the sequence
    of the power below, then every second slope of the one above.
    """

    def geometric(n: int) -> Doubles:
        return np.asarray(2.0 ** (-8.0 / n * np.arange(1, n + 1)), dtype=np.float64)

    below = 2 ** math.floor(math.log2(n_heads))
    return np.concatenate([geometric(below), geometric(2 * below)[0::2][: n_heads - below]])


def relative_bucket(distance: Integers, *, bidirectional: bool, buckets: int, max_distance: int) -> Integers:
    """The bucket of each distance, key position minus query position (Raffel et al. 2019, section 2.1).

    Half of the buckets hold one near distance each, the others logarithmically wider ranges up to `max_distance`; an
    encoder spends half of all on keys that follow the query, a decoder sees none.
    """
    offset = np.zeros_like(distance)
    if bidirectional:
        buckets //= 2
        offset = np.where(distance > 0, buckets, 0)
        distance = np.abs(distance)
    else:
        distance = np.maximum(-distance, 0)
    exact = buckets // 2
    # In float32, as every T5 was trained: at the borders of the ranges double precision rounds to other buckets.
    ratio = np.log(np.maximum(distance, 1).astype(np.float32) / np.float32(exact)) / np.float32(
        math.log(max_distance / exact)
    )
    far = exact + (ratio * np.float32(buckets - exact)).astype(np.int64)
    return np.asarray(offset + np.where(distance < exact, distance, np.minimum(far, buckets - 1)))
