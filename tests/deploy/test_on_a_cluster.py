"""A warehouse on a Citus cluster: how its tables lie, and that queries run where the rows are.

Everything else is tested on the cluster by the tests of plain servers, as one server more.
"""

import json
import re
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg2
import pytest

from kalshi_elt.ops.lock import hold_lock
from simulator import Simulator
from tests.conftest import Project, new_database
from tests.support.databases import CITUS_URL, NO_CITUS, drop_database
from tests.support.tables import DISTRIBUTED_TABLES, REFERENCE_TABLES, layout

pytestmark = [
    pytest.mark.citus,
    pytest.mark.skipif(CITUS_URL is None, reason=NO_CITUS),
]

EVENT = "KXPRESPERSON-28"
MARKET = "KXPRESPERSON-28-JVAN"

BIG_MODELS = ("core/candles", "core/markets", "marts/candles_1h", "marts/candles_1d")
"""Their rows never pass the coordinator."""

SMALL_MODELS = ("core/rejects", "core/market_history", "marts/prices_before_close")
"""These bring the rows of new answers there, but never candles."""


@pytest.fixture(scope="module")
def project(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A warehouse on the cluster, loaded and typed twice: the second time as a schedule does it."""
    url = new_database(str(CITUS_URL))
    project = Project(url, simulator, tmp_path_factory.mktemp("citus"))
    for arguments in ((), ("--since", "3h", "--again")):
        project.must("load", *arguments)
        project.must("transform")
    # as dbt wrote them in a usual run; other tests run it otherwise
    shutil.copytree(project.target / "run", project.work / "usual_run")
    yield project
    drop_database(url)


def plan(project: Project, statement: str) -> str:
    """What `explain` says, the part on one shard included."""
    return "\n".join(line for (line,) in project.query(f"explain {statement}"))


def model_plan(project: Project, model: str) -> str:
    """Of the statement with which dbt wrote a model last."""
    run: Path = project.work / "usual_run" / "kalshi" / "dbt_project" / "models"
    return plan(project, (run / f"{model}.sql").read_text())


def subplans_that_read(found: str, table: str) -> list[str]:
    """The parts of a plan whose rows come to the coordinator, and that read a table by itself: not
    joined to rows that were sent to the nodes. Those that delete return none."""
    parts = re.split(r"Distributed Subplan", found)[1:]
    return [
        part
        for part in parts
        if f"on {table}" in part and "read_intermediate" not in part and "Delete on" not in part
    ]


def test_tables_lie_by_market_or_whole_on_each_node(project: Project) -> None:
    by_market = project.query(
        "select distinct distribution_column, colocation_id from citus_tables "
        "where citus_table_type = 'distributed'"
    )

    assert layout(project) == {"distributed": DISTRIBUTED_TABLES, "reference": REFERENCE_TABLES}
    assert [column for column, _ in by_market] == ["market_ticker"]


def test_candles_are_partitioned_by_month_on_every_shard(project: Project) -> None:
    partitions = project.query(
        "select count(*), count(pg_dist_partition.logicalrelid) from pg_inherits "
        "left join pg_dist_partition on logicalrelid = inhrelid "
        "where inhparent = 'kalshi.candles'::regclass"
    )
    ((number, distributed),) = partitions

    assert number == distributed
    assert number >= 3


def test_keys_hold_across_nodes(project: Project) -> None:
    foreign_keys = project.query(
        "select conrelid::regclass::text, confrelid::regclass::text, confdeltype::text "
        "from pg_constraint where contype = 'f' and conparentid = 0 and "
        "connamespace = 'kalshi'::regnamespace order by 1"
    )
    assert ("kalshi.candles", "kalshi.markets", "c") in foreign_keys
    assert ("kalshi.markets", "kalshi.events", "c") in foreign_keys

    ((candle,),) = project.query("select to_jsonb(candles) from kalshi.candles limit 1")
    with pytest.raises(psycopg2.Error, match="violates foreign key constraint"):
        project.query(
            "insert into kalshi.candles "
            "select * from jsonb_populate_record(null::kalshi.candles, %s)",
            json.dumps({**candle, "market_ticker": "NOBODY"}),
        )


def test_deleting_an_event_deletes_its_candles_on_all_nodes(project: Project) -> None:
    with psycopg2.connect(project.database_url) as connection, connection.cursor() as cursor:
        cursor.execute("set local citus.multi_shard_modify_mode to sequential")
        cursor.execute("delete from kalshi.events where event_ticker = %s", [EVENT])
        cursor.execute("select count(*) from kalshi.candles")
        assert cursor.fetchone() == (0,)
        connection.rollback()
    connection.close()


@pytest.mark.parametrize("model", BIG_MODELS)
def test_the_nodes_write_candles_and_markets_among_themselves(project: Project, model: str) -> None:
    found = model_plan(project, model)

    assert "pull to coordinator" not in found
    assert "Distributed Subplan" not in found
    assert re.search(r"Task Count: [2-9]", found)


@pytest.mark.parametrize("model", SMALL_MODELS)
def test_no_model_brings_all_candles_to_the_coordinator(project: Project, model: str) -> None:
    found = model_plan(project, model)

    assert subplans_that_read(found, "candles_20") == []
    assert subplans_that_read(found, "candles_1") == []


def test_a_full_refresh_leaves_its_rows_on_the_nodes(project: Project) -> None:
    before = project.query("select count(*), max(created_at) from kalshi.candles")
    project.must("transform", "--full-refresh", "--select", "candles")
    assert project.query("select count(*), max(created_at) from kalshi.candles") == before
    assert project.query("select to_regclass('kalshi.candles__full_refresh') is null") == [(True,)]

    # the table that it writes to first is gone, so the plan is read with an empty one
    project.query("create table kalshi.candles__full_refresh (like kalshi.candles)")
    project.query(
        "select create_distributed_table('kalshi.candles__full_refresh', 'market_ticker', "
        "colocate_with => 'kalshi.candles')"
    )
    run = project.target / "run" / "kalshi" / "dbt_project" / "models"
    found = plan(project, (run / "core" / "candles.sql").read_text())
    project.query("drop table kalshi.candles__full_refresh")

    assert "pull to coordinator" not in found
    assert subplans_that_read(found, "candles") == []


def test_one_market_and_one_week_is_one_shard_and_its_months(project: Project) -> None:
    until = datetime.now(UTC)
    found = plan(
        project,
        f"select * from kalshi.candles where market_ticker = '{MARKET}' and interval_min = 1 "
        f"and end_ts > '{until - timedelta(days=7)}' and end_ts <= '{until}'",
    )

    assert "Task Count: 1" in found
    months = {f"candles_{moment:%Y_%m}" for moment in (until - timedelta(days=7), until)}
    assert set(re.findall(r"candles_20\d\d_\d\d", found)) <= months


@pytest.mark.parametrize("view", ["candles_5m", "candles_15m"])
def test_roll_ups_are_made_on_the_shards(project: Project, view: str) -> None:
    found = plan(project, f"select * from kalshi.{view}")

    assert "Distributed Subplan" not in found
    assert re.search(r"Task Count: [2-9]", found)
    assert "GroupAggregate" in found or "HashAggregate" in found


@pytest.mark.parametrize(
    "command", [("export", "--to"), ("site", "--no-docs", "--to"), ("backup",)]
)
def test_who_reads_everything_waits_for_the_job_and_keeps_jobs_out(
    project: Project, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """A snapshot is of one node."""
    warehouse = project.warehouse()
    with ThreadPoolExecutor() as pool:
        with hold_lock(warehouse, wait=False):
            reading = pool.submit(project.must, *command, str(tmp_path / "out"))
            time.sleep(3)
            assert not reading.done()
        reading.result(timeout=120)


def body_for(project: Project, function: str, **arguments: str) -> str:
    """The query in a function, for five-minute periods of the last three hours."""
    arguments |= {"minutes": "5", "since": "(now() - interval '3 hours')", "until": "now()"}
    ((source,),) = project.query("select prosrc from pg_proc where oid = %s::regproc", function)
    query = source.partition("return query")[2].rpartition(";")[0]
    for name, value in arguments.items():
        query = query.replace(f"{function.partition('.')[2]}.{name}", value)
    return str(query)


def test_a_markets_filled_candles_are_one_task_on_its_node(project: Project) -> None:
    body = body_for(project, "kalshi.candles_filled", ticker=f"'{MARKET}'::text")
    found = plan(project, body)

    assert "Task Count: 1" in found
    assert "Distributed Subplan" not in found


def test_event_probabilities_bring_markets_and_prices_but_no_candles(project: Project) -> None:
    body = body_for(project, "kalshi.event_probabilities", event=f"'{EVENT}'::text")
    found = plan(project, body)

    assert "candles_20" not in found
    assert "Function Scan on candles_filled" in found
    rows = project.query(
        "select count(*), count(probability) from kalshi.event_probabilities(%s, 5, "
        "now() - interval '3 hours', now())",
        EVENT,
    )
    assert rows[0][0] == rows[0][1] > 0
