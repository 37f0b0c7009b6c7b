"""What each task makes of records, and of the rows that come of them: a table of two functions a task.

`rows` turns records into token ids by field; `objective` turns stored rows into batches. Nothing else in training asks
what the task is.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clearhead.config import SpecialTokens
from clearhead.errors import ConfigError, DataError, OptionError
from clearhead.text.chat_template import Message, encode_chat
from clearhead.text.framing import frame
from clearhead.text.tokenizer import Tokenizer
from clearhead.training.data.joining import Ends, Joined
from clearhead.training.data.records import Record
from clearhead.training.data.resegmenting import Resegmented
from clearhead.training.data.store import Examples
from clearhead.training.objectives.batch import Objective
from clearhead.training.objectives.causal import Causal
from clearhead.training.objectives.labels import NOWHERE, Labels, answered
from clearhead.training.objectives.masked import Masked
from clearhead.training.objectives.spans import Spans
from clearhead.training.objectives.translation import Translation
from clearhead.training.recipe.recipe import Recipe
from clearhead.training.tasks.parsing import TreeVocabulary, tree_vocabulary
from clearhead.training.tasks.treebanks import tree_in
from clearhead.training.tasks.words import Cutter
from clearhead.trees.linear import Scheme

Row = dict[str, list[int]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Language:
    """What turns text into ids: a vocabulary, its special tokens, the labels where there are any, and a template."""

    tokenizer: Tokenizer
    special: SpecialTokens
    labels: tuple[str, ...] = ()
    template: str | None = None  # of conversations
    window: int | None = None  # ids that the model reads at once
    scheme: Scheme | None = None  # of trees

    @property
    def end(self) -> int:
        """The id that ends a text.

        Raises:
            ConfigError: the vocabulary has none.
        """
        if not self.special.eos:
            raise ConfigError("the vocabulary has no token that ends a text, which this task needs")
        return self.special.eos[0]

    @property
    def pad(self) -> int:
        """What rows are filled with; it is never read."""
        return self.special.pad or 0

    @property
    def start(self) -> int:
        """What a decoder beside an encoder begins with."""
        return self.pad if self.special.decoder_start is None else self.special.decoder_start

    @property
    def trees(self) -> TreeVocabulary:
        """How sentences and their trees become ids.

        Raises:
            ConfigError: it is not said how trees are written.
            OptionError: the vocabulary lacks what they need.
        """
        if self.scheme is None:
            raise ConfigError("the vocabulary is not one of trees; learn one with task parsing")
        return tree_vocabulary(self.tokenizer, self.end, self.scheme)

    def chat(self, messages: Sequence[Message], *, open_ended: bool) -> list[int]:
        """Ids of a conversation in the model's own template; `open_ended`, to where an answer begins.

        Raises:
            ConfigError: there is no template.
            TemplateError: messages that it refuses.
        """
        if self.template is None:
            raise ConfigError("the base has no chat template; train a decoder of texts with task causal")
        bos, eos = (
            None if i is None else self.tokenizer.pieces([i])[0]
            for i in (self.special.bos, next(iter(self.special.eos), None))
        )
        return encode_chat(
            self.tokenizer, self.template, messages, add_generation_prompt=open_ended, bos_token=bos, eos_token=eos
        )


def translation_rows(records: Iterable[Record], language: Language) -> Iterator[Row]:
    """Source and target."""
    encode, target = language.tokenizer.encode, language.tokenizer.encode_target
    for record in records:
        yield {"source": encode(text(record, "source")), "target": [*target(text(record, "target")), language.end]}


def text_rows(records: Iterable[Record], language: Language) -> Iterator[Row]:
    """Texts as they are; they are joined into one."""
    for record in records:
        yield {"text": language.tokenizer.encode(text(record, "text"), add_special_tokens=False)}


def label_rows(records: Iterable[Record], language: Language) -> Iterator[Row]:
    """Words cut into pieces, with a label at the first piece of each; what is longer than the window, in several rows.

    Raises:
        DataError: a record without words and labels, or a label that the training data has not.
    """
    numbers = {label: i for i, label in enumerate(language.labels)}
    cutter = Cutter(language.tokenizer, language.window)
    for record in records:
        words, labels = labelled(record)
        if unknown := [label for label in labels if label not in numbers]:
            raise DataError(f"the label {unknown[0]!r} is in no training record; those have {', '.join(numbers)}")
        for ids, at in cutter.windows(words):
            yield {"ids": ids, "labels": [NOWHERE if word == NOWHERE else numbers[labels[word]] for word in at]}


def labelled(record: Record) -> tuple[list[str], list[str]]:
    """Words and their labels.

    Raises:
        DataError: the record has no such lists.
    """
    words, labels = record.get("tokens"), record.get("labels")
    if not isinstance(words, list) or not isinstance(labels, list) or len(words) != len(labels):
        raise DataError(f"a record has {', '.join(record)}, and this task reads lists tokens and labels, equally long")
    return words, labels


def instruct_rows(records: Iterable[Record], language: Language) -> Iterator[Row]:
    """A question and its answer in the model's own template; the answer counts, and where it ends."""
    for record in records:
        asked = [{"role": "user", "content": text(record, "source")}]
        answer = {"role": "assistant", "content": text(record, "target")}
        before, whole = language.chat(asked, open_ended=True), language.chat([*asked, answer], open_ended=False)
        ids, labels = answered(before, whole, language.special.eos)
        yield {"ids": ids, "labels": labels}


def tree_rows(records: Iterable[Record], language: Language) -> Iterator[Row]:
    """A sentence, and its tree."""
    return language.trees.examples(map(tree_in, records))


