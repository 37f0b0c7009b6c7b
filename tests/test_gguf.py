"""A GGUF file gives the same model as the folder it was converted from, whatever its number formats."""

import os
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import transformers as tf

from clearhead.checkpoints import gguf_types
from clearhead.checkpoints.folder import open_folder
from clearhead.checkpoints.gguf import open_gguf
from clearhead.checkpoints.gguf_file import read_gguf
from clearhead.config import ModelConfig, RotaryScaling
from clearhead.errors import CheckpointError, ConfigError
from gguf_samples import finish, models, permute, write

FLOATS = ("F32", "F16", "BF16")
LEGACY = ("Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1")
K_QUANTS = ("Q4_K", "Q5_K", "Q6_K")
NAMES = ("llama", "llama with biases", "qwen2", "gpt2", "bloom", "bert", "t5", "flan")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each sample as transformers saves it."""
    root = tmp_path_factory.mktemp("samples")
    for name, model in models().items():
        model.save_pretrained(root / name)
    return {name: root / name for name in NAMES}


def comparable(config: ModelConfig) -> ModelConfig:
    """A configuration but for what GGUF rounds to float32, and what has another form there."""
    return replace(config, norm_eps=float(np.float32(config.norm_eps)), rotary_scaling=None)


def floats(array: np.ndarray) -> np.ndarray:
    return np.asarray(array, dtype=np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_weights_equal_those_of_the_folder_they_were_converted_from(
    name: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    write(folders[name], tmp_path / "model.gguf")
    ours, theirs = open_gguf(tmp_path / "model.gguf"), open_folder(folders[name])
    expected = dict(theirs.weights())
    found = dict(ours.weights())
    assert found.keys() == expected.keys()
    for key, array in found.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, expected[key], err_msg=key)
    assert comparable(ours.config) == comparable(theirs.config)


def test_factors_of_each_frequency_slow_it_as_llama3_does(folders: dict[str, Path], tmp_path: Path) -> None:
    from clearhead.positions import rotary_frequencies

    write(folders["llama with biases"], tmp_path / "model.gguf")
    ours, theirs = open_gguf(tmp_path / "model.gguf").config, open_folder(folders["llama with biases"]).config
    assert ours.rotary_scaling is not None and theirs.rotary_scaling is not None
    assert (ours.rotary_scaling.kind, theirs.rotary_scaling.kind) == ("factors", "llama3")
    np.testing.assert_allclose(
        rotary_frequencies(8, ours.rotary_base, ours.rotary_scaling),
        rotary_frequencies(8, theirs.rotary_base, theirs.rotary_scaling),
        rtol=1e-6,
    )


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "linear", "factor": 3.0},
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16},
        {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 32, "beta_fast": 4.0, "beta_slow": 0.5}
        | {"attention_factor": 1.25},
    ],
)
def test_rotary_scaling_equals_that_of_the_folder(
    rope: dict[str, Any], folders: dict[str, Path], tmp_path: Path
) -> None:
    config = tf.AutoConfig.from_pretrained(folders["llama"])
    config.rope_parameters = {"rope_theta": 10_000.0, **rope}
    config.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes((folders["llama"] / "model.safetensors").read_bytes())
    write(tmp_path, tmp_path / "model.gguf")
    scaling = open_gguf(tmp_path / "model.gguf").config.rotary_scaling
    assert isinstance(scaling, RotaryScaling)
    assert scaling.attention_factor == pytest.approx(open_folder(tmp_path).config.rotary_scaling.attention_factor)
    assert replace(scaling, attention_factor=1.0) == replace(
        open_folder(tmp_path).config.rotary_scaling, attention_factor=1.0
    )


@pytest.mark.parametrize(("key", "value"), [("rope.scaling.type", "longrope"), ("rope.scaling.yarn_ext_factor", 0.5)])
def test_a_scaling_that_is_not_computed_is_refused(
    key: str, value: Any, folders: dict[str, Path], tmp_path: Path
) -> None:
    from clearhead.families.fields import Fields
    from clearhead.families.rotary import scaling_from_gguf

    fields = Fields({"rope.scaling.type": "yarn", "rope.scaling.factor": 2.0, "context_length": 64, key: value}, "f")
    with pytest.raises(ConfigError, match=key.replace(".", r"\.")):
        scaling_from_gguf(fields, {}, 8)


def one_tensor(path: Path, kind: str, data: np.ndarray) -> None:
    """A file with a single tensor `x`."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tensor("x", data, raw_dtype=gguf.GGMLQuantizationType[kind])
    finish(writer)


