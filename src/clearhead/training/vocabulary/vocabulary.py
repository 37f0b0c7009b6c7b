"""A vocabulary trained on text: byte-pair encoding, unigram, WordPiece or characters, made with `tokenizers`.

BPE is Sennrich et al. 2016 (1508.07909), on bytes Radford et al. 2019, section 2.2; unigram is Kudo 2018 (1804.10959);
WordPiece is what BERT reads (Devlin et al. 2018, 1810.04805). The library learns pieces only. Ids are given here:
special tokens first in the order the configuration lists them, then bytes where they are a fallback, then the pieces,
and T5's sentinels last, `<extra_id_0>` with the largest id. The same texts in the same order give the same ids.

Spaces are kept as SentencePiece keeps them: one is put before the text, and every space is the character `▁`, part of
the word after it. Decoding takes that first one away, so a text comes back with all of its spaces.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from clearhead.errors import TokenizerError
from clearhead.text.fast import FastTokenizer
from clearhead.text.tokenizer import Tokenizer
from clearhead.training.recipe.vocabulary_keys import ENDS, Framing, Role, VocabularyConfig
from clearhead.training.vocabulary.pieces import learn, pipeline

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend

__all__ = ["VocabularyConfig", "frame", "train_vocabulary"]


def train_vocabulary(texts: Iterable[str], config: VocabularyConfig) -> Tokenizer:
    """A vocabulary learnt from `texts`, which are read once and never held together.

    Raises:
        TokenizerError: no text at all, half a surrogate pair in one, or a text too small for this kind.
    """
    backend = pipeline(config, learn(texts, config))
    from tokenizers import AddedToken

    first = [AddedToken(t, normalized=False, special=True) for t in config.specials]
    backend.add_special_tokens(first)
    backend.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in config.blanks])
    frame(backend, config.framing, config.roles)
    return FastTokenizer(backend, names={f"{role}_token": token for role, token in config.roles.items()})


def frame(backend: "Backend", framing: Framing, roles: Mapping[Role, str]) -> None:
    """Have every text framed in this way; a pair of texts is framed as BERT does it: [CLS] A [SEP] B [SEP].

    Raises:
        TokenizerError: the vocabulary lacks a token that the framing needs.
    """
    from tokenizers import processors

    names = [roles.get(role) if role is not None else None for role in ENDS[framing]]
    for role, name in zip(ENDS[framing], names, strict=True):
        if role is not None and (name is None or backend.token_to_id(name) is None):
            raise TokenizerError(f"the vocabulary has no {role} token, which framing {framing} puts around a text")
    first, last = ([name] if name is not None else [] for name in names)
    known = [(name, backend.token_to_id(name)) for name in dict.fromkeys([*first, *last])]
    backend.post_processor = processors.TemplateProcessing(
        single=[*first, "$A", *last],
        pair=[*first, "$A", *last, "$B:1", *(f"{name}:1" for name in last)],
        special_tokens=known,
    )
