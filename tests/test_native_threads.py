"""The native executor's threads: several models and callers at once, cancellation, idleness, forks."""

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

from clearhead.config import ModelConfig
from models import BY_FAMILY, native

WIDE = ModelConfig(
    family="llama", vocab_size=512, d_model=256, d_ff=1024, n_heads=8, n_kv_heads=8, head_dim=32, n_decoder_layers=24,
    max_positions=4096, norm="rms", position="rotary", activation="silu", mlp="gated", mlp_bias=False,
    attention_bias="none",
)  # fmt: skip


def test_many_callers_and_models_at_once() -> None:
    models = [native(BY_FAMILY[name], dtype) for name in ("llama", "gpt2", "palm") for dtype in ("float32", "int8")]
    rows = [[1, 2, 3], list(range(2, 19))]
    expected = [model.decode(rows, want="all") for model in models]
    wrong: list[int] = []

    def call(which: int) -> None:
        for _ in range(20):
            model = models[which % len(models)]
            cache = model.new_cache(2, 32)
            got = model.decode(rows, cache, want="all")
            if not all(np.array_equal(a, b) for a, b in zip(got, expected[which % len(models)], strict=True)):
                wrong.append(which)

    threads = [threading.Thread(target=call, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_whoever_is_done_helps_and_nothing_is_left_out(threads: int) -> None:
    tiny, wide = native(BY_FAMILY["llama"]), native(replace(WIDE, n_decoder_layers=2))
    for alone, model in ((tiny, native(BY_FAMILY["llama"], threads=threads)),
                         (wide, native(replace(WIDE, n_decoder_layers=2), threads=threads))):  # fmt: skip
        for rows in (
            [[3]],
            [[1, 2], [3]],
            [[i % 31 for i in range(30)], [5], [6, 7]],
        ):  # less work than threads, and more
            for a, b in zip(alone.decode(rows), model.decode(rows), strict=True):
                assert np.array_equal(a, b)


def test_another_thread_can_cancel_a_call_within_a_layer() -> None:
    model = native(WIDE)
    cache = model.new_cache(1, 4096)
    model.decode([[5] * 16], cache)
    ended: list[type | None] = []

    def call() -> None:
        try:
            model.decode([[1] * 4000], cache)
            ended.append(None)
        except KeyboardInterrupt:
            ended.append(KeyboardInterrupt)

    thread = threading.Thread(target=call)
    thread.start()
    while thread.is_alive():  # until it takes effect: a cancellation between two passes is forgotten
        model.cancel()
        time.sleep(0.001)
    thread.join()
    assert ended == [KeyboardInterrupt]
    assert cache.lengths == [16]  # as it was
    with suppress(KeyboardInterrupt):  # what asked after the call had ended would end the next one
        model.decode([[5]])
    again = model.new_cache(1, 64)
    model.decode([[5] * 16], again)
    assert np.array_equal(model.decode([[7]], cache)[0], model.decode([[7]], again)[0])


IDLE = """
import resource, sys, time
sys.path.insert(0, {tests!r})
from models import BY_FAMILY, native
model = native(BY_FAMILY["llama"])
model.decode([[1, 2, 3]])
time.sleep(0.2)  # the time to fall asleep
before = resource.getrusage(resource.RUSAGE_SELF)
time.sleep(1.0)
after = resource.getrusage(resource.RUSAGE_SELF)
print(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="counts a process's time as POSIX does")
def test_idle_threads_sleep() -> None:
    tests = os.path.dirname(__file__)  # noqa: PTH120  a plain string for the script
    done = subprocess.run([sys.executable, "-c", IDLE.format(tests=tests)], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 0.3  # seconds of processor time in one; two that spin take two


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_computes_with_threads_of_its_own() -> None:
    model = native(BY_FAMILY["gpt2"])
    expected = model.decode([[1, 2, 3]])[0]
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, b"1" if np.array_equal(model.decode([[1, 2, 3]])[0], expected) else b"0")
        os._exit(0)
    os.close(writer)
    assert os.read(reader, 1) == b"1"
    assert os.waitpid(child, 0)[1] == 0


def test_more_threads_than_cores_end_all_the_same() -> None:
    config = replace(WIDE, n_decoder_layers=2)
    few, many = native(config), native(config, threads=9)
    assert np.array_equal(few.decode([[1, 2, 3]])[0], many.decode([[1, 2, 3]])[0])
