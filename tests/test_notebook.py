"""The notebook runs from its first cell to its last, shows what it says, and was committed without outputs."""

from pathlib import Path
from typing import Any

import pytest

from real import find

NOTEBOOK = Path(__file__).parents[1] / "examples" / "look-inside.ipynb"
nbformat = pytest.importorskip("nbformat")


def cells(kind: str) -> list[Any]:
    return [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == kind]


def test_it_was_committed_without_outputs() -> None:
    assert all(not cell.outputs and cell.execution_count is None for cell in cells("code"))
    assert "http" not in "".join(cell.source for cell in cells("code"))


@pytest.mark.weights
def test_every_cell_runs_and_every_picture_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real models, in a kernel of its own; a cell that ends in a view shows a whole page in a frame."""
    client = pytest.importorskip("nbclient")
    for name in ("smollm2-135m-instruct", "minilm-l6-v2", "opus-mt-zh-en"):
        find(name)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    shown = [
        output["data"].get("text/html", "")
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "execute_result"
    ]
    frames = [html for html in shown if html.startswith("<iframe")]
    assert len(frames) == 15 and all("Content-Security-Policy" in html for html in frames)
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    text = "".join(output.get("text", "") for output in outputs)
    assert "The capital of Bulgaria is Sofia" in text
    assert not [output for output in outputs if output.output_type == "display_data"]  # each view is shown once
    assert all(output["data"]["text/plain"].strip() for output in outputs if output.output_type == "execute_result")
    assert "robot" in text  # what is printed goes to standard output
    assert "man is to king as woman is to queen" in text
