"""Selecting a slice of the exchange: each option, combinations, the environment, the dry run."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kalshi_elt.kalshi.selection import STATUSES
from simulator import Exchange, Market, Simulator
from tests.conftest import Project, empty_project
from tests.support.clock import Clock
from tests.support.world import NOON, World

pytestmark = pytest.mark.one_server

Chosen = Callable[[Market], bool]

SPORTS_SERIES = "KXSIMUCL"
WEATHER = "Climate and Weather"
"""A category of two series."""


@pytest.fixture(scope="module")
def world(server_url: str, dbt_work: Path) -> Iterator[World]:
    clock = Clock(NOON + 30)
    exchange = Exchange.generate(events=40, markets_per_event=5, multivariate=4, clock=clock)
    with (
        Simulator(exchange) as simulator,
        empty_project(server_url, simulator, dbt_work) as project,
    ):
        yield World(project, clock)


@pytest.fixture(autouse=True)
def forgetful(world: World) -> None:
    """As if nothing had ever been seen: so each test may look at its own selection alone."""
    if world.project.query("select to_regclass('kalshi_ops.objects') is not null") == [(True,)]:
        world.project.query("truncate kalshi_ops.objects, kalshi_ops.coverage")


def asked_for(world: World, *arguments: str, **environment: str) -> set[str]:
    """The markets whose candles a load asks for."""
    result = world.run(*arguments, "--since", "1h", **environment)
    assert result.status == 0, result.err
    return {
        ticker
        for request in world.project.simulator.requests
        if request.path.endswith("/candlesticks")
        for ticker in (
            request.query["market_tickers"].split(",")
            if "market_tickers" in request.query
            else [request.path.split("/")[3]]
        )
    }


def alive(world: World, chosen: Chosen, *, multivariate: bool = False) -> set[str]:
    """Those of the chosen markets that may have candles in the last hour."""
    return {
        ticker
        for ticker, market in world.exchange.markets.items()
        if chosen(market)
        and (multivariate or not market.multivariate)
        and market.closes // 1_000_000 + 60 > NOON - 3_600
        and market.opens // 1_000_000 < NOON
    }


def is_status(world: World, *names: str) -> Chosen:
    meant = frozenset[str]().union(*(STATUSES[name] for name in names))
    return lambda market: market.status(world.exchange.now) in meant


def category(world: World, market: Market) -> str:
    return world.exchange.events[market.event_ticker].category


def volume(world: World, market: Market) -> float:
    """In contracts."""
    return world.exchange.quote(market).volume / 100


@pytest.mark.parametrize("name", ["open", "paused", "closed", "settled", "unopened"])
def test_a_status_selects_its_markets_alone(world: World, name: str) -> None:
    assert asked_for(world, "--status", name) == alive(world, is_status(world, name))


def test_statuses_add_up(world: World) -> None:
    both = alive(world, is_status(world, "open", "paused"))

    assert asked_for(world, "--status", "open", "--status", "paused") == both
    assert both > alive(world, is_status(world, "open"))


def test_all_is_every_status(world: World) -> None:
    everything = alive(world, lambda market: True)

    assert asked_for(world, "--status", "all") == everything
    landed = world.project.query(
        "select count(distinct ticker) from kalshi_ops.objects where entity = 'market'"
    )
    assert landed == [(200,)]


def test_a_series_is_the_open_markets_of_its_events(world: World) -> None:
    is_open = is_status(world, "open")

    assert asked_for(world, "--series", SPORTS_SERIES) == alive(
        world, lambda market: market.series_ticker == SPORTS_SERIES and is_open(market)
    )


def test_a_category_is_the_open_markets_of_its_series(world: World) -> None:
    is_open = is_status(world, "open")
    expected = alive(world, lambda market: category(world, market) == WEATHER and is_open(market))

    assert asked_for(world, "--category", WEATHER) == expected
    assert len({ticker.split("-")[0] for ticker in expected}) == 2


def test_names_add_up_and_filters_narrow_them_down(world: World) -> None:
    expected = alive(
        world,
        lambda market: (
            (market.series_ticker == SPORTS_SERIES or category(world, market) == WEATHER)
            and market.status(world.exchange.now) == "active"
            and volume(world, market) >= 1_000
        ),
    )

    asked = asked_for(
        world, "--series", SPORTS_SERIES, "--category", WEATHER, "--min-volume", "1000"
    )

    assert asked == expected
    assert expected


def test_the_least_volume_narrows_the_whole_exchange(world: World) -> None:
    is_open = is_status(world, "open")
    expected = alive(world, lambda market: is_open(market) and volume(world, market) >= 5_000)

    assert asked_for(world, "--min-volume", "5000") == expected
    assert set() < expected < alive(world, is_open)


def test_events_and_markets_named_come_in_any_status(world: World) -> None:
    paused = next(
        market
        for market in world.exchange.markets.values()
        if market.status(world.exchange.now) == "inactive"
    )

    assert asked_for(world, "--market", paused.ticker) == {paused.ticker}
    of_event = alive(world, lambda market: market.event_ticker == paused.event_ticker)
    assert asked_for(world, "--event", paused.event_ticker) == of_event
    assert len(of_event) == 5


def test_a_status_narrows_named_events_where_it_is_asked_for(world: World) -> None:
    paused = next(
        market
        for market in world.exchange.markets.values()
        if market.status(world.exchange.now) == "inactive"
    )

    asked = asked_for(world, "--event", paused.event_ticker, "--status", "paused")

    assert asked == {paused.ticker}


def test_multivariate_markets_stay_out_unless_they_are_asked_for(world: World) -> None:
    is_open = is_status(world, "open")
    without = asked_for(world, "--status", "open")
    assert not any(ticker.startswith("KXMVE") for ticker in without)

    with_them = asked_for(world, "--status", "open", "--multivariate")

    assert with_them == alive(world, is_open, multivariate=True)
    assert len(with_them - without) == 4


def test_without_candles_listings_land_alone(world: World) -> None:
    assert asked_for(world, "--status", "open", "--no-candles") == set()
    assert world.project.query("select entity from kalshi_ops.objects group by 1 order by 1") == [
        ("event",),
        ("market",),
        ("series",),
    ]


def test_series_of_the_selected_events_land(world: World) -> None:
    asked_for(world, "--category", WEATHER, "--no-candles")

    assert world.project.query(
        "select ticker from kalshi_ops.objects where entity = 'series' order by 1"
    ) == [("KXSIMHIGHNY",), ("KXSIMRAIN",)]


def test_the_environment_selects_like_arguments(world: World) -> None:
    is_open = is_status(world, "open")
    expected = alive(
        world,
        lambda market: (
            market.series_ticker == SPORTS_SERIES
            and is_open(market)
            and volume(world, market) >= 1_000
        ),
    )

    asked = asked_for(
        world,
        SOURCES__KALSHI__EVENTS="[]",
        SOURCES__KALSHI__SERIES=f'["{SPORTS_SERIES}"]',
        SOURCES__KALSHI__MIN_VOLUME="1000",
    )

    assert asked == expected


def test_arguments_go_before_the_environment(world: World) -> None:
    is_open = is_status(world, "open")

    asked = asked_for(
        world, "--series", SPORTS_SERIES, SOURCES__KALSHI__CATEGORIES=f'["{WEATHER}"]'
    )

    assert asked == alive(
        world, lambda market: market.series_ticker == SPORTS_SERIES and is_open(market)
    )


def test_a_dry_run_prints_the_plan_and_lands_nothing(world: World) -> None:
    tables = ("series", "events", "markets", "candlesticks", "_dlt_loads")
    world.load("--status", "open", "--no-candles")
    world.project.query("truncate kalshi_ops.objects")
    before = [world.project.query(f"select count(*) from kalshi_raw.{name}") for name in tables]

    planned = world.load("--status", "all", "--since", "90d", "--dry-run", "--rate", "5")
    requests = world.project.simulator.requests.all()

    after = [world.project.query(f"select count(*) from kalshi_raw.{name}") for name in tables]
    assert after == before
    assert world.project.query("select count(*) from kalshi_ops.objects") == [(0,)]
    assert world.project.query("select count(*) from kalshi_ops.coverage") == [(0,)]
    assert not [request for request in requests if request.path.endswith("/candlesticks")]
    plan = read_plan(planned.out)
    assert plan["markets"] == ["200"]
    live, historical = (
        plan[f"requests GET {path}"]
        for path in ("/markets/candlesticks", "/historical/markets/{ticker}/candlesticks")
    )
    seconds = round((int(live[0].replace(",", "")) + int(historical[0])) / 5)
    assert plan["duration"] == [f"{seconds:,}", "s", "at", "5", "requests/s"]


def test_a_dry_run_plans_what_a_load_then_asks(world: World) -> None:
    planned = read_plan(world.load("--status", "open", "--since", "2d", "--dry-run").out)

    world.load("--status", "open", "--since", "2d")

    assert planned["requests GET /markets/candlesticks"] == [str(world.candle_requests)]
    windows = sum(
        len(request.query["market_tickers"].split(","))
        for request in world.project.simulator.requests.all("/markets/candlesticks")
    )
    assert planned["windows"] == [f"{windows:,}"]


def test_a_dry_run_of_an_empty_warehouse_works(project: Project) -> None:
    result = project.must("load", "--status", "open", "--dry-run")

    assert "landed nothing" in result.out
    assert project.query("select count(*) from pg_tables where schemaname = 'kalshi_raw'") == [(0,)]


def read_plan(text: str) -> dict[str, list[str]]:
    """`markets  2` as {"markets": ["2"]}, `requests  7 GET /x` as {"requests GET /x": ["7"]}."""
    plan = {}
    for line in text.splitlines():
        name, *words = line.split()
        if name == "requests":
            name, words = " ".join((name, *words[1:])), words[:1]
        plan[name] = words
    return plan
