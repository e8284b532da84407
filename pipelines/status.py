"""What is in the warehouse: rows by table, the last load, how new the data is."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812

from pipelines.warehouse import RAW_SCHEMA, RAW_TABLES, TYPED_SCHEMA, TYPED_TABLES, Warehouse

TABLES = (
    *((RAW_SCHEMA, name) for name in RAW_TABLES),
    *((TYPED_SCHEMA, name) for name in TYPED_TABLES),
)


@dataclass(frozen=True)
class Status:
    """Counts and times; None where a table or a row is not there yet."""

    rows: dict[str, int | None]
    last_load: datetime | None
    newest_candles: dict[int, datetime]
    """The newest candle's end, by interval in minutes."""


def read_status(warehouse: Warehouse) -> Status:
    """Look into the warehouse."""
    with warehouse.connect() as connection:
        rows = {f"{schema}.{table}": _count(connection, schema, table) for schema, table in TABLES}
        has_loads = _exists(connection, RAW_SCHEMA, "_dlt_loads")
        loads = f"select max(inserted_at) from {RAW_SCHEMA}._dlt_loads where status = 0"
        newest = (
            f"select interval_min, max(end_ts) from {TYPED_SCHEMA}.candles group by 1 order by 1"
        )
        return Status(
            rows=rows,
            last_load=_select(connection, loads)[0][0] if has_loads else None,
            newest_candles=dict(sorted(_select(connection, newest)))
            if rows["kalshi.candles"]
            else {},
        )


def render(status: Status, warehouse: Warehouse) -> str:
    """The status as lines of text."""
    lines = [f"warehouse  {warehouse}"]
    lines += [
        f"{name:<24} {'not there yet' if count is None else f'{count:>12,} rows'}"
        for name, count in status.rows.items()
    ]
    lines.append(f"last load  {_ago(status.last_load)}")
    lines += [
        f"newest {interval}-minute candle  {_ago(newest)}"
        for interval, newest in sorted(status.newest_candles.items())
    ]
    return "\n".join(lines)


def _ago(moment: datetime | None) -> str:
    if moment is None:
        return "none yet"
    minutes = int((datetime.now(UTC) - moment).total_seconds() // 60)
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC, {minutes:,} min ago"


def _exists(connection: Connection, schema: str, table: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("select to_regclass(%s) is not null", [f"{schema}.{table}"])
        (found,) = cursor.fetchone() or (False,)
    return bool(found)


def _count(connection: Connection, schema: str, table: str) -> int | None:
    if not _exists(connection, schema, table):
        return None
    query = sql.SQL("select count(*) from {}").format(sql.Identifier(schema, table))
    return int(_select(connection, query)[0][0])


def _select(connection: Connection, query: str | sql.Composed) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()
