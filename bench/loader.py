"""How benchmarks call the loader's own code; no other module of theirs does."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from bench.exchange import Exchange
from kalshi_elt.base.errors import KalshiEltError
from kalshi_elt.base.times import TimeRange
from kalshi_elt.kalshi.endpoints import CANDLES_ENDPOINT
from kalshi_elt.kalshi.records import LIVE, EventRow, MarketRow, Origin, SeriesRow, WindowRow
from kalshi_elt.kalshi.request_plan import CandleRequest, Window, plan_requests
from kalshi_elt.load.candles import fetch_and_land
from kalshi_elt.load.configuration import load_settings
from kalshi_elt.load.context import make_context
from kalshi_elt.load.landing.lander import Lander
from kalshi_elt.load.landing.source import raw_rows_source
from kalshi_elt.ops.lock import hold_lock
from kalshi_elt.warehouse.connection import Warehouse


def requests_for(
    exchange: Exchange, start: int, end: int, markets: int | None = None
) -> list[CandleRequest]:
    """The requests by which the loader asks for (start, end] of all markets, or the first ones."""
    windows = [Window(ticker, start, end, start, end) for ticker in exchange.tickers[:markets]]
    return plan_requests(windows, 1)


def rows_for(
    exchange: Exchange, request: CandleRequest, fetched_at: datetime
) -> Iterator[WindowRow]:
    """The rows that a request brings."""
    start = datetime.fromtimestamp(request.start, UTC)
    end = datetime.fromtimestamp(request.end, UTC)
    origin = Origin(CANDLES_ENDPOINT, LIVE, fetched_at)
    for ticker in request.tickers:
        found = exchange.candles(exchange.numbers[ticker], request.start + 1, request.end)
        yield WindowRow(ticker, 1, start, end, b"[" + found.body + b"]", origin)


def land_rows(lander: Lander, rows: Sequence[WindowRow]) -> None:
    """Land rows as one package."""
    lander.land(raw_rows_source(candlesticks=rows))


def land_listing(lander: Lander, exchange: Exchange, fetched_at: datetime) -> None:
    """Land all series, events and markets of the exchange."""
    origin = Origin("bench", LIVE, fetched_at)
    size = exchange.size
    events = map(exchange.event_ticker, range(size.events))
    lander.land(
        raw_rows_source(
            series=[
                SeriesRow(ticker, exchange.series(number), origin)
                for ticker, number in exchange.series_numbers.items()
            ],
            events=[
                EventRow(ticker, exchange.event(number, nested=False), origin)
                for number, ticker in enumerate(events)
            ],
            markets=[
                MarketRow(
                    ticker,
                    exchange.event_ticker(exchange.event_of(number)),
                    exchange.market(number),
                    origin,
                )
                for number, ticker in enumerate(exchange.tickers)
            ],
        )
    )


def land_through_http(warehouse: Warehouse, api_url: str, requests: list[CandleRequest]) -> None:
    """Fetch and land requests that are planned already, as `load` does, and count the coverage."""
    settings = load_settings({"api_url": api_url, "rate": 100_000.0})
    wanted = TimeRange(requests[0].start, requests[0].end)
    with hold_lock(warehouse, wait=True) as connection:
        context = make_context(settings, wanted, warehouse, connection)
        fetch_and_land(context, requests)
    if context.summary.problems:
        raise KalshiEltError(str(context.summary.problems[0]))
