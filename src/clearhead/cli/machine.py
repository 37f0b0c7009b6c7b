"""What is known of the machine: processor, cores this process may use, memory, versions. Linux tells most."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from clearhead.native.threads import default_threads
from clearhead.processor import cpuinfo, processor_name

PACKAGES = (
    "numpy",
    "tokenizers",
    "safetensors",
    "gguf",
    "sentencepiece",
    "huggingface_hub",
    "jinja2",
    "ml_dtypes",
    "torch",
)
FEATURES = (
    "sse4_2", "avx", "f16c", "fma", "avx2", "avx_vnni", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16",
    "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16", "asimd", "asimddp", "asimdhp", "bf16", "i8mm", "sve", "sve2",
)  # fmt: skip


def versions() -> dict[str, str | None]:
    """Of Python and the packages that matter; None where one is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def system() -> str:
    """The operating system and the kind of processor."""
    return f"{platform.system()} {platform.release()} {platform.machine()}"


def processor() -> dict[str, Any]:
    """Model, cores, and the instructions that kernels choose by."""
    info = cpuinfo()
    flags = (info.get("flags") or info.get("Features") or "").split()
    return {
        "model": processor_name(),
        "cores": os.cpu_count() or 1,
        "usable_cores": default_threads(),
        "features": [feature for feature in FEATURES if feature in flags],
    }


def native_facts() -> dict[str, Any]:
    """Whether the native executor can run, with which instructions, and why not if it cannot."""
    try:
        from clearhead.native import _native
    except ImportError as error:
        return {"available": False, "detail": f"not built: {error}", "instruction_sets": []}
    sets = _native.instruction_sets()
    detail = f"available; {sets[-1]} kernels (also {', '.join(reversed(sets[:-1]))}), {default_threads()} threads"
    return {"available": True, "detail": detail, "instruction_sets": sets}


def torch_facts() -> dict[str, Any]:
    """Whether the torch executor can run, what it can use, and why not if it cannot."""
    try:
        from clearhead.model import devices
    except ImportError as error:
        reason = "torch is not installed" if isinstance(error, ModuleNotFoundError) else str(error)
        return {"available": False, "detail": f"not available: {reason}", "devices": []}
    return {"available": True, "detail": f"available; {devices.describe()}", "devices": devices.names()}
