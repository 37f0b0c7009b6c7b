"""Where tests find real weights and data; a test that needs some skips with a reason when they are absent."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import clearhead as ch
from browser import browser, open_page  # noqa: F401  fixtures

# A gate started in the background inherits an ignored Ctrl-C, and so would every process that the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of shared data sets and tiny weights (CLEARHEAD_TEST_DATA)."""
    folder = Path(os.environ.get("CLEARHEAD_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}; set CLEARHEAD_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The small models of `tiny.py`, one of each kind, by the names of those that make them."""
    import tiny

    root = tmp_path_factory.mktemp("tiny")
    makers = (tiny.gpt2_folder, tiny.t5_folder, tiny.bert_folder)
    return {make.__name__: make(root / make.__name__) for make in makers}


@pytest.fixture(params=["torch", "native"])
def gpt2(folders: dict[str, Path], request: pytest.FixtureRequest) -> Any:
    """A decoder, on either executor."""
    return ch.load(folders["gpt2_folder"], executor=request.param, dtype="float32")


@pytest.fixture(params=["torch", "native"])
def t5(folders: dict[str, Path], request: pytest.FixtureRequest) -> Any:
    """An encoder and a decoder, on either executor."""
    return ch.load(folders["t5_folder"], executor=request.param, dtype="float32")


@pytest.fixture(scope="module")
def threads_kept() -> Iterator[None]:
    """As many of torch's threads afterwards as before: a run sets its own number for the whole process."""
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that translates the sentences of `overfitted.py`, English to German."""
    import overfitted

    return overfitted.train(tmp_path_factory.mktemp("translator") / "model")
