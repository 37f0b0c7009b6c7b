"""Many requests through one model, kept busy: completions in the order of their prompts, each as it would be alone."""

import time
from collections.abc import Iterable, Iterator
from itertools import islice

from clearhead.engine.completion import Completion, Timing
from clearhead.engine.request import Request
from clearhead.errors import OptionError
from clearhead.generation.continuous import ROWS, run_all
from clearhead.generation.prefill import Cancelled
from clearhead.generation.row import Row, new_rows

WINDOW = 256  # requests that are prepared before the first is answered


def complete_all(requests: Iterable[Request], cancelled: Cancelled, *, rows: int = ROWS) -> Iterator[Completion]:
    """One completion for each request, in order; it ends early when cancelled.

    A decoder's requests share a batch of `rows`; others, and those with beams or several samples, come one by one.

    Raises:
        OptionError: see `Request.complete`; or log-probabilities of the prompt.
    """
    waiting = iter(requests)
    while some := list(islice(waiting, WINDOW)):
        if all(is_plain(request) for request in some):
            yield from together(some, cancelled, rows)
        else:
            for request in some:
                if cancelled():
                    return
                yield request.complete(cancelled)


def is_plain(request: Request) -> bool:
    """Whether this request may share a batch."""
    config = request.config
    return request.executor.config.kind == "decoder" and config.beams == 1 and config.n == 1 and not config.draft_tokens


def together(requests: list[Request], cancelled: Cancelled, rows: int) -> Iterator[Completion]:
    """The requests' completions, in order: each is given out once it and all before it are there."""
    if any(request.config.prompt_logprobs for request in requests):
        raise OptionError("prompt_logprobs are for one prompt at a time; use complete")
    begun = [row_of(i, request) for i, request in enumerate(requests)]
    executor, started = requests[0].executor, time.perf_counter()
    done: dict[int, Completion] = {}
    following = 0
    for row in run_all(executor, begun, capacity=max(len(row.ids) for row in begun), seats=rows, cancelled=cancelled):
        total = time.perf_counter() - started
        done[row.index] = requests[row.index].completion([row.generation()], Timing(first_token=total, total=total))
        while following in done:
            yield done.pop(following)
            following += 1


def row_of(index: int, request: Request) -> Row:
    """The one row of a request."""
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
