"""The rows that land, and the few fields of the API's objects that planning needs.

A payload stays the bytes that the API sent: it is split into objects, never read into Python
values and written again, so every number keeps its spelling (`"0.0600"`, `4.9`).
"""

from datetime import datetime
from typing import Any

import msgspec

LIVE = "live"


class Origin(msgspec.Struct, frozen=True):
    """Where an object came from."""

    endpoint: str
    """Path of the request, with placeholders: `/events/{event_ticker}`."""
    tier: str
    """`live` or `historical`: the same key means different things in each (API.md 2.12)."""
    fetched_at: datetime
    """When the answer had arrived, UTC."""


class EventRow(msgspec.Struct, frozen=True):
    """One event object without its nested markets, which are rows of their own."""

    event_ticker: str | None
    payload: bytes
    origin: Origin


class MarketRow(msgspec.Struct, frozen=True):
    """One market object."""

    market_ticker: str | None
    event_ticker: str | None
    payload: bytes
    origin: Origin


class WindowRow(msgspec.Struct, frozen=True):
    """One market's candles of one requested window (window_start, window_end]; may be none."""

    market_ticker: str
    interval_min: int
    window_start: datetime
    window_end: datetime
    payload: bytes
    """The JSON array of candles, ascending by `end_period_ts`."""
    origin: Origin

    @property
    def candles(self) -> int:
        """How many candles the payload holds, without decoding it."""
        return self.payload.count(b'"end_period_ts"')


class Market(msgspec.Struct, frozen=True):
    """What planning needs to know of a market. Unix seconds; None where the API did not say."""

    ticker: str
    opened: int | None
    closed: int | None


class EventObject(msgspec.Struct):
    """The planner's view of an event object, tolerant of every value."""

    event_ticker: Any = None
    markets: list[msgspec.Raw] | None = None


class MarketObject(msgspec.Struct):
    """The planner's view of a market object, tolerant of every value."""

    ticker: Any = None
    event_ticker: Any = None
    open_time: Any = None
    close_time: Any = None

    def market(self) -> Market | None:
        """None where the object has no usable ticker: nothing can be asked for it."""
        if not isinstance(self.ticker, str) or not self.ticker:
            return None
        return Market(self.ticker, unix_seconds(self.open_time), unix_seconds(self.close_time))


def unix_seconds(value: Any) -> int | None:
    """Unix seconds of an RFC 3339 text; None for anything else and for the zero time (year 1)."""
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return int(moment.timestamp()) if moment.tzinfo and moment.year > 1 else None


def text_or_none(value: Any) -> str | None:
    """A key column's text; None where the payload has no text there."""
    return value if isinstance(value, str) and value else None
