"""Incremental builds give what a full refresh gives, in whatever order and form answers land."""

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from typing import Any

import psycopg2
import pytest

from tests.conftest import Project
from tests.support.databases import is_cluster
from tests.support.landing import START, Landing, Window, candle, event, land, market
from tests.support.tables import KEYED_TABLES, NEVER_FILLED, typed_rows

UNIVERSES = 6
"""Sets of events and markets that know nothing of each other, each with a chance of its own."""

EVENTS = ("E1", "E2", "E3")
MARKETS = {"M1": "E1", "M2": "E1", "M3": "E2", "M4": "E3"}
"""Of each universe."""

LOADS = 10
QUOTES = candle()["yes_bid"]

Rows = dict[str, list[Any]]

ROWS_OF_THE_FIRST_SERVER: Rows = {}


@pytest.fixture
def project(raw_project: Project) -> Project:
    """A warehouse whose raw tables are empty."""
    return raw_project


def test_the_list_of_incremental_models_is_complete(dbt_nodes: list[dict[str, Any]]) -> None:
    models = [node for node in dbt_nodes if node["resource_type"] == "model"]
    assert {node["config"]["materialized"] for node in models} == {
        *("keyed_table", "stable_view", "table_function")
    }
    assert {
        node["name"] for node in models if node["config"]["materialized"] == "keyed_table"
    } == KEYED_TABLES.keys()


@pytest.mark.slow
def test_any_order_of_answers_gives_the_same_rows_as_a_full_refresh_on_every_server(
    project: Project,
) -> None:
    """Builds in between are the same for all universes, what lands between them is not."""
    chance = random.Random(1)
    universes = [_landings(random.Random(seed), f"U{seed}") for seed in range(UNIVERSES)]
    for landings in zip(*universes, strict=True):
        land(project, *landings)
        if chance.random() < 0.6:
            project.must("dbt", "run")
    project.must("dbt", "run")
    incremental = _sorted_rows(project)
    assert all(incremental[table] for table in KEYED_TABLES if table not in NEVER_FILLED)

    project.must("transform", "--full-refresh")

    refreshed = _sorted_rows(project)
    _assert_equal(refreshed, incremental)
    for (row,) in refreshed["rejects"]:
        del row["_dlt_load_id"]
    ROWS_OF_THE_FIRST_SERVER.update(ROWS_OF_THE_FIRST_SERVER or refreshed)
    _assert_equal(refreshed, ROWS_OF_THE_FIRST_SERVER)


@pytest.mark.one_server
def test_candles_where_there_were_none_are_inserted_without_looking_for_conflicts(
    project: Project,
) -> None:
    def looked_for_conflicts() -> bool:
        (statement,) = (project.target / "run").rglob("core/candles.sql")
        return "on conflict" in statement.read_text()

    if is_cluster(project.database_url):
        pytest.skip("a cluster always looks")
    parents = {"events": [event("E1")], "markets": [market("M1", "E1"), market("M2", "E1")]}
    land(project, Landing(**parents, windows=[Window("M1", [candle(1)])]))
    _build_candles(project)
    assert not looked_for_conflicts()

    land(project, Landing(minute=1, windows=[Window("M2", [candle(1)])]))
    _build_candles(project)
    assert not looked_for_conflicts()

    again = [Window("M1", [candle(1, open_interest_fp="20.00")]), Window("M2", [candle(2)])]
    land(project, Landing(minute=2, windows=again))
    _build_candles(project)
    assert looked_for_conflicts()
    assert project.query(
        "select market_ticker, extract(minute from end_ts)::int, open_interest from kalshi.candles "
        "order by 1, 2"
    ) == [("M1", 1, 20), ("M2", 1, 10), ("M2", 2, 10)]


@pytest.mark.one_server
def test_of_two_builds_at_once_the_second_meets_what_the_first_wrote(project: Project) -> None:
    if is_cluster(project.database_url):
        pytest.skip("a cluster always looks for conflicts")
    land(project, Landing(events=[event("E1")], markets=[market("M1", "E1")]))
    _build_candles(project)
    land(project, Landing(minute=1, windows=[Window("M1", [candle(1)])]))
    with (
        closing(psycopg2.connect(project.database_url)) as first,
        first.cursor() as cursor,
        ThreadPoolExecutor(1) as beside,
    ):
        cursor.execute("select pg_advisory_xact_lock(hashtext('kalshi.candles'))")
        cursor.execute(
            "insert into kalshi.candles "
            "(market_ticker, interval_min, end_ts, volume, volume_fp, fetched_at, created_at) "
            "values ('M1', 1, %s, 0, 0, %s, now())",
            [START + timedelta(minutes=1), START],
        )
        second = beside.submit(project.must, "dbt", "run", "-s", "candles")
        waits = "select pid from pg_stat_activity where wait_event = 'advisory'"
        while not project.query(waits) and not second.done():
            time.sleep(0.1)
        assert not second.done()
        first.commit()
        second.result()

    assert project.query("select open_interest from kalshi.candles") == [(10,)]


