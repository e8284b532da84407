"""What charts read from the warehouse: prices as they are, nothing made up; errors that help."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from kalshi_elt.base.errors import KalshiEltError, UsageError
from kalshi_elt.publish.chart.data import (
    MOST_PERIODS,
    USUAL_PERIODS,
    Chart,
    EventChart,
    MarketChart,
    NoCandlesError,
    Stretch,
    Wanted,
    choose_span,
    count_periods,
    distinct_names,
    read_chart,
)
from simulator import Simulator
from tests.conftest import Project, empty_project
from tests.support.landing import START, Landing, Window, candle, event, land, market

NEWSOM = "KXPRESPERSON-28-GNEWS"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def quotes(price: str) -> dict[str, str]:
    return {f"{name}_dollars": price for name in ("open", "high", "low", "close")}


def quoted(minute: int, bid: str, ask: str, **fields: Any) -> dict[str, Any]:
    return candle(minute, yes_bid=quotes(bid), yes_ask=quotes(ask), **fields)


TRADED = quoted(
    3,
    "0.3000",
    "0.4000",
    volume_fp="2.50",
    price={
        **{"open_dollars": "0.3100", "high_dollars": "0.3900", "low_dollars": "0.3000"},
        **{"close_dollars": "0.3800", "mean_dollars": "0.3500", "previous_dollars": "0.3300"},
    },
)
LANDING = Landing(
    minute=70,
    events=[event(title="Who will win?", sub_title="In 2028"), event("BOTH", title="An event")],
    markets=[
        market("M", yes_sub_title="Ada"),
        market("N", yes_sub_title="Ben"),
        market("O", yes_sub_title="Ben"),
        market("SILENT", yes_sub_title="Cleo"),
        market("BOTH", "BOTH", title="A market of its event's ticker"),
    ],
    windows=[
        Window("M", [quoted(1, "0.3000", "0.3600"), TRADED, quoted(5, "0.0000", "1.0000")]),
        Window("N", [quoted(2, "0.5000", "0.5200"), quoted(4, "0.5000", "0.5200")]),
        Window("O", [quoted(2, "0.1000", "0.1200")]),
        Window("BOTH", [candle(1)]),
    ],
)


@pytest.fixture(scope="module")
def drawn(server_url: str, simulator: Simulator, dbt_work: Path) -> Iterator[Project]:
    """A warehouse with a few minutes of a test's own making. For tests that only read."""
    with empty_project(server_url, simulator, dbt_work) as project:
        land(project, LANDING)
        project.must("dbt", "run")
        yield project


def read(project: Project, ticker: str, **wanted: Any) -> Chart:
    with closing(psycopg2.connect(project.database_url)) as connection:
        return read_chart(connection, Wanted(ticker, **wanted))


def event_of(project: Project, ticker: str, **wanted: Any) -> EventChart:
    chart = read(project, ticker, **wanted)
    assert isinstance(chart, EventChart)
    return chart


def market_of(project: Project, ticker: str, **wanted: Any) -> MarketChart:
    chart = read(project, ticker, **wanted)
    assert isinstance(chart, MarketChart)
    return chart


def at(minute: float) -> datetime:
    return START + timedelta(minutes=minute)


def seconds(minute: float) -> int:
    return int(at(minute).timestamp())


def test_a_market_has_each_period_from_its_first_candle_to_its_last(drawn: Project) -> None:
    chart = market_of(drawn, "M")

    assert (chart.ticker, chart.title, chart.subtitle) == ("M", "Ada", "Who will win?")
    assert (chart.span.since, chart.span.until, chart.span.interval) == (at(0), at(5), 1)
    # end, open, high, low, close, bid, ask, last, probability, volume
    nothing = (None,) * 4
    assert [astuple(one) for one in chart.periods] == [
        (at(1), *nothing, 0.30, 0.36, 0.33, pytest.approx(0.33), 0),
        (at(2), *nothing, 0.30, 0.36, 0.33, pytest.approx(0.33), 0),
        (at(3), 0.31, 0.39, 0.30, 0.38, 0.30, 0.40, 0.38, pytest.approx(0.35), 2.5),
        (at(4), *nothing, 0.30, 0.40, 0.38, pytest.approx(0.35), 0),
        # 0 and 1 are how Kalshi sends an empty book, and not quotes
        (at(5), *nothing, None, None, 0.33, 0.33, 0),
    ]


