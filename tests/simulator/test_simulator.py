"""The simulator against the reference of the API; numbers: sections of docs/kalshi_api.md."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import Candle, Exchange, Market, RequestLog, Simulator
from simulator.candles import PACES, period_ends, period_start, roll_up
from simulator.model import DAY, SECOND
from simulator.prices import PRICE_STRUCTURES, grid
from simulator.seed_event import SEEN_AT
from simulator.shapes import dumps, rfc3339

ROOT = Path(__file__).resolve().parents[2]
PAYLOADS = ROOT.parent / "shared" / "kalshi" / "payloads"
NOTEBOOK = ROOT.parent / "shared" / "seed" / "kalshi_notebook.txt"
NOW = 1_795_000_035
"""2026-11-18, 35 seconds into a minute."""
MOMENTS = (
    "2026-11-01T06:00Z", "2027-03-14T07:00Z", "2026-11-30T23:58Z", "2026-12-31T23:55Z",
    "2028-02-29T12:00Z",
)  # fmt: skip
"""When clocks change in the United States, the ends of a month and a year, a leap day."""
SEED = "KXPRESPERSON-28"
GNEWS = "KXPRESPERSON-28-GNEWS"
JSON = dict[str, Any]
Get = Callable[..., requests.Response]


def clock() -> float:
    return NOW


def exchange_of(events: int = 25, markets: int = 5, **settings: Any) -> Exchange:
    return Exchange.generate(
        events=events, markets_per_event=markets, seed=7, clock=clock, **settings
    )


@pytest.fixture(scope="module")
def shared() -> Iterator[Simulator]:
    """One exchange for all tests that only read."""
    with Simulator(exchange_of()) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def demo() -> Iterator[Simulator]:
    with Simulator(Exchange.demo(clock=clock)) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def legacy() -> Iterator[Simulator]:
    with Simulator(exchange_of(era="legacy")) as simulator:
        yield simulator


@pytest.fixture
def own() -> Iterator[Simulator]:
    """A small exchange for tests that change it or make it fail."""
    with Simulator(exchange_of(8, 3)) as simulator:
        yield simulator


def get(simulator: Simulator, path: str, **query: object) -> requests.Response:
    return requests.get(
        simulator.url + path,
        params={name: str(value) for name, value in query.items()},
        timeout=10,
        allow_redirects=False,
    )


def ok(simulator: Simulator, path: str, **query: object) -> JSON:
    response = get(simulator, path, **query)
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "application/json"
    found: JSON = response.json()
    return found


def pages(simulator: Simulator, path: str, key: str, **query: object) -> list[list[JSON]]:
    """All pages of a list."""
    found: list[list[JSON]] = []
    while True:
        page = ok(simulator, path, **query)
        found.append(page[key])
        query["cursor"] = page["cursor"]
        if not page["cursor"]:
            return found


def rows(simulator: Simulator, path: str, key: str, **query: object) -> list[JSON]:
    return [row for page in pages(simulator, path, key, **query) for row in page]


def batch(simulator: Simulator, tickers: str, start: int, end: int, **query: object) -> JSON:
    query.setdefault("period_interval", 1)
    return ok(
        simulator,
        "/markets/candlesticks",
        market_tickers=tickers,
        start_ts=start,
        end_ts=end,
        **query,
    )


def pick(exchange: Exchange, status: str, **wanted: object) -> Market:
    """A market of one series kind in a status."""
    for market in exchange.markets.values():
        if market.multivariate or market.status(exchange.now) != status:
            continue
        if not exchange.is_live(market):
            continue
        if all(getattr(market, name) == value for name, value in wanted.items()):
            return market
    raise LookupError(status)


def lively(exchange: Exchange) -> Market:
    market = pick(exchange, "active")
    return exchange.change_market(market.ticker, pace="lively")


class TestEvents:
    """GET /events, GET /events/{ticker} (2.1, 2.2)."""

    def test_pages_cover_the_list_without_overlap_or_gap(self, shared: Simulator) -> None:
        found = pages(shared, "/events", "events", limit=7)
        tickers = [event["event_ticker"] for page in found for event in page]
        assert [len(page) for page in found] == [7, 7, 7, 4]
        assert len(set(tickers)) == 25
        assert set(tickers) == {
            event.event_ticker
            for event in shared.exchange.events.values()
            if not event.multivariate
        }

    def test_inserts_between_pages_shift_nothing(self, own: Simulator) -> None:
        first = ok(own, "/events", limit=4)
        event = next(iter(own.exchange.events.values()))
        newer = {"event_ticker": "KXNEW-1", "expiration": event.expiration + 900 * DAY}
        own.exchange.add_event(type(event)(**{**_fields(event), **newer}))
        second = rows(own, "/events", "events", limit=4, cursor=first["cursor"])
        seen = [row["event_ticker"] for row in first["events"] + second]
        assert len(seen) == len(set(seen)) == 8

    def test_limits(self, shared: Simulator) -> None:
        bare = {"error": {"code": "bad_request", "message": "bad request"}}
        for limit in ("201", "0", "-1", "x"):
            response = get(shared, "/events", limit=limit)
            assert (response.status_code, response.json()) == (400, bare)
        assert len(ok(shared, "/events", limit=200)["events"]) == 25
        assert get(shared, "/events", cursor="%%%").status_code == 400

    def test_milestones_are_there_unasked(self, shared: Simulator) -> None:
        assert ok(shared, "/events")["milestones"] == []

    def test_nested_markets_only_when_asked(self, shared: Simulator) -> None:
        plain = rows(shared, "/events", "events")
        nested = rows(shared, "/events", "events", with_nested_markets="true")
        assert not any("markets" in event for event in plain)
        archived = [event for event in nested if "markets" not in event]
        assert len(archived) == 3  # those whose markets are all past the cutoff
        assert all(len(event["markets"]) == 5 for event in nested if "markets" in event)

    def test_status_means_any_market(self, shared: Simulator) -> None:
        for status, spelled in [
            ("open", {"active"}),
            ("unopened", {"initialized"}),
            ("settled", {"finalized"}),
            ("closed", {"closed", "determined", "disputed", "amended"}),
        ]:
            found = rows(
                shared, "/events", "events", status=status, with_nested_markets="true", limit=3
            )
            assert found
            for event in found:
                assert any(market["status"] in spelled for market in event["markets"])
        bad = get(shared, "/events", status="paused")
        assert bad.status_code == 400
        assert "details" not in bad.json()["error"]

    def test_filters(self, shared: Simulator) -> None:
        every = rows(shared, "/events", "events")
        two = f"{every[3]['event_ticker']},{every[8]['event_ticker']},NOPE"
        assert len(rows(shared, "/events", "events", tickers=two)) == 2
        series = rows(shared, "/events", "events", series_ticker="KXSIMU3")
        assert {event["series_ticker"] for event in series} == {"KXSIMU3"}
        later = rows(shared, "/events", "events", min_close_ts=NOW, with_nested_markets="true")
        assert 0 < len(later) < 25
        assert all(
            max(market["close_time"] for market in event["markets"]) > rfc3339(NOW * SECOND)
            for event in later
        )

    def test_multivariate_ones_have_their_own_list(self, shared: Simulator) -> None:
        combos = rows(shared, "/events/multivariate", "events", limit=2)
        assert len(combos) == 3
        assert all(event["series_ticker"].startswith("KXMVE") for event in combos)
        series = combos[0]["series_ticker"]
        assert rows(shared, "/events", "events", series_ticker=series) == []

    def test_single_event_forgets_its_time(self, shared: Simulator) -> None:
        listed = ok(shared, "/events", limit=1)["events"][0]
        single = ok(shared, f"/events/{listed['event_ticker']}")
        assert single["event"].pop("last_updated_ts") == "0001-01-01T00:00:00Z"
        listed.pop("last_updated_ts")
        assert single["event"] == listed
        assert len(single["markets"]) == 5

    def test_single_event_nested(self, shared: Simulator) -> None:
        ticker = pick(shared.exchange, "active").event_ticker
        found = ok(shared, f"/events/{ticker}", with_nested_markets="true")
        assert found["markets"] == []
        assert len(found["event"]["markets"]) == 5


class TestMarkets:
    """GET /markets, GET /markets/{ticker} (2.4, 2.5)."""

    def test_pages_cover_the_list_in_order(self, shared: Simulator) -> None:
        found = rows(shared, "/markets", "markets", limit=17)
        keys = [(row["created_time"][:19], row["ticker"]) for row in found]
        assert len({ticker for _, ticker in keys}) == len(keys) == 25 * 5 + 3 - 15
        assert [created for created, _ in keys] == sorted((c for c, _ in keys), reverse=True)

    def test_limits(self, shared: Simulator) -> None:
        assert len(ok(shared, "/markets")["markets"]) == 100
        assert len(ok(shared, "/markets", limit=0)["markets"]) == 100
        assert len(ok(shared, "/markets", limit=1000)["markets"]) == 113
        assert get(shared, "/markets", limit=1001).status_code == 400

    def test_statuses(self, shared: Simulator) -> None:
        counts = {
            status: len(rows(shared, "/markets", "markets", status=status, mve_filter="exclude"))
            for status in ("unopened", "open", "paused", "closed", "settled")
        }
        assert min(counts.values()) > 0
        assert sum(counts.values()) == 25 * 5 - 15

    @pytest.mark.parametrize("status", ["finalized", "active", "determined", "all"])
    def test_bad_status(self, shared: Simulator, status: str) -> None:
        response = get(shared, "/markets", status=status)
        assert response.status_code == 400
        assert response.text == (
            '{"error":{"code":"bad_request","message":"bad request",'
            '"details":"invalid status filter"}}'
        )

    def test_two_statuses(self, shared: Simulator) -> None:
        response = get(shared, "/markets", status="open,closed")
        assert response.json()["error"]["details"] == "only one status filter may be supplied"

    def test_filters(self, shared: Simulator) -> None:
        market = pick(shared.exchange, "active")
        event = rows(shared, "/markets", "markets", event_ticker=market.event_ticker)
        assert len(event) == 5
        series = rows(shared, "/markets", "markets", series_ticker=market.series_ticker, limit=3)
        assert {row["ticker"] for row in event} <= {row["ticker"] for row in series}
        tickers = rows(shared, "/markets", "markets", tickers=f"NOPE,{market.ticker}")
        assert [row["ticker"] for row in tickers] == [market.ticker]
        combos = rows(shared, "/markets", "markets", mve_filter="only")
        assert len(combos) == 3
        assert all(row["mve_selected_legs"] and row["is_provisional"] for row in combos)

    def test_time_bounds(self, shared: Simulator) -> None:
        later = rows(shared, "/markets", "markets", min_close_ts=NOW, status="")
        assert later
        assert all(row["close_time"] > rfc3339(NOW * SECOND) for row in later)
        settled = rows(shared, "/markets", "markets", min_settled_ts=1, status="settled")
        assert settled
        assert all("settlement_ts" in row for row in settled)
        assert rows(shared, "/markets", "markets", min_updated_ts=NOW) == []

    @pytest.mark.parametrize(
        "query",
        [
            {"min_created_ts": 1, "min_close_ts": 1},
            {"min_created_ts": 1, "status": "closed"},
            {"max_close_ts": 1, "status": "open"},
            {"min_settled_ts": 1, "status": "closed"},
            {"min_updated_ts": 1, "status": "open"},
            {"min_updated_ts": 1, "tickers": "X"},
            {"min_updated_ts": 1, "series_ticker": "X"},
            {"min_updated_ts": 1, "mve_filter": "only"},
            {"mve_filter": "both"},
        ],
    )
    def test_incompatible_filters(self, shared: Simulator, query: dict[str, object]) -> None:
        assert get(shared, "/markets", **query).status_code == 400

    def test_compatible_filters(self, shared: Simulator) -> None:
        ok(shared, "/markets", min_updated_ts=1, mve_filter="exclude", series_ticker="KXSIMU3")
        ok(shared, "/markets", min_created_ts=1, max_created_ts=NOW, status="open")

    def test_single(self, shared: Simulator) -> None:
        market = pick(shared.exchange, "active")
        found = ok(shared, f"/markets/{market.ticker}")["market"]
        assert found["title"] == market.title
        assert found["status"] == "active"

    def test_quotes_are_consistent_and_on_the_grid(self, shared: Simulator) -> None:
        for row in rows(shared, "/markets", "markets", status="open", mve_filter="exclude"):
            bid, ask = _units(row["yes_bid_dollars"]), _units(row["yes_ask_dollars"])
            assert bid < ask
            assert _units(row["no_ask_dollars"]) == 10_000 - bid
            assert _units(row["no_bid_dollars"]) == 10_000 - ask
            assert (row["yes_bid_size_fp"] == "0.00") == (bid == 0)
            assert (row["yes_ask_size_fp"] == "0.00") == (ask == 10_000)
            points = _points(row["price_level_structure"])
            assert {bid, ask} <= points

    def test_there_is_something_of_everything(self, shared: Simulator) -> None:
        found = rows(shared, "/markets", "markets", limit=1000)
        text = " ".join(row["title"] for row in found)
        for mark in ("**", "é", "\u2019", "°", "\u2013"):
            assert mark in text, mark
        strikes = [
            row[key] for row in found for key in ("floor_strike", "cap_strike") if key in row
        ]
        assert {type(strike) for strike in strikes} == {int, float}
        assert {row.get("strike_type") for row in found} > {None, "greater", "between", "custom"}
        assert {row["price_level_structure"] for row in found} == set(PRICE_STRUCTURES)
        assert {row["result"] for row in found} == {"", "yes", "no", "scalar"}
        assert {len(row["created_time"]) for row in found} > {25, 27}  # zeros cut, or none there


def _fields(value: Any) -> JSON:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def _units(dollars: str) -> int:
    whole, _, part = dollars.partition(".")
    assert len(part) == 4
    return int(whole) * 10_000 + int(part)


def _points(structure: str) -> set[int]:
    return {
        point
        for start, end, step in PRICE_STRUCTURES[structure]
        for point in range(start, end + 1, step)
    }


class TestBatchCandles:
    """GET /markets/candlesticks (2.6, 2.9)."""

    def test_window_is_inclusive_at_both_ends(self, shared: Simulator) -> None:
        market = lively(shared.exchange)
        end = NOW // 60 * 60 - 600
        wide = batch(shared, market.ticker, end - 3_600, end)["markets"][0]["candlesticks"]
        stamps = [candle["end_period_ts"] for candle in wide]
        assert stamps == sorted(set(stamps))
        first, last = stamps[2], stamps[-3]
        narrow = batch(shared, market.ticker, first, last)["markets"][0]["candlesticks"]
        assert narrow == wide[2:-2]

    def test_only_periods_that_are_over(self, shared: Simulator) -> None:
        market = lively(shared.exchange)
        for period in (1, 60, 1440):
            found = batch(
                shared, market.ticker, NOW - 90_000, NOW + 90_000, period_interval=period
            )["markets"][0]["candlesticks"]
            assert found
            assert found[-1]["end_period_ts"] <= NOW

    def test_unknown_left_out_known_without_candles_empty(self, shared: Simulator) -> None:
        known = pick(shared.exchange, "initialized").ticker
        found = batch(shared, f"NOPE,{known}", NOW - 600, NOW)
        assert found == {"markets": [{"candlesticks": [], "market_ticker": known}]}

    def test_cap_counts_tickers_times_periods(self, shared: Simulator) -> None:
        tickers = ",".join(f"T{number}" for number in range(100))
        assert batch(shared, tickers, NOW - 6_000, NOW) == {"markets": []}
        response = get(
            shared, "/markets/candlesticks", market_tickers=tickers, start_ts=NOW - 21_600,
            end_ts=NOW, period_interval=1,
        )  # fmt: skip
        assert response.status_code == 400
        assert response.text == (
            '{"error":{"code":"bad_request","message":"bad request","details":"requested '
            'candlesticks across all markets: 36000, max candlesticks: 10000"}}'
        )

    def test_at_most_100_tickers(self, shared: Simulator) -> None:
        tickers = ",".join(f"T{number}" for number in range(101))
        response = get(
            shared, "/markets/candlesticks", market_tickers=tickers, start_ts=NOW - 60, end_ts=NOW,
            period_interval=1,
        )  # fmt: skip
        assert response.status_code == 400

    def test_other_envelope_for_bad_arguments(self, shared: Simulator) -> None:
        bad = get(
            shared, "/markets/candlesticks", market_tickers="X", start_ts=1, end_ts=2,
            period_interval=5,
        )  # fmt: skip
        assert bad.status_code == 400
        assert bad.json()["msg"].startswith("Parameter validation failed")
        assert "'oneof' tag" in bad.json()["msg"]
        missing = get(
            shared, "/markets/candlesticks", market_tickers="X", end_ts=2, period_interval=1
        )
        assert missing.status_code == 400
        assert "Query argument start_ts is required" in missing.text

    def test_latest_before_start(self, shared: Simulator) -> None:
        market = lively(shared.exchange)
        start = NOW // 60 * 60 - 1_000
        plain = batch(shared, market.ticker, start, NOW)["markets"][0]["candlesticks"]
        first, *rest = batch(shared, market.ticker, start, NOW, include_latest_before_start="true")[
            "markets"
        ][0]["candlesticks"]
        assert rest == plain
        before = shared.exchange.latest_candle(market.ticker, 1, start)
        assert before is not None
        assert first["end_period_ts"] == (start // 60 + 1) * 60
        assert first["volume_fp"] == "0.00"
        assert list(first["price"]) == ["previous_dollars"]
        assert _units(first["yes_bid"]["close_dollars"]) == before.bid_close

    def test_before_the_first_trade_and_after(self) -> None:
        exchange = exchange_of()
        market = lively(exchange)
        opened = market.opens // SECOND
        with Simulator(exchange) as simulator:
            found = batch(simulator, market.ticker, opened, opened + 86_400 * 2)
            candles = found["markets"][0]["candlesticks"]
        first = candles[0]
        assert first["end_period_ts"] == opened // 60 * 60 + 60
        assert first["yes_bid"]["open_dollars"] == "0.0000"
        assert first["yes_ask"]["open_dollars"] == "1.0000"
        traded = [at for at, candle in enumerate(candles) if "close_dollars" in candle["price"]]
        assert all(candle["price"] == {} for candle in candles[: traded[0]])
        assert "previous_dollars" not in candles[traded[0]]["price"]
        close = candles[traded[0]]["price"]["close_dollars"]
        assert candles[traded[0] + 1]["price"]["previous_dollars"] == close
        assert candles[traded[0]]["volume_fp"] != "0.00"
        assert any(not candle["volume_fp"].endswith(".00") for candle in candles)


class TestOtherCandles:
    """The single-market and the historical endpoint (2.7, 2.12)."""

    def test_range_cap(self, shared: Simulator) -> None:
        path = f"/series/ANY/markets/{pick(shared.exchange, 'active').ticker}/candlesticks"
        end = NOW // 60 * 60
        ok(shared, path, start_ts=end - 300_000, end_ts=end, period_interval=1)
        refused = get(shared, path, start_ts=end - 300_060, end_ts=end, period_interval=1)
        assert refused.status_code == 400
        assert refused.json()["error"]["details"] == (
            "requested time range with candlesticks: 5001.000000, max candlesticks: 5000"
        )

    def test_same_candles_as_the_batch(self, shared: Simulator) -> None:
        ticker = lively(shared.exchange).ticker
        single = ok(
            shared, f"/series/X/markets/{ticker}/candlesticks", start_ts=NOW - 9_000, end_ts=NOW,
            period_interval=60,
        )  # fmt: skip
        group = batch(shared, ticker, NOW - 9_000, NOW, period_interval=60)
        assert single["ticker"] == ticker
        assert single["candlesticks"] == group["markets"][0]["candlesticks"]

    def test_unknown_market(self, shared: Simulator) -> None:
        response = get(
            shared, "/series/X/markets/NOPE/candlesticks", start_ts=1, end_ts=2, period_interval=1
        )
        assert response.status_code == 404

    def test_historical_shape(self, shared: Simulator) -> None:
        exchange = shared.exchange
        market = next(m for m in exchange.markets.values() if exchange.is_historical(m))
        closes = market.closes // SECOND
        found = ok(
            shared, f"/historical/markets/{market.ticker}/candlesticks",
            start_ts=market.opens // SECOND, end_ts=closes + 86_400, period_interval=60,
        )["candlesticks"]  # fmt: skip
        assert found
        for candle in found:
            assert set(candle) == {
                "end_period_ts", "open_interest", "price", "volume", "yes_ask", "yes_bid"
            }  # fmt: skip
            assert set(candle["price"]) == {"close", "high", "low", "mean", "open", "previous"}
            assert set(candle["yes_bid"]) == {"close", "high", "low", "open"}
            assert isinstance(candle["volume"], str)

    def test_live_market_is_not_historical(self, shared: Simulator) -> None:
        ticker = pick(shared.exchange, "active").ticker
        missing = get(shared, f"/historical/markets/{ticker}")
        assert missing.status_code == 404
        assert missing.json()["error"]["code"] == "failed_to_get_market_by_ticker:_not_found"

    def test_historical_markets(self, shared: Simulator) -> None:
        found = rows(shared, "/historical/markets", "markets", limit=3)
        assert len(found) == 15
        assert {row["status"] for row in found} == {"finalized"}
        assert {(row["open_interest_fp"], row["volume_24h_fp"]) for row in found} == {
            ("0.00", "0.00")
        }
        ignored = rows(shared, "/historical/markets", "markets", status="open")
        assert len(ignored) == 15
        refused = get(shared, "/historical/markets", tickers="A", event_ticker="B")
        assert refused.status_code == 400

    def test_cutoff(self, shared: Simulator) -> None:
        cutoff = ok(shared, "/historical/cutoff")
        assert set(cutoff) == {
            "market_positions_last_updated_ts", "market_settled_ts", "orders_updated_ts",
            "trades_created_ts",
        }  # fmt: skip
        assert cutoff["market_settled_ts"].endswith("T00:00:00Z")


class TestGeneration:
    """Candles come from a hash: every window agrees with every other."""

    exchange = exchange_of(5, 2, pace="lively", multivariate=0)
    tickers = tuple(exchange.markets)

    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 9), st.integers(0, 2_000), st.integers(0, 600), st.integers(1, 600))
    def test_windows_agree(self, which: int, ago: int, length: int, more: int) -> None:
        ticker = self.tickers[which]
        end = NOW // 60 * 60 - ago * 60
        start = end - length * 60
        narrow = self.exchange.candles(ticker, 1, start, end)
        fresh = exchange_of(5, 2, pace="lively", multivariate=0)
        wide = fresh.candles(ticker, 1, start - more * 60, end + more * 60)
        assert narrow == [candle for candle in wide if start <= candle.end_ts <= end]

    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 9), st.integers(0, 400), st.sampled_from([60, 1440]))
    def test_longer_periods_are_roll_ups(self, which: int, hours: int, period: int) -> None:
        ticker = self.tickers[which]
        for end in period_ends(period, NOW - hours * 3_600 - period * 60, NOW - hours * 3_600):
            found = self.exchange.candles(ticker, period, end, end)
            minutes = self.exchange.candles(ticker, 1, period_start(period, end) + 1, end)
            assert found == ([roll_up(minutes, end)] if minutes else [])

    def test_quiet_markets_roll_up_as_well(self) -> None:
        exchange = exchange_of(10, 4)
        for pace in ("quiet", "dead", "steady"):
            market = exchange.change_market(pick(exchange, "active").ticker, pace=pace)
            start = market.opens // SECOND - 86_400
            for period in (60, 1440):
                found = exchange.candles(market.ticker, period, start, NOW)
                ends = period_ends(period, start, NOW)
                every = [
                    roll_up(minutes, end)
                    for end in ends
                    if (
                        minutes := exchange.candles(
                            market.ticker, 1, period_start(period, end) + 1, end
                        )
                    )
                ]
                assert found == every

    def test_candles_join(self) -> None:
        for ticker in self.tickers:
            candles = self.exchange.candles(ticker, 1, NOW - 2 * 86_400, NOW)
            for before, after in pairwise(candles):
                assert (before.bid_close, before.ask_close) == (after.bid_open, after.ask_open)
                traded = before.previous if before.price_close is None else before.price_close
                assert after.previous == traded
                assert after.open_interest >= before.open_interest

    def test_candles_are_sound(self) -> None:
        for ticker in self.tickers:
            points = _points(self.exchange.markets[ticker].price_structure)
            for candle in self.exchange.candles(ticker, 1, NOW - 86_400, NOW):
                _check(candle, points)

    def test_as_sparse_as_the_real_ones(self) -> None:
        exchange = exchange_of(20, 5, pace="lively")
        tickers = [
            market.ticker
            for market in exchange.markets.values()
            if market.status(exchange.now) == "active" and not market.multivariate
        ][:20]
        day = [exchange.candles(ticker, 1, NOW - 86_399, NOW) for ticker in tickers]
        share = sum(map(len, day)) / len(day) / 1_440
        assert 0.4 < share < 0.65
        candles = [candle for found in day for candle in found]
        quiet = sum(not candle.volume for candle in candles) / len(candles)
        assert 0.95 < quiet < 0.99

    def test_volume_of_a_market_is_the_sum_of_its_candles(self) -> None:
        for ticker in self.tickers:
            market = self.exchange.markets[ticker]
            if market.status(self.exchange.now) != "active":
                continue
            candles = self.exchange.candles(ticker, 1, market.opens // SECOND, NOW)
            quote = self.exchange.quote(market)
            assert quote.volume == sum(candle.volume for candle in candles)
            assert quote.yes_bid == candles[-1].bid_close
            assert quote.open_interest == candles[-1].open_interest
            day = NOW // 60 * 60 - 86_400
            recent = [candle for candle in candles if candle.end_ts > day]
            if len(recent) < len(candles):
                assert quote.volume_24h == sum(candle.volume for candle in recent)

    @pytest.mark.parametrize("made_at", MOMENTS)
    def test_an_exchange_is_the_same_whenever_it_is_made(self, made_at: str) -> None:
        """All that is drawn lies as long before or after that hour as it does for any other."""
        past_the_hour = NOW % 3_600
        hour = int(datetime.fromisoformat(made_at).timestamp()) // 3_600 * 3_600
        one = Exchange.demo(clock=clock, events=20)
        other = Exchange.demo(clock=lambda: hour + past_the_hour, events=20)
        moved = hour + past_the_hour - NOW

        assert len(one.markets) == len(other.markets) > 80
        seen = 0
        for market, same in zip(one.markets.values(), other.markets.values(), strict=True):
            if not market.ticker.startswith(SEED):
                times = [market.created, market.opens, market.closes]
                assert [same.created, same.opens, same.closes] == [
                    moment + moved * SECOND for moment in times
                ]
            assert one.quote(market) == other.quote(same)
            for period in (1, 60):
                candles = one.candles(market.ticker, period, NOW - 50 * 3_600, NOW)
                window = (NOW + moved - 50 * 3_600, NOW + moved)
                assert other.candles(same.ticker, period, *window) == [
                    candle._replace(end_ts=candle.end_ts + moved) for candle in candles
                ]
                seen += len(candles)
        assert seen > 30_000

    @pytest.mark.parametrize("hours", [1, 100, 3_000])
    def test_answers_stay_while_time_passes(self, hours: int) -> None:
        now = [NOW]
        exchange = Exchange.demo(clock=lambda: now[0])
        window = (NOW - 30 * 3_600, NOW)
        tickers = [*exchange.markets]
        before = [exchange.candles(t, period, *window) for t in tickers for period in (1, 60)]
        now[0] += hours * 3_600
        again = [exchange.candles(t, period, *window) for t in tickers for period in (1, 60)]
        assert again == before

    def test_exchanges_of_one_origin_tell_the_same_story(self) -> None:
        one = Exchange.demo(clock=clock, origin=SEEN_AT, events=0)
        later = Exchange.demo(clock=lambda: NOW + 77 * 3_600, origin=SEEN_AT, events=0)
        other = Exchange.demo(clock=lambda: NOW + 77 * 3_600, events=0)
        window = (1, NOW - 86_400, NOW)
        assert one.candles(GNEWS, *window) == later.candles(GNEWS, *window)
        assert one.candles(GNEWS, *window) != other.candles(GNEWS, *window)

    @pytest.mark.parametrize("zone", ["Asia/Kathmandu", "America/New_York"])
    def test_the_machines_time_zone_changes_nothing(
        self, zone: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        window = (NOW - 20 * 86_400, NOW)
        before = Exchange.demo(clock=clock)
        expected = [before.candles(ticker, 1440, *window) for ticker in before.markets]
        with monkeypatch.context() as patch:
            patch.setenv("TZ", zone)
            time.tzset()
            exchange = Exchange.demo(clock=clock)
            found = [exchange.candles(ticker, 1440, *window) for ticker in exchange.markets]
        time.tzset()
        assert exchange.markets == before.markets
        assert found == expected

    def test_another_seed_gives_other_candles(self) -> None:
        market = pick(exchange_of(), "active")
        one, two = (
            Exchange([], exchange_of().events.values(), [market], seed=seed, clock=clock)
            for seed in (1, 2)
        )
        window = (1, NOW - 86_400, NOW)
        assert one.candles(market.ticker, *window) != two.candles(market.ticker, *window)

    def test_days_end_at_midnight_in_new_york(self) -> None:
        summer = int(datetime(2026, 7, 4, 12, tzinfo=UTC).timestamp())
        winter = int(datetime(2026, 12, 4, 12, tzinfo=UTC).timestamp())
        assert period_ends(1440, summer - 86_400, summer)[0] % 86_400 == 4 * 3_600
        assert period_ends(1440, winter - 86_400, winter)[0] % 86_400 == 5 * 3_600

    def test_days_without_a_time_zone_database(self, monkeypatch: pytest.MonkeyPatch) -> None:
        window = (1_700_000_000, 1_830_000_000)
        with_zone = period_ends(1440, *window)
        monkeypatch.setattr("simulator.candles._NEW_YORK", None)
        assert period_ends(1440, *window) == with_zone

    def test_grid(self) -> None:
        cents = grid("linear_cent")
        assert (cents.bid(1_234), cents.ask(1_234), cents.ask(1_300)) == (1_200, 1_300, 1_400)
        assert (cents.bid(-50), cents.bid(60), cents.ask(9_950)) == (0, 0, 10_000)
        tapered = grid("tapered_deci_cent")
        assert (tapered.bid(957), tapered.bid(1_957)) == (950, 1_900)

    def test_speed(self) -> None:
        exchange = exchange_of(10, 5, pace="lively")
        start, made = time.process_time(), 0
        for ticker in list(exchange.markets)[:20]:
            made += len(exchange.candles(ticker, 1, NOW - 86_400, NOW))
        # A fifth of what it does on the slowest machine seen, lest a busy one fails.
        assert made / (time.process_time() - start) > 25_000

    def test_large_exchanges_are_cheap(self) -> None:
        start = time.process_time()
        exchange = exchange_of(2_000, 10)
        assert len(exchange.markets) == 20_200
        assert time.process_time() - start < 4


def _check(candle: Candle, points: set[int]) -> None:
    assert candle.end_ts % 60 == 0
    bid, ask = candle[1:5], candle[5:9]
    assert set(bid) | set(ask) <= points
    assert (min(bid), max(bid)) == (candle.bid_low, candle.bid_high)
    assert (min(ask), max(ask)) == (candle.ask_low, candle.ask_high)
    assert candle.bid_close < candle.ask_close
    assert candle.open_interest >= 0
    if candle.price_close is None:
        assert (candle.volume, candle.price_mean) == (0, None)
        return
    assert candle.volume > 0
    low, high = candle.price_low or 0, candle.price_high or 0
    assert 0 < low <= (candle.price_mean or 0) <= high < 10_000
    assert candle.bid_low <= low
    assert high <= candle.ask_high


def _is_cell(cell: str, value: Any) -> bool:
    """Whether a table cell of the notebook shows this value: pandas cuts texts and zeros."""
    shown = str(value)
    if cell.endswith("..."):
        return shown.startswith(cell[:-3])
    if isinstance(value, str) and re.fullmatch(r"\d+\.\d+", value):
        return float(cell) == float(value)
    return cell == shown


class TestSeedEvent:
    """The event of the notebook, in the shape of January 2026 (3.2, 3.3)."""

    def test_event(self, demo: Simulator) -> None:
        event = ok(demo, f"/events/{SEED}", with_nested_markets="true")["event"]
        assert len(event.pop("markets")) == 10
        assert event == {
            "available_on_brokers": True,
            "category": "Elections",
            "collateral_return_type": "MECNET",
            "event_ticker": SEED,
            "mutually_exclusive": True,
            "series_ticker": "KXPRESPERSON",
            "strike_period": "",
            "sub_title": "In 2028",
            "title": "Next U.S. Presidential Election Winner?",
        }

    def test_a_market(self, demo: Simulator) -> None:
        market = ok(demo, f"/markets/{GNEWS}")["market"]
        assert market == {
            **market,
            "created_time": "0001-01-01T00:00:00Z",
            "custom_strike": {"Pres candidate": "Gavin Newsom"},
            "last_price": 20,
            "last_price_dollars": "0.2000",
            "liquidity": 1687788542,
            "liquidity_dollars": "16877885.4200",
            "no_ask": 81,
            "no_bid": 80,
            "no_bid_dollars": "0.8000",
            "notional_value": 100,
            "open_interest": 637079,
            "open_interest_fp": "637079.00",
            "price_ranges": [{"end": "1.0000", "start": "0.0000", "step": "0.0100"}],
            "response_price_units": "usd_cent",
            "subtitle": ":: Democratic",
            "tick_size": 1,
            "volume": 1064135,
            "volume_24h": 11869,
            "volume_fp": "1064135.00",
            "yes_ask": 20,
            "yes_bid": 19,
            "yes_bid_dollars": "0.1900",
        }

    def test_every_cell_of_the_notebook(self, demo: Simulator) -> None:
        if not NOTEBOOK.exists():
            pytest.skip("the notebook is not beside this repository")
        lines = NOTEBOOK.read_text().splitlines()
        start = next(at for at, line in enumerate(lines) if line.startswith("Unnamed: 0,can_close"))
        table = list(csv.DictReader(lines[start : start + 11]))
        event = ok(demo, f"/events/{SEED}", with_nested_markets="true")["event"]
        assert len(table) == len(event["markets"]) == 10
        for cells, market in zip(table, event["markets"], strict=True):
            market["custom_strike.Pres candidate"] = market.pop("custom_strike")["Pres candidate"]
            assert set(cells) - {"Unnamed: 0"} == set(market)
            for name, value in market.items():
                assert _is_cell(cells[name], value), name

    def test_candles_are_live_by_default(self, demo: Simulator) -> None:
        candles = batch(demo, GNEWS, NOW - 3_600, NOW)["markets"][0]["candlesticks"]
        assert "volume_fp" in candles[0]
        assert "volume" not in candles[0]
        assert all(0.05 < float(c["yes_bid"]["close_dollars"]) < 0.35 for c in candles)

    def test_seed_in_the_live_shape(self) -> None:
        with Simulator(Exchange.demo(clock=clock, seed_era="live")) as simulator:
            market = ok(simulator, f"/markets/{GNEWS}")["market"]
            assert market["yes_bid_dollars"] == "0.1900"
            assert "yes_bid" not in market
            event = ok(simulator, "/events", tickers=SEED)["events"][0]
            assert "available_on_brokers" not in event


class TestEras:
    """What an exchange of January 2026 sends (3.2, 3.3)."""

    def test_market_integers_are_cut(self, legacy: Simulator) -> None:
        found = rows(legacy, "/markets", "markets", limit=1000)
        for row in found:
            for name in ("yes_bid", "yes_ask", "no_bid", "no_ask", "last_price"):
                assert row[name] == _units(row[f"{name}_dollars"]) // 100
            for name in ("volume", "open_interest", "volume_24h"):
                assert row[name] == int(row[f"{name}_fp"].split(".")[0])
            assert "updated_time" not in row
        assert any(_units(row["yes_ask_dollars"]) % 100 for row in found)

    def test_candles(self, legacy: Simulator) -> None:
        ticker = lively(legacy.exchange).ticker
        candles = batch(legacy, ticker, NOW - 86_400, NOW)["markets"][0]["candlesticks"]
        quiet = next(c for c in candles if c["volume_fp"] == "0.00" and c["price"]["previous"])
        names = ("close", "high", "low", "max", "mean", "min", "open")
        assert all(quiet["price"][name] is None for name in names)
        assert "close_dollars" not in quiet["price"]
        assert quiet["price"]["previous"] == _units(quiet["price"]["previous_dollars"]) // 100
        traded = next(c for c in candles if c["volume_fp"] != "0.00")
        assert traded["price"]["mean"] == _units(traded["price"]["mean_dollars"]) // 100
        assert traded["volume"] == int(float(traded["volume_fp"]))
        assert traded["yes_bid"]["open"] == _units(traded["yes_bid"]["open_dollars"]) // 100

    def test_event(self, legacy: Simulator) -> None:
        event = ok(legacy, "/events", limit=1)["events"][0]
        assert event["available_on_brokers"] is False
        assert "last_updated_ts" not in event


class TestOtherEndpoints:
    """Series, status, and what is not there (1, 2.10, 2.11, 5.5)."""

    def test_series(self, shared: Simulator) -> None:
        every = ok(shared, "/series")
        assert set(every) == {"series"}
        assert len(every["series"]) == 11
        sports = ok(shared, "/series", category="Sports", include_volume="true")["series"]
        assert {series["category"] for series in sports} == {"Sports"}
        assert all("volume_fp" in series for series in sports)
        assert ok(shared, "/series", category="sports")["series"] == []
        assert len(ok(shared, "/series", tags="Soccer,Baseball")["series"]) == 2
        one = ok(shared, "/series/KXSIMU3")["series"]
        assert one["product_metadata"] == {"important_info": None}
        assert one["categories"] == ["Economics"]

    def test_status(self, shared: Simulator) -> None:
        status = ok(shared, "/exchange/status")
        assert status["exchange_active"] is True
        assert len(status["exchange_index_statuses"]) == 4

    @pytest.mark.parametrize("path", ["/events/NOPE", "/markets/NOPE", "/series/NOPE"])
    def test_unknown_ticker(self, shared: Simulator, path: str) -> None:
        response = get(shared, path)
        assert response.status_code == 404
        assert response.text == '{"error":{"code":"not_found","message":"not found"}}'

    def test_unknown_path(self, shared: Simulator) -> None:
        for url in (f"{shared.url}/exchange/announcements", shared.url[:-13] + "/other"):
            response = requests.get(url, timeout=10)
            assert (response.status_code, response.text) == (404, "404 page not found")
            assert response.headers["Content-Type"].startswith("text/plain")

    def test_trailing_slash(self, shared: Simulator) -> None:
        response = get(shared, "/events/", limit=2)
        assert response.status_code == 301
        followed = requests.get(shared.url + "/events/", params={"limit": "2"}, timeout=10)
        assert len(followed.json()["events"]) == 2

    def test_wire_form(self, shared: Simulator) -> None:
        for path in ("/events?limit=3&with_nested_markets=true", "/markets?limit=5", "/series"):
            text = requests.get(shared.url + path, timeout=10).content.decode()
            assert text == dumps(json.loads(text))
        assert rfc3339(1_787_954_793_793_650) == "2026-08-28T22:06:33.79365Z"
        assert rfc3339(1_787_954_793_000_000) == "2026-08-28T22:06:33Z"

    def test_candle_text_is_sorted_json(self, shared: Simulator) -> None:
        ticker = lively(shared.exchange).ticker
        url = f"{shared.url}/markets/candlesticks?market_tickers={ticker}"
        url += f"&start_ts={NOW - 9_000}&end_ts={NOW}&period_interval=1"
        text = requests.get(url, timeout=10).text
        assert text == dumps(json.loads(text))

    def test_log(self, own: Simulator) -> None:
        get(own, "/events", limit=2)
        get(own, "/markets/NOPE")
        assert [tuple(request) for request in own.requests] == [
            ("GET", "/events", {"limit": "2"}, 200),
            ("GET", "/markets/NOPE", {}, 404),
        ]
        assert isinstance(own.requests, RequestLog)
        assert len(own.requests.all("/markets")) == 1
        own.requests.clear()
        assert len(own.requests) == 0


class TestFaults:
    """Each fault does what it says, and nothing after its count."""

    @pytest.mark.parametrize(
        ("kind", "status", "body"),
        [
            ("server_error", 500, "internal_server_error"),
            ("unavailable", 503, "service_unavailable"),
        ],
    )
    def test_errors(self, own: Simulator, kind: Any, status: int, body: str) -> None:
        fault = own.faults.add(kind, path="/events", count=2)
        codes = [get(own, "/events").status_code for _ in range(3)]
        assert codes == [status, status, 200]
        assert fault.hits == 2
        own.faults.clear()
        own.faults.add(kind)
        assert get(own, "/markets").json()["error"]["code"] == body

    def test_rate_limited(self, own: Simulator) -> None:
        own.faults.add("rate_limited", count=1)
        own.faults.add("rate_limited", count=1, as_string=True, retry_after=2)
        first, second = get(own, "/events"), get(own, "/events")
        assert (first.status_code, second.status_code) == (429, 429)
        assert first.json()["error"]["code"] == "too_many_requests"
        assert "Retry-After" not in first.headers
        assert second.json() == {"error": "too many requests"}
        assert second.headers["Retry-After"] == "2"

    def test_where_and_when(self, own: Simulator) -> None:
        own.faults.add("server_error", path="/markets", query="limit=3", every=3, after=1)
        codes = [get(own, "/markets", limit=3).status_code for _ in range(8)]
        assert codes == [200, 200, 200, 500, 200, 200, 500, 200]
        assert get(own, "/markets", limit=4).status_code == 200
        assert get(own, "/events", limit=3).status_code == 200

    def test_probability_is_repeatable(self) -> None:
        def codes() -> list[int]:
            with Simulator(exchange_of(3, 2), fault_seed=5) as simulator:
                simulator.faults.add("unavailable", probability=0.5)
                return [get(simulator, "/exchange/status").status_code for _ in range(20)]

        first = codes()
        assert set(first) == {200, 503}
        assert first == codes()

    def test_hang(self, own: Simulator) -> None:
        own.faults.add("hang", seconds=0.3, count=1)
        start = time.monotonic()
        assert get(own, "/events").status_code == 200
        assert time.monotonic() - start >= 0.3

    def test_hang_does_not_outlive_the_simulator(self) -> None:
        with Simulator(exchange_of(3, 2)) as simulator:
            simulator.faults.add("hang", seconds=60)
            with pytest.raises(requests.Timeout):
                requests.get(f"{simulator.url}/events", timeout=0.1)
            start = time.monotonic()
        assert time.monotonic() - start < 5

    def test_cut_body(self, own: Simulator) -> None:
        own.faults.add("cut_body", count=1)
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            get(own, "/events")
        assert get(own, "/events").status_code == 200

    def test_html(self, own: Simulator) -> None:
        own.faults.add("html", count=1)
        response = get(own, "/events")
        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith("text/html")

    def test_truncated_json(self, own: Simulator) -> None:
        own.faults.add("truncated_json", count=1)
        response = get(own, "/events")
        assert response.status_code == 200
        with pytest.raises(ValueError, match=r"."):
            response.json()

    def test_reset(self, own: Simulator) -> None:
        own.faults.add("reset", count=1)
        with pytest.raises(requests.ConnectionError):
            get(own, "/events")
        assert own.requests[0].status == 0
        assert get(own, "/events").status_code == 200

    @pytest.mark.parametrize(("path", "key"), [("/events", "events"), ("/markets", "markets")])
    def test_empty_page_loses_nothing(self, own: Simulator, path: str, key: str) -> None:
        whole = rows(own, path, key, limit=3)
        own.faults.add("empty_page", every=2)
        found = pages(own, path, key, limit=3)
        assert [] in found[:-1]
        assert [row for page in found for row in page] == whole

    def test_duplicate_rows(self, own: Simulator) -> None:
        whole = rows(own, "/events", "events", limit=4)
        own.faults.add("duplicate_rows", rows=2)
        found = pages(own, "/events", "events", limit=4)
        assert found[1][:2] == found[0][-2:]
        seen = [row["event_ticker"] for page in found for row in page]
        assert list(dict.fromkeys(seen)) == [row["event_ticker"] for row in whole]

    def test_token_bucket(self) -> None:
        with Simulator(exchange_of(3, 2), rate_limit=1, burst=3) as simulator:
            codes = [get(simulator, "/exchange/status").status_code for _ in range(5)]
        assert codes == [200, 200, 200, 429, 429]


class TestChanges:
    """What a test can make happen to the exchange (2.12, 4, 5.8 to 5.10)."""

    def test_archive(self, own: Simulator) -> None:
        event = pick(own.exchange, "active").event_ticker
        tickers = [market.ticker for market in own.exchange.live_markets(event)]
        own.exchange.archive(tickers[0])
        assert get(own, f"/markets/{tickers[0]}").status_code == 404
        assert batch(own, tickers[0], NOW - 600, NOW) == {"markets": []}
        nested = ok(own, f"/events/{event}", with_nested_markets="true")["event"]
        assert [market["ticker"] for market in nested["markets"]] == tickers[1:]
        historical = ok(own, f"/historical/markets/{tickers[0]}")["market"]
        assert historical["open_interest_fp"] == "0.00"
        for ticker in tickers[1:]:
            own.exchange.archive(ticker)
        assert "markets" not in ok(own, f"/events/{event}", with_nested_markets="true")["event"]

    def test_both_tiers_near_the_cutoff(self, own: Simulator) -> None:
        ticker = pick(own.exchange, "finalized").ticker
        own.exchange.archive(ticker, keep_live=True)
        ok(own, f"/markets/{ticker}")
        ok(own, f"/historical/markets/{ticker}")

    def test_move_the_cutoff(self, own: Simulator) -> None:
        before = rows(own, "/historical/markets", "markets")
        settled = rows(own, "/markets", "markets", status="settled")
        own.exchange.move_cutoff(NOW // 86_400 * 86_400)
        after = rows(own, "/historical/markets", "markets")
        assert settled
        assert len(after) == len(before) + len(settled)
        assert rows(own, "/markets", "markets", status="settled") == []
        stamp = ok(own, "/historical/cutoff")["market_settled_ts"]
        assert stamp == rfc3339(NOW // 86_400 * DAY)

    def test_remove(self, own: Simulator) -> None:
        ticker = pick(own.exchange, "active").ticker
        own.exchange.remove_market(ticker)
        assert get(own, f"/markets/{ticker}").status_code == 404
        assert get(own, f"/historical/markets/{ticker}").status_code == 404
        assert ticker not in {row["ticker"] for row in rows(own, "/markets", "markets")}

    def test_settle(self, own: Simulator) -> None:
        ticker = pick(own.exchange, "active").ticker
        own.exchange.settle(ticker, "scalar", value=5_000, expiration_value="tie")
        market = ok(own, f"/markets/{ticker}")["market"]
        assert (market["status"], market["result"]) == ("finalized", "scalar")
        assert market["settlement_value_dollars"] == "0.5000"
        assert market["settlement_ts"] == rfc3339(NOW * SECOND)
        assert (market["yes_bid_dollars"], market["yes_ask_dollars"]) == ("0.0000", "1.0000")
        assert _units(market["last_price_dollars"]) >= 0

    @pytest.mark.parametrize("pace", PACES)
    @pytest.mark.parametrize("minute", range(0, 60, 7))
    def test_closing_changes_no_candle_before(self, pace: str, minute: int) -> None:
        """Nor an hour that was over, and the hour of the close is what its minutes say."""
        exchange = exchange_of(1, 1, pace=pace, multivariate=0)
        (ticker,) = exchange.markets
        closes = NOW // 3_600 * 3_600 - 30 * 3_600 + minute * 60
        window = (closes - 5 * 86_400, closes)
        before = [exchange.candles(ticker, period, *window) for period in (1, 60)]
        exchange.change_market(ticker, closes=closes * SECOND)
        assert [exchange.candles(ticker, period, *window) for period in (1, 60)] == before
        hour = -(-(closes + 60) // 3_600) * 3_600
        minutes = exchange.candles(ticker, 1, hour - 3_599, hour)
        last = exchange.candles(ticker, 60, hour, hour)
        assert last == ([roll_up(minutes, hour)] if minutes else [])
        assert exchange.candles(ticker, 1, closes + 61, NOW) == []

    @pytest.mark.parametrize("pace", PACES)
    def test_while_a_market_was_closed_nothing_happened(self, pace: str) -> None:
        now = [NOW]
        exchange = exchange_of(1, 1, pace=pace, multivariate=0)
        exchange.clock = lambda: now[0]
        (ticker,) = exchange.markets
        exchange.change_market(ticker, closes=(NOW + 9 * 86_400) * SECOND)
        now[0] += 5 * 3_600
        story = exchange.candles(ticker, 1, NOW - 86_400, now[0])
        last = exchange.latest_candle(ticker, 1, NOW // 60 * 60 + 61)
        now[0] = NOW
        exchange.settle(ticker, "no")
        now[0] += 3 * 3_600
        exchange.reopen(ticker)
        reopened = now[0]
        assert exchange.latest_candle(ticker, 1, reopened + 1) == last
        now[0] += 2 * 3_600
        minutes = exchange.candles(ticker, 1, NOW - 86_400, now[0])
        assert minutes == [
            candle
            for candle in story
            if candle.end_ts <= NOW // 60 * 60 + 60 or candle.end_ts > reopened
        ]
        for end in period_ends(60, NOW - 7_200, now[0]):
            within = [candle for candle in minutes if end - 3_600 < candle.end_ts <= end]
            assert exchange.candles(ticker, 60, end, end) == (
                [roll_up(within, end)] if within else []
            )

    def test_settling_changes_no_candle(self) -> None:
        exchange = Exchange.demo(clock=clock, events=0)
        assert len(exchange.markets) == 10
        before = exchange.candles(GNEWS, 1, NOW - 86_400, NOW)
        exchange.settle(GNEWS, "no")
        assert exchange.candles(GNEWS, 1, NOW - 86_400, NOW) == before
        exchange.archive(GNEWS)
        with Simulator(exchange) as simulator:
            market = ok(simulator, f"/historical/markets/{GNEWS}")["market"]
        assert (market["yes_ask"], market["open_interest"], market["volume_24h"]) == (100, 0, 0)
        assert market["volume"] == 1_064_135

    def test_statuses_go_back(self, own: Simulator) -> None:
        ticker = pick(own.exchange, "active").ticker

        def status() -> str:
            return str(ok(own, f"/markets/{ticker}")["market"]["status"])

        own.exchange.close(ticker)
        assert status() == "closed"
        own.exchange.reopen(ticker)
        assert status() == "active"
        own.exchange.hold_status(ticker, "inactive")
        assert status() == "inactive"
        own.exchange.hold_status(ticker, None)
        assert status() == "active"

    def test_correct_a_candle(self, own: Simulator) -> None:
        ticker = lively(own.exchange).ticker
        hour = NOW // 3_600 * 3_600
        before = own.exchange.candles(ticker, 1, hour - 3_600, hour)
        day = own.exchange.candles(ticker, 60, hour, hour)[0]
        own.exchange.correct_candle(ticker, before[5].end_ts, bid_low=0)
        after = own.exchange.candles(ticker, 1, hour - 3_600, hour)
        assert after[5] == before[5]._replace(bid_low=0)
        assert after[:5] + after[6:] == before[:5] + before[6:]
        assert own.exchange.candles(ticker, 60, hour, hour) == [day._replace(bid_low=0)]
        with pytest.raises(KeyError):
            own.exchange.correct_candle(ticker, 60, bid_low=0)

    def test_add_a_market_to_a_running_event(self, own: Simulator) -> None:
        first = ok(own, "/markets", limit=5)
        model = pick(own.exchange, "active")
        new = Market(**{**_fields(model), "ticker": "KXLATE-1", "created": NOW * SECOND})
        own.exchange.add_market(new)
        nested = ok(own, f"/events/{model.event_ticker}", with_nested_markets="true")["event"]
        assert nested["markets"][-1]["ticker"] == "KXLATE-1"
        rest = rows(own, "/markets", "markets", limit=5, cursor=first["cursor"])
        seen = [row["ticker"] for row in first["markets"] + rest]
        assert len(seen) == len(set(seen))
        assert "KXLATE-1" not in seen

    def test_time_passes(self) -> None:
        now = [float(NOW)]
        exchange = Exchange.generate(events=8, markets_per_event=2, clock=lambda: now[0])
        market = pick(exchange, "initialized")
        with Simulator(exchange) as simulator:
            path = f"/markets/{market.ticker}"
            assert ok(simulator, path)["market"]["status"] == "initialized"
            now[0] = market.opens / SECOND
            assert ok(simulator, path)["market"]["status"] == "active"
            now[0] = market.closes / SECOND
            assert ok(simulator, path)["market"]["status"] == "closed"


class TestLife:
    """Starting, stopping, and the command line."""

    def test_no_threads_are_left(self) -> None:
        before = set(threading.enumerate())
        with Simulator(exchange_of(3, 2)) as simulator, requests.Session() as session:
            for _ in range(3):
                assert session.get(f"{simulator.url}/events", timeout=10).ok
            simulator.stop()
            assert set(threading.enumerate()) == before
        assert set(threading.enumerate()) == before

    def test_it_can_start_again(self) -> None:
        simulator = Simulator(exchange_of(3, 2))
        for _ in range(2):
            simulator.start()
            assert get(simulator, "/events").ok
            simulator.stop()
        with pytest.raises(RuntimeError):
            _ = simulator.url

    def test_many_clients_at_once(self, shared: Simulator) -> None:
        wrong: list[object] = []

        def read() -> None:
            try:
                for _ in range(5):
                    assert len(rows(shared, "/events", "events", limit=9)) == 25
            except Exception as error:
                wrong.append(error)

        threads = [threading.Thread(target=read) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_command_line(self, number: signal.Signals) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "simulator", "--seed", "3", "--events", "2"],
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": ""},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            prefix, _, url = line.strip().partition(": ")
            assert prefix == "Kalshi simulator"
            assert requests.get(f"{url}/events/{SEED}", timeout=10).ok
            process.send_signal(number)
            assert process.wait(10) == 0
        finally:
            process.kill()
            process.communicate()


def recorded(name: str) -> Any:
    path = next(PAYLOADS.glob(f"{name}__*.json"), None)
    if path is None:
        pytest.skip(f"no recorded payload {name} beside this repository")
    return json.loads(path.read_text())


class TestRecordedShapes:
    """Key sets against the newest answers that others recorded."""

    def test_market(self, shared: Simulator) -> None:
        expected = {frozenset(row) for row in recorded("markets_page1_u3")["markets"]}
        found = rows(shared, "/markets", "markets", series_ticker="KXSIMU3", status="open")
        assert {frozenset(row) for row in found} == expected

    def test_settled_market(self, shared: Simulator) -> None:
        expected = {frozenset(row) for row in recorded("historical_markets_page1_u3")["markets"]}
        market = pick(shared.exchange, "active", strike_type="greater")
        exchange = exchange_of()
        exchange.settle(market.ticker, "no")
        exchange.archive(market.ticker)
        with Simulator(exchange) as simulator:
            found = ok(simulator, f"/historical/markets/{market.ticker}")["market"]
        assert {frozenset(found)} == expected

    def test_all_markets(self, shared: Simulator) -> None:
        newest = recorded("markets_page1_u3")["markets"]
        optional = {"floor_strike", "occurrence_datetime", "strike_type", "subtitle"}
        required = set(newest[0]) - optional
        known = required | optional
        for name in ("events_with_markets_sports", "events_with_markets_nfl"):
            for event in recorded(name):
                known.update(key for market in event["markets"] for key in market)
        known.update(key for market in recorded("markets_mve_combos") for key in market)
        known -= {"liquidity_dollars"}
        documented = {
            "cap_strike", "primary_participant_key", "settlement_ts", "settlement_value_dollars"
        }  # fmt: skip
        for market in rows(shared, "/markets", "markets", limit=1000):
            assert required <= set(market)
            assert set(market) <= known | documented

    def test_event(self, shared: Simulator) -> None:
        expected = {frozenset(event) for event in recorded("events_page_u3")["events"]}
        events = rows(shared, "/events", "events", series_ticker="KXSIMU3")
        found = {frozenset(event) for event in events if "strike_date" not in event}
        assert found == expected

    def test_live_candle(self, shared: Simulator) -> None:
        _same_candles(
            recorded("candlesticks_live_u3")["candlesticks"],
            _first_days(shared, lively(shared.exchange), era="live"),
        )

    def test_historical_candle(self, shared: Simulator) -> None:
        exchange = shared.exchange
        market = next(m for m in exchange.markets.values() if exchange.is_historical(m))
        found = ok(
            shared, f"/historical/markets/{market.ticker}/candlesticks", period_interval=60,
            start_ts=market.opens // SECOND, end_ts=NOW,
        )["candlesticks"]  # fmt: skip
        _same_candles(recorded("historical_candlesticks_u3")["candlesticks"], found)

    def test_series(self, shared: Simulator) -> None:
        expected = recorded("series_single_u3")["series"]
        assert set(ok(shared, "/series/KXSIMU3")["series"]) == set(expected)

    def test_cutoff(self, shared: Simulator) -> None:
        assert set(ok(shared, "/historical/cutoff")) == set(recorded("historical_cutoff"))


def _first_days(simulator: Simulator, market: Market, era: str) -> list[JSON]:
    opened = market.opens // SECOND
    found = batch(simulator, market.ticker, opened, opened + 86_400)["markets"][0]["candlesticks"]
    assert simulator.exchange.era == era
    return list(found)


def _same_candles(expected: list[JSON], found: list[JSON]) -> None:
    """The same keys outside and in every form of `price` that was recorded."""
    assert {frozenset(candle) for candle in found} == {frozenset(candle) for candle in expected}
    for side in ("yes_bid", "yes_ask"):
        assert {frozenset(c[side]) for c in found} == {frozenset(c[side]) for c in expected}
    forms = {frozenset(candle["price"]) for candle in expected}
    assert forms <= {frozenset(candle["price"]) for candle in found}
