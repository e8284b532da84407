"""Removing raw windows of candles that are typed: retention of the largest raw table.

What was covered stays known (`kalshi_ops.coverage`), so nothing is asked for again. Nothing is
removed that is not typed: a window goes only when every one of its candles is in `kalshi.candles`.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from psycopg2.extensions import connection as Connection  # noqa: N812

from kalshi_elt.base.errors import KalshiEltError
from kalshi_elt.base.text import count, size
from kalshi_elt.base.times import parse_moment
from kalshi_elt.ops.lock import hold_lock
from kalshi_elt.warehouse.connection import Warehouse
from kalshi_elt.warehouse.names import RAW_SCHEMA, TYPED_SCHEMA
from kalshi_elt.warehouse.queries import execute, select_row
from kalshi_elt.warehouse.sizes import read_size

READERS = (
    *("candles", "rejects", "field_drift"),
    *("candles_1h", "candles_1d", "candles_1d_utc", "prices_before_close"),
)
"""The models that read candles, or which windows are new, from the raw rows."""

RAW_TABLE = f"{RAW_SCHEMA}.candlesticks"

IS_READY = f"""
select
    to_regclass('{TYPED_SCHEMA}.candles') is not null
    and to_regclass('{RAW_TABLE}') is not null
    and to_regclass('{TYPED_SCHEMA}.rejects') is not null
"""

LOADS = f"""
select loads.load_id
from kalshi_ops.loads
inner join kalshi_ops.covered_loads
    on loads.load_id = covered_loads.load_id
where
    loads.build <= (
        select case when count(*) = %(readers)s then min(typed_models.build) end
        from kalshi_ops.typed_models
        where typed_models.model = any (%(models)s)
    )
    -- read once, as vacuum does afterwards: look-ups by load would not run on the shards of Citus
    and loads.load_id in (
        select distinct landed._dlt_load_id from {RAW_TABLE} as landed
        where landed.fetched_at < %(before)s
    )
order by loads.load_id
"""

REMOVABLE = f"""
landed._dlt_load_id = %(load_id)s
and landed.fetched_at < %(before)s
and jsonb_typeof(landed.payload) = 'array'
and jsonb_array_length(landed.payload) <= (
    select count(*) from {TYPED_SCHEMA}.candles
    where
        candles.market_ticker = landed.market_ticker
        and candles.interval_min = landed.interval_min
        and candles.end_ts > landed.window_start
        and candles.end_ts <= landed.window_end
)
and not exists (
    select from {TYPED_SCHEMA}.rejects
    where
        rejects.entity in ('candle', 'window')
        and rejects.market_ticker = landed.market_ticker
        and rejects.interval_min = landed.interval_min
)
"""
"""What can go: a rejected candle keeps all windows of its market, as it may be in any of them."""

COUNT = f"""
select count(*), coalesce(sum(pg_column_size(landed.payload)), 0)
from {RAW_TABLE} as landed
where {REMOVABLE}
"""

REMOVE = f"delete from {RAW_TABLE} as landed where {REMOVABLE}"

REMEMBER = """
insert into kalshi_ops.pruned (raw_table, before)
values ('candlesticks', %s)
on conflict (raw_table) do update set before = greatest(pruned.before, excluded.before)
"""
"""Before the first row goes: a full refresh keeps typed candles that were fetched before it."""


@dataclass
class Pruned:
    """What was removed, or would be."""

    before: datetime
    is_dry_run: bool
    windows: int = 0
    payload_bytes: int = 0
    """As stored, compressed."""
    returned_bytes: int = 0
    """What the table has become smaller; the rest of the space is used for rows to come."""

    def __str__(self) -> str:
        if self.is_dry_run:
            return (
                f"would remove {count(self.windows, 'typed window')} fetched before "
                f"{self.before:%Y-%m-%d %H:%M} UTC, {size(self.payload_bytes)}"
            )
        return (
            f"removed {count(self.windows, 'typed window')} fetched before "
            f"{self.before:%Y-%m-%d %H:%M} UTC and freed {size(self.payload_bytes)} "
            f"({self.payload_bytes:,} bytes): {size(self.returned_bytes)} given back to the disk, "
            "the rest is for rows to come"
        )


def prune(warehouse: Warehouse, older_than: str, *, now: float, dry_run: bool) -> Pruned:
    """Remove the raw windows fetched before `older_than` (`30d`, or an ISO date or time).

    Load by load, each in a transaction of its own: an interruption keeps what is done. Raises
    UsageError on an unreadable time, BusyError while a load runs.
    """
    before = datetime.fromtimestamp(parse_moment("raw-older-than", older_than, now), UTC)
    with hold_lock(warehouse, wait=False, role=None) as connection:
        (is_ready,) = select_row(connection, IS_READY)
        if not is_ready:
            raise KalshiEltError("nothing is typed yet: run `make load && make transform` first")
        pruned = Pruned(before, dry_run)
        loads = _loads(connection, before)
        if dry_run:
            _each(connection, pruned, loads)
            return pruned
        size_before = read_size(connection, RAW_TABLE).bytes
        execute(connection, REMEMBER, [before])
        _each(connection, pruned, loads)
        # the lock's connection commits by statement, as VACUUM needs
        execute(connection, f"vacuum (analyze) {RAW_TABLE}", [])
        pruned.returned_bytes = max(0, size_before - read_size(connection, RAW_TABLE).bytes)
        return pruned


def _each(connection: Connection, pruned: Pruned, loads: list[str]) -> None:
    """Count, and remove unless it is a dry run. Counted apart: sizes as stored are known where the
    rows are, and a delete on Citus can't return them."""
    for load_id in loads:
        values = {"load_id": load_id, "before": pruned.before}
        with connection:
            windows, payload_bytes = select_row(connection, COUNT, values)
            if windows and not pruned.is_dry_run:
                execute(connection, REMOVE, values)
        pruned.windows += windows
        pruned.payload_bytes += int(payload_bytes)


def _loads(connection: Connection, before: datetime) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(LOADS, {"readers": len(READERS), "models": list(READERS), "before": before})
        return [load_id for (load_id,) in cursor.fetchall()]
