"""The contract of a vocabulary: ids -> text -> ids changes nothing, whatever the script.

The first step from a text to ids may lose something by design (case, accents, double spaces); what the ids spell must
then be stable. A line with characters that the vocabulary lacks cannot come back, and is left out and counted.
"""

from collections.abc import Callable

from clearhead.engine.contract.samples import SAMPLES
from clearhead.engine.contract.subject import Measured, Subject
from clearhead.text.tokenizer import Tokenizer

UNKNOWN = ("<unk>", "[UNK]")


def round_trip(subject: Subject) -> Measured:
    """Lines of the samples whose ids change on the way."""
    tokenizer = subject.model.tokenizer
    sides = [tokenizer.encode_target] if subject.sources is not None else []
    sides.append(lambda text: tokenizer.encode(text, add_special_tokens=False))
    lacking = unknown_ids(subject)
    spelled, changed = 0, 0
    for encode in sides:
        for text in SAMPLES:
            ids = encode(text)
            if not lacking.isdisjoint(ids):
                continue
            spelled += 1
            changed += encode(tokenizer.decode(ids)) != ids
    whole = len(sides) * len(SAMPLES)
    rest = f"; {whole - spelled} hold characters it lacks" if spelled < whole else ""
    return Measured(figure=changed, bound=0, measures="lines whose ids change", detail=f"of {spelled}{rest}")


def in_vocabulary(subject: Subject) -> Measured:
    """Every id a text gives has a row in the embedding."""
    size = subject.model.config.vocab_size
    outside = {i for text in SAMPLES for i in subject.model.tokenizer.encode(text) if not 0 <= i < size}
    return Measured(figure=len(outside), bound=0, measures="ids without an embedding")


def unknown_ids(subject: Subject) -> set[int]:
    """The ids that stand for what cannot be spelled."""
    tokenizer: Tokenizer = subject.model.tokenizer
    found = {tokenizer.token_id(piece) for piece in UNKNOWN} | {subject.model.special.unknown}
    return {i for i in found if i is not None}


CHECKS: dict[str, Callable[[Subject], Measured]] = {
    "ids lie in the vocabulary": in_vocabulary,
    "ids -> text -> ids": round_trip,
}
