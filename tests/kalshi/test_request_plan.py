"""The plan: every wanted period of each market asked for once, in as few requests as can be.

Numbers are sections of docs/kalshi_api.md.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from math import ceil
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_elt.base.iterables import batched
from kalshi_elt.base.times import TimeRange
from kalshi_elt.kalshi.records import HISTORICAL, LIVE, Market
from kalshi_elt.kalshi.request_plan import CandleRequest, Window, plan_requests, retry_in_historical
from kalshi_elt.ops.coverage import Life, _window, lives

MINUTE, HOUR, DAY = 60, 3_600, 86_400
INTERVALS = (1, 60, 1440)

MAX_TICKERS = 100
MAX_PERIODS = 10_000
"""Tickers times requested periods in one request; both caps are the API's (2.6)."""
MAX_HISTORICAL_PERIODS = 5_000
"""Requested periods in one request for one market (2.12)."""

UNTIL = int(datetime(2026, 11, 22, 14, 30, tzinfo=UTC).timestamp())
LAST_DAY = TimeRange(UNTIL - DAY, UNTIL)

Stretch = tuple[int, int]
"""(start, end], by the ends of periods in Unix seconds."""


def exactly(ticker: str, start: int, end: int = UNTIL, tier: str = LIVE) -> Window:
    """A window that may not be overstepped: what lies beside it is covered."""
    return Window(ticker, start, end, start, end, tier)


def many(number: int, start: int, end: int = UNTIL, tier: str = LIVE) -> list[Window]:
    """Windows of as many markets, all alike."""
    return [exactly(f"M{index:06}", start, end, tier) for index in range(number)]


def market(ticker: str, opened: int | None = 0, closed: int | None = None) -> Market:
    return Market(ticker, "E", "active", opened, closed, None, Decimal(0), False)


def stretches(plan: Iterable[CandleRequest], ticker: str) -> list[Stretch]:
    """What a plan asks of one market, in order of time."""
    return sorted((request.start, request.end) for request in plan if ticker in request.tickers)


def asked(plan: Iterable[CandleRequest], ticker: str) -> Stretch:
    """The one stretch that a plan's requests make up for a market."""
    found = stretches(plan, ticker)
    assert found, f"nothing is asked of {ticker}"
    assert all(before[1] == after[0] for before, after in pairwise(found)), found
    return found[0][0], found[-1][1]


def periods(start: int, end: int, interval: int) -> int:
    return ceil((end - start) / (interval * MINUTE))


def check_caps(plan: Iterable[CandleRequest]) -> None:
    for request in plan:
        length = periods(request.start, request.end, request.interval_min)
        assert length > 0
        assert len(set(request.tickers)) == len(request.tickers) > 0
        if request.tier == HISTORICAL:
            assert len(request.tickers) == 1
            assert length <= MAX_HISTORICAL_PERIODS
        else:
            assert len(request.tickers) <= MAX_TICKERS
            assert len(request.tickers) * length <= MAX_PERIODS


def check_plan(plan: Sequence[CandleRequest], windows: Sequence[Window], interval: int) -> None:
    """Within the caps; each window whole, nothing twice, nothing beyond a window's bounds."""
    check_caps(plan)
    assert {request.interval_min for request in plan} <= {interval}
    assert max((request.end for request in plan), default=0) == max(
        (window.end for window in windows), default=0
    ), "into the future"
    by_market: dict[tuple[str, str], list[Stretch]] = {}
    for request in plan:
        for ticker in request.tickers:
            stretch = (request.start, request.end)
            by_market.setdefault((ticker, request.tier), []).append(stretch)
    wanted_of: dict[tuple[str, str], list[Window]] = {}
    for window in windows:
        wanted_of.setdefault((window.ticker, window.tier), []).append(window)
    assert by_market.keys() == wanted_of.keys()
    for key, found in by_market.items():
        found.sort()
        assert all(before[1] <= after[0] for before, after in pairwise(found)), "asked for twice"
        joined = join(found)
        for window in wanted_of[key]:
            (around,) = [it for it in joined if it[0] <= window.start and window.end <= it[1]]
            assert window.earliest <= around[0], "before what was missing"
            assert around[1] <= window.latest, "beyond what was missing"
        assert len(joined) <= len(wanted_of[key]), "something that nobody wanted"


def join(found: Sequence[Stretch]) -> list[Stretch]:
    """Stretches in order, adjoining ones made one."""
    joined: list[Stretch] = []
    for start, end in found:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


# Windows


