"""Trees as a trainer's data: out of records, into a vocabulary, and the file that says how a model writes them.

A model folder holds trees.json beside its vocabulary, which is all that `parsing.parse` needs to know besides:

    folder = "runs/parse-ptb/model"
    model = clearhead.load(folder)
    trees = tree_vocabulary(model.tokenizer, model.special.eos[0], read_scheme(Path(folder)))
    [tree] = parse(model.executor, trees, model.special, [["The", "moth", "sings", "."]])
"""

from collections.abc import Callable, Iterable, Iterator

from clearhead.errors import ConfigError, DataError
from clearhead.training.data.readers.treebank import FIELD
from clearhead.training.data.records import Record
from clearhead.training.recipe.vocabulary_keys import VocabularyConfig
from clearhead.training.tasks.parsing import sentences, tokens
from clearhead.trees.brackets import read_trees
from clearhead.trees.cleaning import cleaned
from clearhead.trees.linear import Scheme
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
