"""Clearhead: a Transformer you can see through, at full speed.

    import clearhead as ch

    model = ch.load("smollm2-135m-instruct")
    print(model.complete("Which is the capital of Bulgaria?").text)

Names are imported when first used, so that importing the package costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clearhead.config import GenerationConfig as GenerationConfig
    from clearhead.config import ModelConfig as ModelConfig
    from clearhead.edits import Edit as Edit
    from clearhead.edits import ablate as ablate
    from clearhead.edits import patch as patch
    from clearhead.edits import steer as steer
    from clearhead.engine.completion import Completion as Completion
    from clearhead.engine.loading import load as load
    from clearhead.engine.loading import load_tokenizer as load_tokenizer
    from clearhead.engine.model import Model as Model
    from clearhead.errors import ClearheadError as ClearheadError
    from clearhead.lens.positions import positional_encoding as positional_encoding
    from clearhead.lens.seen import Trace as Trace
    from clearhead.tasks.ask.ask import ask as ask
    from clearhead.tasks.ask.asker import Answer as Answer
    from clearhead.tasks.classify import classify as classify
    from clearhead.tasks.code.coder import Code as Code
    from clearhead.tasks.code.coder import code as code
    from clearhead.tasks.embed import embed as embed
    from clearhead.tasks.entities.find import entities as entities
    from clearhead.tasks.fill import fill_mask as fill_mask
    from clearhead.tasks.parse import parse as parse
    from clearhead.tasks.pipeline import pipeline as pipeline
    from clearhead.tasks.summarize.summarize import summarize as summarize
    from clearhead.tasks.summarize.summary import Summary as Summary
    from clearhead.tasks.translate import translate as translate
    from clearhead.tasks.write import write as write
    from clearhead.tasks.writing.essay import Essay as Essay

__version__ = "0.1.0"

PUBLIC = {
    "Answer": "clearhead.tasks.ask.asker",
    "ClearheadError": "clearhead.errors",
    "Code": "clearhead.tasks.code.coder",
    "Completion": "clearhead.engine.completion",
    "Edit": "clearhead.edits",
    "Essay": "clearhead.tasks.writing.essay",
    "GenerationConfig": "clearhead.config",
    "Model": "clearhead.engine.model",
    "ModelConfig": "clearhead.config",
    "Summary": "clearhead.tasks.summarize.summary",
    "Trace": "clearhead.lens.seen",
    "ablate": "clearhead.edits",
    "ask": "clearhead.tasks.ask.ask",
    "load": "clearhead.engine.loading",
    "load_tokenizer": "clearhead.engine.loading",
    "patch": "clearhead.edits",
    "pipeline": "clearhead.tasks.pipeline",
    "positional_encoding": "clearhead.lens.positions",
    "steer": "clearhead.edits",
    "classify": "clearhead.tasks.classify",
    "code": "clearhead.tasks.code.coder",
    "embed": "clearhead.tasks.embed",
    "entities": "clearhead.tasks.entities.find",
    "fill_mask": "clearhead.tasks.fill",
    "parse": "clearhead.tasks.parse",
    "summarize": "clearhead.tasks.summarize.summarize",
    "translate": "clearhead.tasks.translate",
    "write": "clearhead.tasks.write",
}
__all__ = [*PUBLIC, "__version__"]  # noqa: PLE0604  every entry is a string


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in PUBLIC:
        raise AttributeError(f"module 'clearhead' has no attribute {name!r}")
    value = getattr(import_module(PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
