"""What was asked for, from what landed: one subtraction gives the work left to do.

Incremental run, backfill, restart after a crash and gap report are all wanted minus covered
(design: DECISIONS.md, 13). A window counts once its load has finished, up to SETTLE before it was
fetched: the last periods of an answer may still change, so the next load asks for them once more.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extras import execute_values

from kalshi_elt.base.times import DEFAULT_LOOK_BACK, MINUTE, TimeRange, moment
from kalshi_elt.kalshi.records import HISTORICAL, LIVE, Market
from kalshi_elt.kalshi.request_plan import Window
from kalshi_elt.warehouse.names import RAW_SCHEMA

DAY_MINUTES = 1440

SETTLE = 5 * MINUTE
"""Seconds after which a candle is final. Answers may be 15 s old, and candles can change near the
edge for a while (docs/kalshi_api.md, 1); nobody measured how long, so this errs on the long
side."""

PAGE = 5_000

SLACK_PERIODS = 500
"""How far a request may reach beyond a market's life. Measured on 300 markets that closed at random
times within a day: 172 requests with 100 periods, 68 with 500, no better with more."""


@dataclass(frozen=True)
class Life:
    """A market's part of the range asked for; `start` None: go on where it ended."""

    market: Market
    tier: str
    start: int | None
    end: int


def count_finished_loads(connection: Connection) -> None:
    """Count the windows of every finished load that is not counted yet."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "select coalesce(max(finished_at) - interval '1 day', '-infinity')::text "
            "from kalshi_ops.covered_loads"
        )
        # of late: a job of every minute has two million loads a year. A literal, so that the index
        # is used; a day, as loaders' clocks may differ
        (of_late,) = cursor.fetchone() or ("-infinity",)
        cursor.execute(
            f"""
            insert into kalshi_ops.covered_loads (load_id, finished_at)
            select load_id, inserted_at from {RAW_SCHEMA}._dlt_loads
            where
                status = 0
                and inserted_at > %s
            on conflict do nothing
            returning load_id
            """,
            [of_late],
        )
        new_loads = [load_id for (load_id,) in cursor.fetchall()]
        cursor.execute(COUNT_WINDOWS, {"new_loads": new_loads, "settle": SETTLE})


def lives(
    markets: Iterable[tuple[Market, str]], wanted: TimeRange, interval_min: int
) -> list[Life]:
    """Each market's part of `wanted`: no candle ends before it opens or long after it closes."""
    found = []
    for market, tier in markets:
        last = _last_end(market, interval_min)
        end = wanted.until if last is None else min(wanted.until, last)
        start = wanted.since
        if wanted.is_life:
            start = market.opened if market.opened is not None else end - DEFAULT_LOOK_BACK
        elif start is not None and market.opened is not None:
            start = max(start, market.opened)
        if start is None or start < end:
            found.append(Life(market, tier, start, end))
    return found


def gaps(
    connection: Connection, found: Sequence[Life], interval_min: int, *, again: bool, record: bool
) -> list[Window]:
    """The windows that are wanted of each life and not covered.

    A life without a start begins where what was wanted of the market ended, or 24 h before its end
    for a new one, and takes up what is missing before. With `record` it is remembered as wanted.
    """
    return [
        window
        for begin in range(0, len(found), PAGE)
        for window in _gaps(connection, found[begin : begin + PAGE], interval_min, again, record)
    ]


def _gaps(
    connection: Connection, found: Sequence[Life], interval_min: int, again: bool, record: bool
) -> list[Window]:
    lives_by_ticker = {life.market.ticker: life for life in found}
    rows = [
        (
            life.market.ticker,
            moment(life.start),
            moment(_first_start(life)),
            moment(life.end),
        )
        for life in lives_by_ticker.values()
    ]
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "create temp table if not exists asked (market_ticker text, start_at timestamptz, "
            "first_start_at timestamptz, end_at timestamptz, wanted tstzmultirange)"
        )
        cursor.execute(
            "create temp table if not exists known (market_ticker text, wanted tstzmultirange, "
            "covered tstzmultirange)"
        )
        cursor.execute("truncate asked, known")
        execute_values(
            cursor,
            "insert into asked (market_ticker, start_at, first_start_at, end_at) values %s",
            rows,
            page_size=1000,
        )
        cursor.execute(KNOWN, [interval_min])
        cursor.execute(ASK)
        if record:
            cursor.execute(RECORD, [interval_min])
        cursor.execute(MISSING, {"again": again})
        missing = cursor.fetchall()
    return [
        _window(lives_by_ticker[ticker], int(start.timestamp()), int(end.timestamp()), interval_min)
        for ticker, start, end in missing
    ]


