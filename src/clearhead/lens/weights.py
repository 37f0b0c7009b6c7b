"""One weight of a checkpoint by its name, without reading the others."""

from clearhead.checkpoints.checkpoint import Checkpoint, match, parts
from clearhead.checkpoints.stored import Array
from clearhead.errors import UnsupportedError
from clearhead.families.keys import expand
from clearhead.families.layout import layout


def weight(checkpoint: Checkpoint, name: str) -> Array:
    """The weight called `name` in `families/layout.py`, in the type it is stored in, float32 where it is quantised.

    Raises:
        UnsupportedError: this model has no such weight.
        CheckpointError: the file is incomplete or damaged.
    """
    config = checkpoint.config
    shapes = layout(config)
    if name in shapes:
        for stored, row in match(checkpoint, expand(checkpoint.format.keys(config), shapes, config)):
            if name in row.targets and not row.copy:
                found = dict(parts(checkpoint, stored, row, shapes))[name]
                stored.release()  # the array stays right, and is read again where it is touched
                return found
    raise UnsupportedError(f"{checkpoint.source.name} has no weight {name!r}; `clearhead inspect` lists those it has")
