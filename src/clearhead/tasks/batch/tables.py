"""Rows of a Parquet file. They stay a table of Arrow: through Python's own types nanoseconds and far dates are lost."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from clearhead.errors import DataError, MissingDependencyError
from clearhead.tasks.batch.found import MARK, Failure, Fields, checked, marked, unfit
from clearhead.tasks.batch.lines import encoded


@dataclass(frozen=True, slots=True)
class Table:
    """Rows that follow each other; see `rows.Rows`."""

    table: Any  # pyarrow.Table
    name: str  # of the file
    before: int  # rows of the file before these

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def first(self) -> tuple[str, list[str]] | None:
        """The place of the first row and the names of its fields."""
        return (f"{self.name}:{self.before + 1}", list(self.table.column_names)) if len(self) else None

    def texts(self, field: str, example: Fields) -> list[str | Failure]:
        """The text of each row."""
        if (why := unfit(self.table.column_names, field, example)) is not None:
            return [why] * len(self)
        column = self.table.column(field)
        if not holds_text(column.type):
            return [Failure(f"{field!r} is {column.type}, where a text was expected")] * len(self)
        return [checked(text, field) for text in column.to_pylist()]

    def results(self, found: Sequence[Fields | Failure], example: Fields) -> bytes:
        """The rows that have a result, as a Parquet file: every column as it was, and those of the result."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        made = [each for each in found if not isinstance(each, Failure)]
        table = self.some([not isinstance(each, Failure) for each in found])
        for name, value in example.items():
            kind = pa.array([value]).type
            table = table.append_column(pa.field(name, kind), pa.array([each[name] for each in made], type=kind))
        held = io.BytesIO()
        pq.write_table(table, held)
        return held.getvalue()

    def failed(self, found: Sequence[Fields | Failure]) -> bytes:
        """The others, as JSON Lines."""
        bad = [(i, each) for i, each in enumerate(found) if isinstance(each, Failure)]
        rows = in_json(self.some([isinstance(each, Failure) for each in found]))
        return encoded(
            marked(row, why, f"{self.name}:{self.before + i + 1}") for row, (i, why) in zip(rows, bad, strict=True)
        )

    def some(self, wanted: Sequence[bool]) -> Any:
        """The rows that are wanted, by slices: they work for columns of every type."""
        import pyarrow as pa

        runs, start = [self.table.slice(0, 0)], 0
        for is_wanted, run in groupby(wanted):
            length = len(list(run))
            if is_wanted:
                runs.append(self.table.slice(start, length))
            start += length
        return pa.concat_tables(runs)


class Tables:
    """Reads rows; the last row group stays in memory, for the next rows are mostly in it too."""

    def __init__(self) -> None:
        self._group: tuple[Path, int, Any] | None = None  # file, row group, table

    def read(self, path: Path, first: int, count: int, name: str) -> Table:
        """So many rows from row `first` on.

        Raises:
            DataError: the file is damaged.
            OSError: it cannot be read.
        """
        import pyarrow as pa

        try:
            return Table(pa.concat_tables(self._slices(path, first, count)), name, first)
        except pa.ArrowException as error:
            raise damaged(path, error) from None

    def forget(self) -> None:
        """Read again what is asked for next."""
        self._group = None

    def _slices(self, path: Path, first: int, count: int) -> Iterator[Any]:
        file = parquet(path)
        yield file.schema_arrow.empty_table()
        before = 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            low, high = max(first, before), min(first + count, before + rows)
            if low < high:
                if self._group is None or self._group[:2] != (path, group):
                    self._group = (path, group, file.read_row_group(group))
                yield self._group[2].slice(low - before, high - low)
            before += rows


def parquet(path: Path) -> Any:
    """A Parquet file, opened.

    Raises:
        MissingDependencyError: pyarrow is not installed.
        DataError: the file is damaged.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingDependencyError("Parquet needs pyarrow; install it with: pip install 'clearhead[data]'") from None
    try:
        return pq.ParquetFile(path)
    except pa.ArrowException as error:
        raise damaged(path, error) from None


def damaged(path: Path, error: Exception) -> DataError:
    """What to say of a file that pyarrow does not read."""
    return DataError(f"{path} is no whole Parquet file: {str(error).splitlines()[0][:160]}; write it again")


def rows_of(path: Path) -> int:
    """How many rows a file has.

    Raises:
        DataError: it is damaged, or its columns have names that cannot be told apart.
    """
    file = parquet(path)
    names = list(file.schema_arrow.names)
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"{path} has two columns {twice[0]!r}; rename one")
    if MARK in names:
        raise DataError(f"{path} has a column {MARK!r}, which says why a row failed; rename it")
    return int(file.metadata.num_rows)


def holds_text(kind: Any) -> bool:
    """Whether a column of this type has texts, or nothing at all."""
    import pyarrow as pa

    kinds = pa.types
    if kinds.is_dictionary(kind):
        return holds_text(kind.value_type)
    return bool(
        kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind) or kinds.is_null(kind)
    )


def in_json(table: Any) -> list[Fields]:
    """Rows for JSON: times and dates as Arrow writes them, for Python's own know neither nanoseconds nor far years."""
    columns = {name: values(table.column(name)) for name in table.column_names}
    return [{name: column[i] for name, column in columns.items()} for i in range(table.num_rows)]


def values(column: Any) -> list[Any]:
    """One column in Python's types."""
    import pyarrow as pa

    try:
        return list(column.cast(without_times(column.type)).to_pylist())
    except (pa.ArrowException, OverflowError, ValueError):  # of a type that Arrow does not cast: each value as it can
        return [one(value) for value in column]


def one(value: Any) -> Any:
    """A single value, or what it is where Python has none like it."""
    try:
        return value.as_py()
    except (OverflowError, ValueError):
        return f"a {value.type} that JSON cannot hold"


def without_times(kind: Any) -> Any:
    """The type with texts where there are times and dates, however deep."""
    import pyarrow as pa

    if pa.types.is_temporal(kind):
        return pa.string()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        made = pa.list_ if pa.types.is_list(kind) else pa.large_list
        return made(kind.value_field.with_type(without_times(kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(without_times(field.type)) for field in kind])
    return kind
