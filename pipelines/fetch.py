"""From the API's answers to rows: one row for each JSON object, payloads as they came."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

import msgspec

from pipelines.api import KalshiApi
from pipelines.errors import ApiError, ApiUnreachableError, NotFoundError
from pipelines.plan import CandleRequest, batched
from pipelines.records import (
    LIVE,
    EventObject,
    EventRow,
    Market,
    MarketObject,
    MarketRow,
    Origin,
    WindowRow,
    text_or_none,
)

EVENTS_PAGE = 200
"""The most events in one answer (API.md 2.1)."""

EVENTS_ENDPOINT = "/events"
EVENT_ENDPOINT = "/events/{event_ticker}"
CANDLES_ENDPOINT = "/markets/candlesticks"


@dataclass(frozen=True)
class Listing:
    """One event with its live markets."""

    event: EventRow
    market_rows: tuple[MarketRow, ...]

    @property
    def markets(self) -> list[Market]:
        """Those of the markets that candles can be asked for."""
        objects = (msgspec.json.decode(row.payload, type=MarketObject) for row in self.market_rows)
        return [market for market in (found.market() for found in objects) if market]


@dataclass(frozen=True)
class Problem:
    """Something asked for that could not be landed."""

    what: str
    why: str
    is_final: bool = False
    """Nothing more can be asked for: the load ends here."""

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


class _EventsPage(msgspec.Struct):
    events: list[msgspec.Raw]
    cursor: str | None = None


class _EventAnswer(msgspec.Struct):
    event: msgspec.Raw


class _MarketCandles(msgspec.Struct):
    market_ticker: str
    candlesticks: msgspec.Raw


class _CandlesAnswer(msgspec.Struct):
    markets: list[_MarketCandles]


def fetch_events(api: KalshiApi, tickers: Sequence[str]) -> Iterator[Listing | Problem]:
    """Each event of `tickers`, with its markets, or the reason why not.

    Raises ApiError when the listing as a whole gets no answer.

    The list answer is preferred to `/events/{event_ticker}`: that one sends a zero
    `last_updated_ts` (API.md 5.2) and leaves out `primary_participant_key` (2.4). What the list
    leaves out is asked for by itself, as only that says 404.
    """
    for some in batched(tickers, EVENTS_PAGE):
        try:
            listed = {
                listing.event.event_ticker: listing
                for listing in _listed_events(api, some)
                if listing.event.event_ticker in some
            }
        except NotFoundError:
            listed = {}
        yield from listed.values()
        for ticker in some:
            if ticker not in listed:
                yield _single_event(api, ticker)


def fetch_candles(api: KalshiApi, request: CandleRequest) -> Iterator[WindowRow | Problem]:
    """One row for each market of the request, or the reason why not.

    Raises ApiUnreachableError when there is no API to ask any more.

    Never asks for `include_latest_before_start`: that adds a synthetic first candle (API.md 2.6).
    """
    params: dict[str, str | int] = {
        "market_tickers": ",".join(request.tickers),
        # the API's window includes both ends, ours begins after its start
        "start_ts": request.start + 1,
        "end_ts": request.end,
        "period_interval": request.interval_min,
    }
    try:
        answer = api.get(CANDLES_ENDPOINT, params, _CandlesAnswer)
    except ApiUnreachableError:
        raise
    except ApiError as error:
        yield from (Problem(f"candles of {ticker}", str(error)) for ticker in request.tickers)
        return
    origin = _origin(CANDLES_ENDPOINT)
    answered = {market.market_ticker: market.candlesticks for market in answer.markets}
    for ticker in request.tickers:
        if ticker not in answered:
            yield Problem(f"candles of {ticker}", "Kalshi's live tier knows no such market")
            continue
        yield WindowRow(
            market_ticker=ticker,
            interval_min=request.interval_min,
            window_start=datetime.fromtimestamp(request.start, UTC),
            window_end=datetime.fromtimestamp(request.end, UTC),
            payload=bytes(answered[ticker]),
            origin=origin,
        )


def _listed_events(api: KalshiApi, tickers: Iterable[str]) -> Iterator[Listing]:
    """Follows the cursor to its end: a page may be empty before it (API.md 5.6)."""
    params: dict[str, str | int] = {
        "tickers": ",".join(tickers),
        "with_nested_markets": "true",
        "limit": EVENTS_PAGE,
    }
    while True:
        page = api.get(EVENTS_ENDPOINT, params, _EventsPage)
        for event in page.events:
            yield _listing(event, _origin(EVENTS_ENDPOINT))
        if not page.cursor:
            return
        params["cursor"] = page.cursor


def _single_event(api: KalshiApi, ticker: str) -> Listing | Problem:
    path = EVENT_ENDPOINT.format(event_ticker=quote(ticker, safe=""))
    try:
        answer = api.get(path, {"with_nested_markets": "true"}, _EventAnswer)
    except NotFoundError:
        return Problem(
            f"event {ticker}",
            f"unknown to {api.base_url} (404); check the ticker's spelling and KALSHI_API_URL",
        )
    except ApiUnreachableError:
        raise
    except ApiError as error:
        return Problem(f"event {ticker}", str(error))
    return _listing(answer.event, _origin(EVENT_ENDPOINT))


def _listing(event: msgspec.Raw, origin: Origin) -> Listing:
    """Split an event object into its own row and one row for each nested market."""
    view = msgspec.json.decode(event, type=EventObject)
    members = msgspec.json.decode(event, type=dict[str, msgspec.Raw])
    members.pop("markets", None)
    return Listing(
        EventRow(text_or_none(view.event_ticker), msgspec.json.encode(members), origin),
        tuple(_market_row(market, origin) for market in view.markets or ()),
    )


def _market_row(market: msgspec.Raw, origin: Origin) -> MarketRow:
    view = msgspec.json.decode(market, type=MarketObject)
    return MarketRow(
        text_or_none(view.ticker), text_or_none(view.event_ticker), bytes(market), origin
    )


def _origin(endpoint: str) -> Origin:
    return Origin(endpoint, LIVE, datetime.now(UTC))
