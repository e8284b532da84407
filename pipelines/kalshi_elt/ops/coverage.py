"""Which stretches of candles are wanted, which are covered, and so which are still to be asked for.

An incremental load, a backfill, a restart after a crash and the report of gaps all come from one
subtraction, wanted minus covered (DECISIONS.md, 13). The window of a landed answer counts as
covered once its load has finished, but only up to LATE_CORRECTIONS before the answer was fetched:
its last candles may still change, so the next load asks for them once more.
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

LATE_CORRECTIONS = 5 * MINUTE
"""How many seconds after its end a candle may still change. Kalshi's answers may be 15 s old, and
the newest candles are corrected for a while (docs/kalshi_api.md, 1). How long was never measured,
so this is rather too long than too short."""

PAGE = 5_000
"""Markets whose gaps are looked up together."""

SLACK_PERIODS = 500
"""How many periods a request may reach beyond a market's life, so that markets with different lives
can share requests. Measured on 300 markets that closed at random times within a day: 172 requests
with 100 periods, 68 with 500, and no fewer with more."""


@dataclass(frozen=True)
class Life:
    """The part of the wanted range in which a market can have candles. Unix seconds."""

    market: Market
    tier: str
    start: int | None
    """None: go on where the last load's range ended."""
    end: int


def count_finished_loads(connection: Connection) -> None:
    """Add the windows of every finished load that is not counted yet to kalshi_ops.coverage."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "select coalesce(max(finished_at) - interval '1 day', '-infinity')::text "
            "from kalshi_ops.covered_loads"
        )
        # Not all loads are looked at, as a job of every minute adds two million a year, but those
        # that finished up to a day before the newest counted one: clocks of loaders may differ. The
        # time is put into the query as a literal, so that the index is used.
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
        cursor.execute(COUNT_WINDOWS, {"new_loads": new_loads, "late": LATE_CORRECTIONS})


def lives(
    markets: Iterable[tuple[Market, str]], wanted: TimeRange, interval_min: int
) -> list[Life]:
    """Each market's part of `wanted`: no candle ends before the market opens, or later than the
    period in which it closes. Markets without such a part are left out."""
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

    A life without a start begins where what was wanted of the market before has ended, and all of
    that which is still missing is wanted again; a new market begins 24 h before the life's end.
    With `again` what is covered is asked for, too. With `record` what is wanted is remembered, so
    that it counts as a gap until it lands.
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
        -- cut to whole minutes: markets whose answers came seconds apart are then covered up to
        -- the same moment, and can share requests the next time
        least(
            window_end,
            date_trunc('minute', fetched_at, 'UTC') - %(late)s * interval '1 second'
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
"""Copies what is known of the asked markets to a temporary table beside them. On a cluster this one
query goes to all nodes at once."""

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
"""Notes what is wanted of each market: the range that was asked for or, where the load goes on, all
that ever was wanted and what has come since."""

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
    """Where a market's candles end, in Unix seconds; None while it is not known when it closes.

    The period in which it closes ends up to one interval later (docs/kalshi_api.md, 2.9), and at a
    whole minute. A day may have 25 hours, when the clocks go back. No later, as what is beyond the
    close counts as covered: a market may be opened again, and then has candles there.
    """
    if market.closed is None:
        return None
    longest = interval_min * MINUTE + (60 * MINUTE if interval_min == DAY_MINUTES else 0)
    return market.closed // MINUTE * MINUTE + longest


def _first_start(life: Life) -> int:
    """Where to begin with a market that was never asked for: a day before the end, or its opening
    if that is later."""
    look_back = life.end - DEFAULT_LOOK_BACK
    return look_back if life.market.opened is None else max(look_back, life.market.opened)


def _window(life: Life, start: int, end: int, interval_min: int) -> Window:
    """A gap as a window to ask for. Where the gap begins at the market's opening, or ends with its
    last period, a request may reach beyond: nothing there is ever asked for again."""
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
