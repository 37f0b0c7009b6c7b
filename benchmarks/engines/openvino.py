"""OpenVINO: stateful decoders as openvino-genai makes them, and encoders."""

from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as operations

from benchmarks import engine
from benchmarks.engine import Rows, ids, timed


class Engine(engine.Engine):
    """`model` is an IR file; `precision` that of its activations, its own choice unless given."""

    package = "openvino"

    def __init__(self, model: str, threads: int, precision: str | None = None) -> None:
        super().__init__(model, threads)
        core = ov.Core()
        network = core.read_model(model)
        self.decoder = "beam_idx" in {port.get_any_name() for port in network.inputs}
        options = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
        if precision is not None:
            options["INFERENCE_PRECISION_HINT"] = precision
        compiled = core.compile_model(last_only(network) if self.decoder else network, "CPU", options)
        self.names = [port.get_any_name() for port in compiled.inputs]
        self.request = compiled.create_infer_request()
        self.precision = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()

    def facts(self) -> dict[str, Any]:
        """With the precision it computes in."""
        known = super().facts()
        return known | {"version": f"{known['version']} (computing in {self.precision})"}

    def begin(self, rows: int, capacity: int) -> None:
        """An empty cache."""
        self.request.reset_state()
        self.length = 0

    def feed(self, tokens: Rows) -> None:
        """One inference."""
        new = np.array(tokens, np.int64)
        B, T = new.shape
        end = self.length + T
        self.infer(
            input_ids=new,
            attention_mask=np.ones((B, end), np.int64),
            position_ids=np.tile(np.arange(self.length, end), (B, 1)),
            beam_idx=np.arange(B, dtype=np.int32),
        )
        self.length = end

    def likeliest(self) -> int:
        """Of the only row."""
        return int(self.request.get_output_tensor(0).data[0, -1].argmax())

    def state(self, tokens: list[int]) -> list[float]:
        """[C] of the first token."""
        text = np.array([tokens], np.int64)
        return [float(value) for value in self.infer(input_ids=text, attention_mask=np.ones_like(text))[0, 0]]

    def encode(self, batch: int = 32, tokens: int = 128) -> float:
        """Texts per second."""
        texts = np.array([ids(tokens, row) for row in range(batch)], np.int64)
        return batch / timed(lambda: self.infer(input_ids=texts, attention_mask=np.ones_like(texts)))

    def infer(self, **given: Any) -> Any:
        """The first output, for the inputs that the network has, by name or, where they have none, by order."""
        known = {name: value for name, value in given.items() if name in self.names}
        self.request.infer(known or dict(zip(self.names, given.values(), strict=False)))
        return self.request.get_output_tensor(0).data


def last_only(network: Any) -> Any:
    """Logits of the last token alone, as openvino-genai does: gather before the head's matrix product."""
    node = network.outputs[0].get_node().input(0).get_source_output().get_node()
    while node.get_type_name() != "MatMul":
        node = node.input(0).get_source_output().get_node()
    last, axis = operations.constant(np.array([-1], np.int64)), operations.constant(np.int64(1))
    states = operations.gather(node.input(0).get_source_output(), last, axis)
    node.input(0).replace_source_output(states.output(0))
    network.validate_nodes_and_infer_types()
    return network
