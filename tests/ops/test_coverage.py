"""Coverage, end to end: what was asked for is known, what is missing is asked for, nothing twice.

Windows are (start, end], by the ends of periods. The clock is the tests' own, so every number of
seconds here is exact.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from simulator import Exchange, Simulator
from tests.conftest import Project
from tests.support.clock import DAY, HOUR, MINUTE, Clock, iso
from tests.support.world import (
    BATCH,
    FEW_TRIES,
    GNEWS,
    LATE_CORRECTIONS,
    NOON,
    SEED,
    Stretch,
    World,
    hull,
    world_at_noon,
)


@pytest.fixture
def project(raw_project: Project) -> Project:
    """Quicker to load into than one without tables, and no different."""
    return raw_project


@pytest.fixture
def world(project: Project) -> Iterator[World]:
    """The seed's event and an empty warehouse, at noon."""
    with world_at_noon(project) as world:
        yield world


@pytest.mark.one_server
def test_a_new_market_starts_24_hours_back(world: World) -> None:
    world.load()

    assert hull(world.asked()) == (NOON - DAY, NOON)


def test_a_second_load_asks_for_what_is_new_and_the_last_five_minutes(world: World) -> None:
    world.load()
    world.clock.pass_by(2 * HOUR)

    world.load()

    assert hull(world.asked()) == (NOON - LATE_CORRECTIONS, NOON + 2 * HOUR)
    assert world.candle_requests == 1


@pytest.mark.one_server
def test_a_second_load_at_the_same_moment_asks_for_the_last_five_minutes(world: World) -> None:
    world.load()

    world.load()

    assert world.asked() == [(NOON - LATE_CORRECTIONS, NOON)]


@pytest.mark.one_server
def test_a_known_market_goes_on_from_its_end_after_a_long_pause(world: World) -> None:
    world.load()
    world.clock.pass_by(9 * DAY)

    world.load()

    assert hull(world.asked()) == (NOON - LATE_CORRECTIONS, NOON + 9 * DAY)


@pytest.mark.one_server
def test_a_market_that_opened_meanwhile_begins_with_its_life(world: World) -> None:
    world.load()
    world.clock.pass_by(3 * HOUR)
    opens = NOON + 2 * HOUR
    world.exchange.add_market(
        replace(
            world.exchange.markets[GNEWS],
            ticker=f"{SEED}-NEW",
            opens=opens * 1_000_000,
            created=opens * 1_000_000,
            quote=None,
        )
    )

    world.load()

    asked_from, asked_to = hull(world.asked(f"{SEED}-NEW"))
    assert asked_from <= opens
    assert asked_to == NOON + 3 * HOUR
    assert hull(world.asked()) == (NOON - LATE_CORRECTIONS, NOON + 3 * HOUR)


def test_since_and_until_ask_exactly_for_the_gaps(world: World) -> None:
    world.load("--since", iso(NOON - 5 * HOUR), "--until", iso(NOON - 4 * HOUR))
    world.load("--since", iso(NOON - 2 * HOUR), "--until", iso(NOON - HOUR))

    world.load("--since", iso(NOON - 6 * HOUR), "--until", iso(NOON - 30 * MINUTE))

    assert world.asked() == [
        (NOON - 6 * HOUR, NOON - 5 * HOUR),
        (NOON - 4 * HOUR, NOON - 2 * HOUR),
        (NOON - HOUR, NOON - 30 * MINUTE),
    ]
    assert world.covered() == [(NOON - 6 * HOUR, NOON - 30 * MINUTE)]


@pytest.mark.one_server
def test_a_range_that_is_covered_asks_for_nothing(world: World) -> None:
    range_ = ("--since", iso(NOON - 5 * HOUR), "--until", iso(NOON - HOUR))
    world.load(*range_)

    world.load(*range_)

    assert world.candle_requests == 0


def test_again_asks_once_more_for_what_is_covered(world: World) -> None:
    range_ = ("--since", iso(NOON - 5 * HOUR), "--until", iso(NOON - HOUR))
    world.load(*range_)

    world.load(*range_, "--again")

    assert hull(world.asked()) == (NOON - 5 * HOUR, NOON - HOUR)
    assert world.covered() == [(NOON - 5 * HOUR, NOON - HOUR)]


@pytest.mark.one_server
def test_a_backfill_does_not_move_where_a_plain_load_goes_on(world: World) -> None:
    world.load()
    world.load("--since", iso(NOON - 3 * DAY), "--until", iso(NOON - 2 * DAY))
    world.clock.pass_by(HOUR)

    world.load()

    assert hull(world.asked()) == (NOON - LATE_CORRECTIONS, NOON + HOUR)


