"""What a chart shows, read from the warehouse. All SQL of the charts is here.

Prices and probabilities are dollars, 0 to 1, as floats: they are drawn, not computed with. Moments
are the ends of periods, in UTC.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby

from psycopg2.extensions import connection as Connection  # noqa: N812

from kalshi_elt.base.errors import KalshiEltError, UsageError
from kalshi_elt.warehouse.queries import select

DAY = 1440
INTERVALS = (1, 5, 15, 60, DAY)
"""Lengths of a period, in minutes, that the warehouse can give."""

LANDED_INTERVALS = (1, 60, DAY)
"""Lengths of Kalshi's own candles, from which the others are made."""

LONGEST_DEFAULT = timedelta(days=30)
"""How far back a chart goes when it is not told where to begin."""

USUAL_PERIODS = 1_500
"""The most periods that a chart has when it is not told their length: a screen has hardly more
pixels side by side."""

MOST_PERIODS = 10_000
"""The most periods that can be asked for: a browser would take seconds to draw more."""

MOST_LINES = 15
"""The most lines in a chart. There are five hues and three patterns of dashes, and more of them
could not be told apart."""

Moment = datetime


class NoCandlesError(UsageError):
    """The ticker is in the warehouse, but has no prices to draw."""


@dataclass(frozen=True)
class Wanted:
    """What to draw."""

    ticker: str
    """An event's or a market's. When an event and a market have the same one, the event is
    drawn."""
    since: int | None = None
    """Unix seconds. None: where the candles begin, but at most 30 days before `until`."""
    until: int | None = None
    """Unix seconds. None: where the candles end."""
    interval: int | None = None
    """Minutes of a period. None: the shortest that gives at most USUAL_PERIODS periods."""
    top: int = 12
    """How many of an event's markets to draw; the likeliest are."""


@dataclass(frozen=True)
class Span:
    """Which periods a chart shows: those that end in (since, until]."""

    since: Moment
    until: Moment
    interval: int
    """Minutes."""


@dataclass(frozen=True)
class Period:
    """A market in one period. Prices of trades are None when there was no trade, bid and ask when
    there was no such quote at the period's end."""

    end: Moment
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    bid: float | None
    ask: float | None
    last: float | None
    """The last trade at or before the end."""
    probability: float | None
    """The implied probability at the end; None also when the period was not asked of Kalshi, as it
    may have changed unseen then."""
    volume: float
    """Contracts traded."""


@dataclass(frozen=True)
class MarketChart:
    """Candlesticks of a market, with its quotes, implied probability and volume."""

    ticker: str
    title: str
    subtitle: str
    """The event's question, to which the title is one of the answers; may be empty."""
    span: Span
    periods: tuple[Period, ...]
    """One for each period of the span, beginning with the market's first candle."""


@dataclass(frozen=True)
class Line:
    """The implied probability of one market of an event."""

    ticker: str
    name: str
    points: tuple[tuple[Moment, float | None], ...]
    """The end of a period and the probability then, None if unknown, for the first period, the
    last, and each one in which it has changed."""

    @property
    def latest(self) -> float:
        """The last probability that is known."""
        return next(value for _, value in reversed(self.points) if value is not None)


@dataclass(frozen=True)
class EventChart:
    """Implied probabilities of an event's likeliest markets, the likeliest first."""

    ticker: str
    title: str
    subtitle: str
    """May be empty."""
    span: Span
    lines: tuple[Line, ...]
    left_out: int
    """How many markets have prices but no line."""


Chart = MarketChart | EventChart

FUNCTIONS = """
select
    to_regproc('kalshi.candles_filled') is not null
    and to_regproc('kalshi.event_probabilities') is not null
"""

EVENT = (
    "select coalesce(title, ''), coalesce(sub_title, '') from kalshi.events where event_ticker = %s"
)

MARKET = """
select
    coalesce(nullif(markets.yes_sub_title, ''), nullif(markets.title, ''), markets.market_ticker),
    coalesce(nullif(events.title, ''), markets.title, '')
from kalshi.markets
left join kalshi.events
    on markets.event_ticker = events.event_ticker
where markets.market_ticker = %s
"""

NAMES = """
select
    market_ticker,
    coalesce(nullif(yes_sub_title, ''), nullif(title, ''), market_ticker)
from kalshi.markets
where market_ticker = any(%s)
"""

SIMILAR = """
select ticker
from (
    select event_ticker as ticker from kalshi.events
    union all
    select market_ticker from kalshi.markets
) as tickers
where starts_with(upper(ticker), %s)
-- an event before its markets
order by length(ticker), ticker
limit 2000
"""
"""Tickers that begin with the same letters. To compare those of a whole exchange would take
minutes."""

