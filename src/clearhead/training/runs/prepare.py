"""From a recipe's data to token ids on disk: checked records, a vocabulary learnt from them, rows of ids.

All of it happens once a run; a run that resumes finds it in its folder, as does one that was killed while it was made,
for each part appears whole.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from clearhead.checkpoints.export import new_folder
from clearhead.checkpoints.folder import tokenizer_of
from clearhead.config import SpecialTokens
from clearhead.errors import ConfigError, DataError, TokenizerError
from clearhead.training.data import store
from clearhead.training.data.records import Record, reversed_pairs
from clearhead.training.data.report import ROWS_OF, Report
from clearhead.training.data.sources import DataConfig, read_all
from clearhead.training.data.split import Split, plan
from clearhead.training.data.store import Examples
from clearhead.training.metrics.chunks import chunks
from clearhead.training.recipe.recipe import Recipe
from clearhead.training.recipe.vocabulary_keys import Role
from clearhead.training.runs.files import write_whole
from clearhead.training.tasks.tasks import KINDS, Language, Row
from clearhead.training.tasks.treebanks import to_learn
from clearhead.training.vocabulary.vocabulary import train_vocabulary

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """What a run learns from."""

    language: Language
    train: Examples
    dev: Examples
    report: Report | None  # of all records; None where nobody counted


class Sides:
    """The records of train (and `texts`, learnt from as well), dev and tests, each time from the files."""

    def __init__(self, recipe: Recipe, texts: DataConfig | None = None) -> None:
        self.data, self.more = recipe.data, [data for data in (recipe.data.extra, texts) if data is not None]
        self.turn: Callable[[Iterator[Record]], Iterator[Record]] = reversed_pairs if recipe.data.reverse else iter
        self.split: Split | None = None
        if recipe.data.split is not None:
            self.split = plan(lambda: read_all(recipe.data.train, Report()), recipe.data.split)

    def train(self, report: Report) -> Iterator[Record]:
        """What is learnt from."""
        records = read_all(self.data.train, report)
        records = chain(records, *(read_all(data, report) for data in self.more))
        return self.turn(records if self.split is None else self.split.part(records, "train", report))

    def dev(self, report: Report) -> Iterator[Record]:
        """What is chosen by."""
        if self.data.dev is not None:
            return self.turn(read_all(self.data.dev, report))
        if self.split is None:
            raise DataError("there is nothing to evaluate on; give data.dev, or data.split with a share for dev")
        # `train` counts the sources.
        return self.turn(self.split.part(read_all(self.data.train, Report()), "dev", report))

    def tests(self) -> dict[str, list[Record]]:
        """What is reported on, by name; what the split holds out for a test is called held-out."""
        found = {name: list(self.turn(read_all(data, Report()))) for name, data in self.data.tests.items()}
        if self.split is not None and self.data.split is not None and self.data.split.test:
            found["held-out"] = list(self.turn(self.split.part(read_all(self.data.train, Report()), "test")))
        return found


def prepare(recipe: Recipe, folder: Path, base: Language | None, say: Say, texts: DataConfig | None = None) -> Prepared:
    """Vocabulary and rows, made or found in `folder`. With `base`, its vocabulary is taken. `texts` are learnt from as
    well, but for the vocabulary.

    Raises:
        DataError, TokenizerError, ConfigError, MissingDependencyError: see what they come from.
    """
    sides: Sides | None = None
    language = base
    if language is None:
        if not (folder / "vocabulary").is_dir():
            say("learning the vocabulary")
            learn_vocabulary(recipe, Sides(recipe), folder / "vocabulary")
        language = open_language(recipe, folder / "vocabulary")
    if recipe.task == "labels":
        language = with_labels(recipe, language, folder, sides)
    if recipe.task == "parsing":
        language = with_trees(recipe, language)
    for side in ("train", "dev"):
        if not (folder / side).is_dir():
            sides = sides or Sides(recipe, texts)
            say(f"reading {side}")
            report = Report()
            records = sides.train(report) if side == "train" else sides.dev(report)
            rows = KINDS[recipe.task].rows(records, language)
            limit = min(recipe.data.max_length, language.window or recipe.data.max_length)
            store.write(folder / side, fitting(rows, limit, report, side), {"recipe": recipe.name}, report)
    return Prepared(
        language=language,
        train=store.read(folder / "train"),
        dev=store.read(folder / "dev"),
        report=whole_report(folder),
    )


def whole_report(folder: Path) -> Report | None:
    """What became of the records of both sides, wherever they were read."""
    parts = [store.read_report(folder / side) for side in ("train", "dev")]
    whole = Report()
    for part in parts:
        if part is None:
            return None
        whole.add(part)
    return whole


def fitting(rows: Iterable[Row], limit: int, report: Report, side: str) -> Iterator[Row]:
    """Rows no longer than `limit`; texts that are joined into one have no length of their own."""
    tally = report.of(f"{ROWS_OF}{side}")
    for row in rows:
        tally.read += 1
        longest = max((len(ids) for name, ids in row.items() if name != "text"), default=0)
        if longest > limit:
            tally.drop("too many tokens", f"{longest} tokens; at most {limit} are read")
        else:
            tally.kept += 1
            yield row
    if not tally.kept:
        raise DataError(
            f"{side}: no example has at most {limit} tokens; raise data.max_length as far as the model reads"
        )


def learn_vocabulary(recipe: Recipe, sides: Sides, folder: Path) -> None:
    """A vocabulary from the training text, in all languages of it."""
    assert recipe.vocabulary is not None
    config = recipe.vocabulary
    texts: Iterable[str] = (value for record in sides.train(Report()) for value in strings(record))
    if recipe.task == "parsing":
        config, texts = to_learn(lambda: sides.train(Report()), config, recipe.data.trees.scheme)
    tokenizer = train_vocabulary(texts, config)
    with new_folder(folder) as draft:
        tokenizer.save(draft)


def strings(record: Record) -> Iterator[str]:
    """All text of a record."""
    for name, value in record.items():
        if isinstance(value, str):
            yield value
        elif name == "tokens":
            yield " ".join(value)


def open_language(recipe: Recipe, folder: Path) -> Language:
    """A vocabulary from its folder, with the ids that the recipe's roles have."""
    opener = tokenizer_of(folder)
    if opener is None or recipe.vocabulary is None:
        raise TokenizerError(f"{folder} holds no vocabulary; remove the folder to have it learnt again")
    tokenizer = opener()

    def role(name: Role) -> int | None:
        assert recipe.vocabulary is not None
        piece = recipe.vocabulary.roles.get(name)
        return None if piece is None else tokenizer.token_id(piece)

    eos, pad = role("eos") if role("eos") is not None else role("sep"), role("pad")
    special = SpecialTokens(
        bos=role("bos"),
        eos=() if eos is None else (eos,),
        pad=pad,
        unknown=role("unk"),
        mask=role("mask"),
        decoder_start=pad if KINDS[recipe.task].seq2seq else None,
        suppressed=(pad,) if KINDS[recipe.task].seq2seq and pad is not None else (),
    )
    window = None if recipe.model is None else recipe.model.max_positions
    return Language(tokenizer=tokenizer, special=special, window=window)


