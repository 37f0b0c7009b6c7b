"""A completion that is still being written: iterate for its text, then ask for the whole."""

import time
from collections.abc import Callable, Generator, Iterator, Sequence

from clearhead.engine.completion import Completion, Timing
from clearhead.engine.stopping import NewText
from clearhead.generation.records import Generation, Step
from clearhead.generation.row import Row


class Stream:
    """Iterate once for the pieces of new text, none of them half a character or part of a stop string.

    `completion` is the whole, once the pieces are used up; closing the stream before ends the work.
    """

    def __init__(
        self,
        row: Row,
        steps: Generator[Step],
        text: NewText,
        complete: Callable[[Sequence[Generation], Timing], Completion],
    ) -> None:
        self._row, self._steps, self._text, self._complete = row, steps, text, complete
        self._started = time.perf_counter()
        self._first_token: float | None = None
        self._ended: float | None = None
        self._pieces = self._write()

    def __iter__(self) -> Iterator[str]:
        return self._pieces

    def close(self) -> None:
        """Stop generating; `completion` then holds what there is."""
        self._steps.close()
        self._pieces.close()

    @property
    def completion(self) -> Completion:
        """The completion so far, final once the pieces are used up."""
        total = self._ended or time.perf_counter() - self._started
        return self._complete([self._row.generation()], Timing(first_token=self._first_token or total, total=total))

    def _write(self) -> Generator[str]:
        """New text as soon as it is certain."""
        for step in self._steps:
            self._first_token = self._first_token or time.perf_counter() - self._started
            if not step.is_end:
                self._text.feed(step.token)
            if step.finish_reason is not None:
                break
            if piece := self._text.take():
                yield piece
        self._ended = time.perf_counter() - self._started
        if rest := self._text.rest():
            yield rest
