"""A Hugging Face folder that is damaged, incomplete, ambiguous or unsafe is refused by name, and nothing runs."""

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from clearhead.checkpoints.export import export
from clearhead.checkpoints.folder import open_folder
from clearhead.checkpoints.opening import open_checkpoint
from clearhead.errors import CheckpointError, ClearheadError, ConfigError
from clearhead.families.layout import layout
from models import BY_FAMILY, random_weights
from test_parity import relaxed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound GPT-2 folder to damage."""
    export(tmp_path / "model", BY_FAMILY["gpt2"], random_weights(BY_FAMILY["gpt2"]), dtype="float32")
    return tmp_path / "model"


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_tensors(folder: Path, edit: Callable[[dict[str, np.ndarray]], None]) -> None:
    tensors = {name: array.copy() for name, array in load_file(folder / "model.safetensors").items()}
    edit(tensors)
    save_file(tensors, folder / "model.safetensors")


def read(folder: Path) -> dict[str, np.ndarray]:
    return dict(open_folder(folder).weights())


def test_a_sound_folder_is_read(folder: Path) -> None:
    shapes = {name: array.shape for name, array in read(folder).items()}
    assert shapes == layout(BY_FAMILY["gpt2"])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_storage_types_are_kept(tmp_path: Path, dtype: str) -> None:
    export(tmp_path / "model", BY_FAMILY["gpt2"], random_weights(BY_FAMILY["gpt2"]), dtype=dtype)
    assert {array.dtype.name for array in read(tmp_path / "model").values()} == {dtype}


def test_a_missing_tensor_is_named(folder: Path) -> None:
    edit_tensors(folder, lambda t: t.pop("transformer.h.1.mlp.c_fc.weight"))  # type: ignore[arg-type, return-value]
    with pytest.raises(
        CheckpointError, match=r"missing tensor transformer\.h\.1\.mlp\.c_fc\.weight; the file is incomplete"
    ):
        read(folder)


def test_an_unknown_tensor_is_named(folder: Path) -> None:
    edit_tensors(folder, lambda t: t.update({"transformer.h.2.ln_1.weight": np.ones(24, np.float32)}))
    with pytest.raises(CheckpointError, match=r"unknown tensor transformer\.h\.2\.ln_1\.weight"):
        read(folder)


def test_a_tensor_under_two_names_is_named(folder: Path) -> None:
    edit_tensors(folder, lambda t: t.update({"wte.weight": t["transformer.wte.weight"]}))
    with pytest.raises(CheckpointError, match=r"wte\.weight .*both supply embed\.tokens\.weight|both supply"):
        read(folder)


def test_a_wrong_shape_is_named_with_both_shapes(folder: Path) -> None:
    edit_tensors(folder, lambda t: t.update({"transformer.ln_f.weight": np.ones(25, np.float32)}))
    with pytest.raises(CheckpointError, match=r"ln_f\.weight \[25\] .*\[24\]"):
        read(folder)
    edit_tensors(folder, lambda t: t.update({"transformer.ln_f.weight": np.ones(24, np.float32)}))
    edit_tensors(folder, lambda t: t.update({"transformer.h.0.attn.c_attn.weight": np.ones((24, 71), np.float32)}))
    with pytest.raises(CheckpointError, match=r"c_attn\.weight \[24, 71\]"):
        read(folder)


def test_a_second_copy_must_agree(folder: Path) -> None:
    edit_tensors(folder, lambda t: t.update({"lm_head.weight": t["transformer.wte.weight"]}))
    assert "head.projection.weight" not in read(folder)
    edit_tensors(folder, lambda t: t.update({"lm_head.weight": t["transformer.wte.weight"] + 1}))
    with pytest.raises(
        CheckpointError, match=r"lm_head\.weight differs from transformer\.wte\.weight.*tie_word_embeddings"
    ):
        read(folder)


def test_integer_weights_are_refused(folder: Path) -> None:
    edit_tensors(folder, lambda t: t.update({"transformer.ln_f.weight": np.ones(24, np.int8)}))
    with pytest.raises(CheckpointError, match="stored as I8"):
        read(folder)


def test_names_with_and_without_the_prefix_are_read(folder: Path) -> None:
    before = read(folder)
    edit_tensors(folder, lambda t: [t.update({n.removeprefix("transformer."): t.pop(n)}) for n in list(t)])  # type: ignore[arg-type, return-value]
    after = read(folder)
    assert all((before[name] == after[name]).all() for name in before)


def test_the_names_of_the_original_bert_are_read(tmp_path: Path) -> None:
    """Google's files say gamma and beta, and hold the head for the order of sentences."""
    export(tmp_path / "bert", BY_FAMILY["bert"], random_weights(BY_FAMILY["bert"]), dtype="float32")
    before = read(tmp_path / "bert")
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): array
        for name, array in load_file(tmp_path / "bert" / "model.safetensors").items()
    }
    old |= {
        "cls.seq_relationship.weight": np.ones((2, 24), np.float32),
        "cls.seq_relationship.bias": np.ones(2, np.float32),
    }
    save_file(old, tmp_path / "bert" / "model.safetensors")
    assert sum(name.endswith("gamma") for name in old) == 6
    assert all((before[name] == array).all() for name, array in read(tmp_path / "bert").items())
    save_file(old | {"bert.embeddings.LayerNorm.weight": np.ones(24, np.float32)}, tmp_path / "bert/model.safetensors")
    with pytest.raises(CheckpointError, match="both supply"):
        read(tmp_path / "bert")


