"""The plan: every wanted minute of each market asked for once, in requests that the API allows.

Numbers are sections of API.md.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.plan import CandleRequest, batched, plan_requests
from pipelines.records import Market
from pipelines.timerange import TimeRange

MINUTE, HOUR, DAY = 60, 3_600, 86_400
INTERVALS = (1, 60, 1440)

MAX_TICKERS = 100
MAX_PERIODS = 10_000
"""Tickers times requested periods in one request; both caps are the API's (2.6)."""

UNTIL = int(datetime(2026, 11, 22, 14, 30, tzinfo=UTC).timestamp())
LAST_DAY = TimeRange(UNTIL - DAY, UNTIL)

Stretch = tuple[int, int]
"""(start, end], by the ends of periods in Unix seconds."""


def many(number: int, opened: int | None = 0, closed: int | None = None) -> list[Market]:
    """Markets that live at the same time."""
    return [Market(f"M{index:04}", opened, closed) for index in range(number)]


def stretches(plan: Iterable[CandleRequest], ticker: str, interval: int) -> list[Stretch]:
    """What a plan asks of one market, in order of time."""
    return sorted(
        (request.start, request.end)
        for request in plan
        if request.interval_min == interval
        for name in request.tickers
        if name == ticker
    )


def asked(plan: Iterable[CandleRequest], ticker: str, interval: int = 1) -> Stretch:
    """The one stretch that a plan's requests make up for a market."""
    found = stretches(plan, ticker, interval)
    assert found, f"nothing is asked of {ticker}"
    assert all(before[1] == after[0] for before, after in pairwise(found)), found
    return found[0][0], found[-1][1]


