"""The endpoints: from a path and a query to an answer, without any sockets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlencode

from . import shapes
from .answers import (
    Answer,
    ApiError,
    bad_request,
    invalid_argument,
    json_answer,
    not_found,
    unknown_path,
)
from .candles import Candle, period_ends
from .exchange import Exchange
from .filters import (
    Query,
    event_keys,
    event_test,
    flag,
    historical_test,
    integer,
    market_keys,
    market_test,
    names,
    page_request,
    required_integer,
)
from .model import SECOND, ZERO_TIME, Event, Market
from .pages import take_page
from .prices import contracts

PREFIX = "/trade-api/v2"
PERIODS = (1, 60, 1440)
BATCH_TICKERS = 100
BATCH_CANDLES = 10_000
RANGE_CANDLES = 5_000

Handler = Callable[..., Answer]


@dataclass(frozen=True, slots=True)
class Window:
    """Which candles are asked for: those of `period` minutes that end from `start` to `end`, both
    included, in Unix seconds."""

    period: int
    start: int
    end: int

    @property
    def periods(self) -> float:
        """How many candles the window may have, as Kalshi counts them for its caps."""
        return (self.end - self.start) / (self.period * 60)


class Api:
    """Answers requests from what is on an exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def answer(self, path: str, query: Query, overlap: int = 0) -> Answer:
        """The answer to a GET; path begins after the prefix.

        overlap: how many rows of the page before a list repeats (a fault, see faults.py).
        """
        if len(path) > 1 and path.endswith("/"):
            query_text = f"?{urlencode(query)}" if query else ""
            return Answer(301, b"", headers={"Location": PREFIX + path.rstrip("/") + query_text})
        parts = [unquote(part) for part in path.strip("/").split("/")]
        with self.exchange.lock:
            try:
                for pattern, handler in self._routes():
                    if (values := _match(pattern, parts)) is not None:
                        return handler(*values, query=query, overlap=overlap)
            except ApiError as error:
                return error.answer
        return unknown_path()

    def _routes(self) -> Iterable[tuple[str, Handler]]:
        return (
            ("events", self._events),
            ("events/multivariate", self._multivariate_events),
            ("events/*", self._event),
            ("markets", self._markets),
            ("markets/candlesticks", self._batch_candles),
            ("markets/*", self._market),
            ("series", self._series_list),
            ("series/*", self._series),
            ("series/*/markets/*/candlesticks", self._market_candles),
            ("historical/cutoff", self._cutoff),
            ("historical/markets", self._historical_markets),
            ("historical/markets/*", self._historical_market),
            ("historical/markets/*/candlesticks", self._historical_candles),
            ("exchange/status", self._status),
        )

    # Events

    def _events(self, *, query: Query, overlap: int) -> Answer:
        nested = flag(query, "with_nested_markets")
        request = page_request(query, default=200, highest=200, lowest=1, overlap=overlap)
        accept = event_test(self.exchange, query)
        page = take_page(event_keys(self.exchange, query), request, accept)
        events = [self._event_object(ticker, nested) for ticker in page.tickers]
        return json_answer({"cursor": page.cursor, "events": events, "milestones": []})

    def _multivariate_events(self, *, query: Query, overlap: int) -> Answer:
        if query.get("series_ticker") and query.get("collection_ticker"):
            raise bad_request()
        nested = flag(query, "with_nested_markets")
        request = page_request(query, default=100, highest=200, lowest=1, overlap=overlap)
        series, collection = query.get("series_ticker", ""), query.get("collection_ticker", "")

        def accept(ticker: str) -> bool:
            if series and self.exchange.events[ticker].series_ticker != series:
                return False
            markets = (self.exchange.markets[name] for name in self.exchange.markets_of[ticker])
            return not collection or any(m.collection_ticker == collection for m in markets)

        page = take_page(self.exchange.multivariate_event_keys, request, accept)
        events = [self._event_object(ticker, nested) for ticker in page.tickers]
        return json_answer({"cursor": page.cursor, "events": events})

    def _event(self, ticker: str, *, query: Query, overlap: int) -> Answer:
        if ticker not in self.exchange.events:
            raise not_found()
        nested = flag(query, "with_nested_markets")
        event = self._event_object(ticker, nested)
        if "last_updated_ts" in event:
            # This endpoint alone sends the zero time instead (docs/kalshi_api.md, 5.2).
            event["last_updated_ts"] = shapes.rfc3339(ZERO_TIME)
        markets = [] if nested else self._nested(self.exchange.events[ticker])
        return json_answer({"event": event, "markets": markets})

    def _event_object(self, ticker: str, nested: bool) -> dict[str, object]:
        event = self.exchange.events[ticker]
        found = shapes.event_object(event, self.exchange.era_of(ticker))
        if nested and (markets := self._nested(event)):
            found["markets"] = markets
        return found

    def _nested(self, event: Event) -> list[dict[str, object]]:
        return [self._market_object(m) for m in self.exchange.live_markets(event.event_ticker)]

    # Markets

    def _market_object(self, market: Market, *, listed: bool = False) -> dict[str, object]:
        exchange = self.exchange
        return shapes.market_object(
            market,
            exchange.quote(market),
            market.status(exchange.now),
            exchange.era_of(market.event_ticker),
            listed=listed,
        )

    def _market_page(self, query: Query, overlap: int, accept: Callable[[Market], bool]) -> Answer:
        request = page_request(query, default=100, highest=1_000, overlap=overlap)
        markets = self.exchange.markets
        keys = market_keys(self.exchange, query)
        page = take_page(keys, request, lambda ticker: accept(markets[ticker]))
        rows = [self._market_object(markets[ticker], listed=True) for ticker in page.tickers]
        return json_answer({"cursor": page.cursor, "markets": rows})

    def _markets(self, *, query: Query, overlap: int) -> Answer:
        return self._market_page(query, overlap, market_test(self.exchange, query))

    def _historical_markets(self, *, query: Query, overlap: int) -> Answer:
        return self._market_page(query, overlap, historical_test(self.exchange, query))

    def _market(self, ticker: str, *, query: Query, overlap: int) -> Answer:
        market = self._live_market(ticker)
        return json_answer({"market": self._market_object(market, listed=True)})

    def _historical_market(self, ticker: str, *, query: Query, overlap: int) -> Answer:
        market = self.exchange.markets.get(ticker)
        if market is None or not self.exchange.is_historical(market):
            raise not_found("failed_to_get_market_by_ticker:_not_found")
        return json_answer({"market": self._market_object(market, listed=True)})

    def _live_market(self, ticker: str) -> Market:
        market = self.exchange.markets.get(ticker)
        if market is None or not self.exchange.is_live(market):
            raise not_found()
        return market

    # Candles

    def _batch_candles(self, *, query: Query, overlap: int) -> Answer:
        tickers = names(query, "market_tickers")
        if not tickers:
            raise invalid_argument("Query argument market_tickers is required")
        window = _window(query)
        if len(tickers) > BATCH_TICKERS:
            raise bad_request()
        asked = int(len(tickers) * window.periods)
        if asked > BATCH_CANDLES:
            raise bad_request(
                f"requested candlesticks across all markets: {asked},"
                f" max candlesticks: {BATCH_CANDLES}"
            )
        latest = flag(query, "include_latest_before_start")
        entries: list[str] = []
        for ticker in dict.fromkeys(tickers):
            market = self.exchange.markets.get(ticker)
            if market is not None and self.exchange.is_live(market):
                rows = self._live_candles(ticker, window, latest)
                entries.append(f'{{"candlesticks":{rows},"market_ticker":{shapes.dumps(ticker)}}}')
        return Answer(200, f'{{"markets":[{",".join(entries)}]}}'.encode())

    def _market_candles(
        self, series_ticker: str, ticker: str, *, query: Query, overlap: int
    ) -> Answer:
        # The series in the path is not checked against the market (docs/kalshi_api.md, 2.7).
        window = _window(query)
        _check_range(window)
        self._live_market(ticker)
        rows = self._live_candles(ticker, window, flag(query, "include_latest_before_start"))
        return _candle_answer(ticker, rows)

    def _historical_candles(self, ticker: str, *, query: Query, overlap: int) -> Answer:
        window = _window(query)
        _check_range(window)
        market = self.exchange.markets.get(ticker)
        if market is None or not self.exchange.is_historical(market):
            raise not_found()
        candles = self.exchange.candles(ticker, window.period, window.start, window.end)
        return _candle_answer(ticker, shapes.candle_list(candles, shapes.historical_candle))

    def _live_candles(self, ticker: str, window: Window, latest: bool) -> str:
        candles = self.exchange.candles(ticker, window.period, window.start, window.end)
        if latest and (first := self._synthetic(ticker, window)) is not None:
            candles = [first, *candles]
        legacy = self.exchange.era == "legacy"
        shape = shapes.legacy_candle if legacy else shapes.live_candle
        return shapes.candle_list(candles, shape)

    def _synthetic(self, ticker: str, window: Window) -> Candle | None:
        found = self.exchange.latest_candle(ticker, window.period, window.start)
        ends = period_ends(window.period, window.start + 1, window.end)
        if found is None or not ends:
            return None
        return shapes.synthetic(found, ends[0])

    # Everything else

    def _series_list(self, *, query: Query, overlap: int) -> Answer:
        updated_after = integer(query, "min_updated_ts")
        category, tags = query.get("category", ""), set(names(query, "tags"))
        found = [
            self._series_object(ticker, query)
            for ticker, series in sorted(self.exchange.series.items())
            if (not category or series.category == category)
            and (not tags or tags & set(series.tags or ()))
            and (updated_after is None or series.updated > updated_after * SECOND)
        ]
        return json_answer({"series": found})

    def _series(self, ticker: str, *, query: Query, overlap: int) -> Answer:
        if ticker not in self.exchange.series:
            raise not_found()
        found = self._series_object(ticker, query)
        found["product_metadata"] = self.exchange.series[ticker].metadata
        return json_answer({"series": found})

    def _series_object(self, ticker: str, query: Query) -> dict[str, object]:
        exchange = self.exchange
        series = exchange.series[ticker]
        found = shapes.series_object(series, exchange.era)
        if flag(query, "include_product_metadata"):
            found["product_metadata"] = series.metadata
        if flag(query, "include_volume"):
            events = exchange.events_of.get(ticker, ())
            markets = (exchange.markets[t] for event in events for t in exchange.markets_of[event])
            volume = sum(exchange.quote(market).volume for market in markets)
            found["volume_fp"] = contracts(volume)
        return found

    def _cutoff(self, *, query: Query, overlap: int) -> Answer:
        cutoff = shapes.rfc3339(self.exchange.cutoff)
        return json_answer(
            {
                "market_positions_last_updated_ts": cutoff,
                "market_settled_ts": cutoff,
                "orders_updated_ts": cutoff,
                "trades_created_ts": cutoff,
            }
        )

    def _status(self, *, query: Query, overlap: int) -> Answer:
        flags: Mapping[str, object] = {"exchange_active": True, "trading_active": True}
        if self.exchange.era == "legacy":
            return json_answer({**flags, "exchange_estimated_resume_time": None})
        flags = {**flags, "intra_exchange_transfers_active": True}
        return json_answer(
            {
                **flags,
                "exchange_estimated_resume_time": None,
                "exchange_index_statuses": [
                    {**flags, "description": name, "exchange_index": index}
                    for index, name in enumerate(("main", "combos", "crypto", "tennis, baseball"))
                ],
            }
        )


