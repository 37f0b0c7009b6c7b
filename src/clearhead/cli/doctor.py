"""`clearhead doctor`: what this machine and this installation can do, and how to get what is missing."""

from typing import Any

from clearhead.cli import arguments as a


def doctor(json: a.Json = False) -> None:
    """Show versions, processor, executors, cache, and what is missing.

    Example: clearhead doctor
    """
    from clearhead.cli.json_output import print_json

    found = examination()
    if json:
        print_json(found)
    else:
        show(found)


def examination() -> dict[str, Any]:
    """Everything that was found out."""
    from clearhead import __version__
    from clearhead.checkpoints.catalogue import cache_root, list_models
    from clearhead.cli import machine
    from clearhead.engine.memory import available_memory

    known = list_models()
    here = [status for status in known if status.path is not None]
    cached = [status for status in known if not status.bundled]
    native, torch = machine.native_facts(), machine.torch_facts()
    return {
        "clearhead": __version__,
        "versions": machine.versions(),
        "system": machine.system(),
        "processor": machine.processor(),
        "memory": available_memory(),
        "executors": {"native": native, "torch": torch},
        "cache": {"folder": cache_root(), "bytes": sum(status.on_disk for status in cached)},
        "models": [status.name for status in here],
        "missing": missing(native, torch, any(status.path for status in cached)),
    }


def missing(native: dict[str, Any], torch: dict[str, Any], any_model: bool) -> dict[str, str]:
    """What is not there, and the command that gets it."""
    from importlib.util import find_spec

    from clearhead.checkpoints.catalogue import DEFAULT_MODEL

    wanted = {}
    if not native["available"]:
        wanted["native executor"] = "a C++20 compiler (Debian: apt install g++), then pip install clearhead again"
    if not torch["available"]:
        wanted["torch executor"] = "pip install 'clearhead[train]'"
    if find_spec("matplotlib") is None:
        wanted["pictures as PNG and SVG"] = "pip install 'clearhead[lens]'"
    if not any_model:
        wanted["a model"] = f"clearhead pull {DEFAULT_MODEL} (or any command that needs one fetches it)"
    return wanted


def show(found: dict[str, Any]) -> None:
    """One fact a line."""
    from rich.text import Text

    from clearhead.cli.screen import output, wrapped
    from clearhead.text.printable import one_line

    console = output()
    for name, fact in facts(found).items():
        for i, line in enumerate(wrapped(one_line(fact), 14)):
            console.print(Text().append(("" if i else name).ljust(14), "bold").append(line), soft_wrap=True)


def facts(found: dict[str, Any]) -> dict[str, str]:
    """The lines of the report."""
    from clearhead.cli.quantities import plural, size

    packages = {name: version for name, version in found["versions"].items() if name != "python"}
    processor, memory = found["processor"], found["memory"]
    usable = f"{processor['usable_cores']} of {plural(processor['cores'], 'core')} usable"
    lines = {
        "clearhead": found["clearhead"],
        "python": f"{found['versions']['python']}, {found['system']}",
        "packages": ", ".join(f"{name} {version or 'missing'}" for name, version in packages.items()),
        "processor": f"{processor['model']}, {usable}",
        "features": " ".join(processor["features"]) or "none that kernels use",
        "memory": f"{size(memory['available'])} free of {size(memory['total'])}",
        "executors": "; ".join(f"{name}: {fact['detail']}" for name, fact in found["executors"].items()),
        "cache": f"{found['cache']['folder']}, {size(found['cache']['bytes'])}",
        "models": ", ".join(found["models"]) or "none yet",
    }
    absent = "; ".join(f"{what}: {command}" for what, command in found["missing"].items())
    return {**lines, "missing": absent or "nothing"}
