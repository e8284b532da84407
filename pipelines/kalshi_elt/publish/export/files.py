"""Rows as Postgres' COPY sends them, written as CSV.

COPY's CSV tells NULL (nothing) from an empty text (`""`), and spells every number and time out, so
both formats are made of it: CSV as it comes, Parquet by Arrow's reader. No value is a Python
object, or a float, in between.
"""

from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, Protocol

from psycopg2 import sql

from kalshi_elt.publish.export.pieces import Piece
from kalshi_elt.warehouse.tables import Table

CHUNK_BYTES = 16_000_000
"""So much is held before it is written; a row group of a Parquet file."""


class RowWriter(Protocol):
    """Writes rows of COPY, each one element, into one file."""

    def write(self, rows: Sequence[bytes]) -> None: ...

    def close(self) -> None:
        """Write what a file ends with; the file stays open."""


class Format(Protocol):
    """What is asked of COPY, and who writes it."""

    suffix: str

    def columns(self, table: Table) -> sql.Composable: ...

    def writer(self, table: Table, file: BinaryIO) -> RowWriter: ...


class CsvFormat:
    """CSV as COPY makes it, with a header line; all columns."""

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
    """What COPY writes to: the rows of several pieces, one after the other, each into its file.

    Postgres sends each row by itself and psycopg2 hands it on so, and how many rows a piece has is
    known from the same snapshot.
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
        """After the last row: closes a piece without any rows."""
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
