"""Which language a text is in, where that is sure: a naive Bayes over bytes (py3langid, after Lui and Baldwin 2011).

A text of few letters, or one that could be in two languages, is in none as far as this goes. On 24,000 sentences of
English, German and French none was taken for another language at this threshold (docs/log.md).
"""

import re
from functools import cache
from typing import Any

LETTERS = 20  # bytes of letters that a text must have
SURE = 0.9  # probability from which on a language is told
POSSIBLE = 0.01  # and below which the language of a model is none that the text might be in
SAMPLE = 4000  # characters that are looked at
ADDRESS = re.compile(r"\S+@\S+|\b(?:https?://|www\.)\S+")
WORD = re.compile(r"[^\W\d_]+")

# Words of a language that no other one writes often: two of them, a tenth of all words, and nothing need be loaded.
EVIDENT = {
    "en": frozenset(
        {
            "the",
            "and",
            "are",
            "were",
            "with",
            "this",
            "that",
            "you",
            "she",
            "they",
            "his",
            "your",
            "not",
            "from",
            "which",
        }
    )
}

# Languages that are told apart with difficulty, or by their names alone.
RELATED = (
    frozenset({"zh", "wuu", "yue", "lzh", "gan", "hak", "nan", "zhs", "zht"}),
    frozenset({"no", "nb", "nn", "da"}),
    frozenset({"hr", "bs", "sr", "sh", "srl"}),
    frozenset({"id", "ms", "min"}),
    frozenset({"pt", "gl"}),
    frozenset({"cs", "sk"}),
    frozenset({"de", "gsw", "nds", "bar", "lb"}),
    frozenset({"nl", "af", "fy", "li"}),
)

NAMES = {
    "af": "Afrikaans", "ar": "Arabic", "az": "Azerbaijani", "be": "Belarusian", "bg": "Bulgarian", "bn": "Bengali",
    "ca": "Catalan", "cs": "Czech", "cy": "Welsh", "da": "Danish", "de": "German", "el": "Greek", "en": "English",
    "eo": "Esperanto", "es": "Spanish", "et": "Estonian", "eu": "Basque", "fa": "Persian", "fi": "Finnish",
    "fr": "French", "ga": "Irish", "gl": "Galician", "gu": "Gujarati", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian",
    "hu": "Hungarian", "hy": "Armenian", "id": "Indonesian", "is": "Icelandic", "it": "Italian", "ja": "Japanese",
    "ka": "Georgian", "kk": "Kazakh", "km": "Khmer", "kn": "Kannada", "ko": "Korean", "la": "Latin", "lo": "Lao",
    "lt": "Lithuanian", "lv": "Latvian", "mk": "Macedonian", "ml": "Malayalam", "mn": "Mongolian", "mr": "Marathi",
    "ms": "Malay", "my": "Burmese", "nb": "Norwegian", "ne": "Nepali", "nl": "Dutch", "no": "Norwegian",
    "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sk": "Slovak", "sl": "Slovenian",
    "sq": "Albanian", "sr": "Serbian", "sv": "Swedish", "sw": "Swahili", "ta": "Tamil", "te": "Telugu", "th": "Thai",
    "tl": "Tagalog", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "uz": "Uzbek", "vi": "Vietnamese",
    "yue": "Cantonese", "zh": "Chinese",
}  # fmt: skip


def name_of(code: str) -> str:
    """A language's name in English, or its code where the name is not known here."""
    return NAMES.get(code, code)


def detect(text: str) -> str | None:
    """The code of the language that a text is surely in, or None."""
    sample = sample_of(text)
    if not enough(sample):
        return None
    for code in EVIDENT:
        if evident(sample, code):
            return code
    code, probability = ranked(sample)[0]
    return code if probability >= SURE else None


def another(text: str, code: str) -> str | None:
    """The language that a text is surely in, where it is surely not `code`; otherwise None."""
    sample = sample_of(text)
    if not enough(sample) or (code in EVIDENT and evident(sample, code)):
        return None
    found = ranked(sample)
    top, probability = found[0]
    if probability < SURE or code not in {label for label, _ in found}:
        return None
    near = next((group for group in RELATED if code in group), frozenset({code}))
    possible = sum(p for label, p in found if label in near)
    return top if top not in near and possible < POSSIBLE else None


def sample_of(text: str) -> str:
    """The beginning of a text, without the addresses in it."""
    return ADDRESS.sub(" ", text[:SAMPLE])


def enough(sample: str) -> bool:
    """Whether there are letters enough to tell."""
    return len("".join(filter(str.isalpha, sample)).encode(errors="replace")) >= LETTERS


def evident(sample: str, code: str) -> bool:
    """Whether a language shows by its words at once."""
    words = [word.casefold() for word in WORD.findall(sample)]
    known = sum(word in EVIDENT[code] for word in words)
    return known >= 2 and 10 * known >= len(words)


def ranked(sample: str) -> list[tuple[str, float]]:
    """Codes of languages with their probabilities, the likeliest first."""
    found: list[tuple[str, float]] = identifier().rank(sample.encode(errors="replace"))
    return found


@cache
def identifier() -> Any:
    """The detector, which takes more than a second to unpack; loaded when first needed."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
