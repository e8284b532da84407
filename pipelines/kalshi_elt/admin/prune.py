"""Removing raw windows of candles that have been typed, as theirs is the largest raw table.

What was covered stays known (`kalshi_ops.coverage`), so nothing is asked for again. A window is
removed only when every one of its candles is in `kalshi.candles`.
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
from kalshi_elt.warehouse.queries import execute, select, select_row
from kalshi_elt.warehouse.sizes import read_size

READERS = (
    *("candles", "rejects", "field_drift"),
    *("candles_1h", "candles_1d", "candles_1d_utc", "prices_before_close"),
)
"""The models that read raw rows of candles, or which of them are new. A load's rows go only when
all of these models have typed it."""

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
    -- Reads the table once, as vacuum does afterwards, too. To look up each load in it instead
    -- would take a join that Citus can't run on the shards.
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
"""Which rows of a load may go. When a candle was rejected, all windows of its market and interval
stay, as it may be in any of them."""

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
"""Notes, before the first row goes, up to when rows are pruned: a full refresh then keeps the typed
candles that were fetched before that moment, as it can't make them anew."""


@dataclass
class Pruned:
    """What was removed, or would be."""

    before: datetime
    is_dry_run: bool
    windows: int = 0
    payload_bytes: int = 0
    """As stored, compressed."""
    returned_bytes: int = 0
    """By how much the table has become smaller. The rest of the freed space stays with the table,
    for rows to come."""

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

    Each load's windows are removed in a transaction of their own, so what was done before an
    interruption is kept. Raises UsageError on an unreadable time, KalshiEltError when nothing is
    typed yet, BusyError while a load is under way.
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
        # each statement on the lock's connection commits by itself: VACUUM allows no transaction
        execute(connection, f"vacuum (analyze) {RAW_TABLE}", [])
        pruned.returned_bytes = max(0, size_before - read_size(connection, RAW_TABLE).bytes)
        return pruned


def _each(connection: Connection, pruned: Pruned, loads: list[str]) -> None:
    """Count each load's windows that may go and, unless it is a dry run, remove them.

    They are counted by a query of their own, as a delete on Citus can't return how many bytes its
    rows take as stored.
    """
    for load_id in loads:
        values = {"load_id": load_id, "before": pruned.before}
        with connection:
            windows, payload_bytes = select_row(connection, COUNT, values)
            if windows and not pruned.is_dry_run:
                execute(connection, REMOVE, values)
        pruned.windows += windows
        pruned.payload_bytes += int(payload_bytes)


def _loads(connection: Connection, before: datetime) -> list[str]:
    """The loads, in order, that all READERS have typed and that have rows fetched before then."""
    values = {"readers": len(READERS), "models": list(READERS), "before": before}
    return [load_id for (load_id,) in select(connection, LOADS, values)]
