"""An evaluation as a file: the figures, every item, and all that decides whether the figures can be had again."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from clearhead import __version__
from clearhead.digests import sha256_of
from clearhead.processor import processor_name
from clearhead.tasks.evaluate.metrics.bootstrap import CONFIDENCE, SAMPLES
from clearhead.tasks.evaluate.report import Evaluation

COUNTING = ("numpy", "sacrebleu", "rouge-score")  # packages that take part in a figure


def results(
    evaluation: Evaluation,
    *,
    seed: int,
    limit: int | None,
    seconds: float,
    command: Sequence[str] = (),
    model: Path | None = None,
) -> dict[str, Any]:
    """Everything about an evaluation in JSON's own types, its items last; `model` is where a named model lies."""
    return {
        "task": evaluation.task,
        "figures": [asdict(figure) for figure in evaluation.figures],
        "interval": {"confidence": CONFIDENCE, "samples": SAMPLES, "method": "percentile bootstrap over items"},
        "model": evaluation.model,
        "model_files": [] if model is None else fingerprints(model),
        "executor": evaluation.executor,
        "dtype": evaluation.dtype,
        "data": [asdict(file) for file in evaluation.files],
        "limit": limit,
        "rows": len(evaluation.items),
        "counted": evaluation.counted,
        "there": len(evaluation.items) if evaluation.there is None else evaluation.there,
        "seed": seed,
        "settings": dict(evaluation.settings),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "versions": {"clearhead": __version__, "python": platform.python_version(), **versions()},
        "processor": processor_name(),
        "command": list(command),
        "by": evaluation.by,
        "items": [{**asdict(item), "scores": dict(item.scores)} for item in evaluation.items],
    }


def versions() -> Mapping[str, str]:
    """Of the packages that count, where they are installed."""
    found = {}
    for name in COUNTING:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def fingerprints(model: Path) -> list[dict[str, Any]]:
    """Name, size and SHA-256 of a model's file, or of the files of its folder."""
    files = sorted(path for path in model.iterdir() if path.is_file()) if model.is_dir() else [model]
    return [{"name": path.name, "size": path.stat().st_size, "sha256": sha256_of(path)} for path in files]
