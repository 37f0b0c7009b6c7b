"""The contract of generation: different ways to the same tokens.

Greedy decoding takes the largest logit. Where the two largest lie closer together than the bound, either is right in
this type's arithmetic; two ways that part at such a tie are counted as equal up to there.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from clearhead.engine.contract.subject import Measured, Subject
from clearhead.generation.beam import beam_search

MEASURES = "tokens differ"


def repeats(subject: Subject) -> Measured:
    """Temperature 0 twice."""
    return equal(subject.generate(subject.request).tokens, subject.greedy.tokens)


def one_beam(subject: Subject) -> Measured:
    """Beam search that keeps one hypothesis."""
    special, memory = subject.model.special, subject.memory([0])
    [[beam]] = beam_search(subject.executor, [subject.prompt], subject.request, special, memory=memory)
    return alike(subject, beam.tokens, subject.greedy.tokens)


def speculative(subject: Subject) -> Measured:
    """Guesses from the text so far, several verified at once."""
    guessed = subject.generate(replace(subject.request, draft_tokens=4))
    measured = alike(subject, guessed.tokens, subject.greedy.tokens)
    return replace(measured, detail=f"{measured.detail}; {guessed.accepted} of {guessed.drafted} guesses right")


def seeded(subject: Subject) -> Measured:
    """The same seed twice at temperature 1."""
    config = replace(subject.request, temperature=1.0, seed=20_170_612)
    return equal(subject.generate(config).tokens, subject.generate(config).tokens)


def equal(ours: Sequence[int], theirs: Sequence[int]) -> Measured:
    """Token by token."""
    figure = abs(len(ours) - len(theirs)) + sum(a != b for a, b in zip(ours, theirs, strict=False))
    return Measured(figure=figure, bound=0, measures=MEASURES, detail=f"of {len(theirs)}")


def alike(subject: Subject, ours: Sequence[int], theirs: Sequence[int]) -> Measured:
    """Token by token, a tie excused."""
    measured = equal(ours, theirs)
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), None)
    if at is None:
        return measured
    row = [*subject.prompt, *theirs[:at]]
    logits = subject.executor.decode([row], memory=subject.memory([0]))[0][0]
    apart = abs(float(logits[ours[at]] - logits[theirs[at]])) / abs(float(logits[theirs[at]]))
    if apart > subject.bound:
        return measured
    return replace(measured, figure=0, detail=f"of {at}, up to a tie of {apart:.1e}")


CHECKS: dict[str, Callable[[Subject], Measured]] = {
    "greedy repeats": repeats,
    "one beam = greedy": one_beam,
    "speculative = greedy": speculative,
    "same seed, same tokens": seeded,
}
