"""Rebuilding the typed tables from the raw rows alone, and proving that they are the same."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812

from kalshi_elt.base.errors import KalshiEltError
from kalshi_elt.base.text import count, visible
from kalshi_elt.ops.lock import hold_lock
from kalshi_elt.transform.build import run_dbt, transform
from kalshi_elt.warehouse.connection import Warehouse
from kalshi_elt.warehouse.names import RAW_SCHEMA, TYPED_SCHEMA
from kalshi_elt.warehouse.queries import execute, select_row
from kalshi_elt.warehouse.tables import Table, read_tables

BUILT_AT = frozenset({"created_at", "updated_at"})
"""Columns that say when a row was written here. They can't be rebuilt, and so are not compared."""

MOST_KEYS = 3
"""How many rows of a table that differ are named."""

PRUNED = "select before from kalshi_ops.pruned where raw_table = 'candlesticks'"

KEPT = f"""
select count(*)
from {TYPED_SCHEMA}.candles
where
    candles.fetched_at < %s
    and not exists (
        select from {RAW_SCHEMA}.candlesticks as landed
        where
            landed.market_ticker = candles.market_ticker
            and landed.interval_min = candles.interval_min
            and landed.fetched_at = candles.fetched_at
    )
"""


@dataclass(frozen=True)
class Compared:
    """A table as it was before, compared with the same table rebuilt."""

    name: str
    rows: int
    differing: int = 0
    keys: tuple[str, ...] = ()
    """Keys of the first rows that differ, each with how: gone, new or changed."""
    note: str = ""

    def __str__(self) -> str:
        if not self.differing:
            return f"{self.name:<16} equal, {count(self.rows, 'row')}{self.note}"
        verb = "differs" if self.differing == 1 else "differ"
        more = ", ..." if self.differing > len(self.keys) else ""
        return (
            f"{self.name:<16} {count(self.differing, 'row')} of {self.rows:,} {verb}: "
            f"{', '.join(self.keys)}{more}{self.note}"
        )


def replay(warehouse: Warehouse) -> str:
    """Rebuild every typed table from the raw rows; returns a line that says what was done.

    No load can begin meanwhile. Raises BusyError while a load is under way, KalshiEltError when a
    model or a test fails.
    """
    started = time.monotonic()
    # as the user, who reads and writes all of it, where there are roles
    with hold_lock(warehouse, wait=False, role=None) as connection:
        transform(warehouse, ["--full-refresh"])
        tables = count(len(_keyed_tables(connection)), "table")
        kept = _kept(connection)
    return f"rebuilt {tables} from {RAW_SCHEMA}{kept} ({time.monotonic() - started:.1f} s)"


def verify(warehouse: Warehouse) -> list[Compared]:
    """Rebuild every typed table, and compare each with what it was before.

    New rows are typed first, so that both are of the same loads. `settlements` is not compared, as
    it is a view of the others. Raises what `replay` does.
    """
    # as the user, who reads and writes all of it, where there are roles
    with hold_lock(warehouse, wait=False, role=None) as connection:
        if not _keyed_tables(connection):
            raise KalshiEltError("nothing is typed yet: run `make load && make transform` first")
        # without dbt's tests: wrong rows would fail them, and are to be found by comparing
        run_dbt(warehouse, ["run"], quiet=True)
        tables = _keyed_tables(connection)
        for table in tables:
            _remember(connection, table)
        transform(warehouse, ["--full-refresh"])
        return [_compare(connection, table) for table in tables]


def raise_unless_equal(compared: Sequence[Compared]) -> None:
    """Raise KalshiEltError that names the tables of which rows differ."""
    differing = [f"{one.name} ({one.differing:,})" for one in compared if one.differing]
    if differing:
        raise KalshiEltError(
            f"replay: rows were not as {RAW_SCHEMA} says in {', '.join(differing)}; the lines "
            "above name some, and the tables now hold what it says"
        )


def _keyed_tables(connection: Connection) -> list[Table]:
    return [table for table in read_tables(connection) if not table.is_view and table.key]


