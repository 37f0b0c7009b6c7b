"""Drawing a token: temperature, top-k, top-p and min-p at once, over the whole vocabulary, in C++.

What each step does, and what the tests hold this against, is written out in `processors.warpers` and `sampling.sample`,
which also serve where scores are float64. V vocab_size.
"""

import numpy as np

from clearhead.config import GenerationConfig
from clearhead.generation.processors import COLDEST, compose, warpers
from clearhead.generation.sampling import Scores, check_peak, sample
from clearhead.native import _native

NO_IDS = np.zeros(0, dtype=np.int64)


def draw(scores: Scores, config: GenerationConfig, generator: np.random.Generator) -> int:
    """A token of [V], by the request's temperature and cuts and one number of the generator.

    Raises:
        OptionError: every token is ruled out.
        CheckpointError: the scores are not numbers.
    """
    if scores.dtype != np.float32:
        return sample(compose(warpers(config))(scores, NO_IDS, 0), generator)
    c = config
    token = _native.sample(
        np.ascontiguousarray(scores), max(c.temperature, COLDEST), c.top_k, c.top_p, c.min_p, generator.random()
    )
    if token < 0:
        check_peak(float(scores.max()))
    return token
