"""A checkpoint that several ranks write and read at once: each a file, and no rank ever holds all of it.

torch.distributed.checkpoint decides who writes which part, and who reads what where the number of ranks has changed.
Its own format keeps that in a pickle; its safetensors format keeps it as JSON in the header of each file, and that is
the one used here. A file that one process wrote has no such header and is read the same way. (While they agree on who
writes what, ranks do exchange pickles with each other, as torch does; none of it comes from a file.)
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clearhead.training.ranks.ranks import Ranks, lost


def write(folder: Path, tensors: dict[str, Tensor]) -> None:
    """Write this rank's part of `tensors`, forced to the disk; all ranks take part.

    Raises:
        OSError: on all ranks, where one could not write.
    """
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    writer = HuggingFaceStorageWriter(str(folder), save_distributed=True)
    with lost(), told():
        save(tensors, storage_writer=writer)


def read(folder: Path, parameters: Mapping[str, Tensor], ranks: Ranks) -> dict[str, Tensor]:
    """Every tensor of the files but what other ranks drew at random: those that belong to a parameter as that one lies
    on the ranks, the others whole.

    Raises:
        OSError: on all ranks, where one could not read.
    """
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.state_dict_loader import load

    reader = HuggingFaceStorageReader(str(folder))
    there: dict[str, Any] = dict(reader.read_metadata().state_dict_metadata)
    wanted = {
        name: place(name, found.size, found.properties.dtype, parameters)
        for name, found in there.items()
        if not name.startswith("random.") or name.endswith(f".{ranks.rank}")
    }
    with lost(), told():
        load(wanted, storage_reader=reader, no_dist=ranks.world == 1)
    return wanted


def place(name: str, shape: torch.Size, dtype: torch.dtype, parameters: Mapping[str, Tensor]) -> Tensor:
    """Memory for a tensor of this name: `model.` and a parameter's, or another prefix of two words."""
    parts = name.split(".")
    for prefix in (1, 2):
        like = parameters.get(".".join(parts[prefix:]))
        if like is not None and like.shape == shape:
            return torch.empty_like(like.detach(), dtype=dtype)
    return torch.empty(shape, dtype=dtype)


@contextmanager
def told() -> Iterator[None]:
    """What torch gathers of all ranks' failures, as the first of them."""
    from torch.distributed.checkpoint.api import CheckpointException

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except CheckpointException as e:
        error, _ = e.failures[min(e.failures)]
        number, text = getattr(error, "errno", None), getattr(error, "strerror", None)
        raise OSError(number or 0, text or str(error)) from None
