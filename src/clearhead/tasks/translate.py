"""Text in another language: by a bundled translator, or any model that reads one text and writes another."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import overload

from clearhead.engine.model import Model
from clearhead.errors import OptionError
from clearhead.tasks.lines import Translator, search
from clearhead.tasks.texts import texts_of
from clearhead.tasks.translation.glossary import Glossary, glossary_of, read_glossary
from clearhead.tasks.translation.languages import SAMPLE
from clearhead.tasks.translation.opening import check_language, open_translator
from clearhead.tasks.translation.records import Translation

__all__ = ["glossary_from", "open_translator", "translate", "warnings"]

log = logging.getLogger("clearhead")


@overload
def translate(  # type: ignore[overload-overlap]  # a string is a sequence of strings too; the first fit counts
    text: str,
    to: str | None = None,
    *,
    from_: str | None = None,
    model: str | Path | Model | None = None,
    beams: int | None = None,
    length_penalty: float = 1.0,
    glossary: str | Path | Mapping[str, str] | None = None,
    prefix: str | None = None,
) -> str: ...


@overload
def translate(
    text: Sequence[str],
    to: str | None = None,
    *,
    from_: str | None = None,
    model: str | Path | Model | None = None,
    beams: int | None = None,
    length_penalty: float = 1.0,
    glossary: str | Path | Mapping[str, str] | None = None,
    prefix: str | None = None,
) -> list[str]: ...


def translate(
    text: str | Sequence[str],
    to: str | None = None,
    *,
    from_: str | None = None,
    model: str | Path | Model | None = None,
    beams: int | None = None,
    length_penalty: float = 1.0,
    glossary: str | Path | Mapping[str, str] | None = None,
    prefix: str | None = None,
) -> str | list[str]:
    """A text, or several, in language `to`, line by line; `ch.translate("A man is riding a bike.", to="de")`.

    Languages are codes such as "de"; `to` may be left out where the model names its own. Without `from_` the text's
    language is detected, and a text that is surely in another one than the model reads is refused. Without `model` a
    bundled translator is used; with it, any model that has an encoder and a decoder, or follows instructions, by name,
    path or loaded. The search keeps `beams` hypotheses (4; 1 of a model that follows instructions). `glossary`, a file
    of two columns or a mapping, says what terms are called in the translation; `prefix` is what the model was trained
    to find before a text, where it does not say so itself.

    Raises:
        UnknownModelError: no translator of that pair is bundled, or no such model.
        UnsupportedError: a model that does not translate.
        OptionError: no language, one that the model does not translate, a text in another language, or an impossible
            number.
        DataError: a glossary that cannot be read.
    """
    texts = texts_of(text)
    terms = glossary_from(glossary)
    search(beams, length_penalty)
    translator = open_translator(to, from_=from_, model=model, prefix=prefix, text="\n".join(texts)[:SAMPLE])
    if from_ is None:
        check_each(translator, texts)
    how = search(beams, length_penalty, glossary=terms, usual=translator.beams)
    apart = [each.split("\n") for each in texts]
    done = translator.lines((line for lines in apart for line in lines), how)
    found = []
    for lines in apart:
        made = list(islice(done, len(lines)))
        for warning in (said for each in made for said in warnings(each)):
            log.warning("%s: %s", translator.model.name, warning)
        found.append("\n".join(each.text for each in made))
    return found[0] if isinstance(text, str) else found


def check_each(translator: Translator, texts: Sequence[str]) -> None:
    """Refuse one of several texts that is surely in another language than the model reads: together they may seem to be
    in the one that most of them are in.

    Raises:
        OptionError: it is.
    """
    if translator.from_ is None or translator.model.config.kind != "encoder-decoder" or len(texts) == 1:
        return
    for text in texts:
        check_language(translator.model, text, translator.from_, translator.to, what=f"the text {text.strip()[:40]!r}")


def glossary_from(given: str | Path | Mapping[str, str] | None) -> Glossary | None:
    """A glossary by its file or its terms; errors as `read_glossary`."""
    if given is None:
        return None
    if isinstance(given, Mapping):
        return glossary_of(list(given.items()))
    if not isinstance(given, str | Path):
        raise OptionError(f"glossary is {given!r:.40}; give a file, or a mapping of terms to their translations")
    return read_glossary(Path(given))


def warnings(translation: Translation) -> Iterator[str]:
    """What to say of a translation that did not come to its end, can only be a guess, or lacks a glossary's term."""
    start = translation.source.strip()[:60]
    if not translation.complete:
        yield f"the translation of {start!r} was cut, for the model did not end it; give it in shorter sentences"
    if translation.strange:
        strange = " ".join(translation.strange[:8])
        yield f"the translation of {start!r} is a guess, for the model does not know {strange}"
    for term in translation.terms:
        if not term.placed:
            yield f"the translation of {start!r} lacks {term.target!r}; no word of it surely is from {term.source!r}"