def test_since_open_is_a_whole_life(world: World) -> None:
    opened = world.exchange.markets[GNEWS].opens // 1_000_000
    world.load("--market", GNEWS, "--since", "open", "--interval", "1440")

    asked_from, asked_to = hull(world.asked(interval=1440))
    assert asked_from <= opened
    assert asked_to == NOON
    world.clock.pass_by(DAY)
    world.load("--market", GNEWS, "--interval", "1440")
    assert hull(world.asked(interval=1440)) == (NOON - LATE_CORRECTIONS, NOON + DAY)


@pytest.mark.one_server
def test_since_open_of_a_closed_market_ends_with_its_life(world: World) -> None:
    ticker = next(
        market.ticker
        for market in world.exchange.markets.values()
        if market.status(world.exchange.now) == "finalized" and world.exchange.is_live(market)
    )
    market = world.exchange.markets[ticker]
    opened, closed = market.opens // 1_000_000, market.closes // 1_000_000
    world.load("--market", ticker, "--since", "open", "--interval", "60")

    asked_from, asked_to = hull(world.asked(ticker, 60))
    assert asked_from <= opened
    assert asked_to >= closed
    assert world.candles(ticker, 60) == world.real_candles(opened - 1, NOON, ticker, 60)
    world.load("--market", ticker, "--since", "open", "--interval", "60")
    assert world.candle_requests == 0


@pytest.mark.one_server
def test_each_interval_has_a_coverage_of_its_own(world: World) -> None:
    world.load("--interval", "60")

    world.load("--interval", "60", "--interval", "1")

    assert hull(world.asked(interval=1)) == (NOON - DAY, NOON)
    assert world.asked(interval=60) == [(NOON - LATE_CORRECTIONS, NOON)]


@pytest.mark.one_server
def test_a_period_longer_than_the_settling_time_is_read_again_once_it_is_over(
    world: World,
) -> None:
    """The hour that ended at noon may still change at 12:00:30; that of 11:00 does not."""
    world.load("--interval", "60", "--since", "6h")
    world.clock.pass_by(HOUR)
    world.load("--interval", "60")

    assert world.asked(interval=60) == [(NOON - LATE_CORRECTIONS, NOON + HOUR)]
    expected = world.real_candles(NOON - 6 * HOUR, NOON + HOUR, interval=60)
    assert world.candles(interval=60) == expected


@pytest.mark.parametrize(
    "failing",
    [
        pytest.param(0, id="first", marks=pytest.mark.one_server),
        pytest.param(1, id="middle"),
        pytest.param(2, id="last", marks=pytest.mark.one_server),
    ],
)
def test_what_failed_is_not_covered_and_the_next_plain_load_takes_it_up(
    world: World, failing: int
) -> None:
    parts = [(NOON - (30 - 10 * part) * HOUR, NOON - (20 - 10 * part) * HOUR) for part in range(3)]
    for part, (start, end) in enumerate(parts):
        fault = world.project.simulator.faults.add("server_error", path=BATCH)
        if part != failing:
            world.project.simulator.faults.remove(fault)
        result = world.run(
            *("--market", GNEWS, "--since", iso(start), "--until", iso(end)), **FEW_TRIES
        )
        world.project.simulator.faults.clear()
        assert result.status == (1 if part == failing else 0)
        assert (f"candles of {GNEWS}" in result.err) == (part == failing)
    assert parts[failing] in gaps(world)
    world.clock.pass_by(HOUR)

    world.load("--market", GNEWS)

    start, end = parts[failing]
    assert any(asked[0] <= start and end <= asked[1] for asked in joined(world.asked()))
    assert gaps(world) == [(NOON + HOUR - LATE_CORRECTIONS, NOON + HOUR)]
    assert world.candles() == world.real_candles(NOON - 30 * HOUR, NOON + HOUR)


def gaps(world: World, ticker: str = GNEWS) -> list[Stretch]:
    """What was wanted and is not covered."""
    return [
        (int(start), int(end))
        for start, end in world.project.query(
            "select extract(epoch from lower(r)), extract(epoch from upper(r)) "
            "from kalshi_ops.coverage, unnest(wanted - covered) as r "
            "where market_ticker = %s and interval_min = 1 order by 1",
            ticker,
        )
    ]


def joined(stretches: list[Stretch]) -> list[Stretch]:
    """The same, with adjacent ones made one."""
    found: list[Stretch] = []
    for start, end in sorted(stretches):
        if found and found[-1][1] >= start:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


@pytest.mark.one_server
def test_what_failed_is_taken_up_by_a_load_of_another_range_too_once_it_is_plain(
    world: World,
) -> None:
    """A range that is given is asked for, and no more; what failed before waits for a plain one."""
    fault = world.project.simulator.faults.add("server_error", path=BATCH)
    assert world.run("--since", iso(NOON - 2 * HOUR), **FEW_TRIES).status == 1
    world.project.simulator.faults.remove(fault)

    world.load("--since", iso(NOON - 9 * HOUR), "--until", iso(NOON - 8 * HOUR))
    assert world.asked() == [(NOON - 9 * HOUR, NOON - 8 * HOUR)]
    world.load()

    assert world.asked() == [(NOON - 2 * HOUR, NOON)]


