"""The incremental tables of schema `kalshi`, and all that is in them."""

from typing import Any

from tests.conftest import Project

KEYED_TABLES = {
    "series": "series_ticker",
    "events": "event_ticker",
    "markets": "market_ticker",
    "candles": "market_ticker, interval_min, end_ts",
    "market_history": "market_ticker, valid_from",
    "rejects": "entity, market_ticker, reject_key",
    "field_drift": "entity, tier, field_path",
    "candles_1h": "market_ticker, end_ts",
    "candles_1d": "market_ticker, end_ts",
    "candles_1d_utc": "market_ticker, end_ts",
    "prices_before_close": "market_ticker, hours_before_close",
}
"""Every incremental model, with its primary key."""

DISTRIBUTED_TABLES = sorted(
    [
        *("kalshi_raw.candlesticks", "kalshi_raw.markets", "kalshi_ops.coverage"),
        *(f"kalshi.{table}" for table, key in KEYED_TABLES.items() if "market_ticker" in key),
    ]
)
REFERENCE_TABLES = [
    *("kalshi.events", "kalshi.field_drift", "kalshi.series"),
    *("kalshi_raw.events", "kalshi_raw.series"),
]
"""Which tables are distributed on a Citus cluster, and which are whole on each node."""

NEVER_FILLED = ("series", "prices_before_close")
"""Tables that stay empty when tests land their own objects: those have no series, and no settled
market whose candles before its close were asked for."""


def typed_rows(project: Project) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every incremental table, without the columns that say when it was written."""
    return {
        table: project.query(
            f"select to_jsonb({table}) - 'updated_at' - 'created_at' "
            f"from kalshi.{table} order by {keys}"
        )
        for table, keys in KEYED_TABLES.items()
    }


def layout(project: Project) -> dict[str, list[str]]:
    """Our tables on the cluster, by Citus' kind of table, without partitions."""
    found = project.query(
        "select citus_table_type, array_agg(table_name::text order by table_name::text) "
        "from citus_tables where not exists "
        "(select from pg_inherits where inhrelid = table_name) group by 1"
    )
    return dict(found)
