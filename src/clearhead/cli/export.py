"""`clearhead export`: any model as a folder that transformers loads."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clearhead.cli import arguments as a

if TYPE_CHECKING:
    from clearhead.checkpoints.checkpoint import Checkpoint

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder, or an empty one.")]
StoredDtype = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        metavar="TYPE",
        help="Write float32, bfloat16, float16, float64 or int8; without it, the type of the file, or float32 where "
        "that is quantised.",
    ),
]
SAME = {"BF16": "bfloat16", "F16": "float16", "F64": "float64"}


def export(
    model: a.ModelArgument, folder: Folder, dtype: StoredDtype = None, json: a.Json = False, offline: a.Offline = False
) -> None:
    """Write a model as a Hugging Face folder.

    config.json, model.safetensors, the vocabulary and the chat template, which transformers loads with equal results.
    int8 is a quarter of float32 and for Clearhead alone. The folder appears whole or not at all.

    Example: clearhead export smollm2-135m-instruct ./smollm2
    """
    from clearhead.checkpoints.export import export as write
    from clearhead.cli.json_output import print_json
    from clearhead.cli.opening import open_model, working
    from clearhead.cli.screen import show_lines
    from clearhead.text.printable import one_line

    checkpoint = open_model(model, offline=offline)
    chosen = dtype or stored_dtype(checkpoint)
    with working(f"writing {folder}"):
        write(
            folder,
            checkpoint.config,
            checkpoint.weights(),
            dtype=chosen,
            special=checkpoint.special,
            tokenizer=checkpoint.tokenizer() if checkpoint.tokenizer else None,
            chat_template=checkpoint.chat_template,
            pooling=checkpoint.pooling,
        )
    files = sorted(path for path in folder.iterdir() if path.is_file())
    if json:
        sizes = {path.name: path.stat().st_size for path in files}
        print_json({"model": model, "folder": folder, "dtype": chosen, "files": sizes})
    else:
        show_lines([one_line(str(path)) for path in files])


def stored_dtype(checkpoint: "Checkpoint") -> str:
    """The type that keeps every stored number as it is, where there is a single one."""
    kinds = {tensor.dtype for tensor in checkpoint.tensors.values() if len(tensor.shape) > 1}
    [kind] = kinds if len(kinds) == 1 else {"mixed"}
    return SAME.get(kind, "float32")
