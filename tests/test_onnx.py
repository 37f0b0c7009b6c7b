"""Weights out of ONNX graphs: every way of storing one, against the library's own reading; and damaged files."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from clearhead.checkpoints.onnx import open_onnx
from clearhead.checkpoints.onnx_file import read_graph
from clearhead.checkpoints.opening import open_checkpoint
from clearhead.errors import CheckpointError

RANDOM = np.random.default_rng(5)
INTEGERS = RANDOM.integers(-128, 128, (3, 5)).astype(np.int8)  # [in, out], as graphs keep matrices
BYTES = RANDOM.integers(0, 256, (4, 3)).astype(np.uint8)
FLOATS = RANDOM.standard_normal((3, 4)).astype(np.float32)


def model(
    nodes: list[onnx.NodeProto], constants: dict[str, NDArray[np.generic]], extra: list[TensorProto] | None = None
) -> bytes:
    """A graph's file."""
    held = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "g", [], [], initializer=[*held, *(extra or [])])
    return helper.make_model(graph).SerializeToString()


def weights(path: Path, data: bytes) -> dict[str, NDArray[np.generic]]:
    """What we read of a file, by name."""
    path.write_bytes(data)
    found = {stored.name: (stored.shape, stored.read()) for stored in open_onnx(path)}
    assert all(shape == array.shape for shape, array in found.values())
    return {name: array for name, (_, array) in found.items()}


SCALE = helper.make_tensor("m.weight_scale", TensorProto.FLOAT, [], [0.25])  # listed one by one, not as raw bytes
ZERO = helper.make_tensor("m.weight_zero_point", TensorProto.INT8, [], [-3])


def whole() -> bytes:
    """One weight of each kind."""
    nodes = [
        helper.make_node("MatMul", ["x", "onnx::MatMul_7"], ["a"], name="/encoder/layer.0/query/MatMul"),
        helper.make_node("DequantizeLinear", ["q_quantized", "q_scale", "q_zero_point"], ["q_deq"], name="d"),
        helper.make_node("MatMul", ["x", "q_deq"], ["b"], name="/encoder/layer.0/key/MatMul"),
        helper.make_node("MatMulInteger", ["x8", "m.weight_quantized", "z"], ["c"], name="/m/Gemm_MatMul_quant"),
        helper.make_node("Gemm", ["x", "head.weight", "head.bias"], ["e"], name="/head/Gemm", transB=1),
        helper.make_node("MatMul", ["a", "b"], ["f"], name="/encoder/layer.0/MatMul"),
    ]
    constants = {
        "onnx::MatMul_7": FLOATS,
        "q_quantized": BYTES,
        "q_scale": np.array([0.5, 0.25, 2.0], np.float32),
        "q_zero_point": np.array([3, 4, 5], np.uint8),
        "m.weight_quantized": INTEGERS,
        "head.weight": FLOATS,
        "head.bias": FLOATS[:, 0].astype(np.float16),
        "norm.weight": FLOATS[0],
        "shape": np.array([1, -1], np.int64),
    }
    return model(nodes, constants, [SCALE, ZERO])


