"""BERT encoders for ONNX Runtime and OpenVINO, from transformers through torch.

8 bits are what each tool's own guide recommends: dynamic quantisation by channel for ONNX Runtime, static quantisation
on examples for OpenVINO. Speed does not depend on the examples, so random ones do.
"""

from pathlib import Path
from typing import Any

import nncf
import numpy as np
import openvino as ov
import torch
import transformers
from onnxruntime.quantization import QuantType, quantize_dynamic

from benchmarks.recipes.making import main, make

INPUTS = ("input_ids", "attention_mask")


class States(torch.nn.Module):
    """A BERT that gives its states [B, T, C] and nothing else."""

    def __init__(self, bert: Any) -> None:
        super().__init__()
        self.bert = bert

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        """All tokens' states."""
        return self.bert(input_ids=input_ids, attention_mask=attention_mask)[0]


def recipe(folder: Path) -> None:
    """Both encoders, the larger with random weights."""
    make(folder / "bert-base" / "hf", random_bert)
    for name in ("minilm", "bert-base"):
        convert(folder / name)


def random_bert(path: Path) -> None:
    """The shape of BERT-base."""
    torch.manual_seed(0)
    transformers.BertModel(transformers.BertConfig()).eval().save_pretrained(path)


def convert(folder: Path) -> None:
    """One encoder, all forms."""
    example = torch.ones((2, 128), dtype=torch.int64)

    def model() -> States:
        return States(transformers.BertModel.from_pretrained(folder / "hf", dtype=torch.float32).eval())

    def export(path: Path) -> None:
        axes = {name: {0: "batch", 1: "tokens"} for name in INPUTS}
        names: dict[str, Any] = {"input_names": list(INPUTS), "output_names": ["states"], "dynamic_axes": axes}
        torch.onnx.export(model(), (example, example), path, **names, dynamo=False, opset_version=17)

    def to_openvino(path: Path) -> None:
        ov.save_model(ov.convert_model(folder / "float32.onnx"), path, compress_to_fp16=False)

    def to_int8(path: Path) -> None:
        network, rng = ov.Core().read_model(folder / "float32.xml"), np.random.default_rng(0)
        texts = [rng.integers(1000, 30_000, (4, 128)) for _ in range(20)]
        data = nncf.Dataset([dict(zip(INPUTS, (text, np.ones_like(text)), strict=True)) for text in texts])
        ov.save_model(nncf.quantize(network, data, model_type=nncf.ModelType.TRANSFORMER), path, compress_to_fp16=False)

    plain = folder / "float32.onnx"
    make(plain, export)
    make(
        folder / "int8.onnx",
        lambda path: quantize_dynamic(plain, path, weight_type=QuantType.QInt8, per_channel=True),
    )
    make(folder / "float32.xml", to_openvino)
    make(folder / "int8.xml", to_int8)


if __name__ == "__main__":
    main(recipe)
