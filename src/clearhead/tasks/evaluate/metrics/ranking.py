"""nDCG: how good the order of a search is (Jarvelin and Kekalainen 2002, ACM TOIS 20:4), as trec_eval counts it."""

import math
from collections.abc import Mapping, Sequence


def ndcg_at(k: int, gains: Mapping[str, float], ranked: Sequence[str]) -> float:
    """nDCG of the first `k` documents of a ranking, between 0 and 1; 0 where nothing is relevant.

    `gains` holds how relevant each judged document is; what was not judged, or judged below 0, gains nothing. A gain
    counts as it is (not 2 to its power), divided by log2(rank + 1).
    """
    kept = {name: max(0.0, gain) for name, gain in gains.items()}
    best = dcg(sorted(kept.values(), reverse=True)[:k])
    return dcg([kept.get(name, 0.0) for name in ranked[:k]]) / best if best else 0.0


def dcg(gains: Sequence[float]) -> float:
    """Discounted cumulative gain of gains in their order."""
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))
