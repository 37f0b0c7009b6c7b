"""llama.cpp, through the C interface that its Python binding shows: batches of any rows, logits of the last tokens."""

import ctypes
from typing import Any

import llama_cpp as lib
import numpy as np

from benchmarks import engine
from benchmarks.engine import Rows

CALL_TOKENS, PASS_TOKENS = 2048, 512  # of one call, and of one pass through the layers: its own defaults


def silent(*_: Any) -> None:
    """It logs a page for every model."""


SILENT = lib.llama_log_callback(silent)


class Engine(engine.Engine):
    """`model` is a GGUF file."""

    package = "llama_cpp_python"

    def __init__(self, model: str, threads: int) -> None:
        super().__init__(model, threads)
        lib.llama_log_set(SILENT, ctypes.c_void_p(0))
        lib.llama_backend_init()
        self.native = lib.llama_model_load_from_file(model.encode(), lib.llama_model_default_params())
        if not self.native:
            raise OSError(f"llama.cpp cannot open {model}")
        self.context: Any = None
        self.room = (0, 0)

    def facts(self) -> dict[str, Any]:
        """With the instruction sets it was built for."""
        flags = [flag.split(" = ")[0].strip() for flag in lib.llama_print_system_info().decode().split("|")]
        sets = [flag.split(": ")[-1] for flag in flags if flag]
        known = super().facts()
        return known | {"version": f"{known['version']} ({' '.join(sets)})"}

    def begin(self, rows: int, capacity: int) -> None:
        """An empty cache, in a context kept while its size fits."""
        if self.room != (rows, capacity):
            if self.context:
                lib.llama_free(self.context)
            options = lib.llama_context_default_params()
            options.n_ctx, options.n_seq_max = rows * capacity, rows
            options.n_batch, options.n_ubatch = CALL_TOKENS, PASS_TOKENS
            options.n_threads = options.n_threads_batch = self.threads
            self.context, self.room = lib.llama_init_from_model(self.native, options), (rows, capacity)
        lib.llama_memory_clear(lib.llama_get_memory(self.context), True)
        self.length = 0

    def feed(self, tokens: Rows) -> None:
        """As few calls as may be."""
        width = CALL_TOKENS // len(tokens)
        for at in range(0, len(tokens[0]), width):
            self.call([row[at : at + width] for row in tokens])

    def call(self, tokens: Rows) -> None:
        """One batch, row after row."""
        batch, k = lib.llama_batch_init(sum(map(len, tokens)), 0, 1), 0
        for row, new in enumerate(tokens):
            for i, token in enumerate(new):
                batch.token[k], batch.pos[k], batch.logits[k] = token, self.length + i, i == len(new) - 1
                batch.n_seq_id[k], batch.seq_id[k][0] = 1, row
                k += 1
        batch.n_tokens = k
        status = lib.llama_decode(self.context, batch)
        lib.llama_get_logits(self.context)
        lib.llama_batch_free(batch)
        if status:
            raise RuntimeError(f"llama_decode gives {status}")
        self.length += len(tokens[0])

    def likeliest(self) -> int:
        """Of the only row."""
        count = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(self.native))
        return int(np.ctypeslib.as_array(lib.llama_get_logits_ith(self.context, -1), (count,)).argmax())


class Binding(engine.Engine):
    """The binding's own class, as a user starts it."""

    package = "llama_cpp_python"

    def __init__(self, model: str, threads: int) -> None:
        super().__init__(model, threads)
        self.native = lib.Llama(model, n_ctx=2048, n_threads=threads, n_threads_batch=threads, verbose=False)

    def first(self, prompt: str) -> None:
        """Of a chat; the first piece has the role alone."""
        messages = [{"role": "user", "content": prompt}]
        for piece in self.native.create_chat_completion(messages, stream=True, temperature=0):
            if piece["choices"][0]["delta"].get("content"):
                return
