"""Text in another language: by a bundled translator, or any model that reads one text and writes another."""

import logging
from collections.abc import Iterator, Sequence
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
    to: str | None = None,
    *,
    from_: str | None = None,
    model: str | Path | Model | None = None,
    beams: int | None = None,
    length_penalty: float = 1.0,
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
) -> list[str]: ...


def translate(
    text: str | Sequence[str],
    to: str | None = None,
    *,
    from_: str | None = None,
    model: str | Path | Model | None = None,
    beams: int | None = None,
    length_penalty: float = 1.0,
) -> str | list[str]:
    """A text, or several, in language `to`, line by line; `ch.translate("A man is riding a bike.", to="de")`.

    Languages are codes such as "de"; `to` may be left out where the model names its own. Without `model` a bundled
    translator is used, from English unless `from_` says otherwise; with it, any model that has an encoder and a
    decoder, by name, path or loaded. The search keeps `beams` hypotheses (4).

    Raises:
        UnknownModelError: no translator of that pair is bundled, or no such model.
        UnsupportedError: a model without an encoder and a decoder.
        OptionError: no language, one that the model does not translate, or an impossible number.
    """
    if isinstance(text, bytes | bytearray):
        raise OptionError("text is bytes; decode it to a string first")
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
        for warning in (said for each in made for said in warnings(each)):
            log.warning("%s: %s", translator.model.name, warning)
        found.append("\n".join(each.text for each in made))
    return found[0] if isinstance(text, str) else found


def warnings(translation: Translation) -> Iterator[str]:
    """What to say of a translation that did not come to its end, or can only be a guess."""
    start = translation.source.strip()[:60]
    if not translation.complete:
        yield f"the translation of {start!r} was cut, for the model did not end it; give it in shorter sentences"
    if translation.strange:
        strange = " ".join(translation.strange[:8])
        yield f"the translation of {start!r} is a guess, for the model does not know {strange}"


def open_translator(
    to: str | None = None,
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
    target, source = None if to is None else language(to, "to"), None if from_ is None else language(from_, "from")
    if model is None:
        source = source or ENGLISH
        folder = translators.find(source, target)
        if (executor, dtype, device) == ("auto", "auto", "auto"):
            executor = "native"  # a small model is done before a GPU is ready
        loaded = load(folder, executor=executor, dtype=dtype, device=device, threads=threads)
        loaded.name = translators.name_of(folder)
    elif isinstance(model, Model):
        loaded = model
    else:
        loaded = load(model, executor=executor, dtype=dtype, device=device, threads=threads, offline=offline)
    if loaded.config.kind != "encoder-decoder":
        raise UnsupportedError(
            f"{loaded.name} is a model with {'an' if loaded.config.kind == 'encoder' else 'a'} {loaded.config.kind} "
            "alone; a translator reads one text and writes another, with an encoder and a decoder"
        )
    read, said = agreed(loaded, source, target)
    card = None if loaded.checkpoint is None else translators.card_of(loaded.checkpoint.source)
    return Translator(model=loaded, from_=read, to=said, card=card)


def agreed(model: Model, source: str | None, target: str | None) -> tuple[str | None, str]:
    """The languages to translate from and into, held against those that a model's package or folder states.

    Raises:
        OptionError: it translates another pair, or nothing says into which language.
        CheckpointError: what states them is damaged.
    """
    known = None if model.checkpoint is None else pair_of(model.checkpoint)
    if known is None and target is None:
        raise OptionError(f"{model.name} does not say into which language it translates; give it as to, such as de")
    if known is None:
        return source, str(target)
    if target not in (None, known[1]) or source not in (None, known[0]):
        asked = f"{source or known[0]} to {target or known[1]}"
        raise OptionError(f"{model.name} translates {known[0]} to {known[1]}, not {asked}")
    return known