def _build_candles(project: Project, *arguments: str) -> None:
    project.must("dbt", "run", "-s", "+candles", *arguments)


def _sorted_rows(project: Project) -> Rows:
    """In an order that has nothing to do with the server's."""
    return {table: sorted(rows, key=str) for table, rows in typed_rows(project).items()}


def _assert_equal(rows: Rows, others: Rows) -> None:
    for table in KEYED_TABLES:
        ours, theirs = (Counter(map(str, each[table])) for each in (rows, others))
        assert list(ours - theirs) == [], table
        assert list(theirs - ours) == [], table


def _landings(chance: random.Random, universe: str) -> list[Landing]:
    """Loads as they come: late, doubled, without parents, with values that can't be typed."""
    events = [f"{universe}{name}" for name in EVENTS]
    markets = {f"{universe}{name}": f"{universe}{parent}" for name, parent in MARKETS.items()}
    landings: list[Landing] = []
    for number in range(LOADS):
        if landings and chance.random() < 0.15:
            # a load that was killed between landing and noting so lands again
            landings.append(chance.choice(landings))
            continue
        landings.append(
            Landing(
                # no two answers are of the same moment
                minute=chance.randrange(LOADS) + number / 100,
                tier=chance.choice(("live", "live", "historical")),
                events=[_event(chance, name) for name in events if chance.random() < 0.3],
                markets=[
                    _market(chance, name, parent, universe)
                    for name, parent in markets.items()
                    if chance.random() < 0.6
                ],
                windows=[
                    Window(name, [_candle(chance, end) for end in range(1, chance.randrange(1, 5))])
                    for name in markets
                    if chance.random() < 0.4
                ],
            )
        )
    return landings


def _event(chance: random.Random, name: str) -> Any:
    zero_or_real = chance.choice(("0001-01-01T00:00:00Z", "2026-10-01T00:00:00Z"))
    return chance.choice(
        (
            event(name, last_updated_ts=zero_or_real),
            event(name, title=f"Who? {chance.randrange(3)}"),
            event(name, strike_date="tomorrow"),
        )
    )


def _market(chance: random.Random, name: str, parent: str, universe: str) -> Any:
    return market(
        name,
        parent,
        status=chance.choice(("active", "closed", "finalized")),
        yes_bid_dollars=chance.choice(("0.1000", "0.2000", "0.2000", "high")),
        # what appears in one universe alone has rows of its own in field_drift
        **chance.choice(({}, {f"added_to_{universe}": 1})),
    )


def _candle(chance: random.Random, end: int) -> Any:
    return candle(
        end,
        volume_fp=chance.choice(("0.00", "1.50", "2.25", "-1.00")),
        yes_bid=chance.choice((QUOTES, QUOTES, {**QUOTES, "low_dollars": "low"})),
    )


@pytest.mark.one_server
def test_loads_are_found_by_when_they_finished(project: Project) -> None:
    """Among two million a year only those of late are looked at; a full refresh looks at all."""
    project.must("load", "--since", "3h")
    _build_candles(project)
    typed = project.query("select count(*) from kalshi.candles")
    project.must("load", "--since", "3h", "--interval", "60")
    project.query(FINISHED_BEFORE, "23 hours")
    _build_candles(project)

    assert project.query("select count(*) from kalshi.candles where interval_min = 60") > [(0,)]
    project.must("load", "--since", "3d", "--interval", "1440")
    project.query(FINISHED_BEFORE, "3 days")
    daily = "select count(*) from kalshi.candles where interval_min = 1440"
    _build_candles(project)
    assert project.query(daily) == [(0,)]
    _build_candles(project, "--full-refresh")
    assert project.query(daily) > [(0,)]
    assert project.query("select count(*) from kalshi.candles where interval_min = 1") == typed


FINISHED_BEFORE = """
update kalshi_raw._dlt_loads set inserted_at = inserted_at - %s::interval
where load_id not in (select load_id from kalshi_ops.loads)
"""
