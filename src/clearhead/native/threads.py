"""How many threads to compute with: the physical cores that this process may use.

A container often sees all processors of its host and may use a few: the scheduler's affinity says which, a control
group's quota how much of them. Two threads of one core share its arithmetic, so a second one only waits.
"""

import math
import os
from pathlib import Path

CPUS = Path("/sys/devices/system/cpu")
GROUPS = Path("/sys/fs/cgroup")


def default_threads() -> int:
    """Physical cores within this process's affinity and quota; at least 1."""
    return max(1, min(physical_cores(allowed()), quota(GROUPS)))


def allowed() -> set[int]:
    """Logical processors the scheduler may put this process on."""
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def physical_cores(processors: set[int], cpus: Path = CPUS) -> int:
    """How many cores these logical processors belong to; each counts alone where the system does not say."""
    cores = set()
    for processor in processors:
        try:
            siblings = (cpus / f"cpu{processor}" / "topology" / "thread_siblings_list").read_text().strip()
        except OSError:
            siblings = str(processor)
        cores.add(siblings)
    return len(cores)


def quota(groups: Path) -> int:
    """Processors' worth of time a control group grants, rounded up; a very large number without a limit.

    Version 2 of control groups writes "quota period" to cpu.max, version 1 two files in cpu/.
    """
    try:
        granted, period = (groups / "cpu.max").read_text().split()
        return math.ceil(int(granted) / int(period))
    except (OSError, ValueError):  # no such file, or "max": no limit
        pass
    try:
        granted = (groups / "cpu" / "cpu.cfs_quota_us").read_text()
        period = (groups / "cpu" / "cpu.cfs_period_us").read_text()
        return math.ceil(int(granted) / int(period)) if int(granted) > 0 else 2**16
    except (OSError, ValueError):
        return 2**16
