"""Which of a Hub repository's files make the model: its configuration, vocabulary and safetensors, or one GGUF file.

Names are all this looks at. Pickled weights (.bin, .pt) and code (.py) are never chosen.
"""

import re
from collections.abc import Collection

from clearhead.checkpoints.catalogue.names import HubName
from clearhead.errors import CheckpointError, UnknownModelError

BESIDE = re.compile(  # what readers and tokenizers open beside the weights
    r"config\.json|generation_config\.json|tokenizer\.json|tokenizer_config\.json|special_tokens_map\.json|"
    r"added_tokens\.json|vocab\.json|vocab\.txt|merges\.txt|tokenizer\.model|spiece\.model|sentencepiece\.bpe\.model|"
    r"[A-Za-z0-9_.-]+\.spm|chat_template\.(?:jinja|json)|modules\.json|sentence_bert_config\.json|"
    r"config_sentence_transformers\.json|\d+_Pooling/config\.json"
)
INDEX = "model.safetensors.index.json"
SHARD = re.compile(r"model-(\d{5})-of-(\d{5})\.safetensors")
SPLIT_GGUF = re.compile(r".*-\d{5}-of-\d{5}\.gguf")
PICKLED = re.compile(r".*\.(?:bin|pt|pth|ckpt|h5|msgpack)")


def choose(model: HubName, present: Collection[str]) -> list[str]:
    """The paths to fetch, of all that are `present` in the repository.

    Raises:
        UnknownModelError: the file asked for is not there, or several could be meant.
        CheckpointError: the repository holds no weights that Clearhead opens.
    """
    ggufs = sorted(path for path in present if path.endswith(".gguf") and not SPLIT_GGUF.fullmatch(path))
    if model.file:
        return [named(model, model.file, ggufs)]
    if weights := safetensors(model, present):
        if "config.json" not in present:
            raise CheckpointError(f"{model} holds safetensors but no config.json, so nothing says what they are")
        return sorted({*weights, *(path for path in present if BESIDE.fullmatch(path))})
    if len(ggufs) > 1:
        raise UnknownModelError(f"{model} holds {len(ggufs)} GGUF files; name one of them: {options(model, ggufs)}")
    if ggufs:
        return ggufs
    raise CheckpointError(no_weights(model, present))


def safetensors(model: HubName, present: Collection[str]) -> list[str]:
    """The weights in safetensors: one file, or an index with every one of its shards; empty where there are none."""
    if "model.safetensors" in present:
        return ["model.safetensors"]
    shards = sorted(path for path in present if SHARD.fullmatch(path))
    if INDEX not in present or not shards:
        return []
    expected = int(shards[0][15:20])
    if len(shards) != expected:
        raise CheckpointError(f"{model} holds {len(shards)} of its {expected} safetensors shards; pull it again")
    return [INDEX, *shards]


def named(model: HubName, wanted: str, ggufs: list[str]) -> str:
    """The GGUF file of this path, or the one whose name ends in this quantisation (`Q4_K_M`)."""
    label = re.compile(rf"(?:.*(?:[/.-]|_(?=i?q\d|b?f\d)))?{re.escape(wanted)}(?:\.gguf)?", re.IGNORECASE)
    found = [path for path in ggufs if path == wanted] or [path for path in ggufs if label.fullmatch(path)]
    if len(found) == 1:
        return found[0]
    meant = found or ggufs
    told = f"the files it holds are {options(model, meant)}" if meant else "it holds no GGUF file in one piece"
    raise UnknownModelError(f"{model} names {len(found) or 'no'} GGUF file{'s' * bool(found)} of {model.repo}; {told}")


def options(model: HubName, ggufs: list[str]) -> str:
    """How to ask for each of a few files."""
    revision = f"@{model.revision}" if model.revision else ""
    shown = ", ".join(f"{model.repo}{revision}:{path}" for path in ggufs[:6])
    return shown if len(ggufs) <= 6 else f"{shown} and {len(ggufs) - 6} more"


def no_weights(model: HubName, present: Collection[str]) -> str:
    """Why nothing can be chosen, and what to do."""
    if pickles := sorted(path for path in present if PICKLED.fullmatch(path)):
        return (
            f"{model} holds no safetensors or GGUF weights, only {pickles[0]}, which can run code when opened; convert "
            "it where you trust it (save_pretrained of transformers writes safetensors) and give the folder"
        )
    return f"{model} holds no model.safetensors and no GGUF file among its {len(present)} files"
