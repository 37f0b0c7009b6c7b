"""How a byte-level BPE vocabulary cuts text before merging: one recipe per name that GGUF files store.

The names are llama.cpp's (`tokenizer.ggml.pre`); each stands for the pre-tokenizer of the model's own tokenizer.json. A
recipe is a list of cuts made one after the other, each within the pieces the previous left.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from clearhead.errors import TokenizerError

if TYPE_CHECKING:
    from tokenizers.normalizers import Normalizer
    from tokenizers.pre_tokenizers import PreTokenizer

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
NEWLINES_AND_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"

# GPT-2's cut (Radford et al. 2019, section 2.2): contractions; letters, digits or other signs with one space before.
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def words_and_numbers(digits: str) -> str:
    """The cut of cl100k and its descendants: numbers in groups of `digits`, one sign joined to the word after it."""
    return CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|" + digits + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|" + NEWLINES_AND_SPACES


def cased_words(digits: str, contractions: str) -> str:
    """The cut of o200k and tekken: as above, and a new piece where a capital follows a small letter."""
    sign, rest = r"[^\r\n\p{L}\p{N}]?", r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + NEWLINES_AND_SPACES
    return f"{sign}{UPPER}*{LOWER}+{contractions}|{sign}{UPPER}+{LOWER}*{contractions}|" + digits + rest


LLAMA3 = words_and_numbers(r"\p{N}{1,3}")
QWEN2 = words_and_numbers(r"\p{N}")
BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"
DEEPSEEK3_WORDS = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|"""
    + NEWLINES_AND_SPACES
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Cuts in order, and what else the vocabularies of that name have in common."""

    cuts: tuple[str, ...]
    normalizer: Literal["none", "nfc"] = "none"
    whole_words: bool = False  # a piece that is in the vocabulary is taken without merging its way there
    starts_with_bos: bool = False  # unless the file says otherwise


PLAIN = Recipe(cuts=(GPT2,))
SINGLE_DIGITS = Recipe(cuts=(r"\p{N}", GPT2))
THREE_DIGITS = Recipe(cuts=(LLAMA3,), whole_words=True, starts_with_bos=True)
SENTENCES = Recipe(cuts=(BLOOM,))
RECIPES: dict[str, Recipe] = {
    "default": Recipe(cuts=(r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]")),
    "falcon": Recipe(cuts=(r"[\p{P}\$\+<=>\^~\|`]+", GPT2, r"[0-9][0-9][0-9]")),
    **dict.fromkeys(("gpt-2", "phi-2", "mpt", "olmo", "jais", "modern-bert", "trillion", "mellum", "exaone4"), PLAIN),
    **dict.fromkeys(("smollm", "starcoder", "refact", "codeshell", "command-r", "exaone", "minerva-7b"), SINGLE_DIGITS),
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "lfm2"), THREE_DIGITS),
    **dict.fromkeys(("dbrx", "smaug-bpe", "glm4", "chatglm-bpe"), Recipe(cuts=(LLAMA3,))),
    "qwen2": Recipe(cuts=(QWEN2,), normalizer="nfc"),  # Qwen's own tokenizer.json composes characters first
    **dict.fromkeys(("stablelm2", "deepseek-r1-qwen", "megrez", "hunyuan"), Recipe(cuts=(QWEN2,))),
    **dict.fromkeys(("bloom", "poro-chat", "gpt3-finnish"), SENTENCES),
    "viking": Recipe(cuts=(BLOOM, r"\p{N}")),
    "tekken": Recipe(cuts=(cased_words(r"\p{N}", ""),), whole_words=True, starts_with_bos=True),
    **dict.fromkeys(("gpt-4o", "llama4"), Recipe(cuts=(cased_words(r"\p{N}{1,3}", CONTRACTIONS + "?"),))),
    "deepseek-coder": Recipe(cuts=(r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", r"[一-龥ࠀ-一가-퟿]+", r"\p{N}")),
    "deepseek-v3": Recipe(cuts=(r"\p{N}{1,3}", r"[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK3_WORDS)),
}


def recipe(name: str) -> Recipe:
    """The recipe of this name.

    Raises:
        TokenizerError: a name that Clearhead does not know; to guess would cut text in other places than training did.
    """
    if name not in RECIPES:
        raise TokenizerError(f"pre-tokenizer {name!r} is not known; the known ones are {', '.join(sorted(RECIPES))}")
    return RECIPES[name]


def pre_tokenizer(cuts: tuple[str, ...]) -> "PreTokenizer":
    """The cuts, then bytes spelled in GPT-2's alphabet."""
    from tokenizers import Regex, pre_tokenizers

    if cuts == PLAIN.cuts:  # built in, and faster than its regular expression
        return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    splits = [pre_tokenizers.Split(Regex(cut), "isolated") for cut in cuts]
    return pre_tokenizers.Sequence([*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def normalizer(name: Literal["none", "nfc"]) -> "Normalizer | None":
    """Unicode's composed form (UAX 15), or nothing."""
    from tokenizers import normalizers

    return normalizers.NFC() if name == "nfc" else None