def text(record: Record, field: str) -> str:
    """One field.

    Raises:
        DataError: the record has no such field, or a list there.
    """
    value = record.get(field)
    if not isinstance(value, str):
        raise DataError(
            f"a record has {', '.join(record)}, and this task reads {field!r}; name the column so in the recipe"
        )
    return value


def translation(recipe: Recipe, train: Examples, dev: Examples, language: Language) -> Objective:
    """Batches of pairs."""
    return Translation(
        train=train,
        valid=dev,
        start=language.start,
        pad=language.pad,
        max_tokens=recipe.training.max_tokens,
        seed=recipe.seed,
        of_epoch=of_epoch(recipe, train, language),
    )


def of_epoch(recipe: Recipe, train: Examples, language: Language) -> Callable[[int], Examples] | None:
    """The training rows of an epoch, where they are other ones each time: cut anew, then joined."""
    cut = resegmented(recipe, train, language) if recipe.data.resegment else None
    if not recipe.data.join:
        return cut
    check_joining(train, language)
    most = min(recipe.data.max_length, recipe.training.max_tokens, language.window or recipe.data.max_length)
    rows = (lambda _: train) if cut is None else cut
    return Joined(rows, share=recipe.data.join, most=most, seed=recipe.seed, ends=ends(language))


def check_joining(train: Examples, language: Language) -> None:
    """Refuse a vocabulary in which one sentence behind another is no longer two: where no space would be between them.

    Raises:
        OptionError: so it is.
    """
    row = train["target"][0].tolist()[:-1]
    one, two = language.tokenizer.decode(row), language.tokenizer.decode([*row, *row])
    if two != f"{one} {one}":
        raise OptionError(
            f"data.join: with this vocabulary two sentences become {two!r}; choose vocabulary.kind bpe or unigram"
        )


def resegmented(recipe: Recipe, train: Examples, language: Language) -> Resegmented:
    """BPE-dropout of the training rows."""
    unknown, p = language.special.unknown, recipe.data.resegment
    return Resegmented(train, language.tokenizer, p=p, seed=recipe.seed, ends=ends(language), unknown=unknown)


def ends(language: Language) -> dict[str, Ends]:
    """What begins and ends a row of each side: of the source, what the vocabulary puts around a text."""
    first, last = (ids[0] if ids else None for ids in frame(language.tokenizer))
    return {"source": (first, last), "target": (None, language.end)}


def causal(recipe: Recipe, train: Examples, dev: Examples, language: Language) -> Objective:
    """Windows of one long text."""
    return Causal(**windows(recipe, train, dev))


def masked(recipe: Recipe, train: Examples, dev: Examples, language: Language) -> Objective:
    """Windows with hidden tokens."""
    first, last = language.tokenizer.encode("")
    ordinary = [i for i in range(language.tokenizer.vocab_size) if i not in language.tokenizer.special_ids]
    if language.special.mask is None:
        raise ConfigError("the vocabulary has no mask token, which this task needs; frame it with cls_sep")
    return Masked(
        **windows(recipe, train, dev),
        share=recipe.training.mask,
        first=first,
        last=last,
        mask=language.special.mask,
        ordinary=np.array(ordinary, dtype=np.int32),
    )


def spans(recipe: Recipe, train: Examples, dev: Examples, language: Language) -> Objective:
    """Windows with gaps."""
    blanks: list[int] = []
    while (blank := language.tokenizer.token_id(f"<extra_id_{len(blanks)}>")) is not None:
        blanks.append(blank)
    if len(blanks) < 2:
        raise ConfigError(f"the vocabulary has {len(blanks)} blanks <extra_id_n>; set vocabulary.sentinels, T5 has 100")
    return Spans(
        **windows(recipe, train, dev),
        share=recipe.training.mask,
        length=recipe.training.span,
        blanks=np.array(blanks, dtype=np.int32),
        end=language.end,
        start=language.start,
        pad=language.pad,
    )


def windows(recipe: Recipe, train: Examples, dev: Examples) -> dict[str, Any]:
    """What tasks over one long text share.

    Raises:
        DataError: a text shorter than a window.
    """
    t = recipe.training
    for name, examples in (("train", train), ("dev", dev)):
        if len(examples["text"].flat) <= t.context:
            raise DataError(
                f"data.{name} has {len(examples['text'].flat)} tokens and training.context is {t.context}; "
                "give more text, or shorter windows"
            )
    return {
        "train": train["text"].flat,
        "valid": dev["text"].flat,
        "context": t.context,
        "rows": t.rows,
        "seed": recipe.seed,
    }


def labels(recipe: Recipe, train: Examples, dev: Examples, language: Language) -> Objective:
    """Rows of which some places count."""
    return Labels(train=train, valid=dev, pad=language.pad, max_tokens=recipe.training.max_tokens, seed=recipe.seed)


@dataclass(frozen=True, slots=True)
class Kind:
    """A task."""

    rows: Callable[[Iterable[Record], Language], Iterator[Row]]
    objective: Callable[[Recipe, Examples, Examples, Language], Objective]
    seq2seq: bool = False  # one text is read and another said


KINDS: dict[str, Kind] = {
    "translation": Kind(translation_rows, translation, seq2seq=True),
    "causal": Kind(text_rows, causal),
    "masked": Kind(text_rows, masked),
    "spans": Kind(text_rows, spans, seq2seq=True),
    "labels": Kind(label_rows, labels),
    "instruct": Kind(instruct_rows, labels),
    "parsing": Kind(tree_rows, translation, seq2seq=True),
}
