"""The contract of a vocabulary: ids -> text -> ids changes nothing, whatever the script.

The first step from a text to ids may lose something by design (case, accents, double spaces); what the ids spell must
then be stable. A line with characters that the vocabulary lacks cannot come back; its other words can.
"""

from collections.abc import Callable

from clearhead.engine.contract.samples import SAMPLES
from clearhead.engine.contract.subject import Measured, Subject
from clearhead.text.tokenizer import Tokenizer

Encode = Callable[[str], list[int]]
UNKNOWN = ("<unk>", "[UNK]")


def round_trip(subject: Subject) -> Measured:
    """Lines of the samples whose ids change on the way, and words of the lines that cannot be spelled whole."""
    tokenizer = subject.model.tokenizer
    lacking = unknown_ids(subject)
    sides: list[Encode] = [lambda text: tokenizer.encode(text, add_special_tokens=False)]
    sides += [tokenizer.encode_target] if subject.sources is not None else []
    lines, words, changed = 0, 0, 0
    for encode in sides:
        for text in SAMPLES:
            whole = lacking.isdisjoint(encode(text))
            parts = [text] if whole else [word for word in text.split() if lacking.isdisjoint(encode(word))]
            lines, words = lines + whole, words + (0 if whole else len(parts))
            changed += sum(encode(tokenizer.decode(encode(part))) != encode(part) for part in parts)
    some = f"of {lines} lines" + (f" and {words} words of others" if words else "")
    none = "" if lines + words else "the vocabulary spells no word of the samples"
    return Measured(figure=changed, bound=0, measures="texts change", detail=some, skipped=none)


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
