"""Sentences as trees of their phrases, by a model that was trained to write them (`clearhead train parse-ptb`).

Every output is a well-formed tree over the very words of its sentence: the decoder may write nothing else
(`training/tasks/parsing.py`). Treebanks may not be given away, so no such model is in the catalogue.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clearhead.engine.machine import ANY, Machine
from clearhead.engine.model import Model
from clearhead.errors import OptionError, UnsupportedError
from clearhead.tasks.texts import texts_of
from clearhead.text.sentences import sentences
from clearhead.text.words import words_of
from clearhead.training.tasks.parsing import TreeVocabulary, tree_vocabulary
from clearhead.training.tasks.parsing import parse as search
from clearhead.trees.stored import read_scheme
from clearhead.trees.tree import Tree

BEAMS = 5
ROWS = 16  # sentences that are searched together
HOW = "train one: clearhead train parse-ptb --data FOLDER, and name runs/parse-ptb/model"


@dataclass(frozen=True, kw_only=True, slots=True)
class Parser:
    """A model that writes trees. Made by `open_parser`."""

    model: Model
    vocabulary: TreeVocabulary

    def trees(self, text: str, beams: int = BEAMS) -> list[Tree]:
        """The tree of every sentence of a text.

        Raises:
            OptionError: a text without words, or an impossible number.
            ContextWindowError: a sentence that does not fit.
        """
        apart = [[word.text for word in words_of(one)] for line in text.split("\n") for one in sentences(line)]
        spelled = [words for words in apart if words]
        if not spelled:
            raise OptionError("the text has no words to parse")
        return search(
            self.model.executor,
            self.vocabulary,
            self.model.special,
            spelled,
            beams=beams,
            length_penalty=0.3,
            rows=ROWS,
        )


def parse(text: str | Sequence[str], *, model: str | Path | Model, beams: int = BEAMS) -> list[Tree] | list[list[Tree]]:
    """The trees of a text's sentences, or of several texts', each a `Tree`; `trees.brackets.bracketed` writes it.

    Raises:
        UnsupportedError: a model that writes no trees.
        OptionError: a text without words, or an impossible number.
        ContextWindowError: a sentence that does not fit.
        UnknownModelError, DownloadError, CheckpointError: as `clearhead.load`.
    """
    texts = texts_of(text)
    parser = open_parser(model)
    found = [parser.trees(each, beams) for each in texts]
    return found[0] if isinstance(text, str) else found


def open_parser(model: str | Path | Model, machine: Machine = ANY) -> Parser:
    """What parses; errors as `parse`."""
    loaded = model if isinstance(model, Model) else machine.load(model)
    source = None if loaded.checkpoint is None else loaded.checkpoint.source
    if source is None or loaded.config.kind != "encoder-decoder" or not (source / "trees.json").is_file():
        raise UnsupportedError(f"{loaded.name} was not trained to write trees; {HOW}")
    vocabulary = tree_vocabulary(loaded.tokenizer, loaded.special.eos[0], read_scheme(source))
    return Parser(model=loaded, vocabulary=vocabulary)


def drawn(tree: Tree) -> str:
    """A tree for people: a node a line, children indented below it, words behind their tags."""
    lines: list[str] = []
    waiting = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        lines.append("  " * depth + (f"{node.label} {node.word}" if node.is_leaf else node.label))
        waiting += [(child, depth + 1) for child in reversed(node.children)]
    return "\n".join(lines)
