"""The weights of an ONNX graph under the names of the module they were exported from.

Exporters keep the names of embeddings, norms and biases, and lose those of matrices that they transposed
(`onnx::MatMul_753`); the operation that multiplies with one still carries its module's path
(`/bert/encoder/layer.0/attention/self/query/MatMul`). Quantised matrices are integers with a scale and a zero point,
for the whole matrix or for each column: `DequantizeLinear` before a product, or `MatMulInteger` (onnxruntime's dynamic
quantisation). They are read as (integers - zero point) * scale; rounding of activations is no part of the model.

A graph says nothing about its architecture: config.json beside it does.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from clearhead.checkpoints.onnx_file import Constant, Graph, Node, read_graph
from clearhead.checkpoints.stored import Array, StoredTensor
from clearhead.errors import CheckpointError

PRODUCTS = {"MatMul", "MatMulInteger", "Gemm"}
PRODUCT_NAME = re.compile(r"/(MatMul|Gemm)(_MatMul)?(_quant)?$")
QUANTISED = "_quantized"  # what onnxruntime puts behind a name
WEIGHT = re.compile(r"\.(weight|bias)$")


@dataclass(frozen=True, slots=True)
class Matrix:
    """Integers with their scale and zero point, or floats alone; `turned` where the graph keeps [in, out]."""

    values: Constant
    scale: Constant | None = None
    zero: Constant | None = None
    turned: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """[out, in]."""
        return self.values.shape[::-1] if self.turned else self.values.shape

    def read(self) -> Array:
        """As floats."""
        values = self.values.read()
        if self.scale is not None:
            zero = 0 if self.zero is None else self.zero.read().astype(np.int32)
            values = ((values.astype(np.int32) - zero) * self.scale.read()).astype(np.float32)
        return values.T if self.turned else values


def open_onnx(path: Path) -> Iterator[StoredTensor]:
    """The weights of one file.

    Raises:
        CheckpointError: it is damaged, or quantised in another way.
    """
    graph = read_graph(path)
    for name, matrix in weights(graph, path.name).items():
        dtype = "int8" if matrix.scale is not None else str(matrix.values.dtype)
        yield StoredTensor(name, matrix.shape, dtype, partial(matrix.read))


def weights(graph: Graph, where: str) -> dict[str, Matrix]:
    """Every weight by its module's path, as PyTorch names it."""
    scaled = {
        node.outputs[0]: node
        for node in graph.nodes
        if node.operation == "DequantizeLinear" and node.outputs and node.inputs
    }
    found: dict[str, Matrix] = {}
    used: set[str] = set()
    for node in graph.nodes:
        if node.operation in PRODUCTS and (matrix := factor(graph, node, scaled, where)) is not None:
            found[f"{path_of(node, matrix)}.weight"] = matrix
            used.add(matrix.values.name)
    for name, constant in graph.constants.items():
        plain = name.removesuffix(QUANTISED)
        if name not in used and WEIGHT.search(plain) and constant.shape:
            found[plain] = scales_of(graph, constant, where) if plain != name else Matrix(constant)
    return found


def factor(graph: Graph, node: Node, scaled: dict[str, Node], where: str) -> Matrix | None:
    """The matrix of weights that a product multiplies with; None where both sides are activations."""
    if len(node.inputs) < 2:
        return None
    name, turned = node.inputs[1], not node.numbers.get("transB", 0)
    if name in scaled:
        name = scaled[name].inputs[0]
    constant = graph.constants.get(name)
    if constant is None or len(constant.shape) != 2:
        return None
    if constant.dtype.kind == "f":
        return Matrix(constant, turned=turned)
    matrix = scales_of(graph, constant, where)
    return Matrix(matrix.values, matrix.scale, matrix.zero, turned)


def scales_of(graph: Graph, values: Constant, where: str) -> Matrix:
    """Integers with what makes numbers of them, which lie beside them under like names."""
    stem = values.name.removesuffix(QUANTISED)
    scale, zero = graph.constants.get(f"{stem}_scale"), graph.constants.get(f"{stem}_zero_point")
    columns = {(), (1,), values.shape[-1:]}
    if scale is None or scale.dtype.kind != "f" or scale.shape not in columns or (zero and zero.shape != scale.shape):
        raise CheckpointError(
            f"{where}: {values.name} has no scale and zero point for the whole of it or for each of its "
            f"{values.shape[-1] if values.shape else 0} columns; integers quantised so are read"
        )
    return Matrix(values, scale, zero)


def path_of(node: Node, matrix: Matrix) -> str:
    """The module that a product belongs to: from the matrix's own name where it has kept it, else from the node's."""
    own = matrix.values.name.removesuffix(QUANTISED)
    if WEIGHT.search(own):
        return own.removesuffix(".weight")
    return PRODUCT_NAME.sub("", node.name).strip("/").replace("/", ".")
