"""How much working memory this process may use, as far as the system says; Linux tells most."""

from pathlib import Path


def available_memory() -> dict[str, int]:
    """Bytes in all and available, within a container's limit; 0 where the system does not say."""
    pairs = (line.partition(":") for line in read_text(Path("/proc/meminfo")).splitlines())
    kilobytes = {key: int(value.split()[0]) for key, _, value in pairs if value.split()}
    total, available = 1024 * kilobytes.get("MemTotal", 0), 1024 * kilobytes.get("MemAvailable", 0)
    limit, used = read_line(Path("/sys/fs/cgroup/memory.max")), read_line(Path("/sys/fs/cgroup/memory.current"))
    if limit.isdigit() and used.isdigit() and 0 < int(limit) < total:
        pairs = (line.partition(" ") for line in read_text(Path("/sys/fs/cgroup/memory.stat")).splitlines())
        files = {key: int(value) for key, _, value in pairs}.get("inactive_file", 0)  # which are given up when needed
        total, available = int(limit), max(0, min(available, int(limit) - int(used) + files))
    return {"total": total, "available": available}


def read_text(path: Path) -> str:
    """A small file of the kernel's; empty where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def read_line(path: Path) -> str:
    """Its first line."""
    return read_text(path).partition("\n")[0].strip()
