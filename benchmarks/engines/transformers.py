"""transformers, on torch's processor kernels."""

from typing import Any

import torch
import transformers

from benchmarks import engine
from benchmarks.engine import Rows, ids, timed


class Engine(engine.Engine):
    """`model` is a folder in Hugging Face's layout; `kind` the class that opens it."""

    package = "transformers"

    def __init__(self, model: str, threads: int, dtype: str, kind: str = "AutoModelForCausalLM") -> None:
        super().__init__(model, threads)
        torch.set_num_threads(threads)
        self.native = getattr(transformers, kind).from_pretrained(model, dtype=getattr(torch, dtype)).eval()

    def facts(self) -> dict[str, Any]:
        """With torch's version."""
        known = super().facts()
        return known | {"version": f"{known['version']}, torch {torch.__version__}"}

    def begin(self, rows: int, capacity: int) -> None:
        """An empty cache."""
        self.cache = transformers.DynamicCache(config=self.native.config)

    @torch.inference_mode()
    def feed(self, tokens: Rows) -> None:
        """One call."""
        found = self.native(torch.tensor(tokens), past_key_values=self.cache, use_cache=True, logits_to_keep=1)
        self.logits = found.logits

    def likeliest(self) -> int:
        """Of the only row."""
        return int(self.logits[0, -1].argmax())

    @torch.inference_mode()
    def state(self, tokens: list[int]) -> list[float]:
        """[C] of the first token."""
        state: list[float] = self.native(input_ids=torch.tensor([tokens]))[0][0, 0].tolist()
        return state

    @torch.inference_mode()
    def encode(self, batch: int = 32, tokens: int = 128) -> float:
        """Texts per second."""
        texts = torch.tensor([ids(tokens, row) for row in range(batch)])
        return batch / timed(lambda: self.native(input_ids=texts, attention_mask=torch.ones_like(texts)))
