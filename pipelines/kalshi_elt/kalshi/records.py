"""The rows that land, and the few fields of the API's objects that planning needs.

A payload stays the bytes that the API sent: it is split into objects, never read into Python
values and written again, so every number keeps its spelling (`"0.0600"`, `4.9`).
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from kalshi_elt.base.problems import Problem

LIVE = "live"
HISTORICAL = "historical"


class Origin(msgspec.Struct, frozen=True):
    """Where an object came from."""

    endpoint: str
    """Path of the request, with placeholders: `/events/{event_ticker}`."""
    tier: str
    """`live` or `historical`: the same key of a payload means different things in each
    (docs/kalshi_api.md, 2.12)."""
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
    """One market's candles of one requested window (window_start, window_end].

    A window without candles is a row too: it shows that they were asked for.
    """

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
        # each candle has this key once. Looked for without the quotes around it, as quotes are so
        # frequent that they make the search a third slower
        return self.payload.count(b"end_period_ts")


class SeriesRow(msgspec.Struct, frozen=True):
    """One series object."""

    series_ticker: str | None
    payload: bytes
    origin: Origin


class Market(msgspec.Struct, frozen=True):
    """What selecting and planning need to know of a market. Times are Unix seconds; None is what
    the object does not say."""

    ticker: str
    event_ticker: str | None
    status: str | None
    opened: int | None
    closed: int | None
    settled: int | None
    volume: Decimal
    """Contracts; 0 where the object does not say."""
    is_multivariate: bool

    @property
    def is_settled(self) -> bool:
        """Whether it has reached its last state (docs/kalshi_api.md, 4)."""
        return self.status in SETTLED


MarketInTier = tuple[Market, str]
"""A market and the tier that holds its candles."""

SETTLED = frozenset({"finalized", "settled"})


class EventObject(msgspec.Struct):
    """The planner's view of an event object, tolerant of every value."""

    event_ticker: Any = None
    series_ticker: Any = None
    markets: list[msgspec.Raw] | None = None


class MarketObject(msgspec.Struct):
    """The planner's view of a market object, tolerant of every value."""

    ticker: Any = None
    event_ticker: Any = None
    status: Any = None
    open_time: Any = None
    close_time: Any = None
    settlement_ts: Any = None
    volume_fp: Any = None
    volume: Any = None
    mve_collection_ticker: Any = None

    def market(self) -> Market | None:
        """The market; None when the object has no usable ticker, without which no candles can be
        asked for."""
        ticker = key_or_none(self.ticker)
        if ticker is None:
            return None
        return Market(
            ticker=ticker,
            event_ticker=key_or_none(self.event_ticker),
            status=text_or_none(self.status),
            opened=unix_seconds(self.open_time),
            closed=unix_seconds(self.close_time),
            settled=unix_seconds(self.settlement_ts),
            volume=_decimal(self.volume if self.volume_fp is None else self.volume_fp),
            is_multivariate=bool(self.mve_collection_ticker) or ticker.startswith("KXMVE"),
        )


def _decimal(value: Any) -> Decimal:
    """A number to compare with, never stored; 0 for whatever is not a finite number."""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return Decimal(0)
    return number if number.is_finite() else Decimal(0)


LAST_SECOND = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())
"""The last second of year 9999 in UTC, with which Python's times end. A time in a zone west of UTC
may be a few hours later than that."""


def unix_seconds(value: Any) -> int | None:
    """Unix seconds of an RFC 3339 text; None for anything else, and for year 1, by which Kalshi
    says that there is no time."""
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None or moment.year <= 1:
        return None
    return min(int(moment.timestamp()), LAST_SECOND)


def text_or_none(value: Any) -> str | None:
    """The value if it is a text that is not empty, else None."""
    return value if isinstance(value, str) and value else None


LONGEST_KEY = 500
"""Characters of a key. Kalshi's tickers have up to 57 (docs/kalshi_api.md, 2.4); Postgres refuses a
row of an index beyond 2,700 bytes, and a character may take 4."""


def key_or_none(value: Any) -> str | None:
    """The value if it can be a key: a text, neither empty nor longer than LONGEST_KEY; else
    None."""
    key = text_or_none(value)
    return key if key is None or len(key) <= LONGEST_KEY else None


@dataclass(frozen=True)
class MarketFound:
    """A market as listed, with the row that lands."""

    row: MarketRow
    market: Market | None
    """None when the object has no usable ticker: it lands, but no candles can be asked for it."""

    @property
    def tier(self) -> str:
        return self.row.origin.tier


@dataclass(frozen=True)
class Listing:
    """An event with markets of it."""

    event: EventRow | None
    """None when its markets alone were asked for."""
    series_ticker: str | None
    markets: tuple[MarketFound | Problem, ...]
