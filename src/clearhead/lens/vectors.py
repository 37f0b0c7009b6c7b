"""Angles and distances between vectors. n vectors of C numbers."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Relation:
    """How two vectors lie to each other."""

    cosine: float
    angle_degrees: float
    distance: float


def unit(vectors: Array) -> NDArray[np.float64]:
    """[n, C] of length 1 each; a vector of length 0 has no direction and stays 0."""
    wide = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(wide, axis=-1, keepdims=True)
    return np.asarray(np.divide(wide, lengths, out=np.zeros_like(wide), where=lengths > 0))


def cosines(vectors: Array) -> NDArray[np.float64]:
    """[n, n]: the cosine of the angle between any two; 0 with a vector of length 0."""
    directions = unit(vectors)
    return np.clip(directions @ directions.T, -1, 1)


def distances(vectors: Array) -> NDArray[np.float64]:
    """[n, n]: Euclidean, between any two; from differences, for a difference of squares loses digits."""
    wide = np.asarray(vectors, np.float64)
    return np.stack([distance(wide, row) for row in wide])


def angles(vectors: Array) -> NDArray[np.float64]:
    """[n, n]: the angle between any two, in radians; a right angle with a vector of length 0.

    Formed from the sum and the difference of the directions (Kahan), which stays exact where the arc cosine does not:
    near 0 and 180 degrees.
    """
    directions = unit(vectors)
    rows = [np.arctan2(distance(directions, row), distance(directions, -row)) for row in directions]
    pointing = np.any(directions != 0, axis=1)
    return np.where(np.outer(pointing, pointing), 2 * np.stack(rows), math.pi / 2)


def distance(vectors: Array, other: Array) -> NDArray[np.float64]:
    """[n]: Euclidean, from each vector [n, C] to the other [C]."""
    return np.asarray(np.linalg.norm(vectors - other, axis=-1))


def relation(a: Array, b: Array) -> Relation:
    """Between two vectors [C]."""
    both = np.stack([a, b])
    return Relation(
        cosine=float(cosines(both)[0, 1]),
        angle_degrees=math.degrees(angles(both)[0, 1]),
        distance=float(distances(both)[0, 1]),
    )
