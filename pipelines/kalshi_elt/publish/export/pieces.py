"""The pieces in which typed tables are exported, each of which becomes a file.

Tables and columns are read off Postgres' catalog. Only how the large tables are partitioned is
written down here, table by table.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812

from kalshi_elt.warehouse.queries import select
from kalshi_elt.warehouse.tables import FIGURES, Table

MOST_ROWS = 10_000_000
"""The most rows that one query reads and the server sorts, about 3 GB of candles. A table is read
once for each so many rows, and not once for each of its pieces."""


@dataclass(frozen=True)
class PartitionKey:
    """One level of folders, called `name=value`."""

    name: str
    expression: str
    """SQL for the value, of a row called `present`."""
    type: str
    """The value's type in Postgres."""


@dataclass(frozen=True)
class Partitioning:
    """How a large table is cut into pieces."""

    keys: tuple[PartitionKey, ...]
    """The last one is the day."""
    time: str
    """The column whose days they are. It is never NULL."""


def _day(time: str) -> PartitionKey:
    return PartitionKey("day", f"(present.{time} at time zone 'UTC')::date", "date")


PARTITIONED = {
    "candles": Partitioning(
        (PartitionKey("interval_min", "present.interval_min", "integer"), _day("end_ts")), "end_ts"
    ),
    "market_history": Partitioning((_day("valid_from"),), "valid_from"),
    "candles_1h": Partitioning((_day("end_ts"),), "end_ts"),
}
"""The tables that grow with time, not just with the number of markets. A row's day is that of its
time in UTC: a candle that ends at midnight is in the folder of the day that begins then."""


@dataclass(frozen=True)
class Piece:
    """The rows of one file: a whole table, or its rows with certain values of the partition
    keys."""

    table: str
    values: tuple[str, ...]
    rows: int
    fingerprint: str
    """A text that changes whenever a value of a row does, or a column's name or type."""

    def path(self, suffix: str) -> str:
        """Path of its file in the export, with folders in Hive's layout."""
        if self.table not in PARTITIONED:
            return f"{self.table}.{suffix}"
        keys = PARTITIONED[self.table].keys
        folders = [f"{key.name}={value}" for key, value in zip(keys, self.values, strict=True)]
        return "/".join([self.table, *folders, f"part-0.{suffix}"])


NOT_EXPORTED = frozenset({"candles_5m", "candles_15m"})
"""Views of candles, left out as they have nearly as many rows as the candles that they are made
of."""


def read_pieces(connection: Connection, table: Table) -> list[Piece]:
    """The pieces of a table with their fingerprints. The table is read once.

    A fingerprint is the sum of a 64-bit hash of each row with all its columns, so rows need not be
    sorted or kept. Postgres' hash of a row is three times as quick as a hash of the row's text.
    """
    keys = PARTITIONED[table.name].keys if table.name in PARTITIONED else ()
    positions = ", ".join(str(number) for number in range(1, len(keys) + 1))
    query = sql.SQL("select {values} {figures} from {table} as present {grouped}").format(
        values=sql.SQL("".join(f"({key.expression})::text, " for key in keys)),
        figures=sql.SQL(FIGURES),
        table=table.identifier,
        grouped=sql.SQL(f"group by {positions} order by {positions}" if keys else ""),
    )
    columns = hashlib.sha256(repr(table.columns).encode()).hexdigest()[:12]
    return [
        Piece(table.name, tuple(values), rows, f"{rows} {total} {columns}")
        for *values, rows, total in select(connection, query, None)
    ]


def batches(pieces: Sequence[Piece], most_rows: int = MOST_ROWS) -> Iterator[list[Piece]]:
    """The pieces of a table in the order of their days, in groups for one query each, which have at
    most `most_rows` rows; a piece with more has a group for itself."""
    batch: list[Piece] = []
    for piece in sorted(pieces, key=lambda piece: piece.values[::-1]):
        if batch and sum(one.rows for one in batch) + piece.rows > most_rows:
            yield batch
            batch = []
        batch.append(piece)
    if batch:
        yield batch


def select_pieces(table: Table, columns: sql.Composable, pieces: Sequence[Piece]) -> sql.Composable:
    """A query for the rows of some pieces of a table: in the order of the pieces, and in each of
    them of the primary key."""
    select = sql.SQL("select {} from {} as present").format(columns, table.identifier)
    key = [sql.SQL("present.{}").format(sql.Identifier(name)) for name in table.key]
    if table.name not in PARTITIONED:
        return select + _order_by(key)
    wanted = _join_wanted(PARTITIONED[table.name], pieces)
    return select + wanted + _order_by([sql.SQL("wanted.position"), *key])


def _join_wanted(partitioning: Partitioning, pieces: Sequence[Piece]) -> sql.Composable:
    """The part of the query that leaves only the pieces' rows, by a join with the values of their
    partition keys. It names the first and last day, too, so that Postgres reads no partitions of
    other months."""
    numbered = list(enumerate(partitioning.keys))
    arrays = [
        sql.SQL("{}::text[]").format(sql.Literal([piece.values[number] for piece in pieces]))
        + sql.SQL(f"::{key.type}[]")
        for number, key in numbered
    ]
    days = [piece.values[-1] for piece in pieces]
    return sql.SQL(
        " inner join unnest({arrays}) with ordinality as wanted ({names}, position) on {equal} "
        "where present.{time} >= {first}::timestamp at time zone 'UTC' "
        "and present.{time} < ({last}::date + 1)::timestamp at time zone 'UTC'"
    ).format(
        arrays=sql.SQL(", ").join(arrays),
        names=sql.SQL(", ".join(f"key_{number}" for number, _ in numbered)),
        equal=sql.SQL(
            " and ".join(f"wanted.key_{number} = {key.expression}" for number, key in numbered)
        ),
        time=sql.Identifier(partitioning.time),
        first=sql.Literal(min(days)),
        last=sql.Literal(max(days)),
    )


def _order_by(expressions: Sequence[sql.Composable]) -> sql.Composable:
    if not expressions:
        return sql.SQL("")
    return sql.SQL(" order by ") + sql.SQL(", ").join(expressions)