def test_every_way_of_storing_a_weight(tmp_path: Path) -> None:
    found = weights(tmp_path / "model.onnx", whole())
    expected = {
        "encoder.layer.0.query.weight": FLOATS.T,
        "encoder.layer.0.key.weight": ((BYTES.astype(int) - [3, 4, 5]) * [0.5, 0.25, 2.0]).T,
        "m.weight": ((INTEGERS.astype(int) + 3) * 0.25).T,
        "head.weight": FLOATS,  # transB: the graph keeps [out, in]
        "head.bias": FLOATS[:, 0].astype(np.float16),
        "norm.weight": FLOATS[0],
    }
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def test_constants_are_those_that_the_library_reads(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    listed = [
        helper.make_tensor("i32", TensorProto.INT32, [2], [-5, 7]),
        helper.make_tensor("i64", TensorProto.INT64, [2], [-(2**40), 2**40]),
        helper.make_tensor("f", TensorProto.FLOAT, [3], [1.5, -2.0, 0.1]),
        helper.make_tensor("u8", TensorProto.UINT8, [2], [0, 255]),
        helper.make_tensor("f16", TensorProto.FLOAT16, [3], [1.0, -2.5, 0.0]),
        helper.make_tensor("bf16", TensorProto.BFLOAT16, [2], [1.0, -3.5]),
        helper.make_tensor("f64", TensorProto.DOUBLE, [2], [0.1, 1e300]),
    ]
    path.write_bytes(model([], {"raw": FLOATS, "double": FLOATS.astype(np.float64)}, listed))
    mine = read_graph(path).constants
    for theirs in onnx.load(path).graph.initializer:
        np.testing.assert_array_equal(mine[theirs.name].read(), numpy_helper.to_array(theirs))


def test_a_file_that_ends_early_is_told(tmp_path: Path) -> None:
    data, path = whole(), tmp_path / "model.onnx"
    right = weights(path, data).keys()
    told = 0
    for end in range(1, len(data)):
        path.write_bytes(data[:end])
        try:
            assert {stored.name for stored in open_onnx(path)} <= right
        except CheckpointError as error:
            told += 1
            assert "\n" not in str(error)
    assert told > 0.98 * len(data)


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_a_damaged_byte_is_told_or_does_no_harm(tmp_path_factory: pytest.TempPathFactory, at: int, byte: int) -> None:
    data, path = bytearray(whole()), tmp_path_factory.mktemp("damaged") / "model.onnx"
    data[at % len(data)] = byte
    path.write_bytes(data)
    try:
        for stored in open_onnx(path):
            stored.read()
    except CheckpointError as error:
        assert "\n" not in str(error) and str(error).isprintable()


def field(number: int, payload: bytes) -> bytes:
    """A field that holds bytes, its length in front."""
    return bytes([number << 3 | 2, len(payload)]) + payload


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "cannot be read|empty|no ONNX graph"),
        (b"not a model at all", "damaged"),
        (field(7, b"\xff" * 12), "inside a number"),
        (b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "calls for 9223372036854775807 bytes"),
        (field(7, field(5, field(8, b"a\x1b[2J"))), "control characters"),
        (field(7, field(5, b"\x08\x05\x10\x01" + field(8, b"w.weight") + field(9, b"1234"))), r"shape \[5\] and 4"),
        (field(7, field(5, b"\x70\x01" + field(8, b"w.weight"))), "another file"),
        (field(7, 2 * field(5, b"\x10\x01" + field(8, b"w") + field(9, b"1234"))), "there twice"),
        (field(7, field(5, b"\x10\x01" + field(1, b"\x01" * 100) + field(8, b"w"))), "more than 8 numbers"),
        (field(7, field(5, b"\x10\x03\x08\x02" + field(5, b"\x01" * 100) + field(8, b"w"))), "more than 2 numbers"),
        (field(7, field(5, b"\x10\x01\x08\x01\x20" + b"\x80" * 5 + b"\x01" + field(8, b"w"))), "more than 4 bytes"),
    ],
)
def test_hostile_files(data: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(data)
    with pytest.raises(CheckpointError, match=said):
        list(open_onnx(tmp_path / "model.onnx"))


def test_a_node_without_inputs_makes_no_weight(tmp_path: Path) -> None:
    nothing = helper.make_node("DequantizeLinear", [], ["w"], name="/w/Dequantize")
    product = helper.make_node("MatMul", ["x", "w"], ["y"], name="/w/MatMul")
    (tmp_path / "model.onnx").write_bytes(model([nothing, product], {}))
    assert list(open_onnx(tmp_path / "model.onnx")) == []


def test_integers_without_a_scale_are_refused(tmp_path: Path) -> None:
    node = helper.make_node("MatMulInteger", ["x", "w_quantized"], ["y"], name="/w/MatMul_quant")
    (tmp_path / "model.onnx").write_bytes(model([node], {"w_quantized": INTEGERS}))
    with pytest.raises(CheckpointError, match="no scale and zero point"):
        list(open_onnx(tmp_path / "model.onnx"))


def test_a_folder_without_any_weights_says_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(CheckpointError, match=r"no \.onnx"):
        open_checkpoint(tmp_path)
