"""No market left behind: what became of a market that was open when it was last seen.

Markets of their own events, so that one which closes leaves the listing of open events.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from simulator import Candle, Exchange, Market, Simulator
from tests.conftest import Project, empty_project
from tests.support.clock import DAY, HOUR, MINUTE, Clock, iso
from tests.support.world import FEW_TRIES, LATE_CORRECTIONS, NOON, World

pytestmark = pytest.mark.one_server

OPEN = ("--status", "open")
ENDED = NOON + 20 * MINUTE
LATER = NOON + 2 * HOUR
SECOND = 1_000_000


def small_exchange(clock: Clock, events: int = 20) -> Exchange:
    return Exchange.generate(
        events=events, markets_per_event=1, multivariate=0, pace="lively", clock=clock
    )


@pytest.fixture
def project(raw_project: Project) -> Project:
    """Quicker to load into than one without tables, and no different."""
    return raw_project


@pytest.fixture
def world(project: Project) -> Iterator[World]:
    clock = Clock(NOON + 30)
    with Simulator(small_exchange(clock)) as simulator:
        yield World(Project(project.database_url, simulator, project.work), clock)


def open_markets(world: World) -> list[Market]:
    now = world.exchange.now
    markets = sorted(world.exchange.markets.values(), key=lambda market: market.ticker)
    return [m for m in markets if m.status(now) == "active" and m.closes > now + DAY * SECOND]


@dataclass(frozen=True)
class Story:
    """Two loads, and what happened to six markets between them."""

    world: World
    closed: Market
    settled: Market
    archived: Market
    overlapping: Market
    removed: Market
    open: Market

    @property
    def ended(self) -> tuple[Market, ...]:
        return self.closed, self.settled, self.archived, self.overlapping


FATES = ("closed", "settled", "archived", "overlapping")


@pytest.fixture(scope="module")
def story(server_url: str, dbt_work: Path) -> Iterator[Story]:
    clock = Clock(NOON + 30)
    exchange = small_exchange(clock)
    with (
        Simulator(exchange) as simulator,
        empty_project(server_url, simulator, dbt_work) as project,
    ):
        world = World(project, clock)
        found = Story(world, *open_markets(world)[:6])
        world.load(*OPEN)
        clock.now = ENDED
        exchange.close(found.closed.ticker)
        exchange.settle(found.settled.ticker, "no")
        exchange.settle(found.archived.ticker)
        exchange.archive(found.archived.ticker)
        exchange.settle(found.overlapping.ticker)
        exchange.archive(found.overlapping.ticker, keep_live=True)
        exchange.remove_market(found.removed.ticker)
        clock.now = LATER
        world.load(*OPEN)
        world.project.must("dbt", "run", "-s", "+candles")
        yield found


@pytest.mark.parametrize("fate", FATES)
def test_candles_are_complete_up_to_the_close(story: Story, fate: str) -> None:
    market: Market = getattr(story, fate)

    landed = story.world.candles(market.ticker)

    assert landed == story.world.real_candles(NOON - DAY, LATER, market.ticker)
    assert landed[-1] > NOON


@pytest.mark.parametrize(
    ("fate", "status", "result", "value"),
    [
        ("closed", "closed", None, None),
        ("settled", "finalized", "no", "0"),
        ("archived", "finalized", "yes", "1"),
        ("overlapping", "finalized", "yes", "1"),
        ("open", "active", None, None),
        ("removed", "active", None, None),
    ],
)
def test_the_final_state_is_typed(
    story: Story, fate: str, status: str, result: str | None, value: str | None
) -> None:
    market: Market = getattr(story, fate)

    ((*state, close_time),) = story.world.project.query(
        "select status, result, trim_scale(settlement_value_dollars)::text, "
        "extract(epoch from close_time)::bigint from kalshi.markets where market_ticker = %s",
        market.ticker,
    )

    assert state == [status, result, value]
    assert close_time == (ENDED if market in story.ended else market.closes // SECOND)


def test_markets_are_looked_up_together_by_their_tickers(story: Story) -> None:
    requests = story.world.project.simulator.requests
    live = [r for r in requests if r.path == "/markets" and "tickers" in r.query]
    historical = [r for r in requests if r.path == "/historical/markets"]

    assert len(live) == 1
    assert {market.ticker for market in story.ended} <= set(live[0].query["tickers"].split(","))
    assert len(historical) == 1
    assert set(historical[0].query["tickers"].split(",")) == {
        story.archived.ticker,
        story.removed.ticker,
    }


def test_a_market_in_both_tiers_lands_once_and_the_live_copy_counts(story: Story) -> None:
    assert story.world.project.query(
        "select tier, payload ->> 'status' from kalshi_raw.markets "
        "where market_ticker = %s order by fetched_at",
        story.overlapping.ticker,
    ) == [("live", "active"), ("live", "finalized")]


def test_a_removed_market_is_marked_as_gone_and_keeps_its_rows(story: Story) -> None:
    gone = story.world.project.query(
        "select ticker from kalshi_ops.objects where gone_at is not null"
    )
    assert gone == [(story.removed.ticker,)]
    assert story.world.project.query(
        "select count(*) > 0 from kalshi.candles where market_ticker = %s", story.removed.ticker
    ) == [(True,)]


def test_no_foreign_key_dangles(story: Story) -> None:
    query = story.world.project.query
    assert (
        query(
            "select market_ticker from kalshi_raw.markets "
            "except select market_ticker from kalshi.markets"
        )
        == []
    )
    assert (
        query(
            "select market_ticker, event_ticker from kalshi.markets "
            "left join kalshi.events using (event_ticker) where events.event_ticker is null"
        )
        == []
    )


@pytest.mark.parametrize("fate", ["settled", "archived"])
def test_candles_of_both_tiers_are_typed_alike(story: Story, fate: str) -> None:
    """From the live endpoint up to noon, after it from the tier that holds the market then."""
    market: Market = getattr(story, fate)
    typed = story.world.project.query(
        f"select extract(epoch from end_ts)::bigint, {', '.join(PRICES)}, volume_fp * 100, "
        "open_interest_fp * 100 from kalshi.candles "
        "where market_ticker = %s and interval_min = 1 order by 1",
        market.ticker,
    )

    expected = story.world.exchange.candles(market.ticker, 1, NOON - DAY + 1, LATER)
    assert typed == [tuple(candle) for candle in map(flat, expected)]
    tiers = story.world.project.query(
        "select distinct tier from kalshi_raw.candlesticks where market_ticker = %s order by 1",
        market.ticker,
    )
    assert tiers == ([("historical",), ("live",)] if fate == "archived" else [("live",)])


PRICES = [
    f"{side}_{name}_dollars * 10000"
    for side, names in {
        "yes_bid": ("open", "high", "low", "close"),
        "yes_ask": ("open", "high", "low", "close"),
        "trade": ("open", "high", "low", "close", "mean", "prev"),
    }.items()
    for name in names
]


def flat(candle: Candle) -> tuple[int | None, ...]:
    return tuple(candle)


def test_a_settled_market_is_not_looked_up_again(world: World) -> None:
    market = open_markets(world)[0]
    world.load(*OPEN)
    world.exchange.settle(market.ticker)
    world.clock.pass_by(HOUR)
    world.load(*OPEN)
    world.clock.pass_by(HOUR)

    world.load(*OPEN)

    assert not [r for r in world.project.simulator.requests if r.path == "/historical/markets"]
    assert world.asked(market.ticker) == []


def test_a_removed_market_that_comes_back_goes_on(world: World) -> None:
    market = open_markets(world)[0]
    world.load(*OPEN)
    world.exchange.remove_market(market.ticker)
    world.clock.pass_by(HOUR)
    world.load(*OPEN)
    assert gone(world) == [market.ticker]
    world.exchange.add_market(market)
    world.clock.pass_by(HOUR)

    world.load(*OPEN)

    assert gone(world) == []
    assert world.candles(market.ticker) == world.real_candles(
        NOON - DAY, NOON + 2 * HOUR, market.ticker
    )


def gone(world: World) -> list[str]:
    query = "select ticker from kalshi_ops.objects where gone_at is not null"
    return [ticker for (ticker,) in world.project.query(query)]


def test_a_settled_market_that_kalshi_forgets_is_no_error(world: World) -> None:
    """Its last minutes could be read once more, were it there: what is gone can't be waited for."""
    market = open_markets(world)[0]
    world.load(*OPEN)
    world.exchange.settle(market.ticker)
    world.load(*OPEN)
    world.exchange.remove_market(market.ticker)
    world.clock.pass_by(HOUR)

    world.load(*OPEN)
    world.load(*OPEN)


