"""What the site tells, read from the warehouse in one transaction, so that all pages tell of one
moment. All of the site's SQL is here, but for that of the charts.

Only schemas `kalshi` and `kalshi_ops` are read, so the role `kalshi_reader` is enough.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any

from psycopg2.extensions import connection as Connection  # noqa: N812

from kalshi_elt.base.errors import KalshiEltError, UsageError
from kalshi_elt.base.iterables import batched
from kalshi_elt.ops import versions
from kalshi_elt.ops.gaps import GAPS, Coverage, read_coverage
from kalshi_elt.ops.lock import at_rest
from kalshi_elt.warehouse.connection import Warehouse
from kalshi_elt.warehouse.queries import select
from kalshi_elt.warehouse.sizes import read_size

MOST_COUNTED_BYTES = 256 * 2**20
"""Candles are counted one by one where they take no more (half a second), else estimated."""

LONGEST_RULES = 20_000
"""Characters of a rule that are read; the longest that Kalshi sent had 5,000."""

EVENTS_AT_ONCE = 100
"""Events whose markets are in memory together."""

MOST_LISTED = 10
MOST_SETTLED = 10
MOST_GAPS = 20
MOST_REASONS = 50
MOST_FIELDS = 100
MOST_RUNS = 20

MARTS = ("kalshi.events", "kalshi.markets", "kalshi.market_summary", "kalshi.calibration")

FOUND = """
select
    now(),
    exists (select from unnest(%(marts)s::text[]) as name where to_regclass(name) is null),
    to_regclass('kalshi.events') is not null
"""

HAS_LANDED = "select exists (select from kalshi_ops.objects)"

EVENTS = """
with

markets as materialized (

    select
        event_ticker,
        market_ticker,
        coalesce(yes_sub_title, title, market_ticker) as name,
        status in ('active', 'open') as is_open,
        result,
        probability,
        change_24h,
        volume_fp,
        volume_24h_fp
    from kalshi.market_summary

),

totals as (

    select
        event_ticker,
        count(*) as markets,
        count(*) filter (where is_open) as open_markets,
        sum(volume_24h_fp) as volume_24h_fp,
        sum(volume_fp) as volume_fp
    from markets
    group by event_ticker

),

leaders as (

    select distinct on (event_ticker) event_ticker, name, probability, result
    from markets
    order by
        event_ticker, result = 'yes' desc nulls last, probability desc nulls last, market_ticker

),

-- a quote that moves without a trade is no news: often it is an order taken off an empty book
movers as (

    select distinct on (event_ticker)
        event_ticker, market_ticker, name, probability, change_24h, volume_24h_fp
    from markets
    where is_open and change_24h <> 0 and volume_24h_fp > 0
    order by event_ticker, abs(change_24h) desc, market_ticker

)

select
    events.event_ticker,
    events.title,
    coalesce(series.category, events.category),
    coalesce(totals.markets, 0),
    coalesce(totals.open_markets, 0),
    coalesce(totals.volume_24h_fp, 0),
    coalesce(totals.volume_fp, 0),
    leaders.name,
    leaders.probability,
    leaders.result,
    movers.market_ticker,
    movers.name,
    movers.probability,
    movers.change_24h,
    movers.volume_24h_fp
from kalshi.events
left join kalshi.series
    on events.series_ticker = series.series_ticker
left join totals
    on events.event_ticker = totals.event_ticker
left join leaders
    on events.event_ticker = leaders.event_ticker
left join movers
    on events.event_ticker = movers.event_ticker
order by
    coalesce(totals.volume_24h_fp, 0) desc,
    coalesce(totals.volume_fp, 0) desc,
    events.event_ticker collate "C"
"""

EVENT_DETAILS = """
select
    events.event_ticker,
    events.sub_title,
    events.series_ticker,
    series.title,
    events.mutually_exclusive,
    coalesce(events.settlement_sources, series.settlement_sources),
    events.fetched_at
from kalshi.events
left join kalshi.series
    on events.series_ticker = series.series_ticker
