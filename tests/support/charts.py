"""Charts that a test has made up."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from kalshi_elt.publish.chart.data import EventChart, Line, MarketChart, Period, Span

START = datetime(2026, 11, 10, tzinfo=UTC)
HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u2028\u202e&amp;'\"{{7*7}}"
)


def period(minute: int, **values: float | None) -> Period:
    """A period that ends so many minutes after START; quotes of 30 and 34 cents, no trade."""
    known: dict[str, float | None] = {
        **dict.fromkeys(("open", "high", "low", "close")),
        **{"bid": 0.30, "ask": 0.34, "last": 0.33, "probability": 0.32, "volume": 0.0},
        **values,
    }
    return Period(START + timedelta(minutes=minute), **known)  # type: ignore[arg-type]


def traded(
    minute: int, opened: float, closed: float, volume: float = 10, **values: float
) -> Period:
    """A period with trades, one cent beyond open and close each way."""
    low, high = sorted((opened, closed))
    return period(
        minute,
        open=opened,
        high=high + 0.01,
        low=low - 0.01,
        close=closed,
        last=closed,
        volume=volume,
        **values,
    )


def market_chart(
    periods: Sequence[Period] | None = None,
    *,
    interval: int = 1,
    title: str = "Ada Lovelace",
    subtitle: str = "Who will win?",
    ticker: str = "KXWIN-28-ADA",
) -> MarketChart:
    """A market's chart. Without `periods` it has two hours of minutes with rising prices, every
    third one with trades."""
    if periods is None:
        periods = [
            traded(minute, 0.30 + minute / 1000, 0.32 - minute % 2 / 20 + minute / 1000)
            if minute % 3 == 0
            else period(minute, bid=0.30 + minute / 1000, ask=0.34 + minute / 1000)
            for minute in range(1, 121)
        ]
    first, last = periods[0].end, periods[-1].end
    span = Span(first - timedelta(minutes=interval), last, interval)
    return MarketChart(ticker, title, subtitle, span, tuple(periods))


def line(number: int, values: Sequence[float | None], name: str | None = None) -> Line:
    """A market whose probability is each of the values for ten minutes."""
    points = tuple(
        (START + timedelta(minutes=10 * place), value) for place, value in enumerate(values)
    )
    return Line(f"KXWIN-28-{number}", name or f"Candidate {number}", points)


def event_chart(lines: Sequence[Line] | None = None, *, title: str = "Who will win?") -> EventChart:
    """An event's chart. Without `lines` it has seven candidates over two hours."""
    if lines is None:
        lines = [
            line(number, [(7 - number) / 10 + step % 3 / 100 for step in range(13)])
            for number in range(7)
        ]
    ends = [moment for one in lines for moment, _ in one.points]
    span = Span(min(ends) - timedelta(minutes=10), max(ends), 5)
    return EventChart("KXWIN-28", title, "In 2028", span, tuple(lines), left_out=2)
