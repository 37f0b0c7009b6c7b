"""The same parts on a Ray cluster that runs already (Ray Data): machines compute, this process writes.

Each actor opens the task once and does part after part. Where a machine is lost, Ray gives its parts to others; a part
may be computed twice by that, but it is written once, here. The input files must lie at the same place on every
machine, and so must Clearhead and its models, or be downloaded there.
"""

import logging
import socket
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from clearhead.errors import ClearheadError, MissingDependencyError, OptionError, OutputError
from clearhead.tasks.batch.manifest import Manifest
from clearhead.tasks.batch.rows import Part, Reader
from clearhead.tasks.batch.run import Workers
from clearhead.tasks.batch.tasks import Wish, open_task
from clearhead.tasks.batch.work import Done, do

PATIENCE = 10.0  # seconds to wait for a cluster to answer


class Worker:
    """One process of the cluster: a task with its model in memory."""

    def __init__(self, manifest: Manifest, wish: Wish) -> None:
        self.manifest, self.reader, self.opened = manifest, Reader(manifest.sources), open_task(wish)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """The parts of a batch, done; columns of `Done`."""
        done = [do(self.manifest.parts[int(n)], self.manifest, self.reader, self.opened) for n in batch["number"]]
        rows = [asdict(each) for each in done]
        return {name: [row[name] for row in rows] for name in Done.__dataclass_fields__}


def on_cluster(address: str) -> Workers:
    """Workers of the cluster at `address`: host:port, ray://host:port, or auto for the one of this machine.

    Raises:
        MissingDependencyError: Ray is not installed.
    """
    try:
        import ray.data
    except ImportError:
        raise MissingDependencyError(
            "--ray needs Ray with its data library; install them with: pip install 'clearhead[scale]'"
        ) from None
    return lambda parts, manifest, wish: compute(ray, address, parts, manifest, wish)


def compute(ray: Any, address: str, parts: Sequence[Part], manifest: Manifest, wish: Wish) -> Iterator[Done]:
    """Every part, as it is done.

    Raises:
        OptionError: no cluster at that address.
        OutputError: the cluster gave up.
    """
    mine = not ray.is_initialized()
    if mine:
        connect(ray, address)
    try:
        yield from streamed(ray, parts, manifest, wish)
    except ray.exceptions.RayError as error:
        cause = error.__cause__
        if isinstance(cause, ClearheadError):
            raise cause from None
        reason = " ".join(str(cause or error).split())[-300:]
        raise OutputError(f"the cluster gave up: {reason}; the same command goes on") from None
    finally:
        if mine:
            ray.shutdown()


def connect(ray: Any, address: str) -> None:
    """Join a cluster; where nobody listens Ray would end this process, so that is found out first.

    Raises:
        OptionError: no cluster at that address.
    """
    try:
        if ":" in address:
            host, _, port = address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()
        for name in ("ray", "ray.data"):
            logging.getLogger(name).setLevel(logging.ERROR)  # its progress is no part of our messages
        ray.init(address=address, log_to_driver=False, logging_level="error")
    except (OSError, ValueError, RuntimeError) as error:  # a ConnectionError is an OSError
        reason = " ".join(str(error).split())[:160]
        raise OptionError(f"there is no Ray cluster at {address!r} ({reason}); start one: ray start --head") from None


def streamed(ray: Any, parts: Sequence[Part], manifest: Manifest, wish: Wish) -> Iterator[Done]:
    """A pool of as many actors as the cluster has room for, and parts on their way through it."""
    threads = wish.machine.threads or 1
    room = max(1, int(ray.cluster_resources().get("CPU", 1)) // threads)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    found = ray.data.from_items([{"number": part.number} for part in parts], override_num_blocks=len(parts))
    done = found.map_batches(
        Worker,
        fn_constructor_args=(manifest, wish),
        batch_size=1,
        num_cpus=threads,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(room, len(parts))),
    )
    for row in done.iter_rows():
        yield Done(**row)
