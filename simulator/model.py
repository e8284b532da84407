"""What the exchange consists of: series, events and markets as plain values (docs/kalshi_api.md,
2.1 to 2.10).

Times are integer microseconds since 1970 UTC, prices 1/10,000 dollars, counts 1/100 contracts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

SECOND = 1_000_000
DAY = 86_400 * SECOND
ZERO_TIME = -62_135_596_800 * SECOND
"""0001-01-01T00:00:00Z, which Kalshi sends for a time that it never stored (docs/kalshi_api.md,
5.1)."""

Era = Literal["live", "legacy"]
"""live: prices and counts are strings in dollars and contracts alone; legacy: there are integers in
cents and whole contracts beside them."""

Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Source:
    """Who says how a market ended."""

    name: str
    url: str


@dataclass(frozen=True, slots=True)
class Series:
    """A template from which events recur (docs/kalshi_api.md, 2.10)."""

    ticker: str
    title: str
    category: str
    frequency: str
    updated: int
    tags: tuple[str, ...] | None = None
    sources: tuple[Source, ...] | None = None
    fee_type: str = "quadratic"
    fee_multiplier: float = 1
    prohibitions: tuple[str, ...] | None = None
    metadata: Json | None = None
    exchange_index: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """A question with one market or several (docs/kalshi_api.md, 2.1).

    expiration orders the lists; era, if set, is the shape in which the event and its markets are
    always sent, whatever the exchange speaks.
    """

    event_ticker: str
    series_ticker: str
    title: str
    sub_title: str
    category: str
    updated: int
    expiration: int
    collateral_return_type: str = ""
    strike_date: int | None = None
    strike_period: str = ""
    sources: tuple[Source, ...] = ()
    metadata: Json | None = None
    exchange_index: int = 0
    available_on_brokers: bool = False
    multivariate: bool = False
    era: Era | None = None

    @property
    def mutually_exclusive(self) -> bool:
        """True exactly for MECNET."""
        return self.collateral_return_type == "MECNET"


@dataclass(frozen=True, slots=True)
class Leg:
    """One part of a multivariate market."""

    event_ticker: str
    market_ticker: str
    side: Literal["yes", "no"]


@dataclass(frozen=True, slots=True)
class Quote:
    """The figures of a market that change by trading."""

    yes_bid: int
    yes_ask: int
    last_price: int
    previous_yes_bid: int
    previous_yes_ask: int
    previous_price: int
    volume: int
    volume_24h: int
    open_interest: int
    yes_bid_size: int
    yes_ask_size: int
    liquidity: int = 0
    """Cents; legacy shape only."""


@dataclass(frozen=True, slots=True)
class Market:
    """A contract (docs/kalshi_api.md, 2.4).

    status is derived from the times; `held_status` overrides that (inactive, determined, disputed,
    amended). `quote`, if set, replaces what the candles say. pace and level steer the candles and
    are drawn when missing, like everything else from `drawn_as`: the name of a market whose ticker
    holds a date.
    """

    ticker: str
    event_ticker: str
    series_ticker: str
    title: str
    yes_sub_title: str
    no_sub_title: str
    created: int
    updated: int
    opens: int
    closes: int
    expected_expiration: int
    latest_expiration: int
    subtitle: str | None = None
    occurrence: int | None = None
    settlement_timer_seconds: int = 300
    market_type: str = "binary"
    can_close_early: bool = True
    early_close_condition: str | None = None
    rules_primary: str = ""
    rules_secondary: str = ""
    price_structure: str = "linear_cent"
    strike_type: str | None = None
    floor_strike: float | int | None = None
    cap_strike: float | int | None = None
    custom_strike: Mapping[str, str] | None = None
    participant_key: str | None = None
    collection_ticker: str | None = None
    legs: tuple[Leg, ...] = ()
    is_provisional: bool = False
    exchange_index: int = 0
    held_status: str | None = None
    result: str = ""
    expiration_value: str = ""
    settlement_value: int | None = None
    settled: int | None = None
    pace: str | None = None
    level: int | None = None
    quote: Quote | None = None
    drawn_as: str | None = None

    @property
    def draw_key(self) -> str:
        """The name on which its random draws depend, which is the same on every date."""
        return self.drawn_as or self.ticker

    @property
    def multivariate(self) -> bool:
        """Whether this is a combination of other markets (KXMVE...)."""
        return self.collection_ticker is not None

    def status(self, now: int) -> str:
        """The status as responses spell it (docs/kalshi_api.md, 4)."""
        if self.settled is not None and self.settled <= now:
            return "finalized"
        if self.held_status is not None:
            return self.held_status
        if now < self.opens:
            return "initialized"
        return "active" if now < self.closes else "closed"
