"""Decoding on a GPU, in bfloat16 with random weights: Clearhead beside transformers, and both beside the memory.

    PYTHONPATH=src python -m benchmarks.gpu                       # 1.5 billion parameters, batches of 1 and 32
    PYTHONPATH=src python -m benchmarks.gpu --shape llama-3.2-1b --batch 1 --profile
    PYTHONPATH=src python -m benchmarks.gpu --shape tiny --device cpu --tokens 8      # a trial of the script itself

Both compute with the same weights and are held to the same logits first. A step must read every weight once, and the
keys and values so far: those bytes, over the time of a step, as a part of what the same GPU reads or copies at best.

Needs torch, NumPy, ml_dtypes and, for the comparison, transformers.
"""

import argparse
import gc
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import ml_dtypes
import numpy as np
import torch

from benchmarks.shapes import SHAPES, decoder
from clearhead.config import GenerationConfig, ModelConfig, SpecialTokens
from clearhead.families.layout import layout
from clearhead.generation.generate import generate
from clearhead.model.executor import TorchExecutor

NAMES = {  # of modules, ours and those of transformers
    "embed.tokens": "model.embed_tokens",
    "decoder.norm": "model.norm",
    "decoder.layers": "model.layers",
    "attention_norm": "input_layernorm",
    "mlp_norm": "post_attention_layernorm",
    "attention.query": "self_attn.q_proj",
    "attention.key": "self_attn.k_proj",
    "attention.value": "self_attn.v_proj",
    "attention.output": "self_attn.o_proj",
    "mlp.gate": "mlp.gate_proj",
    "mlp.up": "mlp.up_proj",
    "mlp.down": "mlp.down_proj",
}