where events.event_ticker = any(%(events)s)
"""

MARKETS = """
select
    summary.event_ticker,
    summary.market_ticker,
    coalesce(summary.yes_sub_title, summary.title, summary.market_ticker),
    summary.status,
    summary.probability,
    summary.yes_bid_dollars,
    summary.yes_ask_dollars,
    summary.last_price_dollars,
    summary.change_24h,
    summary.volume_24h_fp,
    summary.volume_fp,
    summary.open_interest_fp,
    summary.close_time,
    summary.result,
    left(markets.rules_primary, %(longest)s),
    left(markets.rules_secondary, %(longest)s),
    length(markets.rules_primary) > %(longest)s,
    length(markets.rules_secondary) > %(longest)s,
    markets.fetched_at
from kalshi.market_summary as summary
inner join kalshi.markets
    on summary.market_ticker = markets.market_ticker
where summary.event_ticker = any(%(events)s)
order by
    summary.event_ticker,
    summary.result = 'yes' desc nulls last,
    summary.probability desc nulls last,
    summary.market_ticker collate "C"
"""

SETTLED = """
select
    markets.event_ticker,
    events.title,
    coalesce(markets.yes_sub_title, markets.title, markets.market_ticker),
    markets.result,
    markets.settlement_value_dollars,
    markets.settlement_ts
from kalshi.markets
inner join kalshi.events
    on markets.event_ticker = events.event_ticker
where markets.status in ('finalized', 'settled') and markets.settlement_ts is not null
order by markets.settlement_ts desc, markets.market_ticker collate "C"
limit %(most)s
"""

NEWEST_ANSWER = "select max(fetched_at) from kalshi.markets"

COUNTED_CANDLES = """
select interval_min, count(*), false
from kalshi.candles
group by interval_min
order by interval_min
"""

# what ANALYZE noted: rows of each month, and the share of each interval in them
ESTIMATED_CANDLES = """
select intervals.interval_min, sum(pg_class.reltuples * intervals.share)::bigint, true
from pg_partition_tree('kalshi.candles') as tree
inner join pg_class
    on tree.relid = pg_class.oid
inner join pg_namespace
    on pg_class.relnamespace = pg_namespace.oid
inner join pg_stats
    on
        pg_namespace.nspname = pg_stats.schemaname
        and pg_class.relname = pg_stats.tablename
        and pg_stats.attname = 'interval_min'
cross join lateral unnest(
    pg_stats.most_common_vals::text::integer[], pg_stats.most_common_freqs
) as intervals (interval_min, share)
where tree.isleaf and pg_class.reltuples > 0
group by intervals.interval_min
order by intervals.interval_min
"""

CALIBRATION = """
select
    hours_before_close, bucket_low, bucket_high, markets, mean_probability, yes_share,
    wilson_low, wilson_high, brier_score
from kalshi.calibration
order by hours_before_close, bucket_low
"""

LONGEST_GAPS = f"""
select
    coverage.market_ticker,
    objects.event_ticker,
    coverage.interval_min,
    count(*),
    min(lower(gap)),
    max(upper(gap)),
    (sum(extract(epoch from upper(gap) - lower(gap))) / 60)::bigint
from kalshi_ops.coverage
left join kalshi_ops.objects
    on objects.entity = 'market'
    and coverage.market_ticker = objects.ticker