def test_a_status_that_goes_backwards_is_followed_again(world: World) -> None:
    market = open_markets(world)[0]
    world.load(*OPEN)
    world.exchange.settle(market.ticker)
    world.clock.pass_by(HOUR)
    world.load(*OPEN)
    world.exchange.reopen(market.ticker)
    world.clock.pass_by(HOUR)

    world.load(*OPEN)

    assert statuses(world, market) == ["active", "finalized", "active"]
    assert world.project.query(
        "select is_followed from kalshi_ops.objects where ticker = %s", market.ticker
    ) == [(True,)]
    assert world.candles(market.ticker) == world.real_candles(
        NOON - DAY, NOON + 2 * HOUR, market.ticker
    )


def statuses(world: World, market: Market) -> list[str]:
    """The landed states of a market, oldest first."""
    rows = world.project.query(
        "select payload ->> 'status' from kalshi_raw.markets "
        "where market_ticker = %s order by fetched_at",
        market.ticker,
    )
    return [status for (status,) in rows]


def test_a_cutoff_that_moved_past_a_market_is_no_hurdle(world: World) -> None:
    """It settled and went to the historical tier, both since the last load."""
    market = open_markets(world)[0]
    world.load(*OPEN)
    world.clock.now = ENDED
    world.exchange.settle(market.ticker)
    world.clock.now = LATER
    world.exchange.move_cutoff(LATER - MINUTE)

    world.load(*OPEN)

    assert statuses(world, market) == ["active", "finalized"]
    assert world.candles(market.ticker) == world.real_candles(NOON - DAY, LATER, market.ticker)


