"""Landing objects of a test's own making, as the loader would."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dlt.common.time import precise_time
from psycopg2 import sql

from kalshi_elt.kalshi.records import EventRow, MarketRow, Origin, WindowRow, key_or_none
from kalshi_elt.load.landing.copy_file import read_columns
from kalshi_elt.load.landing.lander import Lander
from kalshi_elt.load.landing.source import (
    CANDLESTICKS,
    EVENTS,
    MARKETS,
    RawTable,
    raw_rows_source,
    write_rows,
)
from kalshi_elt.ops.coverage import count_finished_loads
from kalshi_elt.ops.lock import hold_lock
from kalshi_elt.warehouse.names import RAW_SCHEMA
from kalshi_elt.warehouse.queries import exists
from tests.conftest import Project

START = datetime(2026, 11, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Window:
    """The candles of one request for an hour from `START`; the payload may be anything."""

    market_ticker: str
    payload: Any
    interval_min: int = 1


@dataclass(frozen=True)
class Landing:
    """One load: objects that arrived at a minute after `START`."""

    minute: float = 0
    events: Sequence[Any] = field(default_factory=tuple)
    markets: Sequence[Any] = field(default_factory=tuple)
    windows: Sequence[Window] = field(default_factory=tuple)
    tier: str = "live"


def land(project: Project, *landings: Landing) -> None:
    """Land each as a load of its own, in the order given: the same rows that the loader lands, by
    the same files, but without dlt, which takes 0.3 CPU seconds a load. It makes the tables."""
    warehouse = project.warehouse()
    with hold_lock(warehouse, wait=True) as connection:
        if not exists(connection, RAW_SCHEMA, "candlesticks"):
            Lander(warehouse).create_tables(connection)
        with connection.cursor() as cursor, TemporaryDirectory() as folder:
            for landing in landings:
                load_id = str(precise_time())
                for table, rows in _rows(landing):
                    file = Path(folder) / table.name
                    write_rows(file, table, rows, load_id)
                    _copy(cursor, table, file)
                cursor.execute(
                    f"insert into {RAW_SCHEMA}._dlt_loads "
                    "(load_id, schema_name, status, inserted_at) values (%s, 'kalshi', 0, now())",
                    [load_id],
                )
        count_finished_loads(connection)


def land_through_dlt(project: Project, landing: Landing) -> None:
    """Land a load as the loader does."""
    warehouse = project.warehouse()
    with hold_lock(warehouse, wait=True) as connection:
        lander = Lander(warehouse)
        lander.create_tables(connection)
        lander.land(raw_rows_source(**{table.name: rows for table, rows in _rows(landing)}))
        count_finished_loads(connection)


def _rows(landing: Landing) -> list[tuple[RawTable, list[Any]]]:
    origin = Origin("test", landing.tier, START + timedelta(minutes=landing.minute))
    return [
        (
            EVENTS,
            [
                EventRow(_key(event, "event_ticker"), _json(event), origin)
                for event in landing.events
            ],
        ),
        (
            MARKETS,
            [
                MarketRow(
                    _key(market, "ticker"), _key(market, "event_ticker"), _json(market), origin
                )
                for market in landing.markets
            ],
        ),
        (
            CANDLESTICKS,
            [
                WindowRow(
                    window.market_ticker,
                    window.interval_min,
                    START,
                    START + timedelta(hours=1),
                    _json(window.payload),
                    origin,
                )
                for window in landing.windows
            ],
        ),
    ]


def _copy(cursor: Any, table: RawTable, file: Path) -> None:
    with file.open("rb") as rows:
        names = sql.SQL(", ").join(map(sql.Identifier, read_columns(rows)))
        to = sql.Identifier(RAW_SCHEMA, table.name)
        cursor.copy_expert(
            sql.SQL("copy {} ({}) from stdin (format binary)").format(to, names), rows
        )


def event(ticker: str = "E", **fields: Any) -> dict[str, Any]:
    """A live event object."""
    return {
        "event_ticker": ticker,
        "series_ticker": "S",
        "title": "Who?",
        "mutually_exclusive": True,
        **fields,
    }


def market(ticker: str = "M", event_ticker: str = "E", **fields: Any) -> dict[str, Any]:
    """A live market object."""
    return {
        "ticker": ticker,
        "event_ticker": event_ticker,
        "market_type": "binary",
        "status": "active",
        "result": "",
        "yes_bid_dollars": "0.3400",
        "yes_ask_dollars": "0.3600",
        "last_price_dollars": "0.3500",
        "yes_bid_size_fp": "7.00",
        "volume_fp": "12.50",
        "open_interest_fp": "10.00",
        "open_time": "2026-10-01T00:00:00Z",
        **fields,
    }


def flat(price: str) -> dict[str, str]:
    """A price, in dollars, that does not move in a period."""
    return {f"{name}_dollars": price for name in ("open", "high", "low", "close")}


def candle(minute: int = 1, **fields: Any) -> dict[str, Any]:
    """A live candle whose period ends so many minutes after `START`."""
    quotes = flat("0.3400")
    return {
        "end_period_ts": int(START.timestamp()) + 60 * minute,
        "price": {"previous_dollars": "0.3300"},
        "yes_bid": quotes,
        "yes_ask": quotes,
        "volume_fp": "0.00",
        "open_interest_fp": "10.00",
        **fields,
    }


def _key(value: Any, key: str) -> str | None:
    return key_or_none(value.get(key) if isinstance(value, dict) else None)


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
