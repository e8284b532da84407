"""Reading what the site tells from the warehouse, in one transaction, so that all pages tell of the
same moment. All of the site's SQL is here, except that of the charts.

Only the schemas `kalshi` and `kalshi_ops` are read, for which the role `kalshi_reader` is enough.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from psycopg2.extensions import connection as Connection  # noqa: N812

from kalshi_elt.base.errors import KalshiEltError, UsageError
from kalshi_elt.base.iterables import batched
from kalshi_elt.ops import versions
from kalshi_elt.ops.gaps import GAPS, read_coverage
from kalshi_elt.ops.lock import at_rest
from kalshi_elt.publish.site.content import (
    CalibrationRow,
    CandleCount,
    Event,
    EventLine,
    Field,
    Gap,
    Market,
    Mover,
    Quality,
    Reason,
    Run,
    Settled,
    SiteData,
    Source,
)
from kalshi_elt.warehouse.connection import Warehouse
from kalshi_elt.warehouse.queries import execute, select
from kalshi_elt.warehouse.sizes import read_size

MOST_COUNTED_BYTES = 256 * 2**20
"""Candles are counted one by one, which takes half a second, while their table has at most so many
bytes. In a larger one their number is estimated."""

LONGEST_RULES = 20_000
"""Characters of a market's rules that are read. The longest that Kalshi sent had 5,000."""

EVENTS_AT_ONCE = 100
"""How many events are read together, with all their markets in memory."""

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

-- only markets that traded: where a quote moves without a trade, often just the last order was
-- taken off the book
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

# from what ANALYZE noted: rows of each month's partition, and the share of each interval in them
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


@contextmanager
def snapshot(warehouse: Warehouse) -> Iterator[Connection]:
    """A connection that sees one moment of the warehouse, with times in UTC."""
    with at_rest(warehouse), warehouse.snapshot() as connection:
        # in a zone east of UTC, times near the end of year 9999 would be in year 10000, which
        # Python's calendar does not have
        execute(connection, "set timezone = 'UTC'")
        yield connection


def read_site(
    connection: Connection, warehouse: Warehouse, wanted: Collection[str], most: int
) -> SiteData:
    """Read what the site tells. The `wanted` events get a page, or, when none are, the most traded
    ones, as many as `most` says.

    Raises UsageError when a wanted event is not in the warehouse, KalshiEltError when something has
    landed that is not typed yet.
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
    """The selected events with their markets, in the order of `data.selected`.

    They are read by two queries for EVENTS_AT_ONCE of them, so that few are in memory at a time.
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
    """The sources in Kalshi's list of objects with `name` and `url`. Whatever has another form is
    left out."""
    sources = []
    for one in found if isinstance(found, list) else []:
        if isinstance(one, dict):
            name, url = one.get("name"), one.get("url")
            text = name if isinstance(name, str) and name.strip() else url
            if isinstance(text, str):
                sources.append(Source(text, url if isinstance(url, str) else None))
    return tuple(sources)


def _candles(connection: Connection) -> str:
    """The query for the numbers of candles: counting them while they are few, else estimating."""
    size = read_size(connection, "kalshi.candles").bytes
    return COUNTED_CANDLES if size <= MOST_COUNTED_BYTES else ESTIMATED_CANDLES


def _nothing(moment: datetime) -> SiteData:
    quality = Quality((), (), 0, (), (), ())
    return SiteData(moment, None, None, (), (), (), (), quality, ())