def test_a_cutoff_that_moves_between_listing_and_candles_is_no_hurdle(world: World) -> None:
    """A market listed in the live tier, whose candles are in the historical one by now."""
    market = open_markets(world)[0]
    world.load(*OPEN)
    world.clock.now = ENDED
    world.exchange.settle(market.ticker)
    world.load("--market", market.ticker, "--no-candles")
    world.exchange.archive(market.ticker)
    world.clock.now = LATER

    world.load(*OPEN, "--since", iso(NOON - HOUR))
    world.load("--market", market.ticker, "--since", iso(NOON - HOUR))

    assert world.candles(market.ticker) == world.real_candles(NOON - DAY, LATER, market.ticker)


def test_a_market_that_settles_before_a_load_without_candles_is_completed_later(
    world: World,
) -> None:
    market = open_markets(world)[0]
    world.load("--market", market.ticker, "--until", iso(NOON - 6 * HOUR))
    world.clock.now = ENDED
    world.exchange.settle(market.ticker)
    world.clock.now = LATER
    world.load("--market", market.ticker, "--no-candles")

    world.load(*OPEN)

    assert world.candles(market.ticker) == world.real_candles(
        NOON - 30 * HOUR, LATER, market.ticker
    )


def test_a_lookup_that_fails_marks_nothing_as_gone(world: World) -> None:
    market, other = open_markets(world)[:2]
    world.load(*OPEN)
    world.exchange.settle(market.ticker)
    world.clock.pass_by(HOUR)
    world.project.simulator.faults.add("server_error", path="/markets", query="limit=1000")

    failed = world.run(*OPEN, **FEW_TRIES)

    assert failed.status == 1
    assert gone(world) == []
    assert world.covered(other.ticker)[-1][1] == NOON + HOUR - LATE_CORRECTIONS
    world.project.simulator.faults.clear()
    world.load(*OPEN)
    assert statuses(world, market) == ["active", "finalized"]
    assert world.candles(market.ticker) == world.real_candles(
        NOON - DAY, NOON + HOUR, market.ticker
    )