def test_what_was_not_asked_for_is_unknown(drawn: Project) -> None:
    """The window covers one hour; the candle of N after it landed in another way."""
    drawn.query(
        "insert into kalshi.candles select (jsonb_populate_record(c, %s)).* from kalshi.candles c "
        "where market_ticker = 'N' and end_ts = %s",
        f'{{"end_ts": "{at(90).isoformat()}"}}',
        at(4),
    )
    try:
        periods = {one.end: one for one in market_of(drawn, "N").periods}
        (line,) = (one for one in event_of(drawn, "E").lines if one.ticker == "N")
    finally:
        drawn.query("delete from kalshi.candles where end_ts = %s", at(90))

    assert periods[at(60)].probability == periods[at(90)].probability == pytest.approx(0.51)
    missing = periods[at(61)]
    assert (missing.bid, missing.ask, missing.last, missing.probability) == (None,) * 4
    assert line.points == ((at(2), 0.51), (at(61), None), (at(90), 0.51))


def test_an_event_has_its_likeliest_markets_where_they_change(drawn: Project) -> None:
    chart = event_of(drawn, "E")

    assert (chart.title, chart.subtitle, chart.left_out) == ("Who will win?", "In 2028", 0)
    assert {one.ticker: one.name for one in chart.lines} == {
        "N": "Ben (N)",
        "M": "Ada",
        "O": "Ben (O)",
    }
    assert [one.ticker for one in chart.lines] == ["N", "M", "O"]
    first, second, third = (one.points for one in chart.lines)
    assert first == ((at(2), 0.51), (at(5), 0.51))
    assert second == ((at(1), 0.33), (at(3), 0.35), (at(5), 0.33))
    assert third == ((at(2), 0.11), (at(5), 0.11))


def test_the_others_are_left_out_and_counted(drawn: Project) -> None:
    chart = event_of(drawn, "E", top=1)

    assert [one.ticker for one in chart.lines] == ["N"]
    assert chart.left_out == 2


def test_a_ticker_of_both_is_the_event(drawn: Project) -> None:
    assert event_of(drawn, "BOTH").title == "An event"


def test_a_range_and_an_interval_may_be_asked_for(drawn: Project) -> None:
    chart = market_of(drawn, "M", since=seconds(1), until=seconds(4))
    assert [one.end for one in chart.periods] == [at(2), at(3), at(4)]

    (five,) = market_of(drawn, "M", interval=5).periods
    assert (five.end, five.open, five.high, five.volume) == (at(5), 0.31, 0.39, 2.5)
    assert chart.span.interval == 1


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        pytest.param(
            Wanted("SILENT"),
            "no candles of SILENT have been typed: load it with `kalshi-elt load --market SILENT`",
            id="a market without candles",
        ),
        pytest.param(
            Wanted("M", since=seconds(600)),
            "no prices of M in 1-minute periods after 2026-11-01T10:00Z; there are "
            "1-minute candles from 2026-11-01T00:00Z to 2026-11-01T00:05Z",
            id="later than all",
        ),
        pytest.param(
            Wanted("E", until=seconds(-600)),
            "there are 1-minute candles from 2026-11-01T00:00Z to 2026-11-01T00:05Z",
            id="earlier than all",
        ),
    ],
)
def test_nothing_to_draw_says_what_there_is(drawn: Project, wanted: Wanted, message: str) -> None:
    with (
        closing(psycopg2.connect(drawn.database_url)) as connection,
        pytest.raises(NoCandlesError) as raised,
    ):
        read_chart(connection, wanted)

    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Wanted("both"), "did you mean BOTH? Else load it with `kalshi-elt load --event both`"),
        (Wanted("SILEN"), "no event or market SILEN is in the warehouse: did you mean SILENT?"),
        (Wanted("XYZ"), "XYZ is in the warehouse: load it with `kalshi-elt load --event XYZ`"),
        (Wanted("M'; drop table kalshi.candles; --"), "no event or market"),
        (Wanted("%"), "no event or market % is in the warehouse: load it"),
        (Wanted("M", interval=7), "--interval 7 is not 1, 5, 15, 60 or 1440"),
        (Wanted("M", top=0), "--top 0 is not from 1 to 15"),
        (Wanted("M", top=16), "--top 16 is not from 1 to 15"),
    ],
)
def test_wrong_wishes_are_told(drawn: Project, wanted: Wanted, message: str) -> None:
    with (
        closing(psycopg2.connect(drawn.database_url)) as connection,
        pytest.raises(UsageError) as raised,
    ):
        read_chart(connection, wanted)

    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_before_the_marts_are_built_it_says_what_to_do(project: Project) -> None:
    with pytest.raises(KalshiEltError, match="run `kalshi-elt transform` first"):
        read(project, "E")


