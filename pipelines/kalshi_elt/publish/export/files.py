"""Rows as Postgres' COPY sends them, written as CSV or Parquet.

Both formats are made from COPY's CSV, which tells NULL (nothing) from an empty text (`""`), and
spells every number and time out in full. CSV is written as it comes. For Parquet, Arrow reads each
value as the type of its column. So no value becomes a Python object, or a float, in between.
"""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from psycopg2 import sql

from kalshi_elt.publish.export.pieces import PARTITIONED, Piece
from kalshi_elt.warehouse.tables import Column, Table

CHUNK_BYTES = 16_000_000
"""Bytes of rows that are held before they are written. In Parquet they make a row group."""

ARROW_TYPES = {
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "boolean": pa.bool_(),
    "real": pa.float32(),
    "double precision": pa.float64(),
    "date": pa.date32(),
    "timestamp with time zone": pa.timestamp("us", tz="UTC"),
    "timestamp without time zone": pa.timestamp("us"),
    "text[]": pa.list_(pa.string()),
}
"""Arrow's types by Postgres' own. Every other type becomes text, as Postgres spells it: jsonb as
JSON."""

DECIMAL = re.compile(r"numeric\((\d+),(\d+)\)")

MOST_DIGITS = 38
"""The most digits of a decimal that all readers of Parquet understand."""

FREE_SCALE = 18
"""Digits after the point for columns that are `numeric` without limits, which leaves 20 before
it."""

FREE_LIMIT = 10 ** (MOST_DIGITS - FREE_SCALE)


class RowWriter(Protocol):
    """Writes rows into one file."""

    def write(self, rows: Sequence[bytes]) -> None:
        """Write rows, each a line of COPY's CSV."""

    def close(self) -> None:
        """Write what the file format ends with. The file itself stays open."""


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


class ParquetFormat:
    """Parquet with the columns' own types.

    Columns that are partition keys are left out: their values are in the names of the folders,
    where readers of such layouts look for them.
    """

    suffix = "parquet"

    def __init__(self, oversized: Sequence[tuple[str, str]] = ()) -> None:
        self._oversized = frozenset(oversized)
        """Table and column of numerics that are written as text, as no decimal can hold their
        values."""

    def columns(self, table: Table) -> sql.Composable:
        return sql.SQL(", ").join(
            sql.SQL(_SELECTED.get(column.type, "present.{}")).format(sql.Identifier(column.name))
            for column in self._kept(table)
        )

    def schema(self, table: Table) -> pa.Schema:
        """The columns' names and types in the table's files."""
        return pa.schema(
            [
                (
                    column.name,
                    pa.string()
                    if (table.name, column.name) in self._oversized
                    else arrow_type(column.type),
                )
                for column in self._kept(table)
            ]
        )

    def writer(self, table: Table, file: BinaryIO) -> RowWriter:
        return _ParquetWriter(file, self.schema(table))

    def _kept(self, table: Table) -> list[Column]:
        partitioning = PARTITIONED.get(table.name)
        left_out = {key.name for key in partitioning.keys} if partitioning else set()
        return [column for column in table.columns if column.name not in left_out]


_SELECTED = {"text[]": "to_json(present.{})"}
"""Expressions in SQL that are selected instead of a column of that type."""


def arrow_type(postgres_type: str) -> pa.DataType:
    """The type of a column in Parquet files. A decimal keeps its own precision and scale."""
    if postgres_type == "numeric":
        return pa.decimal128(MOST_DIGITS, FREE_SCALE)
    if match := DECIMAL.fullmatch(postgres_type):
        precision, scale = int(match[1]), int(match[2])
        return pa.decimal128(precision, scale) if precision <= MOST_DIGITS else pa.string()
    return ARROW_TYPES.get(postgres_type, pa.string())


class _ParquetWriter:
    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        self._schema = schema
        self._lists = [name for name in schema.names if pa.types.is_list(schema.field(name).type)]
        self._writer = pa.parquet.ParquetWriter(file, schema, compression="zstd")

    def write(self, rows: Sequence[bytes]) -> None:
        self._writer.write_table(self._read(b"".join(rows)))

    def _read(self, text: bytes) -> pa.Table:
        types = {
            field.name: pa.string() if field.name in self._lists else field.type
            for field in self._schema
        }
        table = pa.csv.read_csv(
            pa.BufferReader(text),
            # the text is one block, as a row must not be longer than a block
            read_options=pa.csv.ReadOptions(
                column_names=self._schema.names, block_size=len(text) + 1
            ),
            parse_options=pa.csv.ParseOptions(newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                column_types=types,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                true_values=["t"],
                false_values=["f"],
                timestamp_parsers=[pa.csv.ISO8601],
            ),
        )
        for name in self._lists:
            table = table.set_column(
                table.schema.get_field_index(name), self._schema.field(name), _lists(table[name])
            )
        return table

    def close(self) -> None:
        self._writer.close()


def _lists(column: pa.ChunkedArray) -> pa.Array:
    texts = column.to_pylist()
    return pa.array(
        [None if text is None else json.loads(text) for text in texts], pa.list_(pa.string())
    )


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
