"""What a run gave: figures, what decides whether they can be had again, and whether they are as the recipe expects."""

import platform
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from clearhead import __version__
from clearhead.processor import processor_name
from clearhead.training.recipe.keys import Band


def circumstances(seed: int, device: torch.device, ranks: int) -> dict[str, Any]:
    """Everything beside the recipe that a result may depend on."""
    found: dict[str, Any] = {
        "seed": seed,
        "threads": torch.get_num_threads(),
        "processes": ranks,
        "device": str(device),
        "processor": processor_name(),
        "versions": {
            "clearhead": __version__,
            "torch": str(torch.__version__),
            "python": platform.python_version(),
        },
    }
    if device.type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
    return found


def parameters(model: nn.Module) -> dict[str, int]:
    """How many numbers the model has, in the tables of tokens and positions and elsewhere; and how many of them were
    trained, where those are not all."""
    found = split({name: p.numel() for name, p in model.named_parameters()})
    learnt = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return found if learnt == sum(found.values()) else found | {"trained": learnt}


def split(counts: Mapping[str, int]) -> dict[str, int]:
    """Sizes of weights by name, added up by whether they embed."""
    found = {"embeddings": 0, "others": 0}
    for name, count in counts.items():
        found["embeddings" if name.startswith("embed.") else "others"] += count
    return found


def expectations(results: Mapping[str, Any], bands: Sequence[Band]) -> list[dict[str, Any]]:
    """Each band with the figure, and whether it lies there; None where there is no such figure."""
    found = []
    for band in bands:
        value = figure(results, band.what)
        met = None if value is None else not outside(value, band)
        found.append({"what": band.what, "value": value, "low": band.low, "high": band.high, "met": met})
    return found


def outside(value: float, band: Band) -> bool:
    """Whether a figure is none that was expected; one that is no number never is."""
    return not ((band.low is None or value >= band.low) and (band.high is None or value <= band.high))


def figure(results: Mapping[str, Any], path: str) -> float | None:
    """The number that a path of keys leads to."""
    value: Any = results
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def verdict(found: Mapping[str, Any]) -> str:
    """One expectation as a line."""
    low, high = found["low"], found["high"]
    if low is not None and high is not None:
        band = f"{low:g} to {high:g}"
    else:
        band = f"at most {high:g}" if low is None else f"at least {low:g}"
    if found["met"] is None:
        return f"{found['what']} was not measured; expected {band}"
    return f"{found['what']} {found['value']:g}: {'as' if found['met'] else 'NOT as'} expected, {band}"
