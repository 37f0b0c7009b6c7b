"""ONNX Runtime: encoders."""

import numpy as np
import onnxruntime

from benchmarks import engine
from benchmarks.engine import ids, timed


class Engine(engine.Engine):
    """`model` is an ONNX file."""

    package = "onnxruntime"

    def __init__(self, model: str, threads: int) -> None:
        super().__init__(model, threads)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def state(self, tokens: list[int]) -> list[float]:
        """[C] of the first token."""
        text = np.array([tokens], np.int64)
        states = self.session.run(None, {"input_ids": text, "attention_mask": np.ones_like(text)})[0]
        return [float(value) for value in states[0, 0]]

    def encode(self, batch: int = 32, tokens: int = 128) -> float:
        """Texts per second."""
        texts = np.array([ids(tokens, row) for row in range(batch)], np.int64)
        given = {"input_ids": texts, "attention_mask": np.ones_like(texts)}
        return batch / timed(lambda: self.session.run(None, given))
