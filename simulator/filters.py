"""Query parameters of the lists, and which rows they let through (docs/kalshi_api.md, 2.1, 2.4,
2.12)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .answers import bad_request, invalid_argument
from .exchange import Exchange, Key
from .model import SECOND, Market
from .pages import PageRequest, decode_cursor

Query = Mapping[str, str]
MarketTest = Callable[[Market], bool]

STATUSES: dict[str, frozenset[str]] = {
    "unopened": frozenset({"initialized"}),
    "open": frozenset({"active"}),
    "paused": frozenset({"inactive"}),
    "closed": frozenset({"closed", "determined", "disputed", "amended"}),
    "settled": frozenset({"finalized"}),
}
"""The statuses that each status filter finds (docs/kalshi_api.md, 4)."""

# For each time by which markets can be filtered, the status filters that it may be combined with.
_FAMILIES: dict[str, frozenset[str]] = {
    "created": frozenset({"", "unopened", "open"}),
    "close": frozenset({"", "closed"}),
    "settled": frozenset({"", "settled"}),
    "updated": frozenset({""}),
}


def integer(query: Query, name: str, default: int | None = None) -> int | None:
    """An integer parameter, or the default when it is missing."""
    text = query.get(name, "")
    if not text:
        return default
    try:
        return int(text)
    except ValueError:
        raise bad_request() from None


def required_integer(query: Query, name: str) -> int:
    """An integer parameter that must be there."""
    value = integer(query, name)
    if value is None:
        raise invalid_argument(f"Query argument {name} is required")
    return value


def flag(query: Query, name: str) -> bool:
    """A boolean parameter, false when it is missing."""
    text = query.get(name, "false").lower()
    if text not in ("true", "false", "1", "0", ""):
        raise bad_request()
    return text in ("true", "1")


def names(query: Query, name: str) -> list[str]:
    """The items of a list with commas."""
    return [item for item in query.get(name, "").split(",") if item]


def page_request(
    query: Query, default: int, highest: int, lowest: int = 0, overlap: int = 0
) -> PageRequest:
    """The page that `limit` and `cursor` ask for. A limit of 0, where it is allowed, is the
    default."""
    limit = integer(query, "limit", default)
    if limit is None or not lowest <= limit <= highest:
        raise bad_request()
    return PageRequest(limit or default, decode_cursor(query.get("cursor", "")), overlap)


def market_status(query: Query) -> str:
    """The status filter of /markets."""
    status = query.get("status", "")
    if "," in status:
        raise bad_request("only one status filter may be supplied")
    if status and status not in STATUSES:
        raise bad_request("invalid status filter")
    return status


def event_status(query: Query) -> str:
    """The status filter of /events, which has no `paused`, and does not say what is wrong with a
    bad one."""
    status = query.get("status", "")
    if status and (status not in STATUSES or status == "paused"):
        raise bad_request()
    return status


@dataclass(frozen=True, slots=True)
class _Bounds:
    """Limits in microseconds for one time of a market; both exclusive."""

    family: str
    low: int | None
    high: int | None

    def holds(self, market: Market) -> bool:
        value = {
            "created": market.created,
            "close": market.closes,
            "settled": market.settled,
            "updated": market.updated,
        }[self.family]
        if value is None:
            return False
        if self.low is not None and value <= self.low:
            return False
        return self.high is None or value < self.high


def _bounds(query: Query, status: str) -> _Bounds | None:
    used = [
        name for name in _FAMILIES if query.get(f"min_{name}_ts") or query.get(f"max_{name}_ts")
    ]
    if not used:
        return None
    family = used[0]
    if len(used) > 1 or status not in _FAMILIES[family]:
        raise bad_request()
    if family == "updated":
        _check_updated(query)
    low, high = integer(query, f"min_{family}_ts"), integer(query, f"max_{family}_ts")
    return _Bounds(
        family,
        None if low is None else low * SECOND,
        None if high is None else high * SECOND,
    )


def _check_updated(query: Query) -> None:
    """The updated bounds go with mve_filter=exclude only, and series_ticker needs that one."""
    mve = query.get("mve_filter", "")
    if query.get("event_ticker") or query.get("tickers") or mve not in ("", "exclude"):
        raise bad_request()
    if query.get("series_ticker") and mve != "exclude":
        raise bad_request()


def _multivariate(query: Query, allowed: Sequence[str]) -> str:
    value = query.get("mve_filter", "")
    if value and value not in allowed:
        raise bad_request()
    return value


def market_test(exchange: Exchange, query: Query) -> MarketTest:
    """Which live markets a /markets request finds."""
    status = market_status(query)
    wanted = STATUSES.get(status)
    bounds = _bounds(query, status)
    mve = _multivariate(query, ("only", "exclude"))
    event, series = query.get("event_ticker", ""), query.get("series_ticker", "")
    now = exchange.now

    def accept(market: Market) -> bool:
        return (
            exchange.is_live(market)
            and (wanted is None or market.status(now) in wanted)
            and (bounds is None or bounds.holds(market))
            and (not mve or market.multivariate == (mve == "only"))
            and (not event or market.event_ticker == event)
            and (not series or market.series_ticker == series)
        )

    return accept


def historical_test(exchange: Exchange, query: Query) -> MarketTest:
    """Which archived markets a /historical/markets request finds; other filters are ignored."""
    if sum(bool(query.get(name)) for name in ("tickers", "event_ticker", "series_ticker")) > 1:
        raise bad_request()
    mve = _multivariate(query, ("exclude",))
    event, series = query.get("event_ticker", ""), query.get("series_ticker", "")

    def accept(market: Market) -> bool:
        return (
            exchange.is_historical(market)
            and not (mve and market.multivariate)
            and (not event or market.event_ticker == event)
            and (not series or market.series_ticker == series)
        )

    return accept


def market_keys(exchange: Exchange, query: Query) -> Sequence[Key]:
    """The keys of the markets that may be in a list: all, or those that a filter names."""
    wanted: list[str] | None = None
    if tickers := names(query, "tickers"):
        wanted = [ticker for ticker in set(tickers) if ticker in exchange.markets]
    elif event := query.get("event_ticker", ""):
        wanted = exchange.markets_of.get(event, [])
    elif series := query.get("series_ticker", ""):
        events = exchange.events_of.get(series, [])
        wanted = [ticker for event in events for ticker in exchange.markets_of[event]]
    if wanted is None:
        return exchange.market_keys
    return sorted((exchange.markets[ticker].created, ticker) for ticker in wanted)


def event_test(exchange: Exchange, query: Query) -> Callable[[str], bool]:
    """Which events a /events request finds, by ticker."""
    wanted = STATUSES.get(event_status(query))
    series, tickers = query.get("series_ticker", ""), set(names(query, "tickers"))
    closes_after = integer(query, "min_close_ts")
    updated_after = integer(query, "min_updated_ts")
    now = exchange.now

    def accept(ticker: str) -> bool:
        event = exchange.events[ticker]
        if series and event.series_ticker != series:
            return False
        if tickers and ticker not in tickers:
            return False
        if updated_after is not None and event.updated <= updated_after * SECOND:
            return False
        if wanted is None and closes_after is None:
            return True
        markets = exchange.live_markets(ticker)
        if wanted is not None and not any(market.status(now) in wanted for market in markets):
            return False
        return closes_after is None or any(
            market.closes > closes_after * SECOND for market in markets
        )

    return accept


def event_keys(exchange: Exchange, query: Query) -> Sequence[Key]:
    """The keys of the events that may be in /events: all, or those that a filter names, without
    multivariate ones."""
    wanted: list[str] | None = None
    if tickers := names(query, "tickers"):
        wanted = [ticker for ticker in set(tickers) if ticker in exchange.events]
    elif series := query.get("series_ticker", ""):
        wanted = exchange.events_of.get(series, [])
    if wanted is None:
        return exchange.event_keys
    events = (exchange.events[ticker] for ticker in wanted)
    return sorted((e.expiration, e.event_ticker) for e in events if not e.multivariate)
