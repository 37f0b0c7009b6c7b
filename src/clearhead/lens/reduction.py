"""Many dimensions shown in three: principal components, or UMAP. n vectors of C numbers."""

import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from clearhead.errors import OptionError, UnsupportedError

Method = Literal["pca", "umap"]
Doubles = NDArray[np.float64]
Reduced = tuple[Doubles, Doubles | None]  # points [n, 3]; the shares of the variance they show [3], where there are
FEWEST = 5  # vectors that UMAP can lay out in three dimensions
SEED = 0


def pca(vectors: NDArray[Any]) -> tuple[Doubles, Doubles]:
    """Points [n, 3] and the share of the variance along each of the three axes, largest first (Pearson 1901).

    An axis is turned so that its largest component is positive: equal vectors always give equal points. Axes that the
    vectors do not span are 0.
    """
    wide = np.asarray(vectors, np.float64)
    centred = wide - wide.mean(axis=0)
    left, strengths, right = np.linalg.svd(centred, full_matrices=False)
    spanned = strengths > np.linalg.norm(wide) * np.finfo(np.float64).eps * max(wide.shape)  # more than rounding
    kept = min(3, int(spanned.sum()))
    signs = np.sign(right[np.arange(kept), np.abs(right[:kept]).argmax(axis=1)])
    points, shares = np.zeros((len(wide), 3)), np.zeros(3)
    points[:, :kept] = left[:, :kept] * (strengths[:kept] * signs)
    shares[:kept] = np.square(strengths[:kept] / np.linalg.norm(strengths)) if kept else 0
    return points, shares


def umap(vectors: NDArray[Any]) -> tuple[Doubles, None]:
    """Points [n, 3] whose neighbours are those by cosine (McInnes et al. 2018, 1802.03426); the same at every call.

    Raises:
        UnsupportedError: the package umap-learn is not installed.
        OptionError: too few vectors.
    """
    n = len(vectors)
    if n < FEWEST:
        raise OptionError(f"UMAP needs at least {FEWEST} words, and was given {n}; give more, or use PCA")
    try:
        UMAP = import_module("umap").UMAP  # untyped, and slow to import
    except ImportError:
        raise UnsupportedError('UMAP needs umap-learn: pip install "clearhead[umap]"') from None
    # Random beginnings for few points: spectral ones need more points than dimensions.
    start = "spectral" if n > 4 * FEWEST else "random"
    near = min(15, n - 1)
    layout = UMAP(n_components=3, metric="cosine", n_neighbors=near, init=start, random_state=SEED, n_jobs=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own dependencies
        return np.asarray(layout.fit_transform(np.asarray(vectors, np.float64)), np.float64), None


REDUCTIONS: dict[Method, Callable[[NDArray[Any]], Reduced]] = {"pca": pca, "umap": umap}


def reduced(vectors: NDArray[Any], method: str) -> Reduced:
    """The vectors in three dimensions; errors as those of the methods.

    Raises:
        OptionError: an unknown method.
    """
    if method not in REDUCTIONS:
        raise OptionError(f"method is {method!r}; choose from {', '.join(REDUCTIONS)}")
    return REDUCTIONS[method](vectors)
