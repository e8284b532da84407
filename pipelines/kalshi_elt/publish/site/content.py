"""What the site tells: the shapes of what `data.py` reads and `pages.py` shows."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property

from kalshi_elt.ops.gaps import Coverage

MOST_LISTED = 10
"""The most events in a list of the front page."""


@dataclass(frozen=True)
class Mover:
    """The market of an event whose probability moved most in a day."""

    market_ticker: str
    name: str
    probability: Decimal | None
    change_24h: Decimal
    volume_24h: Decimal


@dataclass(frozen=True)
class EventLine:
    """An event as it is shown in lists and found by the search; each event of the warehouse has
    one."""

    ticker: str
    title: str | None
    category: str | None
    markets: int
    open_markets: int
    volume_24h: Decimal
    volume: Decimal
    leader: str | None
    """Name of the market that won or, while there is none, is the likeliest."""
    probability: Decimal | None
    leader_result: str | None
    mover: Mover | None

    @property
    def name(self) -> str:
        return self.title or self.ticker


@dataclass(frozen=True)
class Market:
    """A row of an event's table."""

    ticker: str
    name: str
    status: str | None
    probability: Decimal | None
    yes_bid: Decimal | None
    yes_ask: Decimal | None
    last_price: Decimal | None
    change_24h: Decimal | None
    volume_24h: Decimal | None
    volume: Decimal | None
    open_interest: Decimal | None
    close_time: datetime | None
    result: str | None
    rules_primary: str | None
    rules_secondary: str | None
    is_primary_cut: bool
    is_secondary_cut: bool
    fetched_at: datetime

    @property
    def bid(self) -> Decimal | None:
        """The best bid; None when nobody bids, for which Kalshi sends 0."""
        return self.yes_bid or None

    @property
    def ask(self) -> Decimal | None:
        """The best ask; None when nobody asks, for which Kalshi sends 1."""
        return None if self.yes_ask is None or self.yes_ask >= 1 else self.yes_ask


@dataclass(frozen=True)
class Source:
    """Who decides an event's outcome. Its address is Kalshi's text, and may be anything."""

    name: str
    url: str | None


@dataclass(frozen=True)
class Event:
    """An event with a page of its own."""

    line: EventLine
    sub_title: str | None
    series_ticker: str | None
    series_title: str | None
    mutually_exclusive: bool | None
    sources: tuple[Source, ...]
    fetched_at: datetime
    markets: tuple[Market, ...]

    @property
    def close_time(self) -> datetime | None:
        """When the last of its markets closes; None when none of them says."""
        return max((one.close_time for one in self.markets if one.close_time), default=None)

    @property
    def status(self) -> str:
        """In a word or two, what the statuses of its markets come to."""
        found = {one.status for one in self.markets}
        if not found:
            return "no markets"
        if found & {"active", "open"}:
            return "open"
        if found <= {"finalized", "settled"}:
            return "settled"
        return "not open yet" if found <= {"initialized", "unopened"} else "closed"


@dataclass(frozen=True)
class Settled:
    """A market that settled recently."""

    event_ticker: str
    event_title: str | None
    name: str
    result: str | None
    paid: Decimal | None
    """Dollars for each contract of yes."""
    settled_at: datetime


@dataclass(frozen=True)
class CandleCount:
    """How many candles of one length there are."""

    interval_min: int
    rows: int
    is_estimate: bool


@dataclass(frozen=True)
class CalibrationRow:
    """How markets whose probability was in one bucket, so long before their close, turned out."""

    hours_before_close: int
    bucket_low: Decimal
    bucket_high: Decimal
    markets: int
    mean_probability: Decimal | None
    yes_share: Decimal | None
    wilson_low: Decimal | None
    wilson_high: Decimal | None
    brier_score: Decimal | None


@dataclass(frozen=True)
class Gap:
    """What is missing of a market's candles: wanted, and not covered."""

    market_ticker: str
    event_ticker: str | None
    interval_min: int
    stretches: int
    """How many stretches of time are missing; `minutes` is their length together."""
    since: datetime
    until: datetime
    minutes: int


@dataclass(frozen=True)
class Reason:
    """The answers that can't be typed for the same reason."""

    entity: str
    reason: str
    rejects: int
    example: str
    last_at: datetime


@dataclass(frozen=True)
class Field:
    """A field of Kalshi's answers that the warehouse does not know, or one that it knows and that
    is missing in them."""

    entity: str
    tier: str
    path: str
    json_types: list[str]
    last_seen_at: datetime
    is_known: bool
    is_missing: bool


@dataclass(frozen=True)
class Run:
    """A run of the job."""

    run_id: int
    started_at: datetime
    ended_at: datetime | None
    outcome: str
    rows_landed: dict[str, int] | None
    rows_typed: dict[str, int] | None
    rejects: int | None
    gaps: int | None
    error: str | None


@dataclass(frozen=True)
class Quality:
    """What is covered, and what is wrong with the data."""

    coverage: tuple[Coverage, ...]
    gaps: tuple[Gap, ...]
    """The longest ones."""
    rejects: int
    reasons: tuple[Reason, ...]
    fields: tuple[Field, ...]
    runs: tuple[Run, ...]

    @property
    def last_run(self) -> Run | None:
        """The newest run that has ended."""
        return next((one for one in self.runs if one.outcome != "running"), None)

    @property
    def gap_count(self) -> int:
        return sum(one.gaps for one in self.coverage)


@dataclass(frozen=True)
class SiteData:
    """All that the pages tell, except the charts."""

    moment: datetime
    """When it was read."""
    newest_data: datetime | None
    """End of the newest covered period."""
    newest_answer: datetime | None
    """When the newest answer about a market was fetched."""
    lines: tuple[EventLine, ...]
    """All events, the most traded of the last day first."""
    candles: tuple[CandleCount, ...]
    settled: tuple[Settled, ...]
    calibration: tuple[CalibrationRow, ...]
    quality: Quality
    selected: tuple[str, ...]
    """Tickers of the events with a page, in the order of `lines`."""

    @cached_property
    def with_page(self) -> frozenset[str]:
        """The same tickers, as a set."""
        return frozenset(self.selected)

    @property
    def markets(self) -> int:
        return sum(one.markets for one in self.lines)

    @property
    def open_markets(self) -> int:
        return sum(one.open_markets for one in self.lines)

    @property
    def movers(self) -> list[EventLine]:
        """The events whose markets moved most in a day."""
        moved = [one for one in self.lines if one.mover]
        moved.sort(key=lambda one: -abs(one.mover.change_24h) if one.mover else 0)
        return moved[:MOST_LISTED]

    @property
    def most_traded(self) -> list[EventLine]:
        return [one for one in self.lines if one.volume_24h > 0][:MOST_LISTED]