def test_a_day_of_many_markets_comes_in_few_long_windows() -> None:
    windows = many(3_000, UNTIL - DAY)

    plan = plan_requests(windows, 1)

    asked = sum(len(request.tickers) for request in plan)
    assert asked <= 4 * len(windows), "6 hours each; 100 minutes each would be 15 a market"
    assert len(plan) <= 1.04 * 3_000 * 1_440 / 10_000


# Caps


@pytest.mark.parametrize(
    ("markets", "days", "interval", "requests"),
    [
        pytest.param(1, 1, 1, 1, id="a day of minutes of one market"),
        pytest.param(6, 1, 1, 1, id="8,640 periods"),
        pytest.param(7, 1, 1, 2, id="10,080 periods"),
        pytest.param(1, 7, 1, 2, id="a week of minutes of one market"),
        pytest.param(100, 1, 1, 15, id="100 markets: 100 minutes each"),
        pytest.param(101, 1, 1, 16, id="145,440 periods: one more, for windows of 6 hours"),
        pytest.param(100, 4, 60, 1, id="9,600 hours"),
        pytest.param(100, 5, 60, 2, id="12,000 hours"),
        pytest.param(100, 100, 1440, 1, id="exactly 10,000 days"),
        pytest.param(100, 101, 1440, 2, id="10,100 days"),
        pytest.param(101, 1, 1440, 2, id="one market more than a request takes"),
    ],
)
def test_it_sends_as_few_requests_as_the_caps_allow_or_hardly_more(
    markets: int, days: int, interval: int, requests: int
) -> None:
    windows = many(markets, UNTIL - days * DAY)

    plan = plan_requests(windows, interval)

    assert len(plan) == requests
    check_plan(plan, windows, interval)


@pytest.mark.parametrize(
    ("markets", "length", "interval", "requests"),
    [
        pytest.param(1, 5_000 * MINUTE, 1, 1, id="exactly 5,000 minutes"),
        pytest.param(1, 5_001 * MINUTE, 1, 2, id="5,001 minutes"),
        pytest.param(1, 5_001 * HOUR, 60, 2, id="5,001 hours"),
        pytest.param(3, DAY, 1, 3, id="one market a request"),
    ],
)
def test_the_historical_tier_takes_one_market_and_5000_periods_a_request(
    markets: int, length: int, interval: int, requests: int
) -> None:
    windows = many(markets, UNTIL - length, tier=HISTORICAL)

    plan = plan_requests(windows, interval)

    assert len(plan) == requests
    assert {request.tier for request in plan} == {HISTORICAL}
    check_plan(plan, windows, interval)


def test_the_tiers_share_no_request() -> None:
    windows = [exactly("L", UNTIL - HOUR), exactly("H", UNTIL - HOUR, tier=HISTORICAL)]

    plan = plan_requests(windows, 1)

    assert [(request.tickers, request.tier) for request in plan] == [
        (("L",), LIVE),
        (("H",), HISTORICAL),
    ]


def test_no_windows_make_no_requests() -> None:
    assert plan_requests([], 1) == []


def test_what_the_live_tier_left_out_is_asked_of_the_historical_one() -> None:
    request = CandleRequest(("A", "B", "C"), UNTIL - 6_000 * MINUTE, UNTIL, 1)

    again = retry_in_historical(request, ["A", "C"])

    check_caps(again)
    assert {one.tier for one in again} == {HISTORICAL}
    assert {ticker for one in again for ticker in one.tickers} == {"A", "C"}
    for ticker in ("A", "C"):
        assert asked(again, ticker) == (request.start, request.end)


# Bounds


def test_markets_with_one_end_share_a_request_though_they_opened_at_different_times() -> None:
    windows = [
        Window("OLD", UNTIL - 90 * MINUTE, UNTIL, UNTIL - 90 * MINUTE, UNTIL),
        Window("YOUNG", UNTIL - 30 * MINUTE, UNTIL, UNTIL - 130 * MINUTE, UNTIL),
    ]

    plan = plan_requests(windows, 1)

    assert [(sorted(request.tickers), request.start) for request in plan] == [
        (["OLD", "YOUNG"], UNTIL - 90 * MINUTE)
    ]


def test_a_market_whose_past_is_covered_leaves_a_request_where_its_window_begins() -> None:
    windows = [exactly("OLD", UNTIL - 90 * MINUTE), exactly("COVERED", UNTIL - 30 * MINUTE)]

    plan = plan_requests(windows, 1)

    check_plan(plan, windows, 1)
    assert asked(plan, "COVERED") == (UNTIL - 30 * MINUTE, UNTIL)
    assert asked(plan, "OLD") == (UNTIL - 90 * MINUTE, UNTIL)


