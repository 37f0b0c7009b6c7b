"""A T5 that onnxruntime quantised to int8, its weights turned back into floats, for models or for onnxruntime itself.

`MatMulInteger` multiplies a matrix of 8-bit integers with activations rounded to 8 bits as they come
(`DynamicQuantizeLinear`). The integers times their scale are ordinary weights; the rounding of activations is not part
of the model, and `with_float_activations` takes it out of the graph.
"""

import json
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper
from safetensors.numpy import save_file

# FLAN-T5-small (google/flan-t5-small, config.json). The graphs hold all weights and none of these choices.
CONFIG = {
    "model_type": "t5",
    "vocab_size": 32128,
    "d_model": 512,
    "d_kv": 64,
    "d_ff": 1024,
    "num_layers": 8,
    "num_decoder_layers": 8,
    "num_heads": 6,
    "feed_forward_proj": "gated-gelu",
    "relative_attention_num_buckets": 32,
    "relative_attention_max_distance": 128,
    "layer_norm_epsilon": 1e-6,
    "tie_word_embeddings": False,
    "decoder_start_token_id": 0,
    "pad_token_id": 0,
    "eos_token_id": 1,
}
Array = NDArray[np.float32]


def write_folder(source: Path, folder: Path) -> Path:
    """The model of encoder.onnx, decoder.onnx and tokenizer.json as a folder in Hugging Face layout."""
    tensors = weights(onnx.load(source / "encoder.onnx")) | weights(onnx.load(source / "decoder.onnx"))
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "tokenizer.json").write_bytes((source / "tokenizer.json").read_bytes())
    return folder


def weights(model: ModelProto) -> dict[str, Array]:
    """Every weight of a graph under transformers' name for it, [out, in] where it is a matrix."""
    constants = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    found = {}
    for node in model.graph.node:
        if node.op_type == "MatMulInteger":  # the node's path is the module's; onnx keeps [in, out]
            found[module(node.name.removesuffix("/MatMul_quant"))] = dequantised(constants, node.input[1]).T
    for name, array in constants.items():
        if name.endswith(".weight_quantized"):
            found[module(name.removesuffix(".weight_quantized"))] = dequantised(constants, name)
        elif name.endswith(".weight"):
            found[module(name.removesuffix(".weight"))] = array
    return {f"{path}.weight": array for path, array in found.items()}


def module(path: str) -> str:
    """transformers' name of the module at a graph's path, where the exporter called encoder and model `enc` and `m`."""
    path = path.strip("/").replace("/", ".")
    return f"encoder.{path.removeprefix('enc.')}" if path.startswith("enc.") else path.removeprefix("m.")


def dequantised(constants: dict[str, NDArray[np.generic]], name: str) -> Array:
    """(integers - zero point) * scale."""
    stem = name.removesuffix("_quantized")
    scale, zero = constants[f"{stem}_scale"], constants[f"{stem}_zero_point"]
    return ((constants[name].astype(np.int32) - zero.astype(np.int32)) * scale).astype(np.float32)


def with_float_activations(model: ModelProto) -> ModelProto:
    """The same graph, with the integers of the weights as floats and activations that are not rounded.

    Activations keep the scale 1, so all that follows a multiplication stays as it is.
    """
    graph = model.graph
    constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    nodes: list[NodeProto] = []
    for node in graph.node:
        if node.op_type == "DynamicQuantizeLinear":
            same, scale, _ = node.output
            nodes.append(helper.make_node("Identity", [node.input[0]], [same]))
            graph.initializer.append(numpy_helper.from_array(np.float32(1), scale))
        elif node.op_type == "MatMulInteger":
            activations, matrix, _, zero = node.input
            integers = constants[matrix].astype(np.float32) - constants[zero]
            graph.initializer.append(numpy_helper.from_array(integers.astype(np.float32), f"{node.name}_floats"))
            nodes.append(helper.make_node("MatMul", [activations, f"{node.name}_floats"], list(node.output)))
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    return model
