"""What all keys about data share: strict types, no unknown key, nothing changed once it is read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

FilePath = Annotated[Path, Field(strict=False)]  # a recipe writes paths as text
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]  # sha256, in lower case


class Strict(BaseModel):
    """A group of keys of a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def whole(cls, keys: Any) -> Any:
        """A count may be written as 1e4, which YAML reads as a float."""
        counts = {name for name, field in cls.model_fields.items() if field.annotation in (int, int | None)}
        if not isinstance(keys, Mapping):
            return keys
        return {k: int(v) if k in counts and isinstance(v, float) and v.is_integer() else v for k, v in keys.items()}
