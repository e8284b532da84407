"""A node of the cluster that is away fails a run with one clear line, and nothing is lost.

A node is away when the coordinator can't reach it: these tests name it at a port where nobody
listens, in their own database alone.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

from kalshi_elt.load.landing.lander import Lander
from kalshi_elt.transform import build
from simulator import Simulator
from tests.conftest import Project, new_database
from tests.support.clock import HOUR
from tests.support.databases import CITUS_URL, NO_CITUS, drop_database
from tests.support.world import World, world_at_noon

pytestmark = [
    pytest.mark.citus,
    pytest.mark.slow,
    pytest.mark.skipif(not CITUS_URL, reason=NO_CITUS),
]

NOWHERE = 1
"""A port where nobody listens."""

SOON = 120.0

LAST_WORKER = (
    "select nodeid, nodename, nodeport from pg_dist_node "
    "where noderole = 'primary' and groupid > 0 order by nodeid desc limit 1"
)


@pytest.fixture
def world(simulator: Simulator, dbt_work: Path) -> Iterator[World]:
    """A distributed warehouse, loaded and typed up to noon."""
    url = new_database(str(CITUS_URL))
    with world_at_noon(Project(url, simulator, dbt_work)) as found:
        found.load("--since", "2h")
        found.project.must("transform")
        yield found
    drop_database(url)


class Worker:
    """One of the workers, as the coordinator sees it."""

    def __init__(self, project: Project) -> None:
        self._project = project
        ((self._id, self.name, self._port),) = project.query(LAST_WORKER)

    @property
    def away_as(self) -> str:
        return f"{self.name}:{NOWHERE}"

    def leave(self) -> None:
        self._move(NOWHERE)

    def come_back(self) -> None:
        self._move(self._port)

    def _move(self, port: int) -> None:
        # not citus_update_node, which tells the other nodes, and wants all of them in step again
        self._project.query(
            "update pg_dist_node set nodeport = %s where nodeid = %s", port, self._id
        )


@contextmanager
def away(worker: Worker) -> Iterator[None]:
    worker.leave()
    try:
        yield
    finally:
        worker.come_back()


def is_whole(world: World) -> bool:
    """Whether every market's candles are those of the exchange: landed, covered and typed."""
    typed = world.project.query(
        "select market_ticker, extract(epoch from end_ts)::bigint from kalshi.candles order by 1, 2"
    )
    tickers = [ticker for (ticker,) in world.project.query("select ticker from kalshi_ops.objects")]
    landed = sorted((ticker, end) for ticker in tickers for end in world.candles(ticker))
    real = sorted(
        (ticker, end)
        for ticker in tickers
        for start, until in world.covered(ticker)
        for end in world.real_candles(start, until, ticker)
    )
    ((gaps,),) = world.project.query(
        "select count(*) from kalshi_ops.coverage "
        "where upper(wanted) - upper(covered) > interval '10 minutes'"
    )
    return len(real) > 100 and not gaps and set(real) <= set(landed) and typed == landed


@pytest.mark.parametrize(
    "command",
    [["load"], ["transform"], ["run"], ["status"], ["check"], ["prune", "--raw-older-than", "1h"]],
)
def test_each_command_says_in_one_line_which_node_is_away(world: World, command: list[str]) -> None:
    worker = Worker(world.project)

    with away(worker):
        result = world.project.run(*command)

    assert (result.status, result.err.count("\n")) == (1, 1), result.err
    assert f"node {worker.away_as} of the Citus cluster can't be reached" in result.err
    assert "start it" in result.err


def test_a_run_notes_it_in_one_line(world: World) -> None:
    worker = Worker(world.project)

    with away(worker):
        world.project.run("run")

    ((outcome, error),) = world.project.query("select outcome, error from kalshi_ops.runs")
    assert outcome == "failed"
    assert "\n" not in error and worker.away_as in error


def test_the_next_load_asks_for_what_could_not_land_while_it_was_away(world: World) -> None:
    world.clock.pass_by(HOUR)
    with away(Worker(world.project)):
        assert world.run().status == 1
        assert world.run().status == 1

    world.load()
    world.project.must("transform")

    assert is_whole(world)


def test_a_node_lost_while_candles_land_costs_nothing(world: World) -> None:
    worker = Worker(world.project)
    world.clock.pass_by(HOUR)
    land = Lander.land

    def lose_it_before_the_candles(lander: Lander, source: object) -> None:
        if "candlesticks" in source.resources:  # type: ignore[attr-defined]
            worker.leave()
        land(lander, source)  # type: ignore[arg-type]

    with patch.object(Lander, "land", lose_it_before_the_candles):
        result = world.run()
    worker.come_back()

    assert result.status == 1
    assert f"node {worker.away_as} of the Citus cluster can't be reached" in result.last_line
    world.load()
    world.project.must("transform")
    assert is_whole(world)


def test_a_node_lost_while_dbt_types_costs_nothing(world: World) -> None:
    worker = Worker(world.project)
    world.clock.pass_by(HOUR)
    world.load()

    def lose_it_then(*arguments: object) -> None:
        worker.leave()

    with patch.object(build, "require_nodes", lose_it_then):
        result = world.project.run("transform")
    worker.come_back()

    assert result.status == 1
    assert f"node {worker.away_as} of the Citus cluster can't be reached" in result.last_line
    world.project.must("transform")
    assert is_whole(world)


def test_a_worker_is_added_and_shards_move_while_the_job_runs_again_and_again(
    simulator: Simulator, dbt_work: Path
) -> None:
    url = new_database(str(CITUS_URL))
    with world_at_noon(Project(url, simulator, dbt_work)) as world:
        project = world.project
        ((_, name, port),) = project.query(LAST_WORKER)
        project.query("select citus_remove_node(%s, %s)", name, port)
        world.load("--since", "2h")
        project.must("transform")
        assert shards_on(project, port) == 0

        project.query("select citus_add_node(%s, %s)", name, port)
        project.query("select citus_rebalance_start()")
        deadline = time.monotonic() + SOON
        runs = 0
        while not is_rebalanced(project) or runs < 3:
            assert time.monotonic() < deadline
            world.clock.pass_by(HOUR / 4)
            with world.clock.in_force():
                project.run("run")
            runs += 1
        world.clock.pass_by(HOUR / 4)
        world.load()
        project.must("transform")

        assert shards_on(project, port) > 0
        assert is_whole(world)
    drop_database(url)


def shards_on(project: Project, port: int) -> int:
    ((shards,),) = project.query(
        "select count(*) from citus_shards where nodeport = %s and citus_table_type = "
        "'distributed'",
        port,
    )
    return int(shards)


def is_rebalanced(project: Project) -> bool:
    states = project.query("select state from citus_rebalance_status()")
    assert all(state != "failed" for (state,) in states)
    return all(state == "finished" for (state,) in states)


def test_a_plain_warehouse_on_the_coordinator_does_not_mind(world: World, tmp_path: Path) -> None:
    world.project.must("backup", str(tmp_path / "saved"))
    plain = replace(world.project, database_url=new_database(str(CITUS_URL)))
    plain.must("restore", str(tmp_path / "saved"))

    with away(Worker(plain)), world.clock.in_force():
        plain.must("load")
        assert "cluster" not in plain.must("status").out
    drop_database(plain.database_url)