cross join lateral unnest({GAPS}) as gap
where coverage.has_gap and objects.gone_at is null
group by coverage.market_ticker, objects.event_ticker, coverage.interval_min
order by 7 desc, coverage.market_ticker collate "C", coverage.interval_min
limit %(most)s
"""

REJECTS = """
select entity, left(reason, 500), count(*), min(left(reject_key, 200)), max(fetched_at)
from kalshi.rejects
group by entity, reason
order by count(*) desc, entity, reason
limit %(most)s
"""

REJECTS_IN_ALL = "select count(*) from kalshi.rejects"

FIELDS = """
select entity, tier, field_path, json_types, last_seen_at, is_known, is_missing
from kalshi.field_drift
where not is_known or is_missing
order by entity, tier, field_path
limit %(most)s
"""

RUNS = """
select run_id, started_at, ended_at, outcome, rows_landed, rows_typed, rejects, gaps, error
from kalshi_ops.runs
order by run_id desc
limit %(most)s
"""


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
    """An event as lists and the search show it; there is one for each event of the warehouse."""

    ticker: str
    title: str | None
    category: str | None
    markets: int
    open_markets: int
    volume_24h: Decimal
    volume: Decimal
    leader: str | None
    """The market that won, or that is held to be the likeliest."""
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
        """The best bid; None where nobody bids, which Kalshi tells as 0."""
        return self.yes_bid or None

    @property
    def ask(self) -> Decimal | None:
        """The best ask; None where nobody asks, which Kalshi tells as 1."""
        return None if self.yes_ask is None or self.yes_ask >= 1 else self.yes_ask


@dataclass(frozen=True)
class Source:
    """Who decides the outcome. The address may be anything."""

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
        """When the last of its markets closes."""
        return max((one.close_time for one in self.markets if one.close_time), default=None)

    @property
    def status(self) -> str:
        """In one word, from its markets' statuses."""
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
    """A market that settled of late."""

    event_ticker: str
    event_title: str | None
    name: str
    result: str | None
    paid: Decimal | None
    settled_at: datetime


@dataclass(frozen=True)
class CandleCount:
    """How many candles of one length there are."""

    interval_min: int
    rows: int
    is_estimate: bool


@dataclass(frozen=True)
class CalibrationRow:
    """What markets of one price came to."""

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
    """What was wanted of a market's candles and has not landed."""

    market_ticker: str
    event_ticker: str | None
    interval_min: int
    stretches: int
    since: datetime
    until: datetime
    minutes: int


@dataclass(frozen=True)
class Reason:
    """Answers that can't be typed for one reason."""

    entity: str
    reason: str
    rejects: int
    example: str
    last_at: datetime


@dataclass(frozen=True)
class Field:
    """A field of Kalshi's answers that the warehouse doesn't know, or misses."""

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
    """What is covered, and what is wrong."""

    coverage: tuple[Coverage, ...]
    gaps: tuple[Gap, ...]
    """The longest ones."""
    rejects: int
    reasons: tuple[Reason, ...]
    fields: tuple[Field, ...]
    runs: tuple[Run, ...]

    @property
    def last_run(self) -> Run | None:
        """The newest one that has ended."""
        return next((one for one in self.runs if one.outcome != "running"), None)

    @property
    def gap_count(self) -> int:
        return sum(one.gaps for one in self.coverage)


@dataclass(frozen=True)
class SiteData:
    """All that the pages tell, but for the charts."""

    moment: datetime
    """When it was read."""
    newest_data: datetime | None
    """End of the newest period that is covered for good."""
    newest_answer: datetime | None
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
        """The same, to look one up."""
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


@contextmanager
def snapshot(warehouse: Warehouse) -> Iterator[Connection]:
    """One moment of the warehouse, with times in UTC."""
    with at_rest(warehouse), warehouse.snapshot() as connection:
        with connection.cursor() as cursor:
            # without it times near the end of year 9999 leave the calendar in zones east of UTC
            cursor.execute("set timezone = 'UTC'")
        yield connection