def test_a_market_that_closed_a_little_earlier_shares_the_requests_of_the_others() -> None:
    closed = UNTIL - 20 * MINUTE
    windows = [
        exactly("OPEN", UNTIL - HOUR),
        Window("CLOSED", UNTIL - HOUR, closed, UNTIL - HOUR, closed + 100 * MINUTE),
    ]

    plan = plan_requests(windows, 1)

    assert [sorted(request.tickers) for request in plan] == [["CLOSED", "OPEN"]]


def test_a_gap_in_the_past_is_not_filled_up_to_the_present() -> None:
    windows = [exactly("M", UNTIL - HOUR), exactly("M", UNTIL - 3 * HOUR, UNTIL - 2 * HOUR)]

    plan = plan_requests(windows, 1)

    assert stretches(plan, "M") == [
        (UNTIL - 3 * HOUR, UNTIL - 2 * HOUR),
        (UNTIL - HOUR, UNTIL),
    ]


def test_gaps_that_end_almost_together_stay_two_windows() -> None:
    """Two of one market, closer to each other than ends are aligned over."""
    windows = [
        exactly("M", UNTIL - 10 * MINUTE),
        exactly("M", UNTIL - 30 * MINUTE, UNTIL - 20 * MINUTE),
    ]

    plan = plan_requests(windows, 1)

    check_plan(plan, windows, 1)


# A market's life


def life(one: Market, wanted: TimeRange, interval: int = 1) -> list[tuple[int | None, int]]:
    return [(found.start, found.end) for found in lives([(one, LIVE)], wanted, interval)]


def test_a_market_is_wanted_for_the_whole_range_while_it_lives() -> None:
    one = market("M", UNTIL - 90 * DAY, UNTIL + 90 * DAY)

    assert life(one, LAST_DAY) == [(UNTIL - DAY, UNTIL)]


def test_a_market_of_unknown_life_is_wanted_for_the_whole_range() -> None:
    assert life(market("M", None, None), LAST_DAY) == [(UNTIL - DAY, UNTIL)]


def test_nothing_is_wanted_of_the_time_before_a_market_opened() -> None:
    opened = UNTIL - 3 * HOUR

    assert life(market("M", opened), LAST_DAY) == [(opened, UNTIL)]


def test_a_market_that_goes_on_begins_where_its_coverage_ended() -> None:
    assert life(market("M"), TimeRange(None, UNTIL)) == [(None, UNTIL)]


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
def test_the_period_in_which_a_market_closes_is_wanted_and_little_after_it(
    closed: str, interval: int, last_candle: str
) -> None:
    ((start, end),) = life(market("M", 0, moment(closed)), LAST_DAY, interval)

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
def test_nothing_is_wanted_of_a_market_that_did_not_live_in_the_range(
    opened: int, closed: int, interval: int
) -> None:
    assert life(market("M", opened, closed), LAST_DAY, interval) == []


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
        ),
    ],
)
def test_the_day_in_which_a_market_closes_ends_at_midnight_in_new_york(
    closed: str, day_ends: str
) -> None:
    at = int(datetime.fromisoformat(closed).timestamp())
    wanted = TimeRange(at - 7 * DAY, at + 7 * DAY)

    ((_, end),) = life(market("M", 0, at), wanted, 1440)

    assert end >= datetime.fromisoformat(day_ends).timestamp()


def test_since_open_begins_at_each_markets_own_open() -> None:
    since_open = TimeRange(None, UNTIL, is_life=True)

    assert life(market("M", UNTIL - 2 * HOUR), since_open) == [(UNTIL - 2 * HOUR, UNTIL)]
    assert life(market("M", UNTIL - 40 * DAY), since_open) == [(UNTIL - 40 * DAY, UNTIL)]
    assert life(market("M", UNTIL + HOUR), since_open) == []


def test_since_open_takes_a_day_of_a_market_whose_open_time_is_unknown() -> None:
    since_open = TimeRange(None, UNTIL, is_life=True)

    assert life(market("M", None), since_open) == [(UNTIL - DAY, UNTIL)]


# How far a request may reach beyond a window


def window(one: Market, start: int, end: int, interval: int = 1, tier: str = LIVE) -> Window:
    return _window(Life(one, tier, start, end), start, end, interval)


def test_beside_a_gap_within_a_market_s_life_all_is_covered() -> None:
    found = window(market("M", UNTIL - 9 * DAY, UNTIL + DAY), UNTIL - HOUR, UNTIL)

    assert (found.earliest, found.latest) == (UNTIL - HOUR, UNTIL)


