"""Rows as Postgres' COPY sends them, written as Parquet. Needs the extra `parquet`.

Arrow reads the CSV, each value as the type of its column.
"""

import json
import re
from collections.abc import Sequence
from typing import BinaryIO

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812

from kalshi_elt.publish.export.files import RowWriter
from kalshi_elt.publish.export.pieces import PARTITIONED
from kalshi_elt.warehouse.queries import select
from kalshi_elt.warehouse.tables import Column, Table

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


def oversized(connection: Connection, tables: list[Table]) -> list[tuple[str, str]]:
    """Table and column of each `numeric` without limits that has a value too large or too fine for
    any decimal of Parquet. Such columns are exported as text.

    JSON's numbers have no limits, so there may be one some day, and it must not stop every export.
    """
    found = []
    for table in tables:
        for column in table.columns:
            if column.type == "numeric" and not _fits(connection, table, column.name):
                found.append((table.name, column.name))
    return found


def _fits(connection: Connection, table: Table, column: str) -> bool:
    query = sql.SQL(
        "select not exists (select true from {table} where {column} <> round({column}, {scale}) "
        "or abs({column}) >= {limit} limit 1)"
    ).format(
        table=table.identifier,
        column=sql.Identifier(column),
        scale=sql.Literal(FREE_SCALE),
        limit=sql.Literal(FREE_LIMIT),
    )
    return bool(select(connection, query)[0][0])
