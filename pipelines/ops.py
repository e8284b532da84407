"""`kalshi_ops`: what the loader remembers in the warehouse, and the lock that one load holds."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812

from pipelines.errors import BusyError
from pipelines.warehouse import Warehouse

LOCK = (0x6B616C73, 0x68690001)
"""Key of the advisory lock, two integers: "kals" and "hi" with a 1."""

SECONDS_BETWEEN_TRIES = 0.5

SCHEMA = """
create schema if not exists kalshi_ops;

create table if not exists kalshi_ops.objects (
    entity text not null,
    ticker text not null,
    event_ticker text,
    series_ticker text,
    payload_hash bytea,
    status text,
    open_time timestamptz,
    close_time timestamptz,
    settlement_ts timestamptz,
    is_multivariate boolean not null default false,
    is_followed boolean not null default false,
    first_seen_at timestamptz not null,
    last_seen_at timestamptz not null,
    gone_at timestamptz,
    constraint pk_objects primary key (entity, ticker)
);
comment on table kalshi_ops.objects is
    'One row per event, market or series that Kalshi answered with: when it was seen, and the hash '
    'of the payload that landed last. is_followed: a market that has not reached its last state.';
create index if not exists idx_objects_followed on kalshi_ops.objects (ticker) where is_followed;
create index if not exists idx_objects_event_ticker on kalshi_ops.objects (event_ticker);

create table if not exists kalshi_ops.coverage (
    market_ticker text not null,
    interval_min integer not null,
    wanted tstzmultirange not null default '{}',
    covered tstzmultirange not null default '{}',
    has_gap boolean generated always as (not (wanted <@ covered)) stored,
    constraint pk_coverage primary key (market_ticker, interval_min)
);
comment on table kalshi_ops.coverage is
    'One row per market and interval: what was wanted so far, and what landed windows cover for '
    'good. Stretches are (start, end], by the end of a candle''s period.';
create index if not exists idx_coverage_gap on kalshi_ops.coverage (market_ticker) where has_gap;

create table if not exists kalshi_ops.covered_loads (
    load_id text not null,
    constraint pk_covered_loads primary key (load_id)
);
comment on table kalshi_ops.covered_loads is
    'One row per finished load whose windows are counted in kalshi_ops.coverage.';

create table if not exists kalshi_ops.pruned (
    raw_table text not null,
    before timestamptz not null,
    constraint pk_pruned primary key (raw_table)
);
comment on table kalshi_ops.pruned is
    'One row per raw table of which typed rows were removed: those that were fetched before.';
"""


@contextmanager
def hold_lock(warehouse: Warehouse, *, wait: bool) -> Iterator[Connection]:
    """The connection of the one load that may run on a warehouse, committing by statement.

    Raises BusyError when another load holds the lock, unless `wait`. The lock goes with the
    connection, so a killed load leaves none behind.
    """
    with warehouse.connect(autocommit=True) as connection:
        while not _try_lock(connection):
            if not wait:
                raise BusyError(
                    f"another load is running on {warehouse}: run again when it has ended, "
                    "or with --wait"
                )
            time.sleep(SECONDS_BETWEEN_TRIES)
        with connection.cursor() as cursor:
            cursor.execute(SCHEMA)
        try:
            yield connection
        finally:
            # closing frees it too, but only when the server comes round to it
            with suppress(psycopg2.Error), connection.cursor() as cursor:
                cursor.execute("select pg_advisory_unlock(%s, %s)", LOCK)


def forget(connection: Connection) -> None:
    """Forget what was seen and covered: without the raw rows it would be wrong."""
    with connection.cursor() as cursor:
        cursor.execute("truncate kalshi_ops.objects, kalshi_ops.coverage, kalshi_ops.covered_loads")


def _try_lock(connection: Connection) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("select pg_try_advisory_lock(%s, %s)", LOCK)
        (is_held,) = cursor.fetchone() or (False,)
    return bool(is_held)
