"""Vocabularies kept as plain text: BERT's vocab.txt, a piece a line, and GPT-2's merges.txt, a merge a line."""

from pathlib import Path

from clearhead.errors import TokenizerError
from clearhead.text.spm import model_bytes


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file, cut at newlines alone: a piece may hold any other character that ends a line.

    Raises:
        TokenizerError: not UTF-8, or far too large.
    """
    try:
        lines = model_bytes(path).decode("utf-8").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        raise TokenizerError(f"{path.name} is not UTF-8: byte {error.start} begins no character") from None
    return lines[:-1] if lines[-1] == "" else lines


def read_word_list(path: Path) -> dict[str, int]:
    """A vocab.txt: each line is a piece, its number the id.

    Raises:
        TokenizerError: an empty file, or a piece listed twice.
    """
    lines = read_lines(path)
    vocabulary = {piece: n for n, piece in enumerate(lines)}
    if not vocabulary:
        raise TokenizerError(f"{path.name} is empty; fetch the file again")
    if len(vocabulary) != len(lines):
        repeated = next(piece for n, piece in enumerate(lines) if vocabulary[piece] != n)
        raise TokenizerError(f"{path.name} lists {repeated[:40]!r} twice; each line is one piece")
    return vocabulary


def read_merges(path: Path) -> list[tuple[str, str]]:
    """A merges.txt: two pieces a line, the most frequent pair first; a first line may name the version.

    Raises:
        TokenizerError: a line that is not two pieces.
    """
    merges = []
    for n, line in enumerate(read_lines(path), start=1):
        if not line or (n == 1 and line.startswith("#version")):
            continue
        left, _, right = line.partition(" ")
        if not left or not right or " " in right:
            raise TokenizerError(f"{path.name} line {n} is {line[:40]!r}, not two pieces with a space between")
        merges.append((left, right))
    return merges
