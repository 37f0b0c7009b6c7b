"""A llama2.c file gives the same model as the folder it was written from, and is exactly as long as it says."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import transformers as tf

from clearhead.checkpoints.folder import open_folder
from clearhead.checkpoints.llama2c import open_llama2c
from clearhead.errors import CheckpointError, ClearheadError
from clearhead.model.executor import TorchExecutor
from gguf_samples import permute
from oracles import redraw

SIZES = {"dim": 24, "hidden_dim": 20, "n_layers": 2, "n_heads": 3, "n_kv_heads": 1, "vocab_size": 17, "seq_len": 10}
VERSIONS = (0, 1)


def write(path: Path, folder: Path, version: int, *, base: float = 10_000.0) -> Path:
    """The folder's weights as llama2.c's `export.py` writes them."""
    theirs = open_folder(folder)
    state = {name: np.asarray(array) for name, array in theirs.weights()}
    layers = [f"decoder.layers.{i}" for i in range(SIZES["n_layers"])]

    def of(part: str) -> list[np.ndarray]:
        arrays = [state[f"{layer}.{part}.weight"] for layer in layers]
        heads = {"attention.query": SIZES["n_heads"], "attention.key": SIZES["n_kv_heads"]}.get(part)
        return arrays if heads is None else [permute(array, heads) for array in arrays]

    attention = [a for part in ("query", "key", "value", "output") for a in of(f"attention.{part}")]
    mlp = [a for part in ("gate", "down", "up") for a in of(f"mlp.{part}")]
    embedding, norm = [state["embed.tokens.weight"]], [state["decoder.norm.weight"]]
    angles = np.arange(SIZES["seq_len"])[:, None] * base ** -(np.arange(0, 8, 2) / 8)
    head = [] if theirs.config.tied else [state["head.projection.weight"]]
    numbers = list(SIZES.values())
    if version == 0:
        numbers[5] *= 1 if theirs.config.tied else -1
        header = struct.pack("<7i", *numbers)
        body = [
            *embedding,
            *of("attention_norm"),
            *attention,
            *of("mlp_norm"),
            *mlp,
            *norm,
            np.cos(angles),
            np.sin(angles),
        ]
    else:
        header = struct.pack("<Ii7iB", 0x616B3432, version, *numbers, theirs.config.tied).ljust(256, b"\0")
        body = [*of("attention_norm"), *of("mlp_norm"), *norm, *embedding, *attention, *mlp]
    path.write_bytes(header + b"".join(a.astype("<f4").tobytes() for a in [*body, *head]))
    return path


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random LLaMA as transformers saves it."""
    config = tf.LlamaConfig(
        vocab_size=17, hidden_size=24, intermediate_size=20, num_hidden_layers=2, num_attention_heads=3,
        num_key_value_heads=1, max_position_embeddings=10, rms_norm_eps=1e-5, tie_word_embeddings=request.param,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("llama") / "model"
    redraw(tf.LlamaForCausalLM(config), 1).float().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("version", VERSIONS)
def test_weights_equal_those_of_the_folder(version: int, folder: Path, tmp_path: Path) -> None:
    ours, theirs = open_llama2c(write(tmp_path / "m.bin", folder, version)), open_folder(folder)
    assert ours.config == theirs.config
    expected, found = dict(theirs.weights()), dict(ours.weights())
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    assert ours.tokenizer is None


def edit(at: int, layout: str, *values: int) -> Callable[[bytes], bytes]:
    new = struct.pack(layout, *values)
    return lambda data: data[:at] + new + data[at + len(new) :]


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda data: b"", "empty"),
    "a few bytes": (lambda data: data[:20], "n_kv_heads|vocab_size"),
    "one byte short": (lambda data: data[:-1], "are left"),
    "one byte long": (lambda data: data + b"\0", "and it has"),
    "no dim": (edit(0, "<i", 0), "no llama2.c file"),
    "negative layers": (edit(8, "<i", -1), "no llama2.c file"),
    "layers without end": (edit(8, "<i", 2**31 - 1), "no llama2.c file"),
    "no heads": (edit(12, "<i", 0), "no llama2.c file"),
    "heads that do not divide": (edit(12, "<i", 5), "no llama2.c file"),
    "vocabulary without end": (edit(20, "<i", 2**31 - 1), "calls for 206158430112 bytes"),
    "smallest vocabulary": (edit(20, "<i", -(2**31)), "no llama2.c file"),
    "positions without end": (edit(24, "<i", 2**31 - 1), "are left"),
    "version 2": (lambda data: struct.pack("<Ii", 0x616B3432, 2) + data, "version 2"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_file_that_contradicts_itself_is_refused(name: str, folder: Path, tmp_path: Path) -> None:
    change, reason = DAMAGE[name]
    path = write(tmp_path / "m.bin", folder, 0)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(CheckpointError, match=reason) as raised:
        open_llama2c(path)
    assert "\n" not in str(raised.value)


def test_other_rotary_frequencies_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="other frequencies"):
        open_llama2c(write(tmp_path / "m.bin", folder, 0, base=500_000.0))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_header_with_flipped_bits_opens_or_fails_cleanly(version: int, folder: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "m.bin", folder, version).read_bytes()
    failed = 0
    for bit in range(8 * (28 if version == 0 else 37)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        (tmp_path / "m.bin").write_bytes(damaged)
        try:
            for _ in open_llama2c(tmp_path / "m.bin").weights():
                pass
        except ClearheadError as error:
            assert "\n" not in str(error)
            failed += 1
    assert failed > 100


@pytest.mark.weights
def test_stories260k_tells_its_story(data: Path) -> None:
    checkpoint = open_llama2c(data / "tiny-weights" / "stories260K.bin")
    assert checkpoint.tokenizer is not None
    tokenizer, executor = (
        checkpoint.tokenizer(),
        TorchExecutor(checkpoint.config, checkpoint.weights(), "float32", "cpu"),
    )
    new = tokenizer.encode("Once upon a time")
    told, cache = list(new), executor.new_cache(1, 128)
    while len(told) < 60:
        new = [int(executor.decode([new], cache)[0][-1].argmax())]
        told += new
    # The beginning of what llama2.c's own test expects at temperature 0.
    assert tokenizer.decode(told).startswith(
        "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw"
    )
