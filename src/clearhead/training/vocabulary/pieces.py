"""The pieces of a vocabulary, learnt by `tokenizers`, and the pipeline that cuts text into them.

Some habits of the library are undone here, so that equal texts give equal vocabularies. It visits words in the order of
a randomly seeded hash table, so unigram's scores differ in their last digits (they are rounded and sorted again), those
of characters it adds at the end differ in more than that (they are made equal), and ties among rare characters are
broken by chance (the alphabet is counted here).
"""

import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from clearhead.errors import TokenizerError
from clearhead.text.foreign import utf8
from clearhead.text.spelling import SPACE
from clearhead.training.recipe.vocabulary_keys import VocabularyConfig

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend

DIGITS = 6  # of a unigram's score; what differs between two runs lies beyond the tenth
STEP = 1e-4  # between the scores of characters that a unigram adds only to be able to spell everything
BANNED = -1000.0  # the score of special tokens in a unigram: no path through a text takes them
BYTES = tuple(f"<0x{b:02X}>" for b in range(256))


@dataclass(frozen=True, kw_only=True, slots=True)
class Pieces:
    """What was learnt: pieces in the order of their ids, without special tokens; scores or merges where they belong."""

    pieces: tuple[str, ...]
    scores: tuple[float, ...] = ()
    merges: tuple[tuple[str, str], ...] = ()


def learn(texts: Iterable[str], config: VocabularyConfig) -> Pieces:
    """The pieces of `texts`, read once.

    Raises:
        TokenizerError: no text at all, half a surrogate pair in one, or a text too small for this kind.
    """
    texts = checked(texts)
    if config.kind == "character":
        return characters(texts, config)
    if config.limit_alphabet is not None:
        with tempfile.TemporaryFile("w+", encoding="utf-8") as spool:
            return trained(common(texts, config, spool), config)
    return trained(texts, config)


def checked(texts: Iterable[str]) -> Iterator[str]:
    """The texts that hold something; there must be one.

    Raises:
        TokenizerError: all are empty, or one holds half a surrogate pair.
    """
    empty = True
    for n, text in enumerate(texts):
        utf8(text, f"text {n}")
        if text and not text.isspace():
            empty = False
            yield text
    if empty:
        raise TokenizerError("there is no text to train a vocabulary on; look at the sources and at what was dropped")