@pytest.mark.one_server
def test_one_request_of_many_that_fails_costs_its_own_windows_only(world: World) -> None:
    world.project.simulator.faults.add("server_error", path=BATCH, count=1)

    failed = world.run(**FEW_TRIES)

    assert failed.status == 1
    covered = dict(
        world.project.query("select market_ticker, not isempty(covered) from kalshi_ops.coverage")
    )
    failed_tickers = {ticker for ticker in covered if f"candles of {ticker}:" in failed.err}
    assert failed_tickers == {ticker for ticker, is_covered in covered.items() if not is_covered}
    assert 0 < len(failed_tickers) < 10


def test_a_late_correction_of_the_last_periods_arrives_in_the_typed_table(world: World) -> None:
    settling = range(NOON - LATE_CORRECTIONS + 1, NOON + 1)
    lively = max(
        (t for t in world.exchange.markets if t.startswith(SEED)),
        key=lambda t: len(world.exchange.candles(t, 1, settling[0], settling[-1])),
    )
    ends = [c.end_ts for c in world.exchange.candles(lively, 1, settling[0], settling[-1])]
    # about a minute and four minutes old
    late, early = max(ends), min(ends)
    assert late >= NOON - 2 * MINUTE and early <= NOON - 3 * MINUTE
    world.load()
    world.project.must("dbt", "run", "-s", "+candles")
    world.exchange.correct_candle(lively, late, bid_close=4_242)
    world.exchange.correct_candle(lively, early, bid_close=4_141)
    world.clock.pass_by(HOUR)

    world.load()
    world.project.must("dbt", "run", "-s", "+candles")

    assert world.project.query(
        "select yes_bid_close_dollars::text from kalshi.candles "
        "where market_ticker = %s and interval_min = 1 and end_ts = any(%s::timestamptz[]) "
        "order by end_ts",
        lively,
        [iso(early), iso(late)],
    ) == [("0.414100",), ("0.424200",)]


@pytest.mark.one_server
def test_windows_of_a_market_tile_without_overlap(world: World) -> None:
    """Only the last minutes before an answer, in which candles may still change, are there twice:
    once for each load that went on from them."""
    world.load()
    world.clock.pass_by(7 * HOUR)
    world.load()
    world.clock.pass_by(3 * DAY)
    world.load()

    overlaps = world.project.query(
        """
        select extract(epoch from previous_end - window_start)::integer
        from (
            select window_start, lag(window_end) over (order by window_end) as previous_end
            from kalshi_raw.candlesticks
            where market_ticker = %s
        ) as windows
        where previous_end is not null
        """,
        GNEWS,
    )
    assert {seconds for (seconds,) in overlaps} <= {0, LATE_CORRECTIONS}
    assert sum(seconds for (seconds,) in overlaps) == 2 * LATE_CORRECTIONS


def test_coverage_is_the_union_of_the_landed_windows_less_the_settling_time(
    world: World,
) -> None:
    faults = world.project.simulator.faults
    fault = faults.add("server_error", path=BATCH, every=2)
    world.run("--interval", "1", "--interval", "60", "--since", "3d", **FEW_TRIES)
    faults.remove(fault)
    world.clock.pass_by(DAY)
    world.load("--interval", "1")

    different = world.project.query(
        """
        with landed as (
            select
                market_ticker,
                interval_min,
                range_agg(tstzrange(
                    window_start,
                    least(window_end, date_trunc('minute', fetched_at) - interval '5 minutes'),
                    '(]'
                )) as covered
            from kalshi_raw.candlesticks
            where window_start < date_trunc('minute', fetched_at) - interval '5 minutes'
            group by market_ticker, interval_min
        )

        select * from landed
        full join kalshi_ops.coverage using (market_ticker, interval_min)
        where coalesce(landed.covered, '{}') <> coverage.covered or coverage.covered is null
        """
    )
    assert different == []
    assert world.project.query("select count(*) from kalshi_ops.coverage") == [(20,)]


@pytest.mark.one_server
def test_markets_fetched_at_different_times_share_requests_in_the_next_load(
    world: World,
) -> None:
    """A first load takes minutes, so its answers come at different moments. Later loads must not
    need a request for each market because of that."""
    clock = Clock(NOON + 30, seconds_by_answer=7)
    exchange = Exchange.generate(events=60, markets_per_event=10, multivariate=0, clock=clock)
    with Simulator(exchange) as simulator:
        project = Project(world.project.database_url, simulator, world.project.work)
        many = World(project, clock)
        many.load("--status", "open", "--since", "2h")
        clock.pass_by(20 * MINUTE)

        many.load("--status", "open")

        markets = project.query("select count(*) from kalshi_ops.coverage")[0][0]
        assert markets > 300
        assert many.candle_requests <= -(-markets // 100) + 1
