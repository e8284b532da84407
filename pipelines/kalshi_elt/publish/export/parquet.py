"""Rows as Postgres' COPY sends them, written as Parquet: Arrow's reader of CSV takes each value for
what the column is. Needs the extra `parquet`.
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
"""Every other type is written as Postgres spells it: text, and jsonb as JSON."""

DECIMAL = re.compile(r"numeric\((\d+),(\d+)\)")

MOST_DIGITS = 38
"""Of a decimal that all readers of Parquet know."""

FREE_SCALE = 18
"""Digits after the point of a column that is `numeric` without limits; 20 are left before it."""

FREE_LIMIT = 10 ** (MOST_DIGITS - FREE_SCALE)


class ParquetFormat:
    """Parquet with the columns' own types.

    The values of partition keys are in the folders' names alone, as readers of the layout expect.
    """

    suffix = "parquet"

    def __init__(self, oversized: Sequence[tuple[str, str]] = ()) -> None:
        self._oversized = frozenset(oversized)
        """(table, column): numerics without limits with a value that no decimal holds: as text."""

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
"""What is asked for instead of a column, by its type."""


def arrow_type(postgres_type: str) -> pa.DataType:
    """The Parquet file's type for a column. Decimals keep their own precision and scale."""
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
            # a row must not be longer than a block
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
    """Columns of type `numeric` without limits that hold a value which no decimal of Parquet does.

    JSON's numbers have no limits, so there may be one some day; it must not stop every export.
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
    with connection.cursor() as cursor:
        cursor.execute(query)
        (fits,) = cursor.fetchone() or (False,)
    return bool(fits)
