"""A completion that is still being written: iterate for its text, then ask for the whole."""

import time
from collections.abc import Callable, Generator, Iterator, Sequence

from clearhead.engine.completion import Completion, Timing
from clearhead.engine.stopping import held_back
from clearhead.generation.records import Generation, Step
from clearhead.generation.row import Row
from clearhead.text.streaming import StreamDecoder
from clearhead.text.tokenizer import Tokenizer


class Stream:
    """Iterate once for the pieces of new text, none of them half a character or part of a stop string.

    `completion` is the whole, once the pieces are used up; closing the stream before ends the work.
    """

    def __init__(
        self,
        row: Row,
        steps: Generator[Step],
        decoder: StreamDecoder,
        complete: Callable[[Sequence[Generation], Timing], Completion],
    ) -> None:
        self._row, self._steps, self._decoder, self._complete = row, steps, decoder, complete
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
        """New text, held back while it may yet become a stop string."""
        waiting, written = "", 0
        for step in self._steps:
            self._first_token = self._first_token or time.perf_counter() - self._started
            if not step.is_end:
                waiting += self._decoder.feed(step.token)
            if step.finish_reason is not None:
                break
            ready = len(waiting) - held_back(waiting, self._row.config.stop)
            if ready:
                written += ready
                yield waiting[:ready]
            waiting = waiting[ready:]
        self._ended = time.perf_counter() - self._started
        rest = self.completion.new_text[written:]  # without the stop string, and with what the decoder still held
        if rest:
            yield rest


def decoder_after(tokenizer: Tokenizer, before: Sequence[int]) -> StreamDecoder:
    """A decoder for what follows `before`: it has read those ids, so a first space is kept where a text goes on."""
    decoder = StreamDecoder(tokenizer)
    for token in before:
        decoder.feed(token)
    return decoder
