"""Many requests through one model, kept busy: completions in the order of their prompts, each as it would be alone."""

import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from itertools import islice

from clearhead.config import GenerationConfig
from clearhead.engine.completion import Completion, Timing
from clearhead.engine.request import Request
from clearhead.errors import OptionError
from clearhead.executor import Memory
from clearhead.generation import decode
from clearhead.generation.continuous import ROWS, run_all
from clearhead.generation.ending import Stop
from clearhead.generation.generate import generate, proposer
from clearhead.generation.prefill import Cancelled
from clearhead.generation.prompts import encode_sources
from clearhead.generation.records import Generation
from clearhead.generation.row import Row, new_rows

WINDOW = 256  # requests that are looked at together: the longest says how many positions a batch has


def complete_all(requests: Iterable[Request], cancelled: Cancelled, *, rows: int = ROWS) -> Iterator[Completion]:
    """One completion for each request, in order; it ends early when cancelled.

    A decoder's requests share a batch of `rows`, which is kept full. Those of a model with an encoder, and those with
    beams or several samples, go through it in groups of about one length, as many sequences at a time.

    Raises:
        OptionError: see `Request.complete`; or log-probabilities of the prompt.
    """
    waiting, ahead = iter(requests), list[Request]()
    while some := [*ahead, *islice(waiting, WINDOW)]:
        ahead = []
        if all(is_plain(request) for request in some):
            ahead = yield from together(some, waiting, cancelled, rows)
        else:
            yield from grouped(some, cancelled, rows)
        if cancelled():
            return


def is_plain(request: Request) -> bool:
    """Whether this request may share a batch that is kept full."""
    config = request.config
    return request.executor.config.kind == "decoder" and config.beams == 1 and config.n == 1 and not config.draft_tokens


def together(
    some: list[Request], waiting: Iterator[Request], cancelled: Cancelled, rows: int
) -> Generator[Completion, None, list[Request]]:
    """The completions of `some` requests and of those that wait behind them, in order: each is given out once it and
    all before it are there. Returned is the request that must wait for another batch, if there is one: it is of another
    kind, or needs more positions than the longest of `some`.
    """
    first = [row_of(i, request) for i, request in enumerate(some)]
    capacity = max(len(row.ids) for row in first)
    asked: dict[int, tuple[Request, float]] = {}  # what is alive, and since when
    left: list[Request] = []

    def feed() -> Iterator[Row]:
        for row, request in zip(first, some, strict=True):
            asked[row.index] = request, time.perf_counter()
            yield row
        for index, request in enumerate(waiting, start=len(some)):
            if not is_plain(request) or len((row := row_of(index, request)).ids) > capacity:
                left.append(request)
                return
            asked[index] = request, time.perf_counter()
            yield row

    done: dict[int, Completion] = {}
    following = 0
    for row in run_all(some[0].executor, feed(), capacity=capacity, seats=rows, cancelled=cancelled):
        request, started = asked.pop(row.index)
        total = time.perf_counter() - started
        done[row.index] = request.completion([row.generation()], Timing(first_token=total, total=total))
        while following in done:
            yield done.pop(following)
            following += 1
    return left


def row_of(index: int, request: Request) -> Row:
    """The one row of a request.

    Raises:
        OptionError: log-probabilities of the prompt.
    """
    if request.config.prompt_logprobs:
        raise OptionError("prompt_logprobs are for one prompt at a time; use complete")
    executor = request.executor
    text_stop = request.stop()
    [row] = new_rows(
        index,
        request.prompt.ids,
        request.config,
        request.special,
        executor.config,
        lambda _index, sample, ids: text_stop(0, sample, ids),
    )
    return row


def grouped(requests: list[Request], cancelled: Cancelled, rows: int) -> Iterator[Completion]:
    """The requests' completions, in order: each is given out once it and all before it are there."""
    done: dict[int, Completion] = {}
    following = 0
    for group in groups(requests, rows):
        started = time.perf_counter()
        made = sequences([requests[i] for i in group], cancelled)
        if cancelled():
            return
        total = time.perf_counter() - started
        for i, samples in zip(group, made, strict=True):
            done[i] = requests[i].completion(samples, Timing(first_token=total, total=total))
        while following in done:
            yield done.pop(following)
            following += 1


def groups(requests: list[Request], rows: int) -> Iterator[list[int]]:
    """Requests by their place, in groups of one kind and about one length, at most `rows` sequences in each."""
    if rows < 1:
        raise OptionError(f"rows is {rows}; at least one must be alive at a time")
    kinds: list[tuple[GenerationConfig, list[int]]] = []
    for i, request in enumerate(requests):
        config = replace(request.config, seed=None)
        members = next((members for known, members in kinds if known == config), None)
        if members is None:
            kinds.append((config, members := []))
        members.append(i)
    for config, members in kinds:
        members.sort(key=lambda i: -len(requests[i].prompt.ids))
        size = max(1, rows // max(config.beams, config.n))
        yield from (members[first : first + size] for first in range(0, len(members), size))


def sequences(group: list[Request], cancelled: Cancelled) -> list[list[Generation]]:
    """What becomes of each request of a group, all of them at once; their options differ by the seed alone."""
    first, config = group[0], group[0].config
    stops = [request.stop() for request in group]

    def stop(index: int, sample: int, ids: list[int]) -> bool:
        return stops[index](0, sample, ids)

    prompts: list[list[int]] = [request.prompt.ids for request in group]
    memory = None
    if first.executor.config.kind == "encoder-decoder":
        prompts, memory = encode_sources(first.executor, prompts, first.special)
    if config.beams > 1:
        return generate(first.executor, prompts, config, first.special, memory=memory, stop=stop, cancelled=cancelled)
    return sampled(group, prompts, memory, stop, cancelled)


def sampled(
    group: list[Request], prompts: list[list[int]], memory: Memory | None, stop: Stop, cancelled: Cancelled
) -> list[list[Generation]]:
    """The same without beams: every request draws by its own seed."""
    first, config = group[0], group[0].config
    rows = [
        row
        for i, (request, ids) in enumerate(zip(group, prompts, strict=True))
        for row in new_rows(i, ids, request.config, request.special, request.executor.config, stop)
    ]
    for _ in decode.run(first.executor, rows, memory=memory, cancelled=cancelled, propose=proposer(config)):
        pass
    made = [row.generation() for row in rows]
    return [made[i : i + config.n] for i in range(0, len(made), config.n)]