def blocks(kind: str, rows: int, columns: int) -> np.ndarray:
    """Random stored bytes [rows, bytes per row]; where the format allows, made of random numbers."""
    rng, code = np.random.default_rng(5), gguf.GGMLQuantizationType[kind]
    if kind not in K_QUANTS:
        return gguf.quants.quantize(rng.standard_normal((rows, columns), dtype=np.float32), code)
    numbers, size = gguf.GGML_QUANT_SIZES[code]
    raw = rng.integers(0, 256, (rows, columns // numbers, size), dtype=np.uint8)
    scales = rng.uniform(0.01, 0.1, (rows, columns // numbers, 2)).astype(np.float16).view(np.uint8)
    if kind == "Q6_K":
        raw[..., -2:] = scales[..., :2]
    else:
        raw[..., :4] = scales
    return raw.reshape(rows, -1)


@pytest.mark.parametrize("kind", FLOATS + LEGACY + K_QUANTS)
def test_each_number_format_decodes_as_its_authors_decode_it(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gguf_types, "CHUNK", 1024)  # two rows at a time, and a last one by itself
    data = blocks(kind, 7, 512)
    one_tensor(tmp_path / "x.gguf", kind, data)
    tensor = read_gguf(tmp_path / "x.gguf").tensors["x"]
    expected = gguf.quants.dequantize(data, gguf.GGMLQuantizationType[kind])
    assert (tensor.shape, tensor.dtype) == ((7, 512), kind)
    np.testing.assert_array_equal(floats(tensor.read()), expected)
    assert tensor.read().dtype.name == {"F16": "float16", "BF16": "bfloat16"}.get(kind, "float32")
    if kind in FLOATS:
        assert tensor.raw is None
    else:
        assert tensor.raw is not None
        np.testing.assert_array_equal(tensor.raw(), data)


def test_sizes_of_blocks_are_those_of_the_gguf_package() -> None:
    for code, kind in gguf_types.TYPES.items():
        assert gguf.GGMLQuantizationType(code).name == kind.name
        assert gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(code)] == (kind.numbers, kind.size)
    for code, name in gguf_types.UNREAD.items():
        assert gguf.GGMLQuantizationType(code).name == name


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_1", "Q5_0"])
def test_a_quantised_model_reads_back_within_its_own_rounding(kind: str, tmp_path: Path) -> None:
    config = tf.LlamaConfig(
        vocab_size=21, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=64,
    )  # fmt: skip
    tf.LlamaForCausalLM(config).save_pretrained(tmp_path / "model")
    write(tmp_path / "model", tmp_path / "model.gguf", gguf.GGMLQuantizationType[kind])
    expected, code = dict(open_folder(tmp_path / "model").weights()), gguf.GGMLQuantizationType[kind]
    for name, array in open_gguf(tmp_path / "model.gguf").weights():
        wanted = expected[name]
        if wanted.ndim == 2 and name.endswith(("query.weight", "key.weight")):  # quantised in the file's order of rows
            stored = permute(wanted, len(wanted) // 16)
            decoded = gguf.quants.dequantize(gguf.quants.quantize(stored, code), code)
            wanted = decoded.reshape(-1, 8, 2, 32).swapaxes(1, 2).reshape(wanted.shape)
        elif wanted.ndim == 2:
            wanted = gguf.quants.dequantize(gguf.quants.quantize(wanted, code), code)
        np.testing.assert_array_equal(array, wanted, err_msg=name)


def test_a_format_that_is_not_read_is_named_with_those_that_are(tmp_path: Path) -> None:
    one_tensor(tmp_path / "x.gguf", "Q3_K", np.zeros((2, 110), dtype=np.uint8))
    with pytest.raises(CheckpointError, match=r"x is stored as Q3_K; Clearhead reads F32, F16, Q4_0.*Q6_K, BF16"):
        read_gguf(tmp_path / "x.gguf")


def test_settings_of_every_type_read_back(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "llama")
    numbers = {"u8": 255, "i8": -128, "u16": 65535, "i16": -3, "u32": 2**32 - 1, "i32": -4, "u64": 2**64 - 1, "i64": -5}
    for name, value in numbers.items():
        kind = gguf.GGUFValueType[{"u": "UINT", "i": "INT"}[name[0]] + name[1:]]
        writer.add_key_value(name, value, kind)
    writer.add_float32("f32", 0.5)
    writer.add_float64("f64", 0.1)
    writer.add_bool("yes", True)
    writer.add_string("text", "ein Wort, 一個詞")
    writer.add_array("list", ["a", "", "ß"])
    writer.add_array("numbers", [1, -2, 3])
    writer.add_array("reals", [0.5, 0.25])
    writer.add_array("truths", [True, False])
    finish(writer)
    expected = numbers | {"f32": 0.5, "f64": 0.1, "yes": True, "text": "ein Wort, 一個詞", "list": ["a", "", "ß"]}
    expected |= {"numbers": [1, -2, 3], "reals": [0.5, 0.25], "truths": [True, False], "general.architecture": "llama"}
    assert read_gguf(tmp_path / "x.gguf").metadata == expected


def test_version_2_is_read(folders: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write(folders["gpt2"], path)
    path.write_bytes(path.read_bytes().replace(b"GGUF\x03", b"GGUF\x02", 1))
    assert open_gguf(path).config.family == "gpt2"


def test_shards_are_one_model(tmp_path: Path, folders: dict[str, Path]) -> None:
    write(folders["gpt2"], tmp_path / "whole.gguf")
    whole = open_gguf(tmp_path / "whole.gguf")
    writer = gguf.GGUFWriter(tmp_path / "part.gguf", "gpt2", split_max_tensors=9)
    for key, value in whole_settings(tmp_path / "whole.gguf").items():
        writer.add_float32(key, value) if isinstance(value, float) else writer.add_uint32(key, value)
    for name, tensor in whole.tensors.items():
        writer.add_tensor(name, tensor.read())
    finish(writer)
    paths = sorted(tmp_path.glob("part-*.gguf"))
    assert len(paths) > 2
    for path in (paths[0], paths[-1]):
        found = dict(open_gguf(path).weights())
        assert all(np.array_equal(found[name], array) for name, array in whole.weights())
    paths[1].rename(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match=f"{paths[1].name} is missing"):
        open_gguf(paths[0])
    (tmp_path / "elsewhere").rename(paths[1])
    paths[0].rename(tmp_path / "renamed.gguf")
    with pytest.raises(CheckpointError, match="must end in -00001-of-"):
        open_gguf(tmp_path / "renamed.gguf")


def whole_settings(path: Path) -> dict[str, Any]:
    """The numbers among a file's settings."""
    return {key: value for key, value in read_gguf(path).metadata.items() if not isinstance(value, str)}


def test_token_ids_template_and_preferences_are_taken_from_the_file(tmp_path: Path, folders: dict[str, Path]) -> None:
    write(folders["bert"], tmp_path / "bert.gguf")
    assert open_gguf(tmp_path / "bert.gguf").pooling == "mean"
    write(folders["t5"], tmp_path / "t5.gguf")
    t5 = open_gguf(tmp_path / "t5.gguf")
    assert (t5.special.decoder_start, t5.tokenizer, t5.chat_template) == (0, None, None)

    writer = gguf.GGUFWriter(tmp_path / "gpt2.gguf", "gpt2")
    write(folders["gpt2"], tmp_path / "plain.gguf")
    for key, value in whole_settings(tmp_path / "plain.gguf").items():
        writer.add_float32(key, value) if isinstance(value, float) else writer.add_uint32(key, value)
    for name, tensor in read_gguf(tmp_path / "plain.gguf").tensors.items():
        writer.add_tensor(name, tensor.read())
    tokens = [*"abcdefghijklmnopq", "ab", "<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * 18 + [3] * 3)
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(18)
    writer.add_pad_token_id(19)
    writer.add_chat_template("{{ messages }}")
    writer.add_float32("general.sampling.temp", 0.25)
    finish(writer)
    checkpoint = open_gguf(tmp_path / "gpt2.gguf")
    assert checkpoint.special.eos == (18, 20)  # as in llama.cpp, the end of a turn ends a generation
    assert (checkpoint.special.pad, checkpoint.chat_template) == (19, "{{ messages }}")
    assert checkpoint.generation == {"temperature": 0.25}
    assert checkpoint.tokenizer is not None
    assert checkpoint.tokenizer().encode("abc<|im_end|>") == [17, 2, 20]


def test_a_special_token_beyond_the_embedding_is_refused(tmp_path: Path, folders: dict[str, Path]) -> None:
    path = tmp_path / "t5.gguf"
    write(folders["t5"], path)
    key = b"t5.decoder_start_token_id" + (4).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(key + bytes(4), key + (21).to_bytes(4, "little"), 1))
    with pytest.raises(CheckpointError, match="id 21, and the embedding has 21 rows"):
        open_gguf(path)


def test_an_unknown_architecture_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "mamba")
    writer.add_tensor("x", np.zeros(4, dtype=np.float32))
    finish(writer)
    with pytest.raises(ConfigError, match=r"'mamba' is not one .* bert, bloom, gpt2, llama, qwen2, t5"):
        open_gguf(tmp_path / "x.gguf")


def test_a_vocabulary_without_weights_is_no_model(data: Path) -> None:
    with pytest.raises(CheckpointError, match="vocabulary and no weights"):
        open_gguf(data / "llama-vocab" / "ggml-vocab-llama-spm.gguf")


def test_missing_and_unknown_tensors_are_named(tmp_path: Path, folders: dict[str, Path]) -> None:
    path = tmp_path / "model.gguf"
    write(folders["gpt2"], path)
    path.write_bytes(path.read_bytes().replace(b"blk.1.ffn_up.bias", b"blk.1.ffn_xx.bias"))
    with pytest.raises(CheckpointError, match=r"unknown tensor blk\.1\.ffn_xx\.bias"):
        dict(open_gguf(path).weights())
    checkpoint = open_gguf(path)
    kept = {name: tensor for name, tensor in checkpoint.tensors.items() if "ffn_xx" not in name}
    with pytest.raises(CheckpointError, match=r"missing tensor blk\.1\.ffn_up\.bias"):
        dict(replace(checkpoint, tensors=kept).weights())


def test_weights_come_in_little_more_memory_than_one_tensor(tmp_path: Path) -> None:
    path, d_model, d_ff = tmp_path / "model.gguf", 512, 32_768
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(16)
    writer.add_embedding_length(d_model)
    writer.add_feed_forward_length(d_ff)
    writer.add_block_count(1)
    writer.add_head_count(4)
    writer.add_layer_norm_rms_eps(1e-5)
    wide, q8 = np.tile(blocks("Q8_0", 8, d_model), (d_ff // 8, 1)), gguf.GGMLQuantizationType.Q8_0
    for name, rows in {"attn_q": d_model, "attn_k": d_model, "attn_v": d_model, "attn_output": d_model}.items():
        writer.add_tensor(f"blk.0.{name}.weight", wide[:rows], raw_dtype=q8)
    writer.add_tensor("blk.0.ffn_gate.weight", wide, raw_dtype=q8)
    writer.add_tensor("blk.0.ffn_up.weight", wide, raw_dtype=q8)
    writer.add_tensor("blk.0.ffn_down.weight", wide.reshape(d_model, -1), raw_dtype=q8)
    for name in ("output_norm.weight", "blk.0.attn_norm.weight", "blk.0.ffn_norm.weight"):
        writer.add_tensor(name, np.ones(d_model, dtype=np.float32))
    writer.add_tensor("token_embd.weight", wide[:32], raw_dtype=q8)
    finish(writer)
    checkpoint, largest, count = open_gguf(path), 4 * d_model * d_ff, 0
    next(checkpoint.weights())  # imports are not part of the figure
    tracemalloc.start()
    try:
        for _, array in checkpoint.weights():
            count += array.size
            del array
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 3 * d_model * d_ff + 4 * d_model**2 + 35 * d_model
    assert peak < 1.35 * largest


def test_settings_equal_those_an_independent_parser_reads(data: Path) -> None:
    path = data / "llama-vocab" / "ggml-vocab-llama-spm.gguf"
    fields = gguf.GGUFReader(path).fields
    expected = {key: field.contents() for key, field in fields.items() if not key.startswith("GGUF.")}
    assert read_gguf(path).metadata == expected


@pytest.mark.weights
def test_smollm2_opens_whole() -> None:
    path = Path(os.environ.get("CLEARHEAD_TEST_WEIGHTS", "")) / "SmolLM2-135M-Instruct.Q4_1.gguf"
    if not path.is_file():
        pytest.skip("no SmolLM2-135M-Instruct.Q4_1.gguf; name its folder in CLEARHEAD_TEST_WEIGHTS")
    checkpoint = open_gguf(path)
    assert sum(array.size for _, array in checkpoint.weights()) == 134_515_008
    assert (checkpoint.config.n_kv_heads, checkpoint.config.tied, checkpoint.config.max_positions) == (3, True, 8192)
    assert checkpoint.tokenizer is not None
    tokenizer = checkpoint.tokenizer()
    assert (
        tokenizer.decode(tokenizer.encode("Which is the capital of Bulgaria?")) == "Which is the capital of Bulgaria?"
    )
    assert tokenizer.token_id("<|im_end|>") in checkpoint.special.eos
    assert checkpoint.chat_template is not None and "<|im_start|>" in checkpoint.chat_template