def main() -> None:
    """Every row of the table, printed as soon as it is known."""
    asked = arguments()
    device, config = torch.device(asked.device), decoder(asked.shape)
    weights = dict(random_weights(config, device))
    size = sum(w.nbytes for w in weights.values())
    bandwidth = measured_bandwidth(device)
    print(f"{machine(device)}; {asked.shape}: {size / 2e9:.2f} billion parameters, bfloat16")
    print(f"memory: {bandwidth / 1e9:,.0f} GB/s at best, which is {bandwidth / size:,.0f} times all weights per second")
    for rows in asked.batch:
        prompts = np.random.default_rng(0).integers(0, config.vocab_size, (rows, asked.prompt)).tolist()
        kept = kept_bytes(config, rows, asked.prompt + asked.tokens // 2)
        table = Table(rows, asked.tokens, size + kept, bandwidth)
        for decoding in asked.decoding:
            model = TorchExecutor(config, to_numpy(weights), "bfloat16", asked.device, decoding)
            measure_ours(model, f"clearhead, {decoding}", prompts, table)
            if asked.profile and device.type == "cuda":
                profile(model, prompts)
            del model
            release(device)
        if asked.peer:
            peer = transformers_model(config, weights, device)
            measure_theirs(peer, prompts, table)
            del peer
            release(device)


def measure_ours(model: TorchExecutor, name: str, prompts: list[list[int]], table: "Table") -> None:
    """Steps alone, and whole texts."""
    logits, steps = our_steps(model, prompts, table.tokens)
    table.agree(name, logits)
    table.row(f"{name}: a step", steps)
    table.row(f"{name}: generate", per_token(partial(our_text, model, prompts), table.tokens))


def measure_theirs(peer: Any, prompts: list[list[int]], table: "Table") -> None:
    """Whole texts, with either cache; for steps on the static one transformers compiles by itself on a GPU."""
    table.agree("transformers", peer_logits(peer, prompts))
    for cache in ("dynamic", "static"):
        seconds = per_token(partial(peer_text, peer, prompts, cache), table.tokens)
        table.row(f"transformers, {cache} cache: generate", seconds)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shape", choices=SHAPES, default="qwen2.5-1.5b")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--prompt", type=int, default=128, help="tokens of each prompt")
    parser.add_argument("--tokens", type=int, default=128, help="new tokens of each row")
    parser.add_argument("--decoding", nargs="+", default=["compiled", "static", "eager"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--no-peer", dest="peer", action="store_false", help="Clearhead alone")
    parser.add_argument("--profile", action="store_true", help="the kernels of a step")
    return parser.parse_args()


def random_weights(config: ModelConfig, device: torch.device) -> Iterator[tuple[str, torch.Tensor]]:
    """Every weight, drawn on the device: gains near 1, the rest as models begin."""
    torch.manual_seed(0)
    for name, shape in layout(config).items():
        values = torch.randn(shape, device=device)
        yield name, (1 + 0.1 * values if name.endswith("norm.weight") else 0.02 * values).to(torch.bfloat16)


def to_numpy(weights: dict[str, torch.Tensor]) -> Iterator[tuple[str, np.ndarray]]:
    """As an executor takes them."""
    for name, weight in weights.items():
        yield name, weight.cpu().view(torch.int16).numpy().view(ml_dtypes.bfloat16)


def kept_bytes(config: ModelConfig, rows: int, length: int) -> int:
    """Keys and values that a step reads, when each row holds `length` positions."""
    return rows * length * config.n_decoder_layers * config.n_kv_heads * config.head_dim * 2 * 2


def measured_bandwidth(device: torch.device) -> float:
    """Bytes per second of reading or of copying, whichever is faster, over far more than a cache holds."""
    count = 2**30 if device.type == "cuda" else 2**24
    source, target = torch.randn(count, device=device), torch.empty(count, device=device)
    copying = 2 * source.nbytes / median_seconds(lambda: target.copy_(source), device)
    reading = source.nbytes / median_seconds(source.sum, device)
    return max(copying, reading)


def median_seconds(work: Callable[[], Any], device: torch.device) -> float:
    """Of ten runs, after three."""
    seconds = []
    for _ in range(13):
        synchronise(device)
        start = time.perf_counter()
        work()
        synchronise(device)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[3:])


def our_steps(model: TorchExecutor, prompts: list[list[int]], tokens: int) -> tuple[np.ndarray, list[float]]:
    """Logits [B, V] after one new token, and the seconds of each step; logits come to the processor at every step."""
    first, seconds = np.zeros(0), []
    for _ in range(2):  # what the first time compiles and records, the second time finds
        cache, seconds = model.new_cache(len(prompts), len(prompts[0]) + tokens), []
        logits = model.decode(prompts, cache)
        for i in range(tokens):
            new = [[int(row[-1].argmax())] for row in logits]
            start = time.perf_counter()
            logits = model.decode(new, cache)
            seconds.append(time.perf_counter() - start)
            first = np.concatenate(logits) if i == 0 else first
        del cache
    return first, seconds


def our_text(model: TorchExecutor, prompts: list[list[int]], tokens: int) -> None:
    """Greedy texts through the whole decoding loop."""
    generate(model, prompts, GenerationConfig(max_new_tokens=tokens, ignore_eos=True), SpecialTokens())


def transformers_model(config: ModelConfig, weights: dict[str, torch.Tensor], device: torch.device) -> Any:
    """The same model in transformers, with its default attention."""
    from transformers import LlamaConfig, LlamaForCausalLM

    theirs = LlamaConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.d_model,
        intermediate_size=config.d_ff,
        num_hidden_layers=config.n_decoder_layers,
        num_attention_heads=config.n_heads,
        num_key_value_heads=config.n_kv_heads,
        head_dim=config.head_dim,
        max_position_embeddings=config.max_positions,
        rms_norm_eps=config.norm_eps,
        rope_theta=config.rotary_base,
        tie_word_embeddings=True,
        eos_token_id=None,
        bos_token_id=None,
        pad_token_id=0,
        dtype="bfloat16",
    )
    with torch.device(device):
        model = LlamaForCausalLM(theirs).to(torch.bfloat16).eval()
    result = model.load_state_dict({their_name(name): weight for name, weight in weights.items()}, strict=False)
    assert not result.unexpected_keys and set(result.missing_keys) <= {"lm_head.weight"}, result
    return model