def trained(texts: Iterable[str], config: VocabularyConfig) -> Pieces:
    """The library's training, by kind; ids of its own making are given up."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import models, pre_tokenizers, trainers

    room = config.size - len(config.specials) - 256 * config.byte_fallback - config.sentinels
    usual: dict[str, Any] = {"vocab_size": room, "min_frequency": config.min_frequency or 2, "show_progress": False}
    model: Any = {"unigram": models.Unigram, "wordpiece": models.WordPiece}.get(config.kind, models.BPE)()
    trainer: Any
    if config.kind == "unigram":
        # Whatever can spell a special token is an ordinary piece, so that no text needs the special one.
        alphabet = sorted(set("".join([*config.specials, *config.blanks])))
        trainer = trainers.UnigramTrainer(vocab_size=room, initial_alphabet=alphabet, show_progress=False)
    elif config.kind == "wordpiece":
        trainer = trainers.WordPieceTrainer(**usual, special_tokens=[])
    else:
        letters = sorted(pre_tokenizers.ByteLevel.alphabet()) if config.kind == "byte_bpe" else []
        trainer = trainers.BpeTrainer(**usual, initial_alphabet=letters)
    backend = Backend(model)
    dress(backend, config)
    with training(config.kind):
        backend.train_from_iterator(texts, trainer)
    return of_model(json.loads(backend.to_str())["model"], {*config.specials, *config.blanks})


def of_model(model: dict[str, Any], taken: set[str]) -> Pieces:
    """Pieces of a trained model as tokenizer.json writes it, without those spelled like a special token."""
    vocabulary = model["vocab"]
    if isinstance(vocabulary, list):
        scores = levelled({piece: score for piece, score in vocabulary if piece not in taken})
        rounded = sorted((-round(score, DIGITS), piece) for piece, score in scores.items())
        return Pieces(pieces=tuple(p for _, p in rounded), scores=tuple(-score for score, _ in rounded))
    pieces = tuple(p for p in sorted(vocabulary, key=vocabulary.__getitem__) if p not in taken)
    merges = [(left, right) for left, right in model.get("merges", [])]
    kept = tuple(m for m in merges if not {*m, m[0] + m[1]} & taken)
    return Pieces(pieces=pieces, merges=kept)


def levelled(scores: dict[str, float]) -> dict[str, float]:
    """Scores in which the characters that the library adds at the end, to be able to spell everything, are equal.

    It gives them the least score and a little more each, again in the order of a hash table.
    """
    least = min(scores.values(), default=0.0)
    single = [(piece, score) for piece, score in scores.items() if len(piece) == 1]
    steps = {piece: (score - least) / STEP for piece, score in single}
    whole = {piece: round(step) for piece, step in steps.items() if abs(step - round(step)) < STEP}
    added = sorted(whole, key=whole.__getitem__)
    end = next((n for n, piece in enumerate(added) if n and whole[piece] - whole[added[n - 1]] > 1), len(added))
    return scores | dict.fromkeys(added[:end], least)


def characters(texts: Iterable[str], config: VocabularyConfig) -> Pieces:
    """Every character is a piece, or the most frequent ones where there are too many, in the order of code points."""
    counts = Counter[str]()
    normal = normalizer(config)
    for text in texts:
        counts.update(normal.normalize_str(text).replace(" ", SPACE))
    room = config.size - len(config.specials) - config.sentinels
    often = [c for c, n in counts.items() if n >= (config.min_frequency or 1)]
    most = sorted(often, key=lambda c: (-counts[c], c))[: min(room, config.limit_alphabet or room)]
    return Pieces(pieces=tuple(sorted(most)))


def common(texts: Iterable[str], config: VocabularyConfig, spool: IO[str]) -> Iterator[str]:
    """The texts with a space where a character is not among the most frequent ones; `spool` holds them between."""
    counts = Counter[str]()
    normal = normalizer(config)
    for text in texts:
        shown = normal.normalize_str(text)
        counts.update(shown)
        spool.write(json.dumps(shown) + "\n")
    spaces = [c for c in counts if c.isspace()]
    for c in spaces:
        del counts[c]
    rare = sorted(counts, key=lambda c: (-counts[c], c))[config.limit_alphabet :]
    table = str.maketrans(dict.fromkeys(rare, " "))
    spool.seek(0)
    for line in spool:
        yield json.loads(line).translate(table)


@contextmanager
def training(kind: str) -> Iterator[None]:
    """What the library says when a text is too small, as one of our errors."""
    try:
        yield
    except (TokenizerError, OSError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic inside the library is no Exception
        if isinstance(error, Exception) and type(error) is not Exception:
            raise  # what the iterator of texts raised
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise TokenizerError(
            f"a {kind} vocabulary cannot be trained on this text: {reason}; take more text or another size"
        ) from error


def pipeline(config: VocabularyConfig, learnt: Pieces) -> "Backend":
    """The pipeline over special tokens, bytes and pieces; sentinels and framing are still to be added."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import models

    spare = BYTES if config.byte_fallback else ()
    fixed = [*config.specials, *spare]
    unknown = config.roles.get("unk")
    ids = {piece: i for i, piece in enumerate([*fixed, *(p for p in learnt.pieces if p not in set(fixed))])}
    model: Any
    if config.kind == "unigram":
        score = dict(zip(learnt.pieces, learnt.scores, strict=True))
        scored = [(piece, score.get(piece, BANNED) if piece not in fixed else BANNED) for piece in ids]
        model = models.Unigram(scored, unk_id=ids[str(unknown)], byte_fallback=config.byte_fallback)
    elif config.kind == "wordpiece":
        model = models.WordPiece(ids, unk_token=str(unknown))
    else:
        options = {"fuse_unk": config.kind == "bpe", "byte_fallback": config.byte_fallback}
        model = models.BPE(ids, list(learnt.merges), unk_token=unknown, **options)
    backend = Backend(model)
    dress(backend, config)
    return backend


def dress(backend: "Backend", config: VocabularyConfig) -> None:
    """Give a pipeline what stands before its model and after it."""
    from tokenizers import decoders, normalizers, pre_tokenizers

    normal = normalizer(config)
    if config.kind == "byte_bpe":
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
    elif config.kind == "wordpiece":
        backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        backend.decoder = decoders.WordPiece(prefix="##")
    elif config.kind == "character":
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
        backend.decoder = decoders.Metaspace(prepend_scheme="never", split=False)
    else:
        words: list[Any] = [pre_tokenizers.Metaspace(prepend_scheme="never")]
        if config.split_punctuation:
            words.append(pre_tokenizers.Punctuation("isolated"))
        normal = normalizers.Sequence([normal, normalizers.Prepend(SPACE)])
        backend.pre_tokenizer = pre_tokenizers.Sequence(words)
        backend.decoder = decoders.Sequence(
            [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
    backend.normalizer = normal


def normalizer(config: VocabularyConfig) -> Any:
    """What is done to the characters of a text, before spaces are marked."""
    from tokenizers import normalizers

    steps: list[Any] = []
    if config.normalizer != "none":
        steps.append({"nfc": normalizers.NFC, "nfkc": normalizers.NFKC}[config.normalizer]())
    if config.kind == "wordpiece":
        steps.append(
            normalizers.BertNormalizer(
                clean_text=True,
                handle_chinese_chars=True,
                strip_accents=config.strip_accents,
                lowercase=config.lowercase,
            )
        )
        return normalizers.Sequence(steps)
    if config.strip_accents:
        steps += [normalizers.NFD(), normalizers.StripAccents()]
    if config.lowercase:
        steps.append(normalizers.Lowercase())
    return normalizers.Sequence(steps)
