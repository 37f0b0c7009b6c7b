"""Whatever a GGUF file claims, it opens or fails with one clear error, quickly and in little memory."""

import struct
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clearhead.checkpoints.gguf import open_gguf
from clearhead.checkpoints.gguf_file import read_gguf
from clearhead.errors import CheckpointError, ClearheadError
from gguf_samples import finish

WRAPPED = 2**64 - 3
SMALL = 2**20  # bytes; what an honest parser of these little files needs lies far below


@contextmanager
def little_memory() -> Iterator[None]:
    """No allocation to speak of, whatever was claimed."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < SMALL
    finally:
        tracemalloc.stop()


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def setting(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def entry(name: str = "x", dims: tuple[int, ...] = (32,), kind: int = 0, offset: int = 0) -> bytes:
    """A row of the table of tensors."""
    shape = struct.pack(f"<I{len(dims)}Q", len(dims), *dims)
    return text(name) + shape + struct.pack("<IQ", kind, offset)


def file_of(
    table: tuple[bytes, ...] = (), entries: tuple[bytes, ...] = (), data: bytes = bytes(128), **header: int
) -> bytes:
    """A file of hand-made parts; `header` overrides its numbers."""
    numbers = {"version": 3, "tensors": len(entries), "settings": len(table)} | header
    body = b"GGUF" + struct.pack("<IQQ", *numbers.values()) + b"".join(table + entries)
    return body + bytes(-len(body) % 32) + data


def write_sound(path: Path, changes: tuple[tuple[str, gguf.GGUFValueType, object], ...] = ()) -> bytes:
    """A tiny GPT-2 as the `gguf` package writes it, vocabulary included, but for `changes` of its settings."""
    writer = gguf.GGUFWriter(path, "gpt2")
    writer.add_context_length(8)
    writer.add_embedding_length(8)
    writer.add_feed_forward_length(8)
    writer.add_block_count(1)
    writer.add_head_count(2)
    writer.add_layer_norm_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["a", "b", "ab", "<|endoftext|>"])
    writer.add_token_types([1, 1, 1, 3])
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(3)
    shapes = {"token_embd.weight": (4, 8), "position_embd.weight": (8, 8), "blk.0.attn_qkv.weight": (24, 8)}
    shapes |= {"blk.0.attn_qkv.bias": (24,), "blk.0.attn_output.weight": (8, 8), "blk.0.ffn_up.weight": (8, 8)}
    shapes |= {"blk.0.ffn_down.weight": (8, 8)}
    vectors = ["attn_norm.weight", "attn_norm.bias", "attn_output.bias", "ffn_norm.weight", "ffn_norm.bias"]
    vectors = [f"blk.0.{name}" for name in [*vectors, "ffn_up.bias", "ffn_down.bias"]]
    shapes |= dict.fromkeys([*vectors, "output_norm.weight", "output_norm.bias"], (8,))
    for name, shape in shapes.items():
        writer.add_tensor(name, np.ones(shape, dtype=np.float32))
    for key, kind, value in changes:
        writer.add_key_value(key, value, kind)
    finish(writer)
    return path.read_bytes()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_sound(tmp_path_factory.mktemp("sound") / "model.gguf")


def try_whole(path: Path) -> bool:
    """Open everything there is to open; whether that went well. Anything but a ClearheadError fails the test."""
    try:
        checkpoint = open_gguf(path)
        for _ in checkpoint.weights():
            pass
        if checkpoint.tokenizer is not None:
            checkpoint.tokenizer()
    except ClearheadError as error:
        assert "\n" not in str(error)
        return False
    return True


def test_the_sound_file_opens(sound: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(sound)
    assert try_whole(tmp_path / "x.gguf")


def test_a_file_cut_anywhere_is_refused(sound: bytes, tmp_path: Path) -> None:
    path, tables = tmp_path / "x.gguf", sound.index(b"output_norm.bias") + 64
    end = len(sound.rstrip(b"\0"))  # padding after the last tensor may go
    for length in [*range(tables), *range(tables, end, 37), end - 1]:
        path.write_bytes(sound[:length])
        with pytest.raises(CheckpointError):
            read_gguf(path)


def test_a_file_with_flipped_bits_opens_or_fails_cleanly(sound: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    header = sound.index(b"output_norm.bias") + 64
    results = []
    for at in range(0, header, 2):
        damaged = bytearray(sound)
        damaged[at] ^= 1 << (at * 5 % 8)
        path.write_bytes(damaged)
        results.append(try_whole(path))
    assert results.count(False) > header // 4


def test_random_damage_never_escapes_as_another_error(sound: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    header = sound.index(b"output_norm.bias") + 64

    @settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, header), st.binary(min_size=1, max_size=12))
    def check(at: int, patch: bytes) -> None:
        path.write_bytes(sound[:at] + patch + sound[at + len(patch) :])
        try_whole(path)

    check()


ALIGNMENT = "general.alignment"
CORPUS = {
    "not GGUF": (b"GGML" + bytes(60), "not a GGUF file"),
    "empty": (b"", "empty"),
    "version 1": (file_of(version=1), "version 1 GGUF"),
    "version 4": (file_of(version=4), "version 4 GGUF"),
    "big-endian": (file_of(version=3 << 24), "big-endian"),
    "settings without end": (file_of(settings=2**63), "number of settings"),
    "more settings than bytes": (file_of(settings=60_000), "number of settings"),
    "tensors without end": (file_of(tensors=WRAPPED), "number of tensors"),
    "more tensors than bytes": (file_of(tensors=1000), "number of tensors"),
    "key of SIZE_MAX - 3": (file_of((struct.pack("<Q", WRAPPED),)), "length of a key"),
    "key past the end": (file_of((struct.pack("<Q", 1000),)), "length of a key"),
    "key that is no text": (file_of((struct.pack("<Q", 2) + b"\xff\xfe" + bytes(8),)), "not UTF-8"),
    "key of two lines": (file_of((setting("a\nb", 4, bytes(4)),)), r"'a\\nb', which holds control characters"),
    "string of SIZE_MAX - 3": (file_of((setting("a", 8, struct.pack("<Q", WRAPPED)),)), "length of 'a'"),
    "string of 2^31": (file_of((setting("a", 8, struct.pack("<Q", 2**31)),)), "length of 'a'"),
    "repeated key": (file_of((setting("a", 4, bytes(4)),) * 2), "'a' is repeated"),
    "unknown type": (file_of((setting("a", 13, bytes(8)),)), "unknown type 13"),
    "list of a million": (file_of((setting("a", 9, struct.pack("<IQ", 4, 10**6)),)), "length of 'a'"),
    "list of a million strings": (file_of((setting("a", 9, struct.pack("<IQ", 8, 10**6)),)), "length of 'a'"),
    "list of 2^62": (file_of((setting("a", 9, struct.pack("<IQ", 0, 2**62)),)), "length of 'a'"),
    "list of lists": (file_of((setting("a", 9, struct.pack("<IQ", 9, 1) + bytes(12)),)), "list of lists"),
    "list of an unknown type": (file_of((setting("a", 9, struct.pack("<IQ", 99, 1) + bytes(12)),)), "unknown type"),
    "list with a string of SIZE_MAX - 3": (
        file_of((setting("a", 9, struct.pack("<IQQ", 8, 2, WRAPPED) + bytes(8)),)),
        "past the end",
    ),
    "alignment 0": (file_of((setting(ALIGNMENT, 4, bytes(4)),)), "general.alignment is 0"),
    "alignment 24": (file_of((setting(ALIGNMENT, 4, struct.pack("<I", 24)),)), "power of two"),
    "alignment 2^31": (file_of((setting(ALIGNMENT, 4, struct.pack("<I", 2**31)),)), "general.alignment"),
    "alignment of 2^63": (file_of((setting(ALIGNMENT, 10, struct.pack("<Q", 2**63)),)), "general.alignment"),
    "alignment as text": (file_of((setting(ALIGNMENT, 8, text("32")),)), "general.alignment is '32'"),
    "alignment as a fraction": (file_of((setting(ALIGNMENT, 6, struct.pack("<f", 32.0)),)), "general.alignment"),
    "alignment as a truth": (file_of((setting(ALIGNMENT, 7, b"\x01"),)), "general.alignment is True"),
    "dimensions whose product wraps": (file_of((), (entry(dims=(2**32, 2**32)),)), "x lies at"),
    "dimensions whose product wraps to 32": (file_of((), (entry(dims=(2**33 + 32, 2**31)),)), "x lies at"),
    "dimension of SIZE_MAX - 3": (file_of((), (entry(dims=(WRAPPED,)),)), "x lies at"),
    "dimension 0": (file_of((), (entry(dims=(0, 32)),)), "holds nothing"),
    "no dimensions": (file_of((), (entry(dims=()) + bytes(8),)), "holds nothing"),
    "five dimensions": (file_of((), (entry(dims=(1,) * 5),)), "number of dimensions of x is 5"),
    "offset of SIZE_MAX": (file_of((), (entry(offset=2**64 - 32),)), "x lies at"),
    "offset past the end": (file_of((), (entry(offset=4096),)), "x lies at"),
    "offset that is not aligned": (file_of((), (entry(offset=8),)), "multiple of the alignment"),
    "rows that no block divides": (file_of((), (entry(dims=(40,), kind=8),)), "Q8_0 cannot divide"),
    "unknown tensor type": (file_of((), (entry(kind=777),)), "x is stored as type 777"),
    "removed tensor type": (file_of((), (entry(kind=4),)), "x is stored as type 4"),
    "repeated tensor": (file_of((), (entry(), entry()), bytes(256)), "tensor x is repeated"),
    "overlapping tensors": (file_of((), (entry(), entry("y", (32,), 0, 96)), bytes(256)), "x and y overlap"),
    "name of 2^40": (file_of((), (struct.pack("<Q", 2**40) + bytes(64),)), "length of a tensor's name"),
}


@pytest.mark.parametrize("name", CORPUS)
def test_a_claim_that_cannot_be_true_is_refused(name: str, tmp_path: Path) -> None:
    content, reason = CORPUS[name]
    path = tmp_path / "x.gguf"
    path.write_bytes(content)
    with little_memory(), pytest.raises(CheckpointError, match=reason) as raised:
        read_gguf(path)
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith("x.gguf")


def test_tensors_side_by_side_are_no_overlap(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(file_of((), (entry(), entry("y", (32,), 0, 128)), bytes(256)))
    assert list(read_gguf(tmp_path / "x.gguf").tensors) == ["x", "y"]


UINT, FLOAT, STRING = gguf.GGUFValueType.UINT32, gguf.GGUFValueType.FLOAT32, gguf.GGUFValueType.STRING
HOSTILE_SETTINGS = [
    ("gpt2.block_count", UINT, 2**31 - 1),
    ("gpt2.block_count", UINT, 0),
    ("gpt2.embedding_length", UINT, 0),
    ("gpt2.embedding_length", gguf.GGUFValueType.INT32, -8),
    ("gpt2.attention.head_count", UINT, 0),
    ("gpt2.attention.head_count", STRING, "two"),
    ("gpt2.attention.head_count_kv", UINT, 3),
    ("gpt2.context_length", UINT, 0),
    ("gpt2.context_length", gguf.GGUFValueType.UINT64, 2**63),
    ("gpt2.attention.layer_norm_epsilon", FLOAT, float("nan")),
    ("gpt2.attention.key_length", UINT, 2**31 - 1),
    ("general.architecture", STRING, "t5"),
    ("split.count", UINT, 2**31),
    ("tokenizer.ggml.eos_token_id", UINT, 77),
    ("tokenizer.ggml.model", STRING, "none"),
]


@pytest.mark.parametrize(("key", "kind", "value"), HOSTILE_SETTINGS)
def test_settings_that_no_model_has_are_refused(
    key: str, kind: gguf.GGUFValueType, value: object, tmp_path: Path
) -> None:
    write_sound(tmp_path / "x.gguf", ((key, kind, value),))
    with little_memory():
        assert not try_whole(tmp_path / "x.gguf")
