"""What a vocabulary is to be like, as keys of a recipe."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from clearhead.training.data.schema import Strict

Kind = Literal["bpe", "byte_bpe", "unigram", "wordpiece", "character"]
Framing = Literal["none", "eos", "bos", "bos_eos", "cls_sep"]
Role = Literal["pad", "unk", "bos", "eos", "cls", "sep", "mask"]
ENDS: dict[Framing, tuple[Role | None, Role | None]] = {
    "none": (None, None),
    "eos": (None, "eos"),
    "bos": ("bos", None),
    "bos_eos": ("bos", "eos"),
    "cls_sep": ("cls", "sep"),
}
USUAL: dict[Framing, dict[Role, str]] = {
    "none": {"bos": "<|endoftext|>", "eos": "<|endoftext|>", "unk": "<unk>"},
    "eos": {"pad": "<pad>", "eos": "</s>", "unk": "<unk>"},
    "bos": {"bos": "<|endoftext|>", "eos": "<|endoftext|>", "unk": "<unk>"},
    "bos_eos": {"pad": "<pad>", "bos": "<s>", "eos": "</s>", "unk": "<unk>"},
    "cls_sep": {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"},
}


class VocabularyConfig(Strict):
    """What a vocabulary is like. Every key can stand in a recipe."""

    kind: Kind = Field(
        default="bpe", description="How text is cut: bpe, byte_bpe (as GPT-2), unigram, wordpiece or character."
    )
    size: int = Field(
        default=8000, ge=2, le=1_000_000, description="Ids in all, special tokens included; fewer come of a small text."
    )
    lowercase: bool = Field(
        default=False, description="Read all text in lower case; what is decoded is then lower case too."
    )
    strip_accents: bool = Field(default=False, description="Read letters without their accents.")
    normalizer: Literal["none", "nfc", "nfkc"] = Field(
        default="nfc",
        description="Unicode normal form: nfc keeps every character's look, nfkc also unifies widths and spaces.",
    )
    split_punctuation: bool = Field(
        default=True, description="Every punctuation mark is a piece of its own (bpe and unigram)."
    )
    byte_fallback: bool = Field(
        default=False, description="256 more pieces spell what the vocabulary cannot, in bytes (bpe and unigram)."
    )
    min_frequency: int | None = Field(
        default=None, ge=1, description="Rarer pairs (or characters) make no piece; unset: 2, and 1 for characters."
    )
    limit_alphabet: int | None = Field(
        default=None, ge=1, description="Keep this many of the most frequent characters; others are unknown or bytes."
    )
    framing: Framing = Field(
        default="eos",
        description="What is put around a text: eos (translation, T5), cls_sep (BERT), bos, bos_eos, none (GPT).",
    )
    special_tokens: Annotated[dict[Role, str], Field(min_length=1)] | None = Field(
        default=None,
        description="Special tokens by role; their order gives their ids from 0. Unset: the usual of the framing.",
    )
    extra_tokens: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=(), description="Special tokens without a role (language tags, chat markers); their ids follow."
    )
    sentinels: int = Field(default=0, ge=0, le=10_000, description="How many <extra_id_n> of T5 the largest ids are.")

    @property
    def roles(self) -> dict[Role, str]:
        """The piece of each special role, in the order of ids; bytes leave nothing unknown."""
        if self.special_tokens is not None:
            return dict(self.special_tokens)
        return {r: t for r, t in USUAL[self.framing].items() if r != "unk" or self.kind != "byte_bpe"}

    @property
    def specials(self) -> tuple[str, ...]:
        """Special tokens that come first, in the order of their ids."""
        return tuple(dict.fromkeys([*self.roles.values(), *self.extra_tokens]))

    @property
    def blanks(self) -> tuple[str, ...]:
        """T5's sentinels (Raffel et al. 2019, 1910.10683, section 3.1.4), in the order of their ids: counted down."""
        return tuple(f"<extra_id_{n}>" for n in reversed(range(self.sentinels)))

    @model_validator(mode="after")
    def check(self) -> "VocabularyConfig":
        """Refuse choices that contradict each other."""
        for problem in self.problems():
            raise ValueError(problem)
        return self

    def problems(self) -> Iterator[str]:
        """What is wrong with the choices, one line each."""
        spaced = self.kind in ("bpe", "unigram")
        if self.byte_fallback and not spaced:
            yield f"byte_fallback is for bpe and unigram; kind is {self.kind}"
        if self.min_frequency is not None and self.kind == "unigram":
            yield "min_frequency is not for unigram, which prunes by likelihood; leave it out"
        if self.limit_alphabet is not None and self.kind == "byte_bpe":
            yield "limit_alphabet is not for byte_bpe, whose alphabet is the 256 bytes; leave it out"
        if "unk" not in self.roles and self.kind != "byte_bpe" and not (self.byte_fallback and self.kind == "bpe"):
            yield f"special_tokens has no 'unk', which {self.kind} needs for characters it does not know"
        if absent := [role for role in ENDS[self.framing] if role is not None and role not in self.roles]:
            yield f"special_tokens has no {absent[0]!r}, which framing {self.framing} puts around a text"
        for token in self.specials:
            if len(token) < 2 or token.isalnum() or any(map(str.isspace, token)):
                yield f"the special token {token!r} could be ordinary text; spell it like <this> or [THIS]"
        taken = len(self.specials) + 256 * self.byte_fallback + self.sentinels
        if self.size <= taken + 256 * (self.kind == "byte_bpe"):
            yield f"size {self.size} leaves no room for pieces; special tokens, bytes and sentinels take {taken}"
