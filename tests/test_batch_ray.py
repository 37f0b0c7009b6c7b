"""The same parts on a Ray cluster of two nodes, one of which is killed midway: every row is there, once.

Ray is large, and no part of the development environment: pip install 'clearhead[scale]' makes these tests run.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clearhead as ch
from batch_steps import failures, results
from clearhead.errors import OptionError
from clearhead.tasks.batch.cluster import on_cluster
from clearhead.tasks.batch.run import run
from clearhead.tasks.batch.tasks import Wish

pytest.importorskip("ray", reason="Ray is not installed; pip install 'clearhead[scale]' makes this test run")
ROWS, PART = 800, 5


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two nodes on this machine: the head with a place to compute, and another."""
    import ray
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", ":".join(path for path in sys.path if path))
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    made.second = made.add_node(num_cpus=1)
    made.wait_for_nodes()
    yield made
    ray.shutdown()
    made.shutdown()


def write_rows(path: Path) -> Path:
    """Rows with a text each, every hundredth of them empty."""
    rows = ({"id": i, "text": "" if i % 100 == 7 else f"row number {i}"} for i in range(ROWS))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_node_is_lost_and_every_row_is_there_once(cluster: Any, folders: dict[str, Path], tmp_path: Path) -> None:
    import ray

    killed: list[int] = []

    def progress(done: int, _of: int) -> None:
        """Kill the second node once a sixth of the rows is there and both nodes work: no place is free."""
        if not killed and done >= ROWS // 6 and ray.available_resources().get("CPU", 0) == 0:
            cluster.remove_node(cluster.second, allow_graceful=False)
            killed.append(done)

    wish = Wish(task="embed", model=str(folders["bert_folder"]))
    file = write_rows(tmp_path / "rows.jsonl")
    found = run(wish, [str(file)], tmp_path / "out", part=PART, workers=on_cluster(cluster.address), progress=progress)
    assert killed and killed[0] < ROWS and found.complete and found.parts == ROWS // PART
    bad = list(range(7, ROWS, 100))
    assert [row["id"] for row in results(tmp_path / "out")] == [i for i in range(ROWS) if i not in bad]
    assert [row["id"] for row in failures(tmp_path / "out")] == bad
    alone = ch.load(folders["bert_folder"], executor="native").embed("row number 599")[0]
    np.testing.assert_allclose(results(tmp_path / "out")[-1]["embedding"], alone, atol=1e-5)


def test_what_was_begun_here_can_be_gone_on_with_there(cluster: Any, folders: dict[str, Path], tmp_path: Path) -> None:
    wish = Wish(task="embed", model=str(folders["bert_folder"]))
    file = write_rows(tmp_path / "rows.jsonl")
    asked = iter([False] * 120 + [True] * ROWS)
    first = run(wish, [str(file)], tmp_path / "out", part=50, cancelled=lambda: next(asked))
    second = run(wish, [str(file)], tmp_path / "out", part=50, workers=on_cluster(cluster.address))
    assert first.done == second.before == 100 and second.complete
    assert len(results(tmp_path / "out")) == ROWS - len(failures(tmp_path / "out")) == ROWS - 8


def test_a_cluster_that_is_not_there_is_told(folders: dict[str, Path], tmp_path: Path) -> None:
    wish = Wish(task="embed", model=str(folders["bert_folder"]))
    file = write_rows(tmp_path / "rows.jsonl")
    with pytest.raises(OptionError, match=r"there is no Ray cluster at '127\.0\.0\.1:1'"):
        run(wish, [str(file)], tmp_path / "out", part=50, workers=on_cluster("127.0.0.1:1"))
