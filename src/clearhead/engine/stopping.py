"""The text of one sequence as its tokens come, and the stop string that ends it, though the model would go on.

Whoever asks (the decode loop, a stream, the finished completion) asks this, so that all of them see the same end.
"""

from collections.abc import Callable, Sequence

from clearhead.generation.ending import Stop
from clearhead.text.streaming import StreamDecoder


class NewText:
    """Feed tokens in order; `end` is where the first stop string begins, once one is complete.

    Text of the first `exempt` tokens is no part of any stop string: a request may ask for a least length.
    """

    def __init__(self, decoder: StreamDecoder, stops: Sequence[str] = (), *, exempt: int = 0) -> None:
        self._decoder, self._stops, self._exempt = decoder, stops, exempt
        self._longest = max(map(len, stops), default=1)
        self._from = self._shown = 0
        self.text = ""
        self.tokens = 0
        self.end: int | None = None

    def feed(self, token: int) -> None:
        """One more token."""
        before = len(self.text)
        self.text += self._decoder.feed(token)
        self.tokens += 1
        if self.tokens <= self._exempt:
            self._from = len(self.text)
        elif self.end is None:
            start = max(self._from, before - self._longest + 1)
            found = [at for stop in self._stops if (at := self.text.find(stop, start)) >= 0]
            self.end = min(found, default=None)

    def take(self) -> str:
        """What can be shown that has not been: nothing that may yet turn out to be part of a stop string."""
        ready = len(self.text) - held_back(self.text[max(self._from, self._shown) :], self._stops)
        piece, self._shown = self.text[self._shown : ready], max(ready, self._shown)
        return piece

    def finish(self) -> str:
        """The whole text, up to the stop string if there is one."""
        self.text += self._decoder.finish()
        return self.text[: self.end]

    def rest(self) -> str:
        """The end of the whole text that has not been shown."""
        return self.finish()[self._shown :]


def stop_rule(new_text: Callable[[], NewText], *, beams: int) -> Stop:
    """For the decode loop: whether the new tokens spell a stop string.

    A sequence that only grows is read once; the hypotheses of a beam search change places, so each is read whole.
    """
    growing: dict[tuple[int, int], NewText] = {}

    def stop(prompt: int, sample: int, tokens: list[int]) -> bool:
        text = new_text() if beams > 1 else growing.setdefault((prompt, sample), new_text())
        for token in tokens[text.tokens :]:
            text.feed(token)
        return text.end is not None

    return stop


def held_back(text: str, stops: Sequence[str]) -> int:
    """How many characters at the end of `text` may be the beginning of a stop string."""
    longest = max((len(stop) for stop in stops), default=1) - 1
    for n in range(min(longest, len(text)), 0, -1):
        if any(stop.startswith(text[-n:]) for stop in stops):
            return n
    return 0
