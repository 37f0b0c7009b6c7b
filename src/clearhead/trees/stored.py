"""How the model in a folder writes trees: trees.json beside its vocabulary."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import get_args

from clearhead.errors import CheckpointError
from clearhead.trees.automaton import Order
from clearhead.trees.linear import Leaves, Scheme

TREES = "trees.json"


def scheme_file(scheme: Scheme) -> dict[str, str]:
    """What a model's folder holds beside the vocabulary: the file by its name."""
    return {TREES: json.dumps(asdict(scheme), indent=2) + "\n"}


def read_scheme(folder: Path) -> Scheme:
    """How the model in a folder writes trees.

    Raises:
        CheckpointError: it writes none, or the file is damaged.
    """
    path = folder / TREES
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{folder} holds no {TREES}; its model was not trained with task parsing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); copy the folder again") from None
    if isinstance(found, dict):
        found = {"numbered": False} | found  # which earlier files do not say
    choices = {
        "order": get_args(Order),
        "leaves": get_args(Leaves),
        "spelled": (True, False),
        "numbered": (True, False),
    }
    if not isinstance(found, dict) or found.keys() != choices.keys():
        raise CheckpointError(f"{path} does not say {', '.join(choices)}, and nothing else; copy the folder again")
    for key, known in choices.items():
        if not any(found[key] is one or (isinstance(one, str) and found[key] == one) for one in known):
            raise CheckpointError(
                f"{path}: {key} is {found[key]!r:.40}; it must be one of {', '.join(map(str, known))}"
            )
    return Scheme(**found)
