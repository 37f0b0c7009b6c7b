"""Open whatever a path holds, by what it is rather than by what it claims to be."""

from pathlib import Path

from clearhead.checkpoints.checkpoint import Checkpoint
from clearhead.errors import CheckpointError, UnsupportedError

RECURRENT = "clearhead_rnn"  # the model_type of what `recurrent/` reads
PICKLE_SUFFIXES = {".pt", ".pth", ".ckpt", ".pkl", ".pickle"}


def open_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint in a folder (Hugging Face or CTranslate2 layout) or file (GGUF, Argos package, llama2.c).

    Raises:
        CheckpointError: nothing there, or nothing Clearhead reads.
        ConfigError: it describes no model Clearhead computes.
        UnsupportedError: it describes a recurrent model, which is no Transformer.
    """
    if not path.exists():
        raise CheckpointError(f"{path} does not exist")
    return open_directory(path) if path.is_dir() else open_file(path)


def open_directory(folder: Path) -> Checkpoint:
    """A folder: Argos keeps its model in a folder inside, CTranslate2 writes model.bin, Hugging Face safetensors."""
    from clearhead.checkpoints.adapter import is_adapter
    from clearhead.checkpoints.argos import open_argos
    from clearhead.checkpoints.ctranslate2 import is_ctranslate2, open_ctranslate2
    from clearhead.checkpoints.folder import open_folder

    if (folder / "metadata.json").is_file() and (folder / "model").is_dir():
        return open_argos(folder)
    if is_adapter(folder):
        return open_adapter(folder)
    if is_recurrent(folder):
        raise UnsupportedError(
            f"{folder.name} is a recurrent model; it can be loaded, complete texts and be verified, and has nothing "
            "else of a Transformer"
        )
    return open_ctranslate2(folder) if is_ctranslate2(folder) else open_folder(folder)


def open_adapter(folder: Path) -> Checkpoint:
    """An adapter over its base, which must be on this machine (`resolve` of the adapter brings it)."""
    from clearhead.checkpoints.adapter import adapted, base_of, is_adapter
    from clearhead.checkpoints.catalogue import resolve

    base = resolve(base_of(folder), offline=True)
    if base.is_dir() and is_adapter(base):
        raise CheckpointError(f"{folder.name} is an adapter over an adapter ({base.name}); merge that one first")
    return adapted(folder, open_checkpoint(base))


def is_recurrent(path: Path) -> bool:
    """Whether this is a folder that `recurrent/` wrote.

    Raises:
        CheckpointError: a config.json that cannot be read.
    """
    from clearhead.checkpoints.folder import read_json

    return (path / "config.json").is_file() and read_json(path / "config.json").get("model_type") == RECURRENT


def is_vocabulary(path: Path) -> bool:
    """Whether this is a folder that holds a vocabulary and no model, such as `data/vocabulary` of a training run."""
    from clearhead.text.legacy import has_tokenizer

    model = any((path / name).exists() for name in ("config.json", "model.bin", "metadata.json"))
    return path.is_dir() and not model and has_tokenizer(path)


def open_file(path: Path) -> Checkpoint:
    """A single file, told by its first bytes."""
    with path.open("rb") as file:
        magic = file.read(4)
    if magic == b"GGUF":
        from clearhead.checkpoints.gguf import open_gguf

        return open_gguf(path)
    if path.suffix == ".argosmodel":
        from clearhead.checkpoints.argos import open_argos

        return open_argos(path)
    if path.suffix == ".safetensors":
        raise CheckpointError(
            f"{path.name} holds weights without a configuration; give the folder that has config.json"
        )
    if path.suffix in PICKLE_SUFFIXES or magic[:2] in (b"PK", b"\x80\x02"):
        raise CheckpointError(
            f"{path.name} is a pickle, which can run code when opened; convert it where you trust it: "
            "AutoModel.from_pretrained(folder).save_pretrained(folder) with transformers writes model.safetensors"
        )
    if path.suffix == ".bin":
        from clearhead.checkpoints.llama2c import open_llama2c

        return open_llama2c(path)
    raise CheckpointError(f"{path.name} is no model file Clearhead reads: GGUF, .argosmodel, or llama2.c's .bin")
