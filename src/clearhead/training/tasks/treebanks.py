"""Trees as a trainer's data: out of records, into a vocabulary, and the file that says how a model writes them.

A model folder holds trees.json beside its vocabulary, which is all that `parsing.parse` needs to know besides:

    folder = "runs/parse-ptb/model"
    model = clearhead.load(folder)
    trees = tree_vocabulary(model.tokenizer, model.special.eos[0], read_scheme(Path(folder)))
    [tree] = parse(model.executor, trees, model.special, [["The", "moth", "sings", "."]])
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import get_args

from clearhead.checkpoints.companions import TREES
from clearhead.errors import CheckpointError, ConfigError, DataError
from clearhead.training.data.readers.treebank import FIELD
from clearhead.training.data.records import Record
from clearhead.training.recipe.vocabulary_keys import VocabularyConfig
from clearhead.training.tasks.parsing import sentences, tokens
from clearhead.trees.automaton import Order
from clearhead.trees.brackets import read_trees
from clearhead.trees.cleaning import cleaned
from clearhead.trees.linear import Leaves, Scheme
from clearhead.trees.tree import Tree


def tree_in(record: Record) -> Tree:
    """The tree of a record, clean whatever kind of source it comes from.

    Raises:
        DataError: there is none, or not just one, or one without words.
    """
    text = record.get(FIELD)
    if not isinstance(text, str):
        raise DataError(f"a record has {', '.join(record)}, and this task reads {FIELD!r}; take a source of trees")
    found = list(read_trees(text))
    if len(found) != 1:
        raise DataError(f"{text!r:.60} holds {len(found)} trees; give one in each record")
    tree = cleaned(found[0])
    if tree is None:
        raise DataError(f"{text!r:.60} has no word, only traces; leave it out")
    return tree


def to_learn(
    records: Callable[[], Iterable[Record]], config: VocabularyConfig, scheme: Scheme
) -> tuple[VocabularyConfig, Iterator[str]]:
    """What a vocabulary of trees is learnt from: their sentences, and a token of its own for each of their symbols.
    The records are read twice.

    Raises:
        ConfigError: the vocabulary is too small for the symbols, or says one of them itself.
    """
    symbols = tokens(map(tree_in, records()), scheme)
    whole = config.model_copy(update={"extra_tokens": (*config.extra_tokens, *symbols)})
    for problem in whole.problems():
        raise ConfigError(f"vocabulary: with the {len(symbols)} symbols of the trees, {problem}")
    return whole, sentences(map(tree_in, records()))


def scheme_file(scheme: Scheme) -> dict[str, str]:
    """What a model's folder holds beside the vocabulary: the file by its name."""
    return {TREES: json.dumps(asdict(scheme), indent=2) + "\n"}


def read_scheme(folder: Path) -> Scheme:
    """How the model in a folder writes trees.

    Raises:
        CheckpointError: it writes none, or the file is damaged.
    """
    path = folder / TREES
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{folder} holds no {TREES}; its model was not trained with task parsing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); copy the folder again") from None
    if isinstance(found, dict):
        found = {"numbered": False} | found  # which earlier files do not say
    choices = {
        "order": get_args(Order),
        "leaves": get_args(Leaves),
        "spelled": (True, False),
        "numbered": (True, False),
    }
    if not isinstance(found, dict) or found.keys() != choices.keys():
        raise CheckpointError(f"{path} does not say {', '.join(choices)}, and nothing else; copy the folder again")
    for key, known in choices.items():
        if not any(found[key] is one or (isinstance(one, str) and found[key] == one) for one in known):
            raise CheckpointError(
                f"{path}: {key} is {found[key]!r:.40}; it must be one of {', '.join(map(str, known))}"
            )
    return Scheme(**found)