SPAN = """
select
    {interval_min},
    min(spans.first_end) - make_interval(mins => {interval_min}),
    max(spans.last_end)
from (
    select
        (
            select min(candles.end_ts) from kalshi.candles
            where
                candles.market_ticker = markets.market_ticker
                and candles.interval_min = {interval_min}
        ) as first_end,
        (
            select max(candles.end_ts) from kalshi.candles
            where
                candles.market_ticker = markets.market_ticker
                and candles.interval_min = {interval_min}
        ) as last_end
    from kalshi.markets
    where
        (%(is_event)s and markets.event_ticker = %(ticker)s)
        or (not %(is_event)s and markets.market_ticker = %(ticker)s)
) as spans
having count(spans.last_end) > 0
"""

SPANS = "union all".join(SPAN.format(interval_min=minutes) for minutes in LANDED_INTERVALS)

PERIODS = """
select
    end_ts,
    trade_open_dollars,
    trade_high_dollars,
    trade_low_dollars,
    trade_close_dollars,
    case when is_known and yes_bid_close_dollars > 0 then yes_bid_close_dollars end,
    case when is_known and yes_ask_close_dollars < 1 then yes_ask_close_dollars end,
    case when is_known then last_trade_dollars end,
    case when is_known then probability end,
    volume_fp
from (
    -- what is carried forward is known only where Kalshi was asked whether it changed
    select *, is_covered or not is_filled as is_known
    from kalshi.candles_filled(%(ticker)s, %(interval)s, %(since)s, %(until)s)
) as filled
order by end_ts
"""

LINES = """
with prices as (
    select
        market_ticker,
        end_ts,
        case when is_covered or not is_filled then probability end as probability
    from kalshi.event_probabilities(%(ticker)s, %(interval)s, %(since)s, %(until)s)
),

neighbours as (
    select
        *,
        lag(end_ts) over of_market is null as is_first,
        lead(end_ts) over of_market is null as is_last,
        lag(probability) over of_market as before
    from prices
    window of_market as (partition by market_ticker order by end_ts)
),

latest as (
    select distinct on (market_ticker) market_ticker, probability
    from prices
    where probability is not null
    order by market_ticker asc, end_ts desc
),

ranked as (
    select
        market_ticker,
        row_number() over (order by probability desc, market_ticker) as place,
        count(*) over () as markets
    from latest
)

select ranked.market_ticker, ranked.markets, neighbours.end_ts, neighbours.probability
from neighbours
inner join ranked
    on neighbours.market_ticker = ranked.market_ticker
where
    ranked.place <= %(top)s
    and (
        neighbours.is_first
        or neighbours.is_last
        or neighbours.probability is distinct from neighbours.before
    )
order by ranked.place, neighbours.end_ts
"""


def read_chart(connection: Connection, wanted: Wanted) -> Chart:
    """What a chart of the wanted ticker shows.

    Raises UsageError when the ticker is unknown or the range or interval can't be drawn,
    NoCandlesError when there are no prices in it, KalshiEltError before the marts are built.
    """
    _require_drawable(wanted)
    if not select(connection, FUNCTIONS)[0][0]:
        raise KalshiEltError(
            "the warehouse has no prices to draw yet: run `kalshi-elt transform` first"
        )
    found = select(connection, EVENT, [wanted.ticker])
    is_event = bool(found)
    if not is_event:
        found = select(connection, MARKET, [wanted.ticker])
    if not found:
        raise UsageError(_unknown(connection, wanted.ticker))
    title, subtitle = found[0]
    span = _span(connection, wanted, is_event)
    read = _event_chart if is_event else _market_chart
    chart = read(connection, wanted, title or wanted.ticker, subtitle, span)
    if chart is None:
        spans = _spans(connection, wanted.ticker, is_event)
        raise NoCandlesError(_nothing_there(wanted.ticker, span, spans))
    return chart


def _require_drawable(wanted: Wanted) -> None:
    if wanted.interval is not None and wanted.interval not in INTERVALS:
        raise UsageError(f"--interval {wanted.interval} is not 1, 5, 15, 60 or 1440 minutes")
    if not 1 <= wanted.top <= MOST_LINES:
        raise UsageError(f"--top {wanted.top} is not from 1 to {MOST_LINES}: draw fewer markets")


def _market_chart(
    connection: Connection, wanted: Wanted, title: str, subtitle: str, span: Span
) -> MarketChart | None:
    rows = select(connection, PERIODS, _arguments(wanted.ticker, span))
    periods = tuple(_period(*row) for row in rows)
    if not any(_says_something(one) for one in periods):
        return None
    subtitle = "" if subtitle == title else subtitle
    return MarketChart(wanted.ticker, title, subtitle, span, periods)


def _period(end: Moment, *values: Decimal | None) -> Period:
    first, high, low, close, bid, ask, last, probability, volume = map(_float, values)
    end = end.astimezone(UTC)
    return Period(end, first, high, low, close, bid, ask, last, probability, volume or 0.0)


def _says_something(period: Period) -> bool:
    values = (period.high, period.bid, period.ask, period.probability)
    return any(value is not None for value in values)


