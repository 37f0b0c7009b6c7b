"""An adapter's folder merged into the model it was learnt for, as a folder of its own; no torch is needed."""

from pathlib import Path

from clearhead.checkpoints.adapter import adapted
from clearhead.checkpoints.catalogue import resolve
from clearhead.checkpoints.export import export
from clearhead.checkpoints.opening import open_checkpoint


def merge_adapter(
    adapter: Path, base: str | Path, folder: Path, *, dtype: str = "float32", offline: bool = False
) -> None:
    """Write the model that `adapter` makes of `base` (a catalogue name, Hugging Face id, folder or file) into a new
    `folder`, which `clearhead.load` and transformers open.

    Raises:
        CheckpointError: an adapter that is damaged, of another model or not plain LoRA; a folder that is not empty.
        UnknownModelError, DownloadError, ConfigError: the base cannot be opened.
        OptionError: an unknown dtype.
    """
    checkpoint = adapted(adapter, open_checkpoint(resolve(base, offline=offline)))
    export(
        folder,
        checkpoint.config,
        checkpoint.weights(),
        dtype=dtype,
        special=checkpoint.special,
        tokenizer=None if checkpoint.tokenizer is None else checkpoint.tokenizer(),
        chat_template=checkpoint.chat_template,
    )
