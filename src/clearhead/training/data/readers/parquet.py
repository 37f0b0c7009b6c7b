"""Parquet: columns of a file, a batch of rows in memory at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from clearhead.errors import DataError, MissingDependencyError
from clearhead.training.data.lines import digest, unreadable
from clearhead.training.data.readers.base import Fields, FileSource, Reading, picked
from clearhead.training.data.records import Row

BATCH = 1024  # rows that are decoded at once


class Parquet(FileSource):
    """A Parquet file, or several."""

    kind: Literal["parquet"] = "parquet"
    fields: Fields = Field(description="Columns by the record's field; translation.en is a field of a column.")

    def rows(self, reading: Reading) -> Iterator[Row]:
        """A record for each row.

        Raises:
            MissingDependencyError: pyarrow is not installed.
            DataError: the file is damaged, or lacks a column.
        """
        for path in self.files():
            reading.report.file(path, digest(path), path.stat().st_size)
            yield from self.of_file(path)

    def of_file(self, path: Path) -> Iterator[Row]:
        """The rows of one file, numbered from 1."""
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError:
            raise MissingDependencyError("Parquet needs pyarrow; install it with: pip install pyarrow") from None
        number = 0
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(BATCH, columns=self.columns(path, file.schema_arrow)):
                    for entry in batch.to_pylist():
                        number += 1
                        yield picked(self.fields, entry, f"{path}: row {number}")
        except (pa.ArrowException, UnicodeDecodeError) as error:
            reason = str(error).split("\n", maxsplit=1)[0][:160]
            raise DataError(f"{path}: row {number + 1} or what follows is damaged: {reason}; fetch it again") from None
        except OSError as error:
            raise unreadable(path, error) from None

    def columns(self, path: Path, schema: Any) -> list[str]:
        """The columns that are needed, without those that are not."""
        names = list(schema.names)
        wanted = []
        for key in self.fields.values():
            column = key if key in names else key.split(".")[0]
            if column not in names:
                raise DataError(f"{path} has no column {column!r}; it has {', '.join(names[:20])}")
            wanted.append(column)
        return list(dict.fromkeys(wanted))
