"""Keys and values of a batch, in pages of sixteen positions that rows share until one writes (`src/native/cache.h`)."""

from collections.abc import Sequence

from clearhead.calls import own
from clearhead.errors import OptionError
from clearhead.native import _native


class PagedCache:
    """The `Cache` of the native executor. A row may also begin with another row's positions, and caches may be joined;
    neither copies anything."""

    def __init__(self, native: _native.Cache) -> None:
        self.native = native

    @property
    def capacity(self) -> int:
        """Positions a row can hold."""
        return self.native.capacity

    @property
    def lengths(self) -> list[int]:
        """Positions each row holds."""
        return self.native.lengths

    @property
    def pages(self) -> list[list[int]]:
        """The pages of each row, by number: equal numbers are one page, shared."""
        return self.native.pages

    def truncate(self, lengths: Sequence[int]) -> None:
        """Rewind row i to its first lengths[i] positions.

        Raises:
            OptionError: a length below 0, or not one for each row.
        """
        if min(lengths, default=0) < 0:
            raise OptionError(f"a row cannot be rewound to {min(lengths)} tokens; give 0 or more")
        if len(lengths) != len(self.lengths):
            raise OptionError(f"{len(lengths)} lengths for a cache of {len(self.lengths)} rows; give one for each")
        self.native.truncate(list(lengths))

    def select(self, rows: Sequence[int]) -> None:
        """Row i continues from old row rows[i].

        Raises:
            OptionError: a row that the cache lacks.
        """
        held = len(self.lengths)
        if outside := [row for row in rows if not -held <= row < held]:
            raise OptionError(f"rows names {outside[0]}; the cache has rows 0 to {held - 1}")
        self.native.select([row % held for row in rows])

    def adopt(self, row: int, source: "PagedCache", source_row: int, length: int) -> None:
        """Begin the empty row `row` with the first `length` positions of another's.

        Raises:
            OptionError: the row is not empty, or the other does not hold so many positions.
        """
        try:
            self.native.adopt(row, own(source, PagedCache, "native").native, source_row, length)
        except (ValueError, IndexError) as error:
            raise OptionError(f"row {row} cannot take over {length} positions of row {source_row}: {error}") from None

    def join(self, other: "PagedCache") -> None:
        """The other's rows follow this cache's own: how a request joins a batch under way.

        Raises:
            OptionError: caches of two executors, or a row longer than the capacity.
        """
        try:
            self.native.join(own(other, PagedCache, "native").native)
        except ValueError as error:
            raise OptionError(f"these caches cannot be joined: {error}") from None