def check_caps(plan: Iterable[CandleRequest]) -> None:
    for request in plan:
        periods = -(-(request.end - request.start) // (request.interval_min * MINUTE))
        assert 1 <= len(request.tickers) <= MAX_TICKERS
        assert len(request.tickers) * periods <= MAX_PERIODS


# Caps


@pytest.mark.parametrize(
    ("markets", "days", "interval", "requests"),
    [
        pytest.param(1, 1, 1, 1, id="a day of minutes of one market"),
        pytest.param(6, 1, 1, 1, id="8,640 periods"),
        pytest.param(7, 1, 1, 2, id="10,080 periods"),
        pytest.param(1, 7, 1, 2, id="a week of minutes of one market"),
        pytest.param(100, 1, 1, 15, id="100 markets: 100 minutes each"),
        pytest.param(101, 1, 1, 16, id="one market more than a request takes"),
        pytest.param(100, 4, 60, 1, id="9,600 hours"),
        pytest.param(100, 5, 60, 2, id="12,000 hours"),
        pytest.param(100, 100, 1440, 1, id="exactly 10,000 days"),
        pytest.param(100, 101, 1440, 2, id="10,100 days"),
    ],
)
def test_it_sends_as_few_requests_as_the_caps_allow(
    markets: int, days: int, interval: int, requests: int
) -> None:
    wanted = TimeRange(UNTIL - days * DAY, UNTIL)

    plan = plan_requests(many(markets), wanted, [interval])

    assert len(plan) == requests
    check_caps(plan)


def test_no_markets_or_no_intervals_make_no_requests() -> None:
    assert list(plan_requests([], LAST_DAY, [1])) == []
    assert list(plan_requests(many(3), LAST_DAY, [])) == []


# Life


def test_a_market_is_asked_for_the_whole_range_while_it_lives() -> None:
    market = Market("M", UNTIL - 90 * DAY, UNTIL + 90 * DAY)

    plan = plan_requests([market], LAST_DAY, [1])

    assert asked(plan, "M") == (UNTIL - DAY, UNTIL)


def test_a_market_of_unknown_life_is_asked_for_the_whole_range() -> None:
    plan = plan_requests([Market("M", None, None)], LAST_DAY, [1])

    assert asked(plan, "M") == (UNTIL - DAY, UNTIL)


def test_nothing_is_asked_of_the_time_before_a_market_opened() -> None:
    opened = UNTIL - 3 * HOUR

    plan = plan_requests([Market("M", opened, None)], LAST_DAY, [1])

    assert asked(plan, "M") == (opened, UNTIL)


@pytest.mark.parametrize(
    ("closed", "interval", "last_candle"),
    [
        pytest.param("10:00:00", 1, "10:01:00", id="minutes, closed on the minute"),
        pytest.param("10:00:20", 1, "10:01:00", id="minutes, closed within one"),
        pytest.param("10:00:00", 60, "11:00:00", id="hours, closed on the hour"),
        pytest.param("10:00:20", 60, "11:00:00", id="hours, closed within one"),
        pytest.param("10:59:59", 60, "11:00:00", id="hours, closed in the last second of one"),
    ],
)
def test_the_period_in_which_a_market_closes_is_asked_for_and_little_after_it(
    closed: str, interval: int, last_candle: str
) -> None:
    market = Market("M", 0, moment(closed))

    plan = plan_requests([market], LAST_DAY, [interval])

    start, end = asked(plan, "M", interval)
    assert start == UNTIL - DAY
    assert moment(last_candle) <= end <= moment(last_candle) + interval * MINUTE + MINUTE


def moment(clock: str) -> int:
    """Unix seconds of a time on the day that UNTIL is in."""
    return int(datetime.fromisoformat(f"2026-11-22T{clock}Z").timestamp())


@pytest.mark.parametrize(
    ("opened", "closed"),
    [
        pytest.param(UNTIL + HOUR, UNTIL + DAY, id="opens after the range"),
        pytest.param(UNTIL, UNTIL + DAY, id="opens as the range ends"),
        pytest.param(UNTIL - 9 * DAY, UNTIL - 3 * DAY, id="closed long before the range"),
    ],
)
@pytest.mark.parametrize("interval", INTERVALS)
def test_nothing_is_asked_of_a_market_that_did_not_live_in_the_range(
    opened: int, closed: int, interval: int
) -> None:
    living = Market("LIVING", 0, None)

    plan = plan_requests([Market("M", opened, closed), living], LAST_DAY, [interval])

    assert stretches(plan, "M", interval) == []
    assert asked(plan, "LIVING", interval) == (UNTIL - DAY, UNTIL)


@pytest.mark.parametrize(
    ("closed", "day_ends"),
    [
        pytest.param("2026-07-01T04:30Z", "2026-07-02T04:00Z", id="summer"),
        pytest.param("2026-12-01T05:30Z", "2026-12-02T05:00Z", id="winter"),
        pytest.param("2026-03-08T05:30Z", "2026-03-09T04:00Z", id="day of 23 hours"),
        pytest.param(
            "2026-11-01T04:30Z",
            "2026-11-02T05:00Z",
            id="day of 25 hours",
            marks=pytest.mark.xfail(strict=True, reason="plan: a daily period may last 25 hours"),
        ),
    ],
)
def test_the_day_in_which_a_market_closes_ends_at_midnight_in_new_york(
    closed: str, day_ends: str
) -> None:
    at = int(datetime.fromisoformat(closed).timestamp())
    wanted = TimeRange(at - 7 * DAY, at + 7 * DAY)

    plan = plan_requests([Market("M", 0, at)], wanted, [1440])

    assert asked(plan, "M", 1440)[1] >= datetime.fromisoformat(day_ends).timestamp()


# Since open


def test_since_open_asks_from_each_markets_own_open() -> None:
    young = Market("YOUNG", UNTIL - 2 * HOUR, None)
    old = Market("OLD", UNTIL - 40 * DAY, None)

    plan = plan_requests([young, old], TimeRange(None, UNTIL), [1])

    assert asked(plan, "YOUNG") == (UNTIL - 2 * HOUR, UNTIL)
    assert asked(plan, "OLD") == (UNTIL - 40 * DAY, UNTIL)
    check_caps(plan)


def test_since_open_asks_a_day_of_a_market_whose_open_time_is_unknown() -> None:
    plan = plan_requests([Market("M", None, None)], TimeRange(None, UNTIL), [1])

    assert asked(plan, "M") == (UNTIL - DAY, UNTIL)


# Intervals


def test_each_interval_covers_the_range_by_itself() -> None:
    plan = plan_requests(many(120), LAST_DAY, INTERVALS)

    for interval in INTERVALS:
        for market in many(120):
            assert asked(plan, market.ticker, interval) == (UNTIL - DAY, UNTIL)
    check_caps(plan)


# All of it, for any markets and ranges

moments = st.integers(UNTIL - 40 * DAY, UNTIL + 5 * DAY)
lives = st.tuples(st.none() | moments, st.none() | moments)


@st.composite
def market_lists(draw: st.DrawFn) -> list[Market]:
    """Up to a few hundred markets; many share their life, as those of one event do."""
    found: list[Market] = []
    for life in draw(st.lists(lives, max_size=6)):
        size = draw(st.sampled_from((1, 2, 7, 99, 100, 101, 230)))
        start = len(found)
        found += [Market(f"M{number:04}", *life) for number in range(start, start + size)]
    return found


@st.composite
def ranges(draw: st.DrawFn) -> TimeRange:
    until = draw(moments)
    longest = draw(st.sampled_from((3 * HOUR, 3 * DAY, 30 * DAY)))
    since = draw(st.none() | st.integers(until - longest, until - 1))
    return TimeRange(since, until)


@settings(max_examples=60, deadline=None)
@given(
    markets=market_lists(),
    wanted=ranges(),
    intervals=st.lists(st.sampled_from(INTERVALS), unique=True),
)
def test_every_wanted_minute_is_asked_for_once_within_the_caps(
    markets: list[Market], wanted: TimeRange, intervals: list[int]
) -> None:
    plan = list(plan_requests(markets, wanted, intervals))

    check_caps(plan)
    assert {request.interval_min for request in plan} <= set(intervals)
    assert {name for request in plan for name in request.tickers} <= {m.ticker for m in markets}
    covered: dict[tuple[str, int], list[Stretch]] = {}
    for request in plan:
        assert request.start < request.end
        for name in request.tickers:
            covered.setdefault((name, request.interval_min), []).append(
                (request.start, request.end)
            )
    for market in markets:
        for interval in intervals:
            found = sorted(covered.get((market.ticker, interval), []))
            check_coverage(found, market, wanted, interval)


def check_coverage(found: list[Stretch], market: Market, wanted: TimeRange, interval: int) -> None:
    """Nothing twice, nothing outside of the range, and every minute that may hold a candle."""
    assert all(before[1] <= after[0] for before, after in pairwise(found)), "asked for twice"
    assert all(end <= wanted.until for _, end in found)
    if wanted.since is not None:
        assert all(start >= wanted.since for start, _ in found)
    starts = [bound for bound in (wanted.since, market.opened) if bound is not None]
    if not starts:
        return  # how far back is the plan's choice
    first = max(starts)
    last = wanted.until
    if market.closed is not None:
        last = min(last, market.closed + interval * MINUTE)
    if first >= last:
        return
    assert found, f"{market} is left out"
    assert found[0][0] <= first
    assert found[-1][1] >= last
    assert all(before[1] == after[0] for before, after in pairwise(found)), "a gap"


# batched


@pytest.mark.parametrize(
    ("items", "size", "expected"),
    [
        pytest.param("", 3, [], id="nothing"),
        pytest.param("ab", 3, ["ab"], id="less than one batch"),
        pytest.param("abc", 3, ["abc"], id="one batch"),
        pytest.param("abcd", 3, ["abc", "d"], id="a shorter last batch"),
        pytest.param("abc", 1, ["a", "b", "c"], id="batches of one"),
    ],
)
def test_batches_hold_all_items_in_order(items: str, size: int, expected: list[str]) -> None:
    assert ["".join(batch) for batch in batched(items, size)] == expected


def test_batches_are_made_one_at_a_time() -> None:
    endless = iter(int, 1)

    first = next(batched(endless, 3))

    assert first == (0, 0, 0)


@settings(deadline=None)
@given(items=st.lists(st.integers(), max_size=50), size=st.integers(1, 12))
def test_batches_are_full_but_for_the_last(items: list[int], size: int) -> None:
    batches = list(batched(items, size))

    assert [item for batch in batches for item in batch] == items
    assert all(len(batch) == size for batch in batches[:-1])
    assert all(1 <= len(batch) <= size for batch in batches)
