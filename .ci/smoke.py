"""What a freshly built wheel must do to be kept: import, choose its kernels, run a model of random weights."""

import numpy as np

import clearhead
from clearhead.config import ModelConfig
from clearhead.families.layout import layout
from clearhead.native import _native
from clearhead.native.executor import NativeExecutor
from clearhead.native.packing import pack_weights

CONFIG = ModelConfig(
    family="gpt2", vocab_size=97, d_model=48, d_ff=96, n_heads=4, n_kv_heads=4, head_dim=12, n_decoder_layers=2,
    max_positions=64, position="learned", activation="gelu_tanh",
)  # fmt: skip

random = np.random.default_rng(0)
weights = {name: random.normal(size=shape).astype(np.float32) for name, shape in layout(CONFIG).items()}
for instruction_set in _native.instruction_sets():
    for dtype in ("float32", "bfloat16", "int8", "int4"):
        packed = pack_weights(CONFIG, weights.items(), dtype)
        executor = NativeExecutor(CONFIG, packed, dtype, threads=2, instruction_set=instruction_set)
        [logits] = executor.decode([[1, 2, 3]], want="all")
        assert logits.shape == (3, 97) and np.isfinite(logits).all(), (instruction_set, dtype)
print("clearhead", clearhead.__version__, "runs with", ", ".join(_native.instruction_sets()))
