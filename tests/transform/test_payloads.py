"""Recorded answers of all eras, landed and typed, against an independent reading with Decimal.

The recordings are not part of the project; where their folder is missing, these tests are skipped.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kalshi_elt.base.paths import PROJECT_ROOT
from kalshi_elt.kalshi.records import EventRow, MarketRow, Origin, WindowRow
from kalshi_elt.load.landing.lander import Lander
from kalshi_elt.load.landing.source import raw_rows_source
from kalshi_elt.ops.lock import hold_lock
from simulator import Simulator
from tests.conftest import Project, empty_project

PAYLOADS = PROJECT_ROOT.parent / "shared" / "kalshi" / "payloads"
FILES = sorted(PAYLOADS.glob("*.json"))
FIRST_FETCH = datetime(2026, 11, 1, tzinfo=UTC)
INTERVAL = 60

pytestmark = pytest.mark.skipif(not FILES, reason=f"no recorded payloads in {PAYLOADS}")

EVENT_TEXTS = ("series_ticker", "title", "sub_title", "category", "fee_type_override")
EVENT_AS_THEY_ARE = (
    *("mutually_exclusive", "available_on_brokers", "exchange_index", "fee_multiplier_override"),
    *("settlement_sources", "product_metadata"),
)
EVENT_TEXTS_OR_NULL = ("collateral_return_type", "strike_period")
MARKET_TEXTS = (
    *("title", "yes_sub_title", "no_sub_title", "market_type", "status", "early_close_condition"),
    *("price_level_structure", "response_price_units", "strike_type", "mve_collection_ticker"),
    *("primary_participant_key", "settlement_bounds_type", "functional_strike"),
)
MARKET_TEXTS_OR_NULL = (
    *("subtitle", "category", "result", "expiration_value", "rules_primary", "rules_secondary"),
)
MARKET_PRICES = (
    *("last_price", "previous_price", "yes_ask", "yes_bid", "no_ask", "no_bid"),
    *("previous_yes_ask", "previous_yes_bid", "notional_value", "settlement_value"),
)
MARKET_COUNTS = ("open_interest", "volume", "volume_24h")
MARKET_SIZES = ("yes_bid_size", "yes_ask_size")
MARKET_TIMES = (
    *("open_time", "close_time", "expiration_time", "expected_expiration_time"),
    *("latest_expiration_time", "created_time", "updated_time", "settlement_ts"),
    *("occurrence_datetime", "fee_waiver_expiration_time"),
)
MARKET_NUMBERS = (
    *("tick_size", "risk_limit_cents", "settlement_timer_seconds", "exchange_index"),
    *("floor_strike", "cap_strike"),
)
OUR_OWN_OF_MARKETS = {"market_ticker", "event_ticker", "gone_at", "fetched_at", "updated_at"}
"""Keys, by which rows are found, and what is not from the payload."""

MARKET_AS_THEY_ARE = (
    *("can_close_early", "fractional_trading_enabled", "is_provisional"),
    *("price_ranges", "custom_strike", "mve_selected_legs"),
)
OUR_OWN_OF_CANDLES = {"market_ticker", "interval_min", "end_ts", "fetched_at", "created_at"}
TRADE = {"open": "open", "high": "high", "low": "low", "close": "close", "previous": "prev"}


class Recorded:
    """All objects of the recordings. Of several events or markets with one key the last counts;
    candles are kept apart by file, under tickers of their own."""

    def __init__(self) -> None:
        self.events: dict[str, dict[str, Any]] = {}
        self.markets: dict[str, dict[str, Any]] = {}
        self.candles: dict[tuple[str, int], dict[str, Any]] = {}
        for self._file, file in enumerate(FILES):
            self._walk(json.loads(file.read_text(), parse_float=Decimal))

    def _walk(self, value: Any, ticker: str | None = None) -> None:
        if isinstance(value, list):
            for item in value:
                self._walk(item, ticker)
        elif isinstance(value, dict):
            self._take(value, ticker)

    def _take(self, value: dict[str, Any], ticker: str | None) -> None:
        if "end_period_ts" in value:
            self.candles[f"{ticker} in file {self._file}", value["end_period_ts"]] = value
            return
        if "market_type" in value and "ticker" in value:
            self.markets[value["ticker"]] = value
        elif "mutually_exclusive" in value and "series_ticker" in value:
            self.events[value["event_ticker"]] = value
        if "market_candlesticks" in value:
            for name, candles in zip(
                value["market_tickers"], value["market_candlesticks"], strict=True
            ):
                self._walk(candles, name)
            return
        name = value.get("market_ticker") or value.get("ticker") or ticker
        for key, item in value.items():
            self._walk(item, name if isinstance(name, str) else key)


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return Recorded()


@pytest.fixture(scope="module")
def typed(
    server_url: str, recorded: Recorded, simulator: Simulator, dbt_work: Path
) -> Iterator[Project]:
    """A warehouse with every recorded object landed and typed."""
    with empty_project(server_url, simulator, dbt_work) as project:
        warehouse = project.warehouse()
        with hold_lock(warehouse, wait=True) as connection:
            lander = Lander(warehouse)
            lander.create_tables(connection)
            lander.land(
                raw_rows_source(
                    events=_event_rows(recorded),
                    markets=_market_rows(recorded),
                    candlesticks=_window_rows(recorded),
                )
            )
        project.must("dbt", "run", "-s", "+candles")
        yield project


def _event_rows(recorded: Recorded) -> Iterator[EventRow]:
    events = {
        ticker: {key: value for key, value in event.items() if key != "markets"}
        for ticker, event in recorded.events.items()
    }
    for market in recorded.markets.values():
        ticker = market["event_ticker"]
        events.setdefault(ticker, {"event_ticker": ticker})
    events["PARENT"] = {"event_ticker": "PARENT"}
    for ticker, event in events.items():
        yield EventRow(ticker, _json(event), _origin())


def _market_rows(recorded: Recorded) -> Iterator[MarketRow]:
    markets = dict(recorded.markets)
    for ticker, _ in recorded.candles:
        markets.setdefault(ticker, {"ticker": ticker, "event_ticker": "PARENT"})
    for ticker, market in markets.items():
        yield MarketRow(ticker, market["event_ticker"], _json(market), _origin())


def _window_rows(recorded: Recorded) -> Iterator[WindowRow]:
    for (ticker, end), candle in recorded.candles.items():
        moment = datetime.fromtimestamp(end, UTC)
        yield WindowRow(
            ticker, INTERVAL, moment - timedelta(hours=1), moment, _json([candle]), _origin()
        )


def _json(value: Any) -> bytes:
    """Decimals as JSON numbers with their own spelling."""
    marks: dict[str, str] = {}

    def mark(number: Any) -> str:
        assert isinstance(number, Decimal)
        marks[f"\ue000{len(marks)}\ue001"] = str(number)
        return f"\ue000{len(marks) - 1}\ue001"

    text = json.dumps(value, default=mark, ensure_ascii=False)
    for name, number in marks.items():
        text = text.replace(f'"{name}"', number)
    return text.encode()


def _origin() -> Origin:
    return Origin("recorded", "live", FIRST_FETCH)


def test_the_recordings_hold_all_kinds_of_objects(recorded: Recorded) -> None:
    assert len(recorded.events) > 100
    assert len(recorded.markets) > 600
    assert len(recorded.candles) > 200


def test_every_recorded_event_is_typed_as_recorded(typed: Project, recorded: Recorded) -> None:
    rows = _by_key(typed, "events", "event_ticker")

    for ticker, event in recorded.events.items():
        row = rows[ticker]
        expected = {key: event.get(key) for key in EVENT_TEXTS}
        expected |= {key: event.get(key) or None for key in EVENT_TEXTS_OR_NULL}
        for key in EVENT_AS_THEY_ARE:
            expected[key] = event.get(key)
        for key in ("last_updated_ts", "strike_date"):
            expected[key] = _moment(event.get(key))
        assert row.keys() - expected.keys() == {"event_ticker", "fetched_at", "updated_at"}
        assert {key: row[key] for key in expected} == expected, ticker


def test_every_recorded_market_is_typed_as_recorded(typed: Project, recorded: Recorded) -> None:
    rows = _by_key(typed, "markets", "market_ticker")

    for ticker, market in recorded.markets.items():
        row = rows[ticker]
        expected = _expected_market(market)
        assert row.keys() - expected.keys() == OUR_OWN_OF_MARKETS
        assert {key: row[key] for key in expected} == expected, ticker


def _expected_market(market: dict[str, Any]) -> dict[str, Any]:
    expected: dict[str, Any] = {key: market.get(key) for key in MARKET_TEXTS}
    expected |= {key: market.get(key) or None for key in MARKET_TEXTS_OR_NULL}
    expected |= {key: market.get(key) for key in MARKET_AS_THEY_ARE}
    expected |= {key: market.get(key) for key in MARKET_NUMBERS}
    expected |= {key: _moment(market.get(key)) for key in MARKET_TIMES}
    for key in MARKET_PRICES:
        dollars = _dollars(market, key)
        expected |= {f"{key}_dollars": dollars, key: _cents(dollars)}
    for key in MARKET_COUNTS:
        count = _count(market, key)
        expected |= {f"{key}_fp": count, key: None if count is None else int(count)}
    expected |= {f"{key}_fp": _count(market, key) for key in MARKET_SIZES}
    liquidity = _dollars(market, "liquidity")
    expected |= {"liquidity_dollars": liquidity, "liquidity": _cents(liquidity)}
    return expected | {"settlement_floor_dollars": _dollars(market, "settlement_floor")}


def test_every_recorded_candle_is_typed_as_recorded(typed: Project, recorded: Recorded) -> None:
    rows = {
        (row["market_ticker"], int(row["end_ts"].timestamp())): row
        for row in _rows(typed, "candles")
    }

    assert rows.keys() == recorded.candles.keys()
    for key, candle in recorded.candles.items():
        expected = _expected_candle(candle)
        assert rows[key].keys() - expected.keys() == OUR_OWN_OF_CANDLES
        assert {name: rows[key][name] for name in expected} == expected, key


def _expected_candle(candle: dict[str, Any]) -> dict[str, Any]:
    volume, interest = _count(candle, "volume") or Decimal(0), _count(candle, "open_interest")
    expected: dict[str, Any] = {
        "volume_fp": volume,
        "volume": int(volume),
        "open_interest_fp": interest,
        "open_interest": None if interest is None else int(interest),
        "trade_mean_dollars": _dollars(candle["price"], "mean"),
    }
    for key, name in TRADE.items():
        dollars = _dollars(candle["price"], key)
        expected |= {f"trade_{name}_dollars": dollars, f"trade_{name}": _cents(dollars)}
    for side in ("yes_bid", "yes_ask"):
        for key in ("open", "high", "low", "close"):
            dollars = _dollars(candle[side], key)
            expected |= {f"{side}_{key}_dollars": dollars, f"{side}_{key}": _cents(dollars)}
    return expected


def _dollars(holder: dict[str, Any], key: str) -> Decimal | None:
    """Dollar texts win; a JSON number is cents."""
    for name in (f"{key}_dollars", key):
        value = holder.get(name)
        if isinstance(value, str):
            return Decimal(value)
        if value is not None:
            return Decimal(value) / 100
    return None


def _cents(dollars: Decimal | None) -> int | None:
    cents = None if dollars is None else dollars * 100
    return int(cents) if cents is not None and cents == int(cents) else None


def _count(holder: dict[str, Any], key: str) -> Decimal | None:
    value = holder.get(f"{key}_fp", holder.get(key))
    return None if value is None else Decimal(value)


def _moment(text: str | None) -> datetime | None:
    moment = datetime.fromisoformat(text) if text else None
    return moment if moment and moment.year > 1 else None


def _by_key(project: Project, table: str, key: str) -> dict[str, dict[str, Any]]:
    return {row[key]: row for row in _rows(project, table)}


def _rows(project: Project, table: str) -> list[dict[str, Any]]:
    columns = [
        name
        for (name,) in project.query(
            "select column_name from information_schema.columns "
            "where table_schema = 'kalshi' and table_name = %s order by ordinal_position",
            table,
        )
    ]
    return [
        dict(zip(columns, row, strict=True))
        for row in project.query(f"select {', '.join(columns)} from kalshi.{table}")
    ]
