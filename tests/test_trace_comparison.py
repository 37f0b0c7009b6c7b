"""Two traces side by side: where they part."""

import numpy as np
import pytest

from clearhead.edits import Edits, steer
from clearhead.errors import ClearheadError, OptionError
from clearhead.trace import Trace
from clearhead.trace.comparison import compare
from models import BY_FAMILY, EXECUTORS, Make, native
from trace_runs import ROW, C, read, seen


def test_equal_runs_compare_equal() -> None:
    model = native(BY_FAMILY["t5"])
    compared = compare(seen(model), seen(model))
    assert compared.equal and compared.first is None
    assert [d.path for d in compared] == seen(model).paths
    assert repr(compared) == f"<comparison of {len(compared.differences)} places: equal>"


@EXECUTORS
def test_the_first_place_that_differs_is_where_the_cause_is(make: Make) -> None:
    model = make(BY_FAMILY["llama"])
    plain, steered, path = seen(model), Trace(model.config), "decoder.layers.0.mlp.output"
    vector = np.linspace(1, 2, C)
    edits = Edits(model.config, [steer(path, vector, positions=[4])])
    model.decode([ROW], trace=steered, want="all", edits=edits)
    steered.ids = plain.ids
    compared = compare(plain, steered)
    assert compared.first is not None and compared.first.path == path and not compared.equal
    assert compared.first.largest == pytest.approx(2, rel=1e-5)
    assert compared.first.relative == pytest.approx(np.linalg.norm(vector) / np.linalg.norm(plain[path]), rel=1e-5)
    assert compared.tokens == {"decoder": []} and "furthest apart at decoder.layers." in repr(compared)


def test_runs_of_other_lengths_are_compared_where_both_are() -> None:
    model = native(BY_FAMILY["bloom"])
    assert compare(seen(model, ROW[:4]), seen(model)).equal
    middle = Trace(model.config)
    read(model, trace=middle, sizes=[2, 4], start=3)
    for one, other in ((middle, seen(model)), (seen(model), middle)):
        assert compare(one, other).equal and len(compare(one, other).differences) == len(middle.paths)
    assert compare(seen(model, ROW[:3]), middle).differences[0].largest == 0  # nothing in common


def test_other_tokens_are_named_by_position() -> None:
    model = native(BY_FAMILY["llama"])
    other = [*ROW[:4], 30, *ROW[5:8], 29]
    compared = compare(seen(model), seen(model, other))
    assert compared.tokens == {"decoder": [4, 8]} and not compared.equal
    assert compared.first is not None and compared.first.path == "decoder.embed.tokens"


def test_what_cannot_be_compared_is_refused() -> None:
    model, trace = native(BY_FAMILY["llama"]), seen(native(BY_FAMILY["llama"]))
    with pytest.raises(OptionError, match="of two models"):
        compare(trace, seen(native(BY_FAMILY["qwen2"])))
    with pytest.raises(OptionError, match=r"hold different heads, \(0, 1, 2, 3, 4, 5\) and \(1,\)"):
        compare(trace, seen(model, heads=[1]))
    with pytest.raises(OptionError, match="no place in common"):
        compare(seen(model, kinds=["weights"]), seen(model, kinds=["query"]))
    assert issubclass(OptionError, ClearheadError)
