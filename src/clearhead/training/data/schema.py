"""What all keys about data share: strict types, no unknown key, nothing changed once it is read."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

FilePath = Annotated[Path, Field(strict=False)]  # a recipe writes paths as text
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]  # sha256, in lower case


class Strict(BaseModel):
    """A group of keys of a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
