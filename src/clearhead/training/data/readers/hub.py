"""Data sets of the Hugging Face hub, or folders in their form, read with `datasets`, streamed."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from clearhead.errors import DataError, MissingDependencyError
from clearhead.training.data.readers.base import Fields, Reading, SourceBase, picked
from clearhead.training.data.records import Row


class Hub(SourceBase):
    """A data set by its name on the hub, or a folder: one that was saved by `datasets`, or one of data files."""

    kind: Literal["datasets"] = "datasets"
    dataset: str = Field(min_length=1, description="A name such as owner/name, or a folder.")
    subset: str | None = Field(default=None, description="Which of the data set's configurations.")
    split: str = Field(default="train", description="Which of its splits.")
    revision: str | None = Field(default=None, description="A commit, so that the data stays what it was.")
    fields: Fields = Field(description="Columns by the record's field; translation.en is a key of a column.")

    @property
    def where(self) -> str:
        """Name, subset and split."""
        return ":".join(filter(None, [self.dataset, self.subset, self.split]))

    def rows(self, reading: Reading) -> Iterator[Row]:
        """A record for each row; numbers of a class label come as its name.

        Raises:
            MissingDependencyError: datasets is not installed.
            DataError: no such data set, or it cannot be read.
        """
        try:
            import datasets
        except ImportError:
            raise MissingDependencyError(
                "Hugging Face data sets need the datasets package; install it with: pip install datasets"
            ) from None
        number = 0
        try:
            found = self.opened(datasets)
            named = names(found.features)
            for entry in found:
                number += 1
                shown = {key: named[key](value) if key in named else value for key, value in entry.items()}
                yield picked(self.fields, shown, f"{self.where}:{number}")
        except (DataError, MissingDependencyError):
            raise
        except Exception as error:  # the package passes on whatever its file systems and parsers raise
            reason = " ".join(str(error).split())[:160] or type(error).__name__
            after = f" after {number} rows" if number else ""
            raise DataError(f"the data set {self.where} cannot be read{after}: {reason}") from error

    def opened(self, datasets: Any) -> Any:
        """The split, streamed or mapped."""
        folder = Path(self.dataset).expanduser()
        if (folder / "state.json").is_file():
            return datasets.load_from_disk(str(folder))
        if (folder / "dataset_dict.json").is_file():
            return datasets.load_from_disk(str(folder / self.split))
        name = str(folder) if folder.is_dir() else self.dataset
        return datasets.load_dataset(name, self.subset, split=self.split, revision=self.revision, streaming=True)


def names(features: Mapping[str, Any] | None) -> dict[str, Callable[[Any], Any]]:
    """For columns of class labels, the function from numbers to names."""
    found = {}
    for name, feature in (features or {}).items():
        inner = getattr(feature, "feature", feature)
        if hasattr(inner, "int2str"):
            found[name] = inner.int2str
    return found