def test_an_event_whose_markets_are_all_archived_gets_them_from_the_historical_tier(
    world: World,
) -> None:
    market = next(
        m
        for m in world.exchange.markets.values()
        if world.exchange.is_historical(m) and not world.exchange.is_live(m)
    )

    world.load("--event", market.event_ticker, "--since", "open")

    assert world.project.query(
        "select market_ticker, tier, payload ->> 'status' from kalshi_raw.markets"
    ) == [(market.ticker, "historical", "finalized")]
    opened = market.opens // SECOND
    landed = world.candles(market.ticker)
    assert landed == world.real_candles(opened - 1, NOON, market.ticker)
    assert len(landed) > 100


@pytest.mark.parametrize("tier", ["live", "historical"])
def test_a_markets_event_lands_with_it(world: World, tier: str) -> None:
    in_tier = world.exchange.is_historical if tier == "historical" else world.exchange.is_live
    market = next(filter(in_tier, world.exchange.markets.values()))

    world.load("--market", market.ticker, "--since", "1h")

    assert world.project.query("select event_ticker from kalshi_raw.events") == [
        (market.event_ticker,)
    ]
    assert world.project.query("select market_ticker from kalshi_raw.markets") == [(market.ticker,)]
    assert world.project.query("select series_ticker from kalshi_raw.series") == [
        (market.series_ticker,)
    ]


def test_what_has_not_changed_is_not_landed_again_but_noted_as_seen(world: World) -> None:
    world.load("--status", "all", "--no-candles")
    rows = counts(world)
    seen = world.project.query("select min(last_seen_at) from kalshi_ops.objects")

    result = world.load("--status", "all", "--no-candles")

    assert counts(world) == rows
    assert "0 events, 0 markets, 40 unchanged" in result.out
    assert world.project.query(
        "select min(last_seen_at) > %s from kalshi_ops.objects where entity <> 'series'", seen[0][0]
    ) == [(True,)]


def test_a_market_that_changed_lands_once_more_alone(world: World) -> None:
    market = open_markets(world)[0]
    world.load("--status", "all", "--no-candles")
    events, markets = counts(world)
    world.exchange.change_market(market.ticker, title="Another title")

    world.load("--status", "all", "--no-candles")

    assert counts(world) == (events, markets + 1)


def counts(world: World) -> tuple[int, int]:
    """Rows of events and of markets."""
    events, markets = world.project.query(
        "select (select count(*) from kalshi_raw.events), (select count(*) from kalshi_raw.markets)"
    )[0]
    return int(events), int(markets)


@pytest.mark.parametrize("fault", ["duplicate_rows", "empty_page"])
@pytest.mark.parametrize("path", ["/events", "/historical/markets"])
def test_pages_that_repeat_rows_or_are_empty_lose_and_double_nothing(
    project: Project, fault: str, path: str
) -> None:
    clock = Clock(NOON + 30)
    exchange = small_exchange(clock, events=450)
    live = sum(exchange.is_live(market) for market in exchange.markets.values())
    assert 0 < live < 450
    with Simulator(exchange) as simulator:
        world = World(Project(project.database_url, simulator, project.work), clock)
        rule = simulator.faults.add(fault, path=path, every=2, rows=5)  # type: ignore[arg-type]

        world.load("--status", "all", "--no-candles")

    assert rule.hits or path == "/historical/markets"
    assert counts(world) == (450, 450)
    assert world.project.query("select count(distinct market_ticker) from kalshi_raw.markets") == [
        (450,)
    ]
