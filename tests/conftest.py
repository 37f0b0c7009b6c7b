"""Where tests find real weights and data; a test that needs some skips with a reason when they are absent."""

import os
import signal
from pathlib import Path

import pytest

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
