"""Rows as Postgres' COPY sends them, written as CSV.

Both formats are made from COPY's CSV, which tells NULL (nothing) from an empty text (`""`), and
spells every number and time out in full. CSV is written as it comes; for Parquet, Arrow reads it
(parquet.py). So no value becomes a Python object, or a float, in between.
"""

from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, Protocol

from psycopg2 import sql

from kalshi_elt.publish.export.pieces import Piece
from kalshi_elt.warehouse.tables import Table

CHUNK_BYTES = 16_000_000
"""Bytes of rows that are held before they are written. In Parquet they make a row group."""


class RowWriter(Protocol):
    """Writes rows into one file."""

    def write(self, rows: Sequence[bytes]) -> None:
        """Write rows, each a line of COPY's CSV."""

    def close(self) -> None:
        """Write what the file format ends with. The file itself stays open."""


class Format(Protocol):
    """A file format: which columns of a table COPY is asked for, and what writes them."""

    suffix: str
    """What names of its files end with, without the dot."""

    def columns(self, table: Table) -> sql.Composable:
        """What to select of a row called `present`."""

    def writer(self, table: Table, file: BinaryIO) -> RowWriter:
        """What writes the table's rows into a file."""


class CsvFormat:
    """CSV as COPY makes it, with a header line and all columns."""

    suffix = "csv"

    def columns(self, table: Table) -> sql.Composable:
        return sql.SQL(", ").join(
            sql.SQL("present.{}").format(sql.Identifier(column.name)) for column in table.columns
        )

    def writer(self, table: Table, file: BinaryIO) -> RowWriter:
        header = ",".join(f'"{column.name}"' for column in table.columns)
        return _CsvWriter(file, header)


class _CsvWriter:
    def __init__(self, file: BinaryIO, header: str) -> None:
        self._file = file
        file.write(f"{header}\n".encode())

    def write(self, rows: Sequence[bytes]) -> None:
        self._file.writelines(rows)

    def close(self) -> None:
        pass


class PieceSplitter:
    """The file that COPY writes to: it passes rows of several pieces on, each piece to its own
    file.

    Rows come one at a time, as Postgres sends them and psycopg2 hands them on, piece after piece.
    Where a piece ends is known from its number of rows, which was counted in the same snapshot.
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        begin: Callable[[Piece], RowWriter],
        end: Callable[[Piece], None],
    ) -> None:
        self._pieces = iter(pieces)
        self._begin, self._end = begin, end
        self._rows: list[bytes] = []
        self._bytes = 0
        self._next()

    def write(self, row: bytes) -> Any:
        """One row, from psycopg2."""
        self._rows.append(row)
        self._bytes += len(row)
        self._left -= 1
        if self._bytes >= CHUNK_BYTES:
            self._flush()
        if self._left == 0:
            self._close()
            self._next()

    def finish(self) -> None:
        """To be called after the last row: ends the last piece if it has no rows."""
        if self._piece is not None and self._left == 0:
            self._close()
            self._next()
        assert self._piece is None, f"fewer rows than counted: {self._piece}"

    def _next(self) -> None:
        self._piece = next(self._pieces, None)
        if self._piece is not None:
            self._left = self._piece.rows
            self._writer = self._begin(self._piece)

    def _flush(self) -> None:
        if self._rows:
            self._writer.write(self._rows)
        self._rows, self._bytes = [], 0

    def _close(self) -> None:
        assert self._piece is not None, "more rows than counted"
        self._flush()
        self._writer.close()
        self._end(self._piece)
