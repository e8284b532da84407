"""The shapes of the API's answers, and the rows made of the objects in them.

A payload is the bytes of its object as they came: `msgspec.Raw` leaves them undecoded.
"""

import msgspec

from kalshi_elt.base.errors import ApiError
from kalshi_elt.base.problems import Problem
from kalshi_elt.kalshi.records import (
    EventObject,
    EventRow,
    Listing,
    MarketFound,
    MarketObject,
    MarketRow,
    Origin,
    SeriesRow,
    key_or_none,
)
from kalshi_elt.kalshi.sanitize import REPLACEMENT, is_sanitized

NULL = msgspec.Raw(b"null")


class EventsPage(msgspec.Struct):
    """A page of `/events` or `/events/multivariate`."""

    events: list[msgspec.Raw] | None = None
    cursor: str | None = None
    """What to ask the next page with; empty on the last one."""


class MarketsPage(msgspec.Struct):
    """A page of `/markets` or `/historical/markets`."""

    markets: list[msgspec.Raw] | None = None
    cursor: str | None = None


class EventAnswer(msgspec.Struct):
    """`/events/{event_ticker}`."""

    event: msgspec.Raw


class MarketAnswer(msgspec.Struct):
    """`/markets/{ticker}` and its like in the historical tier."""

    market: msgspec.Raw


class SeriesAnswer(msgspec.Struct):
    """`/series/{series_ticker}`."""

    series: msgspec.Raw


class SeriesList(msgspec.Struct):
    """`/series`, which has no pages."""

    series: list[msgspec.Raw] | None = None


class CutoffAnswer(msgspec.Struct):
    """`/historical/cutoff`."""

    market_settled_ts: str


class MarketCandles(msgspec.Struct):
    """One market's part of an answer with the candles of several."""

    market_ticker: str
    candlesticks: msgspec.Raw = NULL


class CandlesAnswer(msgspec.Struct):
    """`/markets/candlesticks`: candles of up to 100 markets."""

    markets: list[MarketCandles] | None = None


class SingleCandlesAnswer(msgspec.Struct):
    """The candles of one market."""

    candlesticks: msgspec.Raw = NULL


class _SeriesObject(msgspec.Struct):
    ticker: object = None


def listing(event: msgspec.Raw, origin: Origin) -> Listing | Problem:
    """An event object as its own row and one row for each market nested in it."""
    try:
        view = msgspec.json.decode(event, type=EventObject)
        members = msgspec.json.decode(event, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError as error:
        return Problem(f"an event of {origin.endpoint}", f"is not an event object ({error})")
    members.pop("markets", None)
    payload = msgspec.json.encode(members)
    if any("\ufffd" in name for name in members) and is_sanitized(bytes(event)):
        # A character of a member's name was replaced. That is told by the upper-case escape of the
        # replacement (sanitize.py), which decoding and encoding the names has taken away.
        payload = payload.replace("\ufffd".encode(), REPLACEMENT)
    return Listing(
        EventRow(key_or_none(view.event_ticker), payload, origin),
        key_or_none(view.series_ticker),
        tuple(market_found(market, origin) for market in view.markets or ()),
    )


def market_found(market: msgspec.Raw, origin: Origin) -> MarketFound | Problem:
    """A market object as its row, with what planning needs of it."""
    try:
        view = msgspec.json.decode(market, type=MarketObject)
    except msgspec.ValidationError as error:
        return Problem(f"a market of {origin.endpoint}", f"is not a market object ({error})")
    row = MarketRow(key_or_none(view.ticker), key_or_none(view.event_ticker), bytes(market), origin)
    return MarketFound(row, view.market())


def series_row(series: msgspec.Raw, origin: Origin) -> SeriesRow:
    """A series object as its row."""
    view = msgspec.json.decode(series, type=_SeriesObject)
    return SeriesRow(key_or_none(view.ticker), bytes(series), origin)


def candle_list(path: str, candlesticks: msgspec.Raw) -> bytes:
    """The list of candles as it came; null is an empty list. What is in it is looked at when it is
    typed. Raises ApiError, naming the request's `path`, when it is not a list."""
    if candlesticks == NULL:
        return b"[]"
    found = bytes(candlesticks)
    if not found.startswith(b"["):
        raise ApiError(f"GET {path}: an answer of unknown form (candlesticks are not a list)")
    return found
