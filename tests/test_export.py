"""What Clearhead writes, transformers reads with equal logits; what it reads, it writes back tensor for tensor."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as tf
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from clearhead.checkpoints.export import export
from clearhead.checkpoints.folder import open_folder
from clearhead.config import RotaryScaling, SpecialTokens
from clearhead.errors import CheckpointError, ConfigError, OptionError
from clearhead.model.executor import TorchExecutor
from models import BY_FAMILY, random_weights
from oracles import ORACLES, Oracle, oracle
from test_parity import relaxed

AUTO = {"bert": tf.AutoModelForMaskedLM, "transformer": tf.AutoModelForSeq2SeqLM, "t5": tf.AutoModelForSeq2SeqLM}


@pytest.mark.parametrize("family", [family for family in BY_FAMILY if family != "palm"])
def test_transformers_loads_what_is_exported(family: str, tmp_path: Path) -> None:
    config, rows = BY_FAMILY[family], [[5, 6, 7, 8, 9]]
    weights = [(name, array.astype(np.float64)) for name, array in random_weights(config)]
    export(
        tmp_path / "out",
        config,
        weights,
        dtype="float64",
        special=SpecialTokens(bos=0, eos=(1,), pad=0, decoder_start=0),
    )
    theirs = AUTO.get(family, tf.AutoModelForCausalLM).from_pretrained(tmp_path / "out", dtype=torch.float64)
    ours = TorchExecutor(config, weights, "float64", "cpu")
    one = Oracle(family if family in ORACLES else "llama", theirs.eval(), 0).logits(rows[0], rows[0]).numpy()
    if config.kind == "encoder":
        two = ours.head(ours.encode(rows))[0]
    else:
        two = ours.decode(rows, memory=ours.encode(rows) if config.kind == "encoder-decoder" else None, want="all")[0]
    assert np.abs(one - two).max() / np.abs(one).max() < 1e-5


@pytest.mark.parametrize("family", ORACLES)
def test_import_and_export_give_back_every_tensor(family: str) -> None:
    @relaxed
    @given(st.data())
    def check(data: st.DataObject) -> None:
        theirs = data.draw(oracle(family))
        with tempfile.TemporaryDirectory() as folder:
            first = open_folder(theirs.save(Path(folder) / "theirs"))
            export(Path(folder) / "ours", first.config, first.weights(), dtype="float64", special=first.special)
            before = load_file(Path(folder) / "theirs" / "model.safetensors")
            after = load_file(Path(folder) / "ours" / "model.safetensors")
            assert open_folder(Path(folder) / "ours").config == first.config
            used = set(after)  # buffers and second copies are not written again
            assert used <= set(before)
            assert all(np.allclose(before[name], after[name], rtol=0, atol=1e-15) for name in used)

    check()


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    config = BY_FAMILY["gpt2"]
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(CheckpointError, match="not empty"):
        export(tmp_path, config, random_weights(config))
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    config = BY_FAMILY["gpt2"]
    some = list(random_weights(config))[:-1]
    with pytest.raises(CheckpointError, match="missing"):
        export(tmp_path / "out", config, some)
    assert list(tmp_path.iterdir()) == []


def test_a_configuration_without_a_form_is_refused(tmp_path: Path) -> None:
    bloom = replace(BY_FAMILY["bloom"], d_ff=50)
    with pytest.raises(ConfigError, match="d_ff = 50"):
        export(tmp_path / "out", bloom, random_weights(bloom))
    factors = RotaryScaling(kind="factors", factors=(1.0, 2.0))
    with pytest.raises(ConfigError, match="factor per frequency"):
        export(tmp_path / "out", replace(BY_FAMILY["llama"], rotary_scaling=factors), [])
    with pytest.raises(OptionError, match="int3"):
        export(tmp_path / "out", bloom, [], dtype="int3")


def test_a_type_too_narrow_for_the_weights_is_refused(tmp_path: Path) -> None:
    config = BY_FAMILY["gpt2"]
    large = [(name, array * 1e6) for name, array in random_weights(config)]
    with pytest.raises(OptionError, match=r"float16 cannot hold embed\.tokens\.weight"):
        export(tmp_path / "out", config, large, dtype="float16")
    assert list(tmp_path.iterdir()) == []
    export(tmp_path / "out", config, large, dtype="bfloat16")


def test_special_tokens_survive(tmp_path: Path) -> None:
    config = BY_FAMILY["transformer"]
    special = SpecialTokens(eos=(1, 2), pad=3, decoder_start=3, suppressed=(3,))
    export(tmp_path / "out", config, random_weights(config), special=special)
    assert open_folder(tmp_path / "out").special == special
    assert json.loads((tmp_path / "out" / "config.json").read_text())["model_type"] == "marian"