@pytest.mark.parametrize("interval", INTERVALS)
def test_before_a_market_opens_there_is_nothing_to_ask_twice(interval: int) -> None:
    opened = UNTIL - 30 * DAY

    found = window(market("M", opened), opened, UNTIL, interval)

    assert found.earliest <= opened - 100 * interval * MINUTE
    assert (found.start, found.end, found.latest) == (opened, UNTIL, UNTIL)


@pytest.mark.parametrize("interval", INTERVALS)
def test_after_a_market_closes_there_is_nothing_to_ask_twice(interval: int) -> None:
    closed = UNTIL - 30 * DAY

    # the day on which the clocks go back has 25 hours
    longest = 25 * 60 if interval == 1440 else interval

    found = window(market("M", 0, closed), closed - DAY, closed + longest * MINUTE, interval)

    assert found.latest >= closed + 100 * interval * MINUTE
    assert (found.start, found.earliest) == (closed - DAY, closed - DAY)


@pytest.mark.parametrize("tier", [LIVE, HISTORICAL])
def test_a_window_is_of_the_tier_that_has_the_market(tier: str) -> None:
    assert window(market("M"), UNTIL - HOUR, UNTIL, tier=tier).tier == tier


# As few requests as can be

Scenario = tuple[list[Window], float]
"""Windows, and the least number of requests that can fetch them."""


def least(windows: Sequence[Window], interval: int = 1) -> float:
    """No plan can do with fewer: a request takes 10,000 periods of 100 markets."""
    wanted = sum(periods(window.start, window.end, interval) for window in windows)
    return max(
        ceil(wanted / MAX_PERIODS), ceil(len({window.ticker for window in windows}) / MAX_TICKERS)
    )


def alike(markets: int, minutes: int) -> Callable[[int], Scenario]:
    def make(seed: int) -> Scenario:
        windows = many(markets, UNTIL - minutes * MINUTE)
        return windows, least(windows)

    return make


def opened_at(number: int, opened: int) -> Window:
    """A market from its open until now, as coverage gives it."""
    one = market(f"NEW{number}", opened)
    return window(one, opened, UNTIL)


def whole_lives(seed: int) -> Scenario:
    """2,000 markets from their open on, `--since open`."""
    random = Random(seed)
    windows = [opened_at(n, UNTIL - random.randrange(1, 60 * DAY)) for n in range(2_000)]
    return windows, least(windows)


