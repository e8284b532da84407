"""Landing objects that a test has made up, as the loader would."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from dlt.extract import DltResource

from kalshi_elt.kalshi.records import EventRow, MarketRow, Origin, WindowRow, key_or_none
from kalshi_elt.load.landing.lander import Lander
from kalshi_elt.load.landing.source import raw_rows_source
from kalshi_elt.ops.coverage import count_finished_loads
from kalshi_elt.ops.lock import hold_lock
from tests.conftest import Project

START = datetime(2026, 11, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Window:
    """A market's candles, as asked for from START for an hour. The payload may be anything."""

    market_ticker: str
    payload: Any
    interval_min: int = 1


@dataclass(frozen=True)
class Landing:
    """The objects of one load, which arrived `minute` minutes after START."""

    minute: float = 0
    events: Sequence[Any] = field(default_factory=tuple)
    markets: Sequence[Any] = field(default_factory=tuple)
    windows: Sequence[Window] = field(default_factory=tuple)
    tier: str = "live"


def land(project: Project, *landings: Landing) -> None:
    """Land each of them as a load, in the order given, and count what they covered."""
    warehouse = project.warehouse()
    with hold_lock(warehouse, wait=True) as connection:
        lander = Lander(warehouse)
        lander.create_tables(connection)
        for landing in landings:
            lander.land(_source(landing))
        count_finished_loads(connection)


def _source(landing: Landing) -> list[DltResource]:
    origin = Origin("test", landing.tier, START + timedelta(minutes=landing.minute))
    return raw_rows_source(
        series=iter(()),
        events=[
            EventRow(_key(event, "event_ticker"), _json(event), origin) for event in landing.events
        ],
        markets=[
            MarketRow(_key(market, "ticker"), _key(market, "event_ticker"), _json(market), origin)
            for market in landing.markets
        ],
        candlesticks=[
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
    """The four prices, in dollars, of a period in which the price does not move."""
    return {f"{name}_dollars": price for name in ("open", "high", "low", "close")}


def candle(minute: int = 1, **fields: Any) -> dict[str, Any]:
    """A live candle whose period ends `minute` minutes after START."""
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
