"""Which model does a task where none is named, and when to say that it is small for it.

The default is a model that any machine can fetch in a moment. Where the larger one of the catalogue is on this machine
already, it is taken: it was pulled for such work.
"""

from pathlib import Path

from clearhead.checkpoints.catalogue import DEFAULT_MODEL, list_models
from clearhead.config import ModelConfig
from clearhead.engine.machine import ANY, Machine
from clearhead.engine.model import Model
from clearhead.errors import UnsupportedError
from clearhead.families.layout import count, layout

LARGER = "qwen2.5-coder-1.5b-instruct"
ENOUGH = 1_000_000_000  # parameters from which on a model follows instructions about a text reliably (docs/tasks.md)


def instruction_model_name() -> str:
    """The model that answers instructions where none is named."""
    here = {status.name for status in list_models() if status.path is not None}
    return LARGER if LARGER in here else DEFAULT_MODEL


def instruction_model(model: str | Path | Model | None = None, machine: Machine = ANY) -> Model:
    """The model that is named, or the default; one that follows instructions.

    Raises:
        UnsupportedError: a model without a chat template.
        UnknownModelError, DownloadError, CheckpointError: as `clearhead.load`.
    """
    name = instruction_model_name() if model is None else model
    found = name if isinstance(name, Model) else machine.load(name)
    if found.chat_template is None:
        raise UnsupportedError(
            f"{found.name} was not trained to follow instructions (it has no chat template); name one that was, such "
            f"as {DEFAULT_MODEL}"
        )
    return found


def advice(model: Model, task: str) -> str | None:
    """What to say of a model that is small for a task, such as "writing code"; None where it is large enough."""
    config = model.config
    parameters = count(layout(config)) if isinstance(config, ModelConfig) else 0
    if parameters >= ENOUGH:
        return None
    return (
        f"{model.name} ({parameters / 1e6:,.0f} M parameters) is small for {task} and often wrong; "
        f"clearhead pull {LARGER} fetches a larger model (1.1 GB), which is then used"
    )