def read_site(
    connection: Connection, warehouse: Warehouse, wanted: Collection[str], most: int
) -> SiteData:
    """Read what the site tells. Pages go to the `wanted` events, or to the `most` traded ones.

    Raises UsageError for a wanted event that is not there, KalshiEltError when something landed and
    is not typed yet.
    """
    version = versions.version_of(connection)
    versions.require(version, str(warehouse))
    ((moment, are_marts_missing, has_events),) = select(connection, FOUND, {"marts": list(MARTS)})
    if are_marts_missing:
        has_landed = version is not None and select(connection, HAS_LANDED)[0][0]
        if has_events or has_landed:
            raise KalshiEltError(
                f"{warehouse} has no tables for a site yet: run `make transform` first"
            )
        _refuse_missing(wanted, ())
        return _nothing(moment)
    lines = tuple(
        EventLine(*[*row[:10], Mover(*row[10:]) if row[10] is not None else None])
        for row in select(connection, EVENTS)
    )
    _refuse_missing(wanted, lines)
    coverage = tuple(read_coverage(connection))
    return SiteData(
        moment=moment,
        newest_data=max((one.until for one in coverage if one.until), default=None),
        newest_answer=select(connection, NEWEST_ANSWER)[0][0],
        lines=lines,
        candles=tuple(CandleCount(*row) for row in select(connection, _candles(connection))),
        settled=tuple(Settled(*row) for row in select(connection, SETTLED, {"most": MOST_SETTLED})),
        calibration=tuple(CalibrationRow(*row) for row in select(connection, CALIBRATION)),
        quality=Quality(
            coverage=coverage,
            gaps=tuple(Gap(*row) for row in select(connection, LONGEST_GAPS, {"most": MOST_GAPS})),
            rejects=select(connection, REJECTS_IN_ALL)[0][0],
            reasons=tuple(
                Reason(*row) for row in select(connection, REJECTS, {"most": MOST_REASONS})
            ),
            fields=tuple(Field(*row) for row in select(connection, FIELDS, {"most": MOST_FIELDS})),
            runs=tuple(Run(*row) for row in select(connection, RUNS, {"most": MOST_RUNS})),
        ),
        selected=(
            tuple(one.ticker for one in lines if one.ticker in set(wanted))
            if wanted
            else tuple(one.ticker for one in lines[:most])
        ),
    )


def read_events(connection: Connection, data: SiteData) -> Iterator[Event]:
    """The selected events with their markets, in the order of `selected`.

    EVENTS_AT_ONCE: two queries for all of them, and no more than theirs in memory.
    """
    by_ticker = {one.ticker: one for one in data.lines}
    for tickers in batched(data.selected, EVENTS_AT_ONCE):
        values = {"events": list(tickers), "longest": LONGEST_RULES}
        markets: dict[str, list[Market]] = {ticker: [] for ticker in tickers}
        for event_ticker, *row in select(connection, MARKETS, values):
            markets[event_ticker].append(Market(*row))
        details = {row[0]: row[1:] for row in select(connection, EVENT_DETAILS, values)}
        for ticker in tickers:
            sub_title, series, series_title, exclusive, sources, fetched_at = details[ticker]
            yield Event(
                by_ticker[ticker],
                sub_title,
                series,
                series_title,
                exclusive,
                _sources(sources),
                fetched_at,
                tuple(markets[ticker]),
            )


def _refuse_missing(wanted: Collection[str], lines: Sequence[EventLine]) -> None:
    missing = sorted(set(wanted) - {one.ticker for one in lines})
    if missing:
        raise UsageError(
            f"--event {missing[0]} is not in the warehouse: load it first "
            f'(`make load ARGS="--event ..."`, then `make transform`)'
        )


def _sources(found: Any) -> tuple[Source, ...]:
    """Kalshi's list of {name, url}; whatever else it may be is left out."""
    sources = []
    for one in found if isinstance(found, list) else []:
        if isinstance(one, dict):
            name, url = one.get("name"), one.get("url")
            text = name if isinstance(name, str) and name.strip() else url
            if isinstance(text, str):
                sources.append(Source(text, url if isinstance(url, str) else None))
    return tuple(sources)


def _candles(connection: Connection) -> str:
    """How candles are counted: one by one while they are few."""
    size = read_size(connection, "kalshi.candles").bytes
    return COUNTED_CANDLES if size <= MOST_COUNTED_BYTES else ESTIMATED_CANDLES


def _nothing(moment: datetime) -> SiteData:
    quality = Quality((), (), 0, (), (), ())
    return SiteData(moment, None, None, (), (), (), (), quality, ())
