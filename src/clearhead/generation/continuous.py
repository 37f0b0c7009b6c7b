"""Many prompts through one batch: whichever row has finished makes room for the next prompt at once.

`decode` keeps a batch until its last row ends, so that one long answer holds up all others. Here a call mixes rows that
are still reading their prompt with rows that write, and the batch stays full while prompts are left (Yu et al. 2022,
Orca, section 3: iteration-level scheduling). What a row writes is what it would write alone.

A cache has rows, and no way to add one: a new row is a copy of an old one, rewound to nothing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from clearhead.errors import OptionError
from clearhead.executor import Cache, Executor
from clearhead.generation.prefill import PREFILL_TOKENS, Cancelled, never
from clearhead.generation.row import Row, choose_all

ROWS = 16  # that are alive at a time


@dataclass(slots=True)
class Seat:
    """A row's place in the cache, and what it has yet to be fed."""

    row: Row
    pending: list[int]


def run_all(
    executor: Executor,
    rows: Iterable[Row],
    *,
    capacity: int,
    seats: int = ROWS,
    prefill_tokens: int = PREFILL_TOKENS,
    cancelled: Cancelled = never,
) -> Iterator[Row]:
    """Every row, once it has finished, in the order in which they do; none that is unfinished when `cancelled` says so.

    `rows` are a decoder's (`decode.start`), taken as there is room; `capacity` is as many positions as any of them may
    come to hold.

    Raises:
        OptionError: no seat, or every token is ruled out.
        CheckpointError: the logits are not numbers.
    """
    if seats < 1:
        raise OptionError(f"rows is {seats}; at least one must be alive at a time")
    waiting, alive = iter(rows), list[Seat]()
    cache = executor.new_cache(1, capacity)
    while True:
        new = seated(waiting, seats - len(alive))
        ready = [seat.row for seat in new if seat.row.finish_reason]  # a prompt that fills the window
        new = [seat for seat in new if not seat.row.finish_reason]
        yield from ready
        if new:
            grow(cache, len(alive), len(new))
            alive += new
        if cancelled() or not (alive or ready):
            return
        if not alive:
            continue  # all of these had finished before they began; there may be more
        finished = step(executor, cache, alive, prefill_tokens)
        staying = [i for i, seat in enumerate(alive) if not seat.row.finish_reason]
        if staying and len(staying) < len(alive):
            cache.select(staying)
        alive = [alive[i] for i in staying]
        yield from finished


def seated(waiting: Iterator[Row], room: int) -> list[Seat]:
    """The next rows, as many as there is room for."""
    found: list[Seat] = []
    while len(found) < room and (row := next(waiting, None)) is not None:
        found.append(Seat(row, row.history.tolist()))
    return found


def grow(cache: Cache, held: int, new: int) -> None:
    """Let the cache keep its first `held` rows, and follow them with empty ones."""
    cache.select([*range(held), *[0] * new])
    cache.truncate([*cache.lengths[:held], *[0] * new])


def step(executor: Executor, cache: Cache, alive: list[Seat], budget: int) -> list[Row]:
    """One call: a token for every row that writes, and what is left of the budget for prompts, the oldest first."""
    writing = sum(len(seat.pending) == 1 for seat in alive)
    left = max(1, budget - writing)
    fed: list[list[int]] = []
    for seat in alive:
        share = 1 if len(seat.pending) == 1 else min(left, len(seat.pending))
        left -= share if len(seat.pending) > 1 else 0
        fed.append(seat.pending[:share])
        seat.pending = seat.pending[share:]
    logits = executor.decode(fed, cache)
    due = [i for i, seat in enumerate(alive) if not seat.pending]
    rows = [alive[i].row for i in due]
    tokens = choose_all(rows, [logits[i][-1] for i in due], executor.threads)
    for i, token in zip(due, tokens, strict=True):
        for _ in alive[i].row.extend(logits[i][-1:], [], token):
            pass
        alive[i].pending = [token]
    return [row for row in rows if row.finish_reason]
