"""Text in another language: by a bundled translator, or any model that reads one text and writes another."""

import logging
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import overload

from clearhead.checkpoints.companions import language, pair_of
from clearhead.engine.loading import load
from clearhead.engine.model import Model
from clearhead.errors import OptionError, UnsupportedError
from clearhead.tasks import translators
from clearhead.tasks.lines import Translation, Translator, search

ENGLISH = "en"
log = logging.getLogger("clearhead")


@overload
def translate(  # type: ignore[overload-overlap]  # a string is a sequence of strings too; the first fit counts
    text: str,
    to: str,
    *,
    from_: str | None = None,
    model: str | Path | Model | None = None,
    beams: int | None = None,
    length_penalty: float = 1.0,
) -> str: ...


@overload
def translate(
    text: Sequence[str],
    to: str,
    *,
    from_: str | None = None,
    model: str | Path | Model | None = None,
    beams: int | None = None,
    length_penalty: float = 1.0,
) -> list[str]: ...


def translate(
    text: str | Sequence[str],
    to: str,
    *,
    from_: str | None = None,
    model: str | Path | Model | None = None,
    beams: int | None = None,
    length_penalty: float = 1.0,
) -> str | list[str]:
    """A text, or several, in language `to`, line by line; `ch.translate("A man is riding a bike.", to="de")`.

    Languages are codes such as "de". Without `model` a bundled translator is used, from English unless
    `from_` says otherwise; with it, any model that has an encoder and a decoder, by name, path or loaded. The search
    keeps `beams` hypotheses (4).

    Raises:
        UnknownModelError: no translator of that pair is bundled, or no such model.
        UnsupportedError: a model without an encoder and a decoder.
        OptionError: no language, one that the model does not translate, or an impossible number.
    """
    texts = list(text) if isinstance(text, Sequence) and not isinstance(text, str) else [text]
    if wrong := [each for each in texts if not isinstance(each, str)]:
        raise OptionError(f"text is {wrong[0]!r:.40}; give a string, or a list of strings")
    how = search(beams, length_penalty)
    translator = open_translator(to, from_=from_, model=model)
    apart = [each.split("\n") for each in texts]
    done = translator.lines((line for lines in apart for line in lines), how)
    found = []
    for lines in apart:
        made = list(islice(done, len(lines)))
        for each in made:
            if not each.complete:
                log.warning("%s: %s", translator.model.name, unfinished(each))
        found.append("\n".join(each.text for each in made))
    return found[0] if isinstance(text, str) else found


def unfinished(translation: Translation) -> str:
    """What to say of a translation that did not come to its end."""
    start = translation.source.strip()[:60]
    return f"the translation of {start!r} was cut, for the model did not end it; give it in shorter sentences"


def open_translator(
    to: str,
    *,
    from_: str | None = None,
    model: str | Path | Model | None = None,
    executor: str = "auto",
    dtype: str = "auto",
    device: str = "auto",
    threads: int | None = None,
    offline: bool = False,
) -> Translator:
    """What translates into `to`; names and errors as `translate`, the rest as `clearhead.load`."""
    target, source = language(to, "to"), None if from_ is None else language(from_, "from")
    card = None
    if model is None:
        source = source or ENGLISH
        folder = translators.find(source, target)
        if (executor, dtype, device) == ("auto", "auto", "auto"):
            executor = "native"  # a small model is done before a GPU is ready
        loaded = load(folder, executor=executor, dtype=dtype, device=device, threads=threads)
        loaded.name, card = translators.name_of(folder), translators.read_card(folder)
    elif isinstance(model, Model):
        loaded = model
    else:
        loaded = load(model, executor=executor, dtype=dtype, device=device, threads=threads, offline=offline)
    if loaded.config.kind != "encoder-decoder":
        raise UnsupportedError(
            f"{loaded.name} is a model with {'an' if loaded.config.kind == 'encoder' else 'a'} {loaded.config.kind} "
            "alone; a translator reads one text and writes another, with an encoder and a decoder"
        )
    return Translator(model=loaded, from_=agreed(loaded, source, target), to=target, card=card)


def agreed(model: Model, source: str | None, target: str) -> str | None:
    """The language to translate from, held against those that a model's package or folder states.

    Raises:
        OptionError: it translates another pair.
        CheckpointError: what states them is damaged.
    """
    known = None if model.checkpoint is None else pair_of(model.checkpoint)
    if known is None:
        return source
    if target != known[1] or source not in (None, known[0]):
        raise OptionError(f"{model.name} translates {known[0]} to {known[1]}, not {source or known[0]} to {target}")
    return known[0]