def test_shards_are_read_by_their_index(folder: Path) -> None:
    before = read(folder)
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    shards = {"model-00001-of-00002.safetensors": names[:9], "model-00002-of-00002.safetensors": names[9:]}
    for file, part in shards.items():
        save_file({name: tensors[name] for name in part}, folder / file)
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {name: file for file, part in shards.items() for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert all((before[name] == array).all() for name, array in read(folder).items())
    save_file({name: tensors[name] for name in names[:10]}, folder / "model-00001-of-00002.safetensors")
    with pytest.raises(CheckpointError, match=rf"tensor {names[9]} is repeated"):
        read(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model-00002-of-00002\.safetensors is missing"):
        read(folder)


def test_an_index_that_leaves_the_folder_is_refused(folder: Path) -> None:
    index = {"weight_map": {"a": "../secret.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="outside the folder"):
        read(folder)


def test_a_file_cut_at_any_byte_is_refused(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()

    @relaxed
    @given(st.integers(0, len(whole) - 1))
    def check(length: int) -> None:
        (folder / "model.safetensors").write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="damaged or incomplete"):
            read(folder)

    check()


def header(tensors: dict[str, Any], body: bytes) -> bytes:
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text + body


def twice(entry: bytes, body: bytes) -> bytes:
    text = b"{" + entry + b"," + entry + b"}"
    return struct.pack("<Q", len(text)) + text + body


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
HOSTILE = {
    "a header longer than the file": struct.pack("<Q", 2**40) + b"{}",
    "a header length that wraps": struct.pack("<Q", 2**64 - 1) + b"{}",
    "a range beyond the file": header({"a": F32 | {"data_offsets": [0, 800]}}, bytes(8)),
    "ranges that overlap": header({"a": F32, "b": F32}, bytes(8)),
    "a hole between ranges": header({"a": F32, "b": F32 | {"data_offsets": [16, 24]}}, bytes(24)),
    "bytes after the last range": header({"a": F32}, bytes(16)),
    "a shape that is not its range": header({"a": F32 | {"shape": [3]}}, bytes(8)),
    "a shape whose product wraps": header({"a": F32 | {"shape": [2**62, 4]}}, bytes(8)),
    "a name stored twice": twice(b'"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}', bytes(8)),
    "no JSON": struct.pack("<Q", 4) + b"\x80\x02}q",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_safetensors_file_is_refused(folder: Path, name: str) -> None:
    (folder / "model.safetensors").write_bytes(HOSTILE[name])
    with pytest.raises(CheckpointError):
        read(folder)


@pytest.mark.parametrize("file", ["pytorch_model.bin", "model.pt", "weights.ckpt"])
def test_a_pickle_is_refused_and_never_opened(folder: Path, file: str) -> None:
    (folder / "model.safetensors").unlink()
    trap = folder / "ran"
    (folder / file).write_bytes(b"cposix\nsystem\n(S'touch " + str(trap).encode() + b"'\ntR.")
    with pytest.raises(CheckpointError, match=r"pickle, which can run code.*save_pretrained"):
        open_checkpoint(folder)
    if not file.endswith(".bin"):  # a lone .bin may also be llama2.c's format; it is read as that, or refused
        with pytest.raises(CheckpointError, match="pickle"):
            open_checkpoint(folder / file)
    assert not trap.exists()


CONFIGS: dict[str, tuple[dict[str, Any], str]] = {
    "zero heads": ({"n_head": 0}, "cannot be divided evenly among 0"),
    "negative layers": ({"n_layer": -1}, "n_decoder_layers is -1"),
    "a size as text": ({"n_embd": "24"}, "n_embd is '24'; it must be a whole number"),
    "a size as truth": ({"n_layer": True}, "n_layer is True"),
    "a size beyond reason": ({"vocab_size": 2**40}, "vocab_size is 1099511627776"),
    "an eps that is no number": ({"layer_norm_epsilon": float("nan")}, "norm_eps is nan"),
    "an eps of 400 digits": ({"layer_norm_epsilon": 10**400}, "layer_norm_epsilon has 401 digits"),
    "an unknown family": ({"model_type": "mamba"}, "'mamba' is not one Clearhead reads; it reads bert, bloom"),
    "an unknown activation": ({"activation_function": "snake"}, "'snake'; Clearhead reads 'relu'"),
    "heads that do not divide": ({"n_head": 7}, "24 cannot be divided evenly among 7"),
    "an option that is not computed": ({"scale_attn_by_inverse_layer_idx": True}, "does not compute"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_of_no_model_is_refused(folder: Path, name: str) -> None:
    changes, message = CONFIGS[name]
    edit_config(folder, **changes)
    with pytest.raises(ConfigError, match=message) as caught:
        open_folder(folder)
    assert "\n" not in str(caught.value)


def test_keys_that_could_name_code_are_never_followed(folder: Path) -> None:
    before = open_folder(folder).config
    edit_config(
        folder, auto_map={"AutoModel": "evil.py"}, _attn_implementation_internal="evil/kernel", kernel="http://x/"
    )
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    assert open_folder(folder).config == before


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"model_type": 3}', "[" * 100_000])
def test_a_broken_config_file_is_one_clear_error(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(ClearheadError) as caught:
        open_folder(folder)
    assert "\n" not in str(caught.value)


def test_an_empty_folder_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"there is no config\.json"):
        open_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="does not exist"):
        open_checkpoint(tmp_path / "nowhere")


def test_a_folder_without_weights_says_so(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"there is no model\.safetensors"):
        open_folder(folder)


def test_a_folder_without_a_tokenizer_loads(folder: Path) -> None:
    assert open_folder(folder).tokenizer is None
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "t5", "d_model": 0, "num_heads": 1, "num_layers": 1, "vocab_size": 9, "d_ff": 4, "d_kv": 4},
        {"model_type": "palm", "dim": 0, "num_tokens": 9, "depth": 1},
        {"model_type": "marian", "d_model": -4, "encoder_ffn_dim": 4, "encoder_attention_heads": 1, "vocab_size": 9},
        {"model_type": "bloom", "hidden_size": 8, "n_head": 0, "n_layer": 1, "vocab_size": 9},
        {"model_type": "bert", "hidden_size": 8, "num_attention_heads": 0, "architectures": ["BertModel"]},
    ],
)
def test_sizes_that_pages_compute_with_are_checked_first(folder: Path, config: dict[str, Any]) -> None:
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError):
        open_folder(folder)


LLAMA = {
    "model_type": "llama",
    "vocab_size": 9,
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
}


@pytest.mark.parametrize(
    "scaling",
    [
        {"rope_type": "dynamic", "factor": 2.0},
        {"rope_type": "linear", "factor": 0.0},
        {"rope_type": "linear"},
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 0},
        {"rope_type": "yarn", "factor": 4.0, "mscale": 1.0, "mscale_all_dim": -10.0},
        {"rope_type": "yarn", "factor": -4.0},
        {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 1.0},
        {"rope_type": 3},
        {"rope_type": "yarn", "factor": 4.0, "beta_fast": -1.0},
        {"rope_type": "yarn", "factor": 4.0, "beta_slow": 1e-320},
        {"rope_type": "yarn", "original_max_position_embeddings": 10**400},
        {"rope_type": "default", "partial_rotary_factor": 0.5},
        "yarn",
    ],
)
def test_rotary_scaling_that_cannot_be_computed_is_refused(folder: Path, scaling: Any) -> None:
    (folder / "config.json").write_text(json.dumps(LLAMA | {"rope_scaling": scaling}))
    with pytest.raises(ConfigError):
        open_folder(folder)


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_theta": 5e5},
        {"rope_theta": 5e5, "rope_parameters": {"rope_type": "default"}},
        {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 5e5}},
        {"rope_scaling": {"type": "linear", "factor": 2.0, "rope_theta": 5e5}},
        {"rope_theta": 5e5, "rope_scaling": {"rope_type": "linear", "factor": 2.0}, "rope_parameters": {}},
        {
            "rope_scaling": {"rope_type": "linear", "factor": 2.0, "rope_theta": 3e3},
            "rope_parameters": {"rope_type": "default", "rope_theta": 5e5},
        },
    ],
)
def test_base_and_scaling_are_found_where_transformers_finds_them(folder: Path, rope: dict[str, Any]) -> None:
    import transformers as tf

    (folder / "config.json").write_text(json.dumps(LLAMA | rope))
    theirs, ours = tf.LlamaConfig.from_pretrained(folder).rope_parameters, open_folder(folder).config
    assert ours.rotary_base == theirs["rope_theta"]
    scaling = None if ours.rotary_scaling is None else (ours.rotary_scaling.kind, ours.rotary_scaling.factor)
    assert scaling == (None if theirs["rope_type"] == "default" else (theirs["rope_type"], theirs["factor"]))


def test_a_tensor_name_with_control_characters_never_reaches_the_terminal(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(header({"a\x1b[31m": F32}, bytes(8)))
    with pytest.raises(CheckpointError, match="control characters") as caught:
        read(folder)
    assert "\x1b" not in str(caught.value)