def their_name(name: str) -> str:
    """The name of a weight in transformers."""
    for ours, theirs in NAMES.items():
        name = name.replace(ours, theirs)
    return name


@torch.inference_mode()
def peer_logits(peer: Any, prompts: list[list[int]]) -> np.ndarray:
    """[B, V] after one new token, the likeliest."""
    ids = torch.tensor(prompts, device=peer.device)
    token = peer(ids).logits[:, -1:].argmax(-1)
    logits: np.ndarray = peer(torch.cat([ids, token], 1)).logits[:, -1].float().cpu().numpy()
    return logits


def peer_text(peer: Any, prompts: list[list[int]], cache: str, tokens: int) -> None:
    """Greedy texts of transformers."""
    ids = torch.tensor(prompts, device=peer.device)
    peer.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        min_new_tokens=tokens,
        max_new_tokens=tokens,
        cache_implementation=cache,
    )


def per_token(run: Callable[[int], None], tokens: int) -> list[float]:
    """Seconds per new token, without those of the prompt: the difference of a long run and a short one, four times."""
    short, seconds = max(tokens // 4, 1), []
    for _ in range(5):
        spent = []
        for n in (short, tokens):
            start = time.perf_counter()
            run(n)
            spent.append(time.perf_counter() - start)
        seconds.append((spent[1] - spent[0]) / (tokens - short))
    return seconds[1:]  # the first compiles


class Table:
    """One line for each way to decode a batch, all of them held to the logits of the first."""

    def __init__(self, rows: int, tokens: int, size: int, bandwidth: float) -> None:
        self.rows, self.tokens, self.size, self.bandwidth = rows, tokens, size, bandwidth
        self.logits: np.ndarray | None = None
        print(f"\nbatch {rows}, {tokens} new tokens, {size / 1e9:.2f} GB to read in a step")
        print(f"{'':44}{'ms a step':>10}{'spread':>9}{'tokens/s':>10}{'GB/s':>8}{'of memory':>11}")

    def agree(self, name: str, logits: np.ndarray) -> None:
        """Refuse to time what computes something else than bfloat16 can explain.

        Raises:
            SystemExit: by how much it differs.
        """
        first = logits if self.logits is None else self.logits
        difference = float(np.linalg.norm(logits - first) / np.linalg.norm(first))
        if not difference < 0.05:
            raise SystemExit(f"{name} gives other logits: they differ by {difference:.1%} of their norm")
        print(f"  {name}: logits differ from the first by {difference:.2%} of their norm")
        self.logits = first

    def row(self, name: str, seconds: list[float]) -> None:
        """A line of medians; the spread is from the 10th to the 90th of a hundred."""
        median, (low, *_, high) = statistics.median(seconds), statistics.quantiles(seconds, n=10)
        rate = self.size / median
        print(
            f"{name:44}{median * 1e3:10.3f}{(high - low) / median:9.1%}{self.rows / median:10,.0f}"
            f"{rate / 1e9:8,.0f}{rate / self.bandwidth:11.1%}",
            flush=True,
        )


def profile(model: TorchExecutor, prompts: list[list[int]], steps: int = 10) -> None:
    """What a step's time goes to, by kernel."""
    cache = model.new_cache(len(prompts), len(prompts[0]) + steps)
    model.decode(prompts, cache)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        for _ in range(steps):
            model.decode([[1]] * len(prompts), cache)
    kernels = profiler.key_averages()
    print(f"  {sum(k.count for k in kernels) / steps:.0f} kernels and copies a step, over {steps} steps:")
    print(kernels.table(sort_by="self_device_time_total", row_limit=16, max_name_column_width=70))


def machine(device: torch.device) -> str:
    """What this ran on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "processor"
    return f"{name}, torch {torch.__version__}"


def synchronise(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def release(device: torch.device) -> None:
    """Give back what a model held."""
    gc.collect()
    torch._dynamo.reset()
    if device.type == "cuda":
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
