"""Clearhead and llama.cpp on the same weights, alternated in one run: decoding and prefill, in tokens per second.

    python benchmarks/llama_cpp.py smollm2-135m-instruct SmolLM2-135M-Instruct.Q4_1.gguf --dtype auto --rounds 5

Each engine runs in a process of its own, which waits while the other works; `--peer-python` names an interpreter that
has llama-cpp-python, if this one has not. Printed are medians with the extremes, and the ratio of the medians.
"""

import argparse
import json
import statistics
import subprocess
import sys
from typing import Any

OURS = """
import clearhead as ch
executor = ch.load(sys.argv[1], executor="native", dtype=sys.argv[3], threads=int(sys.argv[4])).executor

def fed(count):
    cache = executor.new_cache(1, count + NEW)
    executor.decode([tokens(count)], cache)
    return lambda token: executor.decode([[token]], cache)

def read(count):
    executor.decode([tokens(count)], executor.new_cache(1, count))
"""
THEIRS = """
from llama_cpp import Llama
threads = int(sys.argv[4])
model = Llama(sys.argv[2], n_ctx=2048, n_batch=512, n_ubatch=512, n_threads=threads, n_threads_batch=threads,
              verbose=False)

def fed(count):
    model.reset()
    model.eval(tokens(count))
    return lambda token: model.eval([token])

def read(count):
    model.reset()
    model.eval(tokens(count))
"""
WORKER = """
import json, sys, time
NEW = 48

def tokens(count):
    return [7 * i % 40_000 for i in range(count)]

{engine}

def decode():
    step = fed(64)
    began = time.perf_counter()
    for _ in range(NEW):
        step(5)
    return NEW / (time.perf_counter() - began)

def prefill():
    began = time.perf_counter()
    read(512)
    return 512 / (time.perf_counter() - began)

print("ready", flush=True)
for line in sys.stdin:
    print(json.dumps(globals()[line.strip()]()), flush=True)
"""


class Worker:
    """One engine in its process."""

    def __init__(self, python: str, engine: str, arguments: list[str]) -> None:
        self.process: Any = subprocess.Popen(
            [python, "-c", WORKER.format(engine=engine), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        while self.process.stdout.readline().strip() != "ready":
            if self.process.poll() is not None:
                sys.exit(f"{python} could not load its engine or {arguments[:2]}; run it by hand to see why")

    def measure(self, work: str) -> float:
        """Tokens per second of one go."""
        self.process.stdin.write(work + "\n")
        self.process.stdin.flush()
        return float(json.loads(self.process.stdout.readline()))


def figures(name: str, values: list[float]) -> str:
    """An engine's column."""
    return f"{name} {statistics.median(values):,.0f} [{min(values):,.0f}..{max(values):,.0f}]"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="what Clearhead loads")
    parser.add_argument("file", help="the GGUF file llama.cpp loads")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--threads", default="2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer-python", default=sys.executable)
    args = parser.parse_args()
    arguments = [args.model, args.file, args.dtype, args.threads]
    ours, theirs = Worker(sys.executable, OURS, arguments), Worker(args.peer_python, THEIRS, arguments)
    for work in ("decode", "prefill"):
        ours.measure(work), theirs.measure(work)  # warm
        pairs = [(ours.measure(work), theirs.measure(work)) for _ in range(args.rounds)]
        mine, other = ([pair[i] for pair in pairs] for i in (0, 1))
        ratio = statistics.median(mine) / statistics.median(other)
        print(f"{work:8} {figures('clearhead', mine)}   {figures('llama.cpp', other)}   ratio {ratio:.2f}", flush=True)
    for worker in (ours, theirs):
        worker.process.stdin.close()
        worker.process.wait()


if __name__ == "__main__":
    main()
