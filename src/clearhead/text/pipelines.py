"""The two pipelines of Hugging Face `tokenizers` that vocabularies without a tokenizer.json call for."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clearhead.errors import TokenizerError
from clearhead.text.foreign import reading
from clearhead.text.pretokenizers import Recipe, normalizer, pre_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend


def byte_level_bpe(vocabulary: Mapping[str, int], merges: Sequence[tuple[str, str]], recipe: Recipe) -> "Backend":
    """Byte-pair encoding over GPT-2's byte alphabet (Sennrich et al. 2016, 1508.07909; Radford et al. 2019).

    Raises:
        TokenizerError: a merge of pieces that the vocabulary lacks, or whose result it lacks.
    """
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models

    with reading("the vocabulary"):
        backend = Backend(models.BPE(dict(vocabulary), list(merges), ignore_merges=recipe.whole_words))
    if (normal := normalizer(recipe.normalizer)) is not None:
        backend.normalizer = normal
    backend.pre_tokenizer = pre_tokenizer(recipe.cuts)
    backend.decoder = decoders.ByteLevel()
    return backend


def word_piece(
    vocabulary: Mapping[str, int],
    *,
    unknown: str = "[UNK]",
    lowercase: bool = True,
    strip_accents: bool | None = None,
    split_chinese: bool = True,
) -> "Backend":
    """WordPiece as BERT uses it (Devlin et al. 2018, 1810.04805): longest piece first, `##` where a word goes on.

    `strip_accents` None follows `lowercase`, as BERT's own code does.

    Raises:
        TokenizerError: the vocabulary lacks the unknown piece.
    """
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, normalizers, pre_tokenizers

    if unknown not in vocabulary:
        raise TokenizerError(f"the vocabulary has no {unknown!r}, the piece for words it cannot spell")
    with reading("the vocabulary"):
        backend = Backend(models.WordPiece(dict(vocabulary), unk_token=unknown))
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=split_chinese, strip_accents=strip_accents, lowercase=lowercase
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##")
    return backend


def mark(backend: "Backend", *, special: Iterable[str], literal: Iterable[str]) -> None:
    """Have these tokens matched whole, as they read, before the text between them is cut."""
    from tokenizers import AddedToken

    backend.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in special])
    backend.add_tokens([AddedToken(t, normalized=False, special=False) for t in literal])


def frame(backend: "Backend", first: str | None, last: str | None) -> None:
    """Have every text begin with `first` and end with `last`, where given, in place of what framed it before.

    Raises:
        TokenizerError: the vocabulary lacks one of them.
    """
    from tokenizers import processors

    known: list[dict[str, Any]] = []
    for slot, token in (("first", first), ("last", last)):
        if token is None:
            continue
        if (i := backend.token_to_id(token)) is None:
            raise TokenizerError(f"the vocabulary has no {token!r}, which is to frame every text")
        known.append({"id": slot, "ids": [i], "tokens": [token]})
    template = ["first"] * (first is not None) + ["$A"] + ["last"] * (last is not None)
    backend.post_processor = processors.TemplateProcessing(single=template, special_tokens=known)
