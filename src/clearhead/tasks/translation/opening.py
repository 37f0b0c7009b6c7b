"""From the languages and the model that are asked for to a translator: which kind of model is it, does the text fit?

What a model says of itself decides: its languages (translator.json, an Argos package), the prefixes it was trained with
(config.json), or a chat template. Where nobody says which language a text is in, it is detected.
"""

from collections.abc import Mapping
from pathlib import Path

from clearhead.checkpoints.companions import language, pair_of, translation_prefixes
from clearhead.engine.machine import ANY, Machine
from clearhead.engine.model import Model
from clearhead.errors import OptionError, UnknownModelError, UnsupportedError
from clearhead.tasks import translators
from clearhead.tasks.lines import Translator
from clearhead.tasks.translation.languages import another, detect, name_of
from clearhead.tasks.translation.prompted import PromptedTranslator

ENGLISH = "en"


def open_translator(
    to: str | None = None,
    *,
    from_: str | None = None,
    model: str | Path | Model | None = None,
    prefix: str | None = None,
    text: str = "",
    machine: Machine = ANY,
) -> Translator:
    """What translates into `to`; `text` is the beginning of what will be translated, where its language is to be
    detected. Names and errors as `translate`."""
    target, source = None if to is None else language(to, "to"), None if from_ is None else language(from_, "from")
    if model is None:
        if prefix is not None:
            raise OptionError("prefix is for a model that is named; the bundled translators read the text as it is")
        folder = bundled(source, target, text)
        loaded = machine.small().load(folder)
        loaded.name = translators.name_of(folder)
        return paired(loaded, source, target, text)
    loaded = model if isinstance(model, Model) else machine.load(model)
    if loaded.config.kind == "decoder" and loaded.chat_template is not None and prefix is None:
        return prompted(loaded, source, target, text)
    if loaded.config.kind != "encoder-decoder":
        raise UnsupportedError(
            f"{loaded.name} is a model with {'an' if loaded.config.kind == 'encoder' else 'a'} {loaded.config.kind} "
            "alone; a translator reads one text and writes another, with an encoder and a decoder, or follows "
            "instructions" + (" (without a prefix)" if prefix is not None and loaded.chat_template else "")
        )
    known = {} if loaded.checkpoint is None else translation_prefixes(loaded.checkpoint)
    if known and prefix is None:
        return prefixed(loaded, known, source, target, text)
    return paired(loaded, source, target, text, prefix or "")


def bundled(source: str | None, target: str | None, text: str) -> Path:
    """The folder of a bundled translator, by the languages asked for or detected.

    Raises:
        UnknownModelError, OptionError: as `translators.find`; a language that was detected is named.
    """
    seen = detect(text) if source is None else None
    try:
        return translators.find(source or seen or ENGLISH, target)
    except UnknownModelError as error:
        if seen in (None, ENGLISH):
            raise
        already = " already" if seen == target else ""
        raise UnknownModelError(
            f"the text seems to be {name_of(str(seen))}{already}; {error}; from {ENGLISH} (--from {ENGLISH}) "
            "reads it as English anyway"
        ) from None


def paired(model: Model, source: str | None, target: str | None, text: str, prefix: str = "") -> Translator:
    """A model of one pair of languages.

    Raises:
        OptionError: it translates another pair, nothing says into which language, or the text is in another one.
        CheckpointError: what states its languages is damaged.
    """
    read, said = agreed(model, source, target)
    if source is None and read is not None:
        check_language(model, text, read, said)
    card = None if model.checkpoint is None else translators.card_of(model.checkpoint.source)
    return Translator(model=model, from_=read, to=said, card=card, prefix=prefix)


def agreed(model: Model, source: str | None, target: str | None) -> tuple[str | None, str]:
    """The languages to translate from and into, held against those that a model's package or folder states; errors as
    `paired`."""
    known = None if model.checkpoint is None else pair_of(model.checkpoint)
    if known is None and target is None:
        raise OptionError(f"{model.name} does not say into which language it translates; give it as to, such as de")
    if known is None:
        return source, str(target)
    if target not in (None, known[1]) or source not in (None, known[0]):
        asked = f"{source or known[0]} to {target or known[1]}"
        raise OptionError(f"{model.name} translates {known[0]} to {known[1]}, not {asked}")
    return known


def check_language(model: Model, text: str, read: str, said: str, what: str = "the text") -> None:
    """Refuse a text that is surely in another language than the model reads.

    Raises:
        OptionError: it is.
    """
    seen = another(text, read)
    if seen is not None:
        raise OptionError(
            f"{what} seems to be {name_of(seen)}, and {model.name} translates {name_of(read)} to {name_of(said)}; "
            f"from {read} (--from {read}) translates it anyway, --model names another translator"
        )


def prefixed(
    model: Model, known: Mapping[tuple[str, str], str], source: str | None, target: str | None, text: str
) -> Translator:
    """A model that is told by a prefix what to do.

    Raises:
        OptionError: it knows no prefix for these languages, or nothing says which are meant.
    """
    names = ", ".join(f"{a} to {b}" for a, b in known)
    if target is None:
        raise OptionError(f"into which language? give to (on the command line --to); {model.name} translates {names}")
    seen = detect(text) if source is None else None
    sources = sorted({a for a, b in known if b == target}, key=lambda a: a != ENGLISH)
    read = source or (seen if seen in sources else None) or (sources[0] if sources else ENGLISH)
    if (read, target) not in known:
        raise OptionError(
            f"{model.name} translates {names}, not {read} to {target}; --prefix TEXT sends another prefix"
        )
    if source is None:
        check_language(model, text, read, target)
    return Translator(model=model, from_=read, to=target, prefix=known[read, target])


def prompted(model: Model, source: str | None, target: str | None, text: str) -> Translator:
    """A model that follows instructions.

    Raises:
        OptionError: nothing says into which language, or the text is in it already.
    """
    if target is None:
        raise OptionError(f"{model.name} translates as it is told; give the language as to (--to), such as de")
    read = source or detect(text)
    if source is None and read == target:
        raise OptionError(
            f"the text seems to be {name_of(target)} already; from (--from CODE) says which language it is in"
        )
    return PromptedTranslator(model=model, from_=read, to=target)