def _event_chart(
    connection: Connection, wanted: Wanted, title: str, subtitle: str, span: Span
) -> EventChart | None:
    rows = select(connection, LINES, {**_arguments(wanted.ticker, span), "top": wanted.top})
    if not rows:
        return None
    points = {
        ticker: tuple((end.astimezone(UTC), _float(value)) for _, _, end, value in of_market)
        for ticker, of_market in groupby(rows, key=lambda row: str(row[0]))
    }
    names = distinct_names(dict(select(connection, NAMES, [list(points)])))
    lines = tuple(Line(ticker, names[ticker], found) for ticker, found in points.items())
    left_out = int(rows[0][1]) - len(lines)
    return EventChart(wanted.ticker, title, subtitle, span, lines, left_out)


def distinct_names(names: Mapping[str, str]) -> dict[str, str]:
    """The names by ticker, each made unique: one that several markets have is followed by the
    ticker."""
    found = list(names.values())
    return {
        ticker: name if found.count(name) == 1 else f"{name} ({ticker})"
        for ticker, name in names.items()
    }


def _arguments(ticker: str, span: Span) -> dict[str, object]:
    return {
        "ticker": ticker,
        "interval": span.interval,
        "since": span.since,
        "until": span.until,
    }


@dataclass(frozen=True)
class Stretch:
    """Where the warehouse has candles of one length."""

    interval: int
    since: Moment
    until: Moment


def _spans(connection: Connection, ticker: str, is_event: bool) -> list[Stretch]:
    rows = select(connection, SPANS, {"ticker": ticker, "is_event": is_event})
    return [
        Stretch(interval, since.astimezone(UTC), until.astimezone(UTC))
        for interval, since, until in rows
    ]


def _span(connection: Connection, wanted: Wanted, is_event: bool) -> Span:
    stretches = _spans(connection, wanted.ticker, is_event)
    if not stretches:
        raise NoCandlesError(
            f"no candles of {wanted.ticker} have been typed: "
            f"{_load(wanted.ticker, is_event)}, then `kalshi-elt transform`"
        )
    span = choose_span(wanted, stretches)
    if span.since >= span.until:
        raise NoCandlesError(_nothing_there(wanted.ticker, span, stretches))
    periods = count_periods(span)
    if periods > MOST_PERIODS:
        raise UsageError(
            f"{periods:,} periods of {span.interval} min are more than can be drawn "
            f"({MOST_PERIODS:,}): give a longer --interval or a later --since"
        )
    return span


def choose_span(wanted: Wanted, stretches: Iterable[Stretch]) -> Span:
    """The range and the length of periods to draw, from what is wanted and which candles there are.

    The range is cut to where there are candles, unless nothing of it would be left.
    """
    stretches = list(stretches)
    newest = max(one.until for one in stretches)
    oldest = min(one.since for one in stretches)
    until = newest if wanted.until is None else min(_moment(wanted.until), newest)
    since = until - LONGEST_DEFAULT if wanted.since is None else _moment(wanted.since)
    if oldest < until:
        since = max(since, oldest)
    interval = wanted.interval or _interval(since, until, stretches)
    return Span(since, until, interval)


def _interval(since: Moment, until: Moment, stretches: list[Stretch]) -> int:
    """The shortest length that gives at most USUAL_PERIODS periods and is made from candles that go
    back to the beginning of the range, or to within a tenth of it."""
    for interval in INTERVALS:
        sources = [one.since for one in stretches if one.interval <= interval]
        # candles that begin within the first tenth will do: longer ones could add hardly anything
        goes_back = sources and min(sources) <= since + (until - since) / 10
        if goes_back and count_periods(Span(since, until, interval)) <= USUAL_PERIODS:
            return interval
    return INTERVALS[-1]


def count_periods(span: Span) -> int:
    """How many periods there are in a span, one that is only partly in it among them."""
    return -(-(span.until - span.since) // timedelta(minutes=span.interval))


def _nothing_there(ticker: str, span: Span, stretches: Iterable[Stretch]) -> str:
    there = "; ".join(
        f"{one.interval}-minute candles from {_text(one.since)} to {_text(one.until)}"
        for one in stretches
    )
    between = f"after {_text(span.since)}"
    if span.since < span.until:
        between += f" and up to {_text(span.until)}"
    return f"no prices of {ticker} in {span.interval}-minute periods {between}; there are {there}"


def _unknown(connection: Connection, ticker: str) -> str:
    capitals = ticker.upper()
    similar = select(connection, SIMILAR, [capitals[:4]])
    tickers = {str(found).upper(): str(found) for (found,) in similar}
    if capitals in tickers:
        close = [capitals]
    else:
        close = difflib.get_close_matches(capitals, tickers, n=3, cutoff=0.75)
    hint = f"did you mean {', '.join(tickers[one] for one in close)}? Else " if close else ""
    return (
        f"no event or market {ticker} is in the warehouse: {hint}{_load(ticker, is_event=True)}, "
        "then `kalshi-elt transform`"
    )


def _load(ticker: str, is_event: bool) -> str:
    return f"load it with `kalshi-elt load --{'event' if is_event else 'market'} {ticker}`"


def _moment(seconds: int) -> Moment:
    return datetime.fromtimestamp(seconds, UTC)


def _text(moment: Moment) -> str:
    return f"{moment:%Y-%m-%dT%H:%MZ}"


def _float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)