def _match(pattern: str, parts: list[str]) -> list[str] | None:
    """What stands for the stars of a pattern in a path; None when the path does not match it."""
    wanted = pattern.split("/")
    if len(wanted) != len(parts):
        return None
    if any(name not in ("*", part) for name, part in zip(wanted, parts, strict=True)):
        return None
    return [part for name, part in zip(wanted, parts, strict=True) if name == "*"]


def _window(query: Query) -> Window:
    start = required_integer(query, "start_ts")
    end = required_integer(query, "end_ts")
    period = required_integer(query, "period_interval")
    if period not in PERIODS:
        field = "GetMarketCandlesticksParams.PeriodInterval"
        raise invalid_argument(
            "Parameter validation failed for GetMarketCandlesticks: "
            f"Key: '{field}' Error:Field validation for 'PeriodInterval' failed on the 'oneof' tag"
        )
    if end < start:
        raise bad_request()
    return Window(period, start, end)


def _check_range(window: Window) -> None:
    if window.periods > RANGE_CANDLES:
        raise bad_request(
            f"requested time range with candlesticks: {window.periods:.6f},"
            f" max candlesticks: {RANGE_CANDLES}"
        )


def _candle_answer(ticker: str, rows: str) -> Answer:
    return Answer(200, f'{{"candlesticks":{rows},"ticker":{shapes.dumps(ticker)}}}'.encode())