def test_the_seeds_event_and_its_markets(loaded_project: Project) -> None:
    chart = event_of(loaded_project, "KXPRESPERSON-28")
    one = market_of(loaded_project, NEWSOM)

    assert len(chart.lines) == 10
    latest = [line.latest for line in chart.lines]
    assert latest == sorted(latest, reverse=True)
    assert all(0 <= value <= 1 for value in latest)
    assert chart.span.interval == one.span.interval == 1
    traded = loaded_project.query(
        "select sum(volume_fp), max(trade_high_dollars), count(trade_high_dollars) "
        "from kalshi.candles where market_ticker = %s and interval_min = 1",
        NEWSOM,
    )[0]
    assert sum(period.volume for period in one.periods) == pytest.approx(float(traded[0]))
    highs = [period.high for period in one.periods if period.high is not None]
    assert (max(highs), len(highs)) == (float(traded[1]), traded[2])
    assert {period.end.tzinfo for period in one.periods} == {UTC}


def stretch(interval: int, days: float, until: datetime = NOW) -> Stretch:
    return Stretch(interval, NOW - timedelta(days=days), until)


@pytest.mark.parametrize(
    ("stretches", "interval", "days"),
    [
        ([stretch(1, 1)], 1, 1),
        ([stretch(1, 5)], 5, 5),
        ([stretch(1, 10)], 15, 10),
        ([stretch(1, 90)], 60, 30),
        # longer ones show the range that the minutes don't
        ([stretch(1, 1), stretch(60, 20)], 60, 20),
        ([stretch(1, 1), stretch(1440, 30)], 1440, 30),
        ([stretch(1440, 300)], 1440, 30),
        ([stretch(1, 1), stretch(60, 1.03)], 1, 1.03),
    ],
)
def test_the_default_range_and_interval(
    stretches: list[Stretch], interval: int, days: float
) -> None:
    span = choose_span(Wanted("M"), stretches)

    assert (span.since, span.until) == (NOW - timedelta(days=days), NOW)
    assert span.interval == interval
    assert count_periods(span) <= USUAL_PERIODS


def test_a_range_never_goes_beyond_the_candles() -> None:
    since = int((NOW - timedelta(days=400)).timestamp())
    until = int((NOW + timedelta(days=3)).timestamp())

    span = choose_span(Wanted("M", since=since, until=until), [stretch(1, 2), stretch(60, 90)])

    assert (span.since, span.until, span.interval) == (NOW - timedelta(days=90), NOW, 1440)


def test_more_periods_than_can_be_drawn_are_refused(drawn: Project) -> None:
    drawn.query(
        "insert into kalshi.candles select (jsonb_populate_record(c, %s)).* from kalshi.candles c "
        "where market_ticker = 'O' and end_ts = %s",
        f'{{"end_ts": "{at(20_000).isoformat()}"}}',
        at(2),
    )
    try:
        with pytest.raises(UsageError, match=r"19,999 periods of 1 min.*longer --interval"):
            read(drawn, "O", interval=1)
        assert market_of(drawn, "O").span.interval == 15
    finally:
        drawn.query("delete from kalshi.candles where end_ts = %s", at(20_000))
    assert MOST_PERIODS < 19_999


def test_names_that_coincide_are_followed_by_the_ticker() -> None:
    assert distinct_names({"A": "x", "B": "y", "C": "x"}) == {
        "A": "x (A)",
        "B": "y",
        "C": "x (C)",
    }