def with_labels(recipe: Recipe, language: Language, folder: Path, sides: Sides | None) -> Language:
    """The same with the labels that the training data has, "O" first; a base that has them all keeps its own. Words
    are cut for windows of data.max_length.

    Raises:
        DataError: the records have no labels, or some in which entities that are to be counted cannot be.
    """
    path = folder / "labels.json"
    if not path.is_file():
        found = {label for record in (sides or Sides(recipe)).train(Report()) for label in record.get("labels", ())}
        if not found:
            raise DataError("the records have no labels; this task reads tokens and labels")
        if "f1" in recipe.evaluation.scores:
            chunks(sorted(found))
        labels = list(language.labels) if found <= {*language.labels} else in_order(found)
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(labels))
    limit = recipe.data.max_length
    window = limit if language.window is None else min(limit, language.window)
    return replace(language, labels=tuple(json.loads(path.read_text(encoding="utf-8"))), window=window)


def with_trees(recipe: Recipe, language: Language) -> Language:
    """The same with what the recipe says about trees.

    Raises:
        ConfigError: a base writes them in another way.
    """
    scheme = recipe.data.trees.scheme
    if language.scheme not in (None, scheme):
        raise ConfigError(f"data.trees says {scheme}, and the base writes {language.scheme}; set data.trees to that")
    return replace(language, scheme=scheme)


def in_order(found: set[str]) -> list[str]:
    """Labels sorted, "O" first; where they are IOB2's, both of each type, for other data may have the one that is
    missing."""
    if all(label == "O" or label[:2] in ("B-", "I-") for label in found):
        found = found | {f"{part}-{label[2:]}" for label in found if label != "O" for part in "BI"}
    return sorted(found, key=lambda label: (label != "O", label))
