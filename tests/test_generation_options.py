"""Every option of a request is checked when the request is made: one line that names the option and what it may be."""

import math

import pytest

from clearhead.config import RANGES, WHOLE, GenerationConfig
from clearhead.errors import OptionError

HOSTILE = [-1e9, 2**70, 1e308, math.nan, math.inf, -math.inf, True, "1", [1], b"1", 1j]


@pytest.mark.parametrize("value", HOSTILE, ids=repr)
@pytest.mark.parametrize("name", RANGES)
def test_numbers_out_of_range_or_of_the_wrong_type_are_refused(name, value):
    with pytest.raises(OptionError, match=f"^{name} is .*; it must be a (whole )?number from [^\n]*$"):
        GenerationConfig(**{name: value})


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_counts_are_whole(name):
    with pytest.raises(OptionError, match="whole number"):
        GenerationConfig(**{name: 1.5})


@pytest.mark.parametrize("name", RANGES)
def test_the_ends_of_each_range_are_accepted(name):
    for value in RANGES[name]:
        try:
            GenerationConfig(**{name: int(value) if name in WHOLE else value})
        except OptionError as error:
            assert "it must be" not in str(error)  # only a rule about two options together may object


@pytest.mark.parametrize(
    "options",
    [
        {"logit_bias": {-1: 0.0}},
        {"logit_bias": {2**40: 0.0}},
        {"logit_bias": {"1": 0.0}},
        {"logit_bias": {1: math.nan}},
        {"logit_bias": {1: math.inf}},
        {"logit_bias": [1, 2]},
        {"logit_bias": None},
        {"stop": "END"},
        {"stop": ("",)},
        {"stop": ("x" * 1025,)},
        {"stop": ("x",) * 65},
        {"stop": (3,)},
        {"stop_ids": 3},
        {"stop_ids": (-1,)},
        {"stop_ids": (True,)},
        {"ignore_eos": 1},
        {"prompt_logprobs": "no"},
        {"early_stopping": "never"},
        {"top_p": 0.0},
        {"min_new_tokens": 300},
        {"beams": 2, "temperature": 1.0},
        {"beams": 2, "n": 3},
        {"n": 2},
        {"draft_tokens": 3, "temperature": 0.5},
        {"draft_tokens": 3, "beams": 2},
    ],
    ids=str,
)
def test_options_that_cannot_be_are_refused_in_one_line(options):
    with pytest.raises(OptionError) as caught:
        GenerationConfig(**options)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200
