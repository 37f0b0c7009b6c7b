"""What the operating system says of the processor. Linux tells most."""

import platform
from pathlib import Path


def cpuinfo() -> dict[str, str]:
    """The first processor's entry of /proc/cpuinfo; empty where there is none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def processor_name() -> str:
    """The maker's name of it, or else its kind."""
    return cpuinfo().get("model name") or platform.processor() or platform.machine()
