"""How many threads the native executor takes by itself: cores, not their threads, and a container's share of them."""

from pathlib import Path

import pytest

from clearhead.native import threads


def topology(folder: Path, siblings: dict[int, str]) -> Path:
    """A /sys/devices/system/cpu that says which processors share a core."""
    for processor, text in siblings.items():
        (folder / f"cpu{processor}" / "topology").mkdir(parents=True)
        (folder / f"cpu{processor}" / "topology" / "thread_siblings_list").write_text(text + "\n")
    return folder


def test_two_threads_of_a_core_count_once(tmp_path: Path) -> None:
    cpus = topology(tmp_path, {0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"})
    assert threads.physical_cores({0, 1, 2, 3}, cpus) == 2
    assert threads.physical_cores({0, 2}, cpus) == 1
    assert threads.physical_cores({7, 8}, cpus) == 2  # nothing is said of these


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "max 100000"}, 2**16),
        ({"cpu.max": "nonsense x"}, 2**16),
        ({"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 2**16),
        ({}, 2**16),
    ],
)
def test_a_containers_quota(files: dict[str, str], expected: int, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert threads.quota(tmp_path) == expected


def test_the_default_is_within_what_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= threads.default_threads() <= len(threads.allowed())
    monkeypatch.setattr(threads, "quota", lambda _: 1)
    assert threads.default_threads() == 1
