"""What was wanted of candles and is not covered: counted for status, runs and pages alike."""

from dataclasses import dataclass
from datetime import datetime

from psycopg2.extensions import connection as Connection  # noqa: N812

from kalshi_elt.warehouse.queries import select

GAPS = """
(coverage.wanted - coverage.covered)
* tstzmultirange(tstzrange(null, to_timestamp(extract(epoch from upper(coverage.wanted)) - 600)))
"""
"""What is missing of a row of kalshi_ops.coverage. The last ten minutes of what was wanted are left
out: a load does not count its last five as covered (coverage.py), so they are always missing until
the next one. Only immutable functions are used, as Citus then runs it on the nodes, each for its
own rows."""


COVERAGE = f"""
with

totals as (

    select
        interval_min,
        count(*) as markets,
        min(lower(covered)) as since,
        max(upper(covered)) as until
    from kalshi_ops.coverage
    group by interval_min

),

incomplete as materialized (

    select
        interval_min,
        market_ticker,
        {GAPS} as gaps
    from kalshi_ops.coverage
    where has_gap

),

missing as (

    select
        incomplete.interval_min,
        count(distinct incomplete.market_ticker) as markets,
        count(*) as gaps,
        sum(extract(epoch from upper(gap) - lower(gap))) / 60 as minutes
    from incomplete
    left join kalshi_ops.objects
        on objects.entity = 'market'
        and incomplete.market_ticker = objects.ticker
    cross join lateral unnest(incomplete.gaps) as gap
    where objects.gone_at is null
    group by incomplete.interval_min

)

select
    totals.interval_min,
    totals.markets,
    totals.since,
    totals.until,
    coalesce(missing.markets, 0),
    coalesce(missing.gaps, 0),
    coalesce(missing.minutes, 0)::bigint
from totals
left join missing
    on totals.interval_min = missing.interval_min
order by totals.interval_min
"""
"""Rows of kalshi_ops.coverage are counted on the nodes that have them. Only for those with a gap
the market is looked up in kalshi_ops.objects, which is on the coordinator alone."""


@dataclass(frozen=True)
class Coverage:
    """What landed windows cover for one interval, and what is missing of what was wanted."""

    interval_min: int
    markets: int
    since: datetime | None
    """Where the earliest covered stretch begins; None while nothing is covered."""
    until: datetime | None
    """Where the latest covered stretch ends."""
    markets_with_gaps: int
    gaps: int
    gap_minutes: int


def count_gaps(connection: Connection) -> int:
    """How many stretches of candles were wanted and are not covered."""
    return sum(one.gaps for one in read_coverage(connection))


def read_coverage(connection: Connection) -> list[Coverage]:
    """The coverage of each interval that was ever asked for, the shortest interval first."""
    return [Coverage(*row) for row in select(connection, COVERAGE)]
