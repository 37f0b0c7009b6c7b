"""CTranslate2: generators, translators and encoders. It decodes whole texts only, so a step is a difference of two."""

import json
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np

from benchmarks import engine
from benchmarks.engine import ids, timed


class Engine(engine.Engine):
    """`model` is a folder in its layout; `kind` is Generator, Translator or Encoder; `dtype` what it computes in."""

    package = "ctranslate2"

    def __init__(self, model: str, threads: int, dtype: str, kind: str = "Generator") -> None:
        super().__init__(model, threads)
        opened = getattr(ctranslate2, kind)(model, compute_type=dtype, intra_threads=threads, inter_threads=1)
        self.native: Any = opened

    def decode(self, batch: int = 1, prompt: int = 64, new: int = 48) -> float:
        """Tokens per second: the time of a text less that of its first token."""
        prompts = [names(ids(prompt, row)) for row in range(batch)]
        first = timed(lambda: self.generate(prompts, 1))
        return batch * new / (timed(lambda: self.generate(prompts, new + 1)) - first)

    def prefill(self, tokens: int = 512) -> float:
        """Tokens per second up to the first new one."""
        prompt = [names(ids(tokens))]
        return tokens / timed(lambda: self.generate(prompt, 1))

    def greedy(self, prompt: list[int], new: int) -> list[int]:
        """The likeliest tokens after a prompt."""
        (result,) = self.generate([names(prompt)], new)
        tokens: list[int] = result.sequences_ids[0]
        return tokens

    def generate(self, prompts: list[list[str]], new: int) -> Any:
        """So many tokens exactly, greedily."""
        return self.native.generate_batch(
            prompts, min_length=new, max_length=new, beam_size=1, sampling_topk=1, include_prompt_in_result=False
        )

    def state(self, tokens: list[int]) -> list[float]:
        """[C] of the first token."""
        states = np.array(self.native.forward_batch([tokens]).last_hidden_state)
        return [float(value) for value in states[0, 0]]

    def encode(self, batch: int = 32, tokens: int = 128) -> float:
        """Texts per second."""
        texts = [ids(tokens, row) for row in range(batch)]
        return batch / timed(lambda: self.native.forward_batch(texts))

    def translate(self, beams: int = 1, new: int = 0) -> float:
        """Tokens per second."""
        sources, found = self.sources(), list[list[str]]()
        seconds = timed(lambda: found.extend(self.translations(sources, beams, new)))
        return sum(map(len, found)) / seconds

    def translation(self, beams: int, new: int) -> list[int]:
        """Of the first source."""
        vocabulary = json.loads((Path(self.model) / "shared_vocabulary.json").read_text())
        return [vocabulary.index(piece) for piece in self.translations(self.sources()[:1], beams, new)[0]]

    def translations(self, sources: list[list[str]], beams: int, new: int) -> list[list[str]]:
        """The best of each."""
        options = {"min_decoding_length": new, "max_decoding_length": new or 96}
        return [result.hypotheses[0] for result in self.native.translate_batch(sources, beam_size=beams, **options)]

    def sources(self) -> list[list[str]]:
        """Beside the model."""
        sources: list[list[str]] = json.loads((Path(self.model).parent / "sources.json").read_text())["pieces"]
        return sources


def names(tokens: list[int]) -> list[str]:
    """The pieces that our conversion calls by their numbers."""
    return [f"t{token}" for token in tokens]
