"""The registry: the only place that reads a family's name.

A module of this package that defines `FAMILY` is a family page; to add an architecture whose choices exist, add a page.
"""

import importlib
import pkgutil
from functools import cache

from clearhead.config import ModelConfig
from clearhead.errors import ConfigError
from clearhead.families.family import Family, Format


@cache
def families() -> dict[str, Family]:
    """Every family by name."""
    pages = (importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__))
    return {page.FAMILY.name: page.FAMILY for page in pages if hasattr(page, "FAMILY")}


def find(kind: str, model_type: str) -> Format:
    """How files of this `kind` store models of this `model_type`.

    Raises:
        ConfigError: no family answers to `model_type`; the message lists those that do.
    """
    known: dict[str, Format] = {}
    for family in families().values():
        for name, form in family.formats.items():
            if name.partition("-")[0] == kind:
                known |= dict.fromkeys(form.types, form)
    if model_type not in known:
        raise ConfigError(f"model type {model_type!r} is not one Clearhead reads; it reads {', '.join(sorted(known))}")
    return known[model_type]


def of(config: ModelConfig) -> Family:
    """The page of a configuration's family."""
    if config.family not in families():
        raise ConfigError(f"family {config.family!r} is unknown; the families are {', '.join(families())}")
    return families()[config.family]


def exported(config: ModelConfig) -> Format:
    """How transformers stores such a model."""
    family = of(config)
    return family.formats[family.written(config)]