def young_beside_old(minutes: int) -> Callable[[int], Scenario]:
    """300 markets that opened within a day, 5,000 others that go on where they ended."""

    def make(seed: int) -> Scenario:
        random = Random(seed)
        old = many(5_000, UNTIL - minutes * MINUTE)
        young = [
            opened_at(n, UNTIL - random.randrange(1, DAY // MINUTE) * MINUTE) for n in range(300)
        ]
        if minutes > MAX_PERIODS // MAX_TICKERS:
            return [*young, *old], least([*young, *old])
        # a request that takes an old market is as short as its window, and takes 100 of them
        before = sum(max(0, periods(it.start, UNTIL, 1) - minutes) for it in young)
        return [*young, *old], ceil(len(old) / MAX_TICKERS + before / MAX_PERIODS)

    return make


CLOSE_TO_THE_LEAST = 1.05
BOUND_OUT_OF_REACH = 1.06
"""Where the bound counts periods alone, and no request of whole periods fills them all."""

YOUNG_BESIDE_OLD = young_beside_old(10)

SCENARIOS = [
    pytest.param(alike(10, 1_440), id="the 10 markets of an event, a day"),
    pytest.param(alike(105_000, 10), id="all 105,000 markets, 10 minutes"),
    pytest.param(alike(10_500, 1_440), id="a tenth of all markets, a day"),
    pytest.param(alike(10_500, 65), id="a five-minute run after an hour's outage"),
    pytest.param(whole_lives, id="2,000 whole lives of up to 60 days"),
    pytest.param(young_beside_old(1_440), id="300 young markets beside 5,000 old, a day"),
    pytest.param(YOUNG_BESIDE_OLD, id="300 young markets beside 5,000 old, 10 minutes"),
]


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("seed", [0, 1])
def test_no_more_than_5_percent_above_the_least_number_of_requests(
    scenario: Callable[[int], Scenario], seed: int
) -> None:
    windows, at_least = scenario(seed)
    allowed = BOUND_OUT_OF_REACH if scenario is YOUNG_BESIDE_OLD else CLOSE_TO_THE_LEAST

    plan = plan_requests(windows, 1)

    check_caps(plan)
    assert at_least <= len(plan) <= at_least * allowed


# All of it, for any windows


@st.composite
def markets_windows(draw: st.DrawFn, ticker: str, step: int) -> list[Window]:
    """A market's gaps: in order, apart from each other, with room before the first at most where
    the market opens, and after the last where it closes."""
    tier = draw(st.sampled_from((LIVE, LIVE, LIVE, HISTORICAL)))
    end = UNTIL - draw(st.sampled_from((0, 0, 0, 1, 7, 45, 120, 5_000))) * step
    found: list[Window] = []
    number = draw(st.integers(1, 3))
    for index in range(number):
        length = draw(
            st.integers(1, 20 * step)
            | st.integers(1, 400).map(lambda count: count * step)
            | st.integers(1, 30_000).map(lambda count: count * step)
        )
        start = end - length
        is_first, is_last = index == number - 1, index == 0
        room = st.sampled_from((0, 1, 10 * step, 100 * step, 1_000 * step))
        earliest = start - (draw(room) if is_first else 0)
        latest = end + (draw(room) if is_last else 0)
        found.append(Window(ticker, start, end, earliest, latest, tier))
        end = start - draw(st.integers(1, 3 * step) | st.integers(1, 200).map(lambda n: n * step))
    return found


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[Window], int]:
    """Windows of up to some hundred markets; many share theirs, as those of one event do."""
    interval = draw(st.sampled_from(INTERVALS))
    windows: list[Window] = []
    for group in range(draw(st.integers(0, 5))):
        size = draw(st.sampled_from((1, 2, 7, 99, 100, 101, 230)))
        kinds = [
            draw(markets_windows(f"G{group}", interval * MINUTE))
            for _ in range(draw(st.integers(1, 3)))
        ]
        for number in range(size):
            windows += [
                Window(f"G{group}M{number:03}", it.start, it.end, it.earliest, it.latest, it.tier)
                for it in kinds[number % len(kinds)]
            ]
    return windows, interval


@settings(max_examples=40, deadline=None)
@given(problem=problems(), order=st.randoms(use_true_random=False))
def test_every_window_is_asked_for_once_within_the_caps_and_its_bounds(
    problem: tuple[list[Window], int], order: Random
) -> None:
    windows, interval = problem
    order.shuffle(windows)

    check_plan(plan_requests(iter(windows), interval), windows, interval)


@settings(max_examples=40, deadline=None)
@given(
    starts=st.lists(st.integers(1, 300_000), min_size=1, max_size=150),
    hard=st.booleans(),
    interval=st.sampled_from(INTERVALS),
)
def test_markets_with_one_end_and_any_beginnings_are_asked_for_once(
    starts: list[int], hard: bool, interval: int
) -> None:
    room = 0 if hard else 100 * interval * MINUTE
    windows = [
        Window(f"M{index}", UNTIL - length, UNTIL, UNTIL - length - room, UNTIL)
        for index, length in enumerate(starts)
    ]

    check_plan(plan_requests(windows, interval), windows, interval)


moments = st.integers(UNTIL - 40 * DAY, UNTIL + 5 * DAY)


@st.composite
def ranges(draw: st.DrawFn) -> TimeRange:
    until = draw(moments)
    longest = draw(st.sampled_from((3 * HOUR, 3 * DAY, 30 * DAY)))
    since = draw(st.none() | st.integers(until - longest, until - 1))
    return TimeRange(since, until, is_life=since is None and draw(st.booleans()))


@settings(max_examples=100, deadline=None)
@given(
    one=st.builds(market, st.just("M"), st.none() | moments, st.none() | moments),
    wanted=ranges(),
    interval=st.sampled_from(INTERVALS),
)
def test_a_life_is_the_part_of_the_range_that_may_hold_candles(
    one: Market, wanted: TimeRange, interval: int
) -> None:
    found = life(one, wanted, interval)

    last = wanted.until
    if one.closed is not None:
        # candles end at whole minutes
        last = min(last, (one.closed + interval * MINUTE) // MINUTE * MINUTE)
    starts = [bound for bound in (wanted.since, one.opened) if bound is not None]
    if wanted.goes_on:
        ((start, end),) = found
        assert start is None
        assert last <= end <= wanted.until
    elif starts and max(starts) < last:
        ((start, end),) = found
        assert start == max(starts)
        assert last <= end <= wanted.until
    else:
        assert all(start is not None and start < end <= wanted.until for start, end in found)


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
