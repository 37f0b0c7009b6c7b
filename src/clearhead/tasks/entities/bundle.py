"""A finished run of `entities-en` made into the bundled model: python -m clearhead.tasks.entities.bundle RUN

What ships is the adapter alone, in half precision, with a card that names licence, data and scores; its base is fetched
on first use. The folder appears here whole, in place of an earlier one, or not at all. The catalogue pins its files, so
what is printed last belongs in catalogue.toml.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from clearhead.checkpoints.adapter import LABELS, SETTINGS, TENSORS, base_of
from clearhead.checkpoints.export import write_json
from clearhead.checkpoints.folder import open_safetensors, read_json
from clearhead.errors import ClearheadError, OptionError
from clearhead.tasks.bundle import LICENCE, check_size, learnt_from, pinned, results, swap
from clearhead.tasks.entities.models import CARD, HERE

NAME = "entities-en"
NEEDED = (
    f"adapter/{SETTINGS}",
    f"adapter/{TENSORS}",
    f"adapter/{LABELS}",
    "recipe.yaml",
    "report.json",
    "results.json",
)


def bundle(run: Path, *, into: Path = HERE, name: str = NAME) -> dict[str, Any]:
    """Make the model's folder from that of a run; its card.

    Raises:
        OptionError: no finished run of a recipe with LoRA and labels, or data whose licence is not known.
        CheckpointError: the folder would be too large to ship.
    """
    if absent := [part for part in NEEDED if not (run / part).is_file()]:
        raise OptionError(f"{run} has no {absent[0]}; give the folder of a finished run of {NAME}")
    adapter = run / "adapter"
    card = {
        "licence": LICENCE,
        "base": base_of(adapter),
        "types": sorted({label[2:] for label in json.loads((adapter / LABELS).read_text()) if label != "O"}),
        "data": learnt_from(run),
        "scores": results(run),
    }
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=into) as place:
        made = Path(place) / name
        made.mkdir()
        write_json(made / SETTINGS, read_json(adapter / SETTINGS))
        (made / LABELS).write_bytes((adapter / LABELS).read_bytes())
        halve(adapter / TENSORS, made / TENSORS)
        write_json(made / CARD, card)
        check_size(made)
        swap(made, into / name, Path(place) / "earlier")
    return card


def halve(source: Path, target: Path) -> None:
    """The same tensors in float16, which rounds each by a two-thousandth at most."""
    from safetensors.numpy import save_file

    tensors = {
        stored.name: np.ascontiguousarray(stored.read().astype(np.float16)) for stored in open_safetensors(source)
    }
    save_file(tensors, target, metadata={"format": "pt"})
    target.chmod(0o644)  # the library leaves it private


def main() -> None:
    """Run with the arguments of this process."""
    parser = argparse.ArgumentParser(prog="python -m clearhead.tasks.entities.bundle", description=bundle.__doc__)
    parser.add_argument("run", type=Path, help="the folder of a finished run")
    given = parser.parse_args()
    try:
        card = bundle(given.run)
    except ClearheadError as error:
        sys.stderr.write(f"bundle: error: {error}\n")
        sys.exit(error.exit_status)
    print(json.dumps(card, indent=2, ensure_ascii=False))
    sys.stderr.write(f"\nfor {NAME} in catalogue.toml:\n\n{pinned(HERE / NAME)}")


if __name__ == "__main__":
    main()