def _remember(connection: Connection, table: Table) -> None:
    """Keep the key and a hash of each row in a temporary table, which ends with the connection.

    By the keys, rows that differ can be named, and not only counted. It takes about 80 bytes of the
    server's disk for a candle, a fraction of what the full refresh itself takes.
    """
    query = sql.SQL("create temporary table {} as select {}, {} as row_hash from {} as present {}")
    execute(
        connection,
        query.format(
            _remembered(table),
            _key(table),
            _row_hash(table),
            table.identifier,
            sql.SQL(_provable(connection, table)),
        ),
    )


def _compare(connection: Connection, table: Table) -> Compared:
    """Compare a table with what was kept of it. When the numbers of rows and the sums of their
    hashes are equal, so are the rows, and nothing needs to be joined."""
    provable = _provable(connection, table)
    rows, total = _figures(connection, table, provable)
    before = select_row(
        connection,
        sql.SQL("select count(*), sum(row_hash) from {}").format(_remembered(table)),
    )
    note = _kept(connection) if table.name == "candles" else ""
    if provable:
        note = "; those of candles are not compared, as raw rows were pruned"
    if before == (rows, total):
        return Compared(table.name, rows, note=note)
    differing, keys = _differing(connection, table, provable)
    return Compared(table.name, rows, differing, keys, note)


def _differing(connection: Connection, table: Table, provable: str) -> tuple[int, tuple[str, ...]]:
    """How many rows differ, and the keys of the first MOST_KEYS of them."""
    query = sql.SQL(
        """
        with present as (
            select {key}, {row_hash} as row_hash from {table} as present {provable}
        ),
        differing as (
            select
                concat_ws(' ', {key}) as key,
                case
                    when present.row_hash is null then 'gone'
                    when remembered.row_hash is null then 'new'
                    else 'changed'
                end as what
            from present
            full join {remembered} as remembered using ({key})
            where present.row_hash is distinct from remembered.row_hash
        )
        select
            (select count(*) from differing),
            array(select key || ' (' || what || ')' from differing order by 1 limit {most})
        """
    ).format(
        key=_key(table),
        row_hash=_row_hash(table),
        table=table.identifier,
        provable=sql.SQL(provable),
        remembered=_remembered(table),
        most=sql.Literal(MOST_KEYS),
    )
    differing, keys = select_row(connection, query)
    # keys are texts of Kalshi, and are printed to a terminal
    return differing, tuple(map(visible, keys))


def _figures(connection: Connection, table: Table, provable: str) -> tuple[int, int]:
    query = sql.SQL("select count(*), sum({}) from {} as present {}")
    rows, total = select_row(
        connection, query.format(_row_hash(table), table.identifier, sql.SQL(provable))
    )
    return rows, total


def _row_hash(table: Table) -> sql.Composable:
    """An expression in SQL for a 64-bit hash of a row, without the columns BUILT_AT."""
    columns = [
        sql.SQL("present.{}").format(sql.Identifier(column.name))
        for column in table.columns
        if column.name not in BUILT_AT
    ]
    return sql.SQL("hash_record_extended(row({}), 0)").format(sql.SQL(", ").join(columns))


def _provable(connection: Connection, table: Table) -> str:
    """A condition in SQL that leaves only the rows which can be rebuilt from raw; empty when all
    can.

    field_drift has rows about the fields of candles, which come from raw rows that may have been
    pruned.
    """
    is_pruned = table.name == "field_drift" and _pruned_before(connection) is not None
    return "where present.entity <> 'candle'" if is_pruned else ""


def _kept(connection: Connection) -> str:
    """How many candles no raw row can rebuild, in words; empty when there are none."""
    before = _pruned_before(connection)
    (kept,) = select_row(connection, KEPT, [before]) if before else (0,)
    if not kept:
        return ""
    are = "is" if kept == 1 else "are"
    return f", of which {count(kept, 'candle')} {are} kept, as their raw rows were pruned"


def _pruned_before(connection: Connection) -> Any:
    found = select_row(connection, PRUNED)
    return found[0] if found else None


def _key(table: Table) -> sql.Composable:
    return sql.SQL(", ").join(sql.Identifier(name) for name in table.key)


def _remembered(table: Table) -> sql.Identifier:
    return sql.Identifier("pg_temp", f"remembered_{table.name}")