COUNT_WINDOWS = f"""
insert into kalshi_ops.coverage as known (market_ticker, interval_min, covered)
select
    market_ticker,
    interval_min,
    range_agg(tstzrange(window_start, window_end_for_good, '(]'))
from (
    select
        *,
        -- whole minutes, so that markets fetched one after the other share an edge
        least(
            window_end,
            date_trunc('minute', fetched_at, 'UTC') - %(settle)s * interval '1 second'
        ) as window_end_for_good
    from {RAW_SCHEMA}.candlesticks
    where _dlt_load_id = any (%(new_loads)s)
) as windows
where window_start < window_end_for_good
group by market_ticker, interval_min
on conflict (market_ticker, interval_min) do update
set covered = known.covered + excluded.covered
"""


KNOWN = """
insert into known
select market_ticker, wanted, covered
from kalshi_ops.coverage
where interval_min = %s and market_ticker in (select market_ticker from asked)
"""
"""What is known of the asked markets, beside them: on a cluster it comes from all nodes at once."""

ASK = """
update asked
set wanted = (
    case
        when starts.start_at < asked.end_at
            then tstzmultirange(tstzrange(starts.start_at, asked.end_at, '(]'))
        else '{}'::tstzmultirange
    end
    + case when asked.start_at is null then starts.known_wanted else '{}' end
)
from (
    select
        asked.market_ticker,
        coalesce(asked.start_at, upper(known.wanted), asked.first_start_at) as start_at,
        coalesce(known.wanted, '{}') as known_wanted
    from asked
    left join known on asked.market_ticker = known.market_ticker
) as starts
where starts.market_ticker = asked.market_ticker
"""
"""What is wanted of each market: the range, or all that ever was wanted and what came since."""

RECORD = """
insert into kalshi_ops.coverage as known (market_ticker, interval_min, wanted)
select market_ticker, %s, wanted from asked
where not isempty(wanted)
on conflict (market_ticker, interval_min) do update
set wanted = known.wanted + excluded.wanted
where not (excluded.wanted <@ known.wanted)
"""

MISSING = """
select
    asked.market_ticker,
    lower(gap),
    upper(gap)
from asked
left join known on asked.market_ticker = known.market_ticker
cross join lateral unnest(
    asked.wanted - case when %(again)s then '{}' else coalesce(known.covered, '{}') end
) as gap
order by 1, 2
"""


def _last_end(market: Market, interval_min: int) -> int | None:
    """Where a market's candles end; None while it has no close.

    The period in which it closes ends up to one interval later (docs/kalshi_api.md, 2.9), and the
    day on which the clocks go back has 25 hours.
    """
    if market.closed is None:
        return None
    longest = interval_min * MINUTE + (60 * MINUTE if interval_min == DAY_MINUTES else 0)
    return -(-market.closed // MINUTE) * MINUTE + longest


def _first_start(life: Life) -> int:
    """Where a market that was never asked for begins."""
    look_back = life.end - DEFAULT_LOOK_BACK
    return look_back if life.market.opened is None else max(look_back, life.market.opened)


def _window(life: Life, start: int, end: int, interval_min: int) -> Window:
    """A gap, and how far beyond the market's life a request may reach without asking twice."""
    margin = SLACK_PERIODS * interval_min * MINUTE
    is_at_open = life.market.opened is not None and start == life.market.opened
    is_at_close = end == life.end == _last_end(life.market, interval_min)
    return Window(
        ticker=life.market.ticker,
        start=start,
        end=end,
        earliest=start - margin if is_at_open else start,
        latest=end + margin if is_at_close else end,
        tier=HISTORICAL if life.tier == HISTORICAL else LIVE,
    )
